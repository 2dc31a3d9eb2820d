//! unit-medic: a plan for a systemd unit that has failed.
//!
//! It reads the unit anew, decides in [`decide`] over that one record, and proposes what a careful operator would type. It knows
//! nothing but the unit's state, and it never acts.

pub mod decide;
pub mod plan;

use holdfast_plugin_sdk::host::units::{self, UnitStatus};
use holdfast_plugin_sdk::measure::Span;
use holdfast_plugin_sdk::{
    Context, Error, Finding, Outcome, Plan, Plugin, ProposedPlan, Remediator, Verdict, export, facts, host,
};
use serde::Deserialize;

use decide::Decision;
use plan::Company;

/// `[settings]` of plugin.toml, which holds the defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// How long the agent waits after the restart before it looks.
    pub settle: Span,
    /// From this many restarts by systemd on, one more start is a doubtful cure.
    pub restarts_doubtful: u32,
}

/// The plugin.
pub struct UnitMedic {
    settings: Settings,
}

impl Plugin for UnitMedic {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        Ok(Self { settings })
    }
}

impl Remediator for UnitMedic {
    fn propose(&self, finding: &Finding) -> Result<Option<Plan>, Error> {
        let unit = units::status(unit_of(finding)?)?;
        match decide::decide(&unit, self.settings.restarts_doubtful) {
            Decision::Propose(treatment) => {
                Ok(Some(plan::write(finding, &unit, &treatment, &company(&unit.name), self.settings.settle)))
            }
            Decision::Nothing(why) => {
                host::log::info("Nothing to propose.", &[("unit", &unit.name), ("why", &why)]);
                Ok(None)
            }
            Decision::Refuse(why) => Err(Error::Unsupported(why)),
        }
    }

    fn verify(&self, finding: &Finding, plan: &ProposedPlan, _: &[Outcome]) -> Result<Verdict, Error> {
        let unit = units::status(unit_of(finding)?)?;
        let before = plan.evidence.iter().find(|e| e.name == "unit.invocation_id").map(|e| &e.value);
        let before = match before {
            Some(holdfast_plugin_sdk::Value::Text(id)) => Some(id.as_str()),
            _ => None,
        };
        Ok(decide::judge(&unit, before))
    }
}

/// The unit that a finding is about.
fn unit_of(finding: &Finding) -> Result<&str, Error> {
    match (finding.subject.kind.as_str(), facts::text(finding, "unit")) {
        ("unit", _) => Ok(&finding.subject.name),
        (_, Some(unit)) => Ok(unit),
        (kind, None) => Err(Error::Unsupported(format!("a finding about a {kind}, not about a unit"))),
    }
}

/// Units of the same name that start it; one that is not granted or not there is none.
fn company(name: &str) -> Company {
    let stem = name.strip_suffix(".service").unwrap_or("");
    let active = |suffix: &str| {
        let other = format!("{stem}.{suffix}");
        let known = !stem.is_empty() && units::status(&other).is_ok_and(|u: UnitStatus| u.active == "active");
        known.then_some(other)
    };
    Company { socket: active("socket"), timer: active("timer") }
}

export!(UnitMedic: Remediator);

#[cfg(test)]
mod tests;
