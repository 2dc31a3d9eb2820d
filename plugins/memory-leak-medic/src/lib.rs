//! memory-leak-medic: which units grow until they are killed, and what then?
//!
//! It adds up what the programs of a unit hold, since the unit's last start, and judges whether that grows without an end. A leak is only
//! worth a word when its end is near. The remedy is a restart under guard; it gains time, it does not mend the program.

pub mod judge;
pub mod trend;

use std::collections::BTreeMap;

use holdfast_plugin_sdk::host::metrics::{self, Series};
use holdfast_plugin_sdk::host::units::{self, UnitStatus};
use holdfast_plugin_sdk::host::{clock, files, log};
use holdfast_plugin_sdk::measure::{Bytes, Share, Span};
use holdfast_plugin_sdk::step::{self, Risk};
use holdfast_plugin_sdk::{
    Check, Context, Error, Finding, Outcome, Plan, Plugin, ProposedPlan, Remediator, Report, Value, Verdict, evidence,
    export, text,
};
use serde::Deserialize;

use judge::{Bar, Judged, LEAK, Room, helped, judge, problem};
use trend::Point;

/// Resident memory of the programs of one unit. A cgroup's own figure counts the page cache too, which grows and is given back.
const HELD: &str = "process.memory.usage";
const UNIT: &str = "holdfast.unit.name";
/// Points are taken this far apart.
const STEP_NS: u64 = 120_000_000_000;
/// The newest figure is not older.
const FIGURE_AGE_NS_MAX: u64 = 300_000_000_000;

/// `[settings]` of plugin.toml, which holds the defaults and says what each means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "plugin.toml documents each setting where the operator reads it")]
pub struct Settings {
    pub look_back: Span,
    pub least_history: Span,
    pub grows_by: Share,
    pub grows_bytes: Bytes,
    pub steadiness: Share,
    pub horizon: Span,
    pub settle: Span,
}

/// The plugin.
pub struct MemoryLeakMedic {
    settings: Settings,
}

impl Plugin for MemoryLeakMedic {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        if settings.least_history.0 > settings.look_back.0 {
            return Err(Error::Invalid("settings.least-history is longer than settings.look-back".to_owned()));
        }
        Ok(Self { settings })
    }
}

impl MemoryLeakMedic {
    fn bar(&self) -> Bar {
        Bar {
            least_history_ns: self.settings.least_history.0,
            grows_by: self.settings.grows_by.0,
            grows_bytes: self.settings.grows_bytes.0 as f64,
            steadiness: self.settings.steadiness.0,
            horizon_ns: self.settings.horizon.0,
        }
    }

    /// One unit, fresh.
    fn look(&self, unit: &UnitStatus, series: &[Series], now_ns: u64, host: Option<f64>) -> Judged {
        let points = since(&held(series), unit.since.unwrap_or(0));
        let level = points.last().map_or(0.0, |(_, value)| *value);
        let own = limit(&unit.name).map(|limit| Room { bytes: limit - level, own: true });
        let of_host = host.map(|bytes| Room { bytes, own: false });
        let Some(room) = own.into_iter().chain(of_host).min_by(|a, b| a.bytes.total_cmp(&b.bytes)) else {
            return Judged::TooLittle("neither its limit nor the host's memory is known");
        };
        let fresh = points.last().is_some_and(|(at, _)| now_ns.saturating_sub(*at) < STEP_NS + FIGURE_AGE_NS_MAX);
        if fresh { judge(&points, room, &self.bar()) } else { Judged::TooLittle("it is not measured any more") }
    }
}

impl Check for MemoryLeakMedic {
    fn run(&self, report: &mut Report) -> Result<(), Error> {
        let now_ns = clock::now_ns();
        let all = metrics::query_stepped(HELD, &[], now_ns.saturating_sub(self.settings.look_back.0), now_ns, STEP_NS)?;
        let mut by_unit: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for series in all {
            if let Some(unit) = metrics::attribute(&series, UNIT) {
                by_unit.entry(unit.to_owned()).or_default().push(series);
            }
        }
        let host = host_has(now_ns)?;
        report.evaluated(LEAK);
        let (mut seen, mut young) = (0, 0);
        for unit in units::list("*.service")?.into_iter().filter(|it| it.active == "active") {
            let Some(series) = by_unit.get(&unit.name) else { continue };
            seen += 1;
            match self.look(&unit, series, now_ns, host) {
                Judged::Leak(leak) => report.found(problem(&unit.name, &leak)),
                Judged::TooLittle(why) => {
                    log::debug("Nothing can be said about a unit.", &[("unit", &unit.name), ("why", why)]);
                    young += 1;
                }
                Judged::Fine(why) => log::debug("A unit is fine.", &[("unit", &unit.name), ("why", why)]),
            }
        }
        if young > 0 {
            let history = self.settings.least_history;
            let why = format!("{young} of {seen} units have no {history} of figures since their last start");
            report.skipped(LEAK, Error::Unsupported(why));
        }
        Ok(())
    }
}

impl Remediator for MemoryLeakMedic {
    fn propose(&self, finding: &Finding) -> Result<Option<Plan>, Error> {
        if finding.subject.kind != "unit" || finding.rule != LEAK {
            return Err(Error::Unsupported(format!("findings of the kind {} have no remedy here", finding.rule)));
        }
        let name = finding.subject.name.as_str();
        if name.starts_with("holdfast") {
            return Err(Error::Unsupported("the agent's own units are not restarted by its plugins".to_owned()));
        }
        let unit = units::status(name)?;
        if unit.active != "active" {
            log::info("Nothing to propose: it is not active.", &[("unit", name), ("state", &unit.active)]);
            return Ok(None);
        }
        let now_ns = clock::now_ns();
        let since = now_ns.saturating_sub(self.settings.look_back.0);
        let series = metrics::query_stepped(HELD, &[(UNIT, name)], since, now_ns, STEP_NS)?;
        let leak = match self.look(&unit, &series, now_ns, host_has(now_ns)?) {
            Judged::Leak(leak) => leak,
            Judged::Fine(why) | Judged::TooLittle(why) => {
                log::info("Nothing to propose: it leaks no more.", &[("unit", name), ("why", why)]);
                return Ok(None);
            }
        };
        let (level, growth) = (text::bytes(leak.level as u64), text::bytes(leak.growth as u64));
        let step = step::restart_unit(&unit)
            .because(&format!(
                "{name} has grown by {growth} to {level}, and about {} are left",
                text::span(leak.left_ns)
            ))
            .risk(Risk::Medium)
            .may_also("Whoever uses it is interrupted, and what it holds in memory only is lost.")
            .may_also(&format!("Units bound to {name} (Requires=, BindsTo=, PartOf=) are restarted with it."))
            .may_also("The program still leaks: this gains the time that it took to grow.");
        Ok(Some(
            Plan::new(finding, &format!("restart {name} before its memory runs out"), step)
                .confidence(finding.confidence.min(0.8))
                .settle_ms(u32::try_from(self.settings.settle.0 / 1_000_000).unwrap_or(u32::MAX))
                .evidence(evidence("unit.memory.bytes", leak.level as u64))
                .evidence(evidence("unit.memory.growth_bytes", leak.growth as u64))
                .evidence(evidence("unit.memory.seconds_left", leak.left_ns / 1_000_000_000))
                .evidence(evidence("unit.memory.limit", if leak.room.own { "unit" } else { "host" })),
        ))
    }

    fn verify(&self, finding: &Finding, plan: &ProposedPlan, _: &[Outcome]) -> Result<Verdict, Error> {
        let name = finding.subject.name.as_str();
        let number = |wanted: &str| {
            plan.evidence.iter().find(|it| it.name == wanted).and_then(|it| match it.value {
                Value::Integer(number) => Some(number as f64),
                _ => None,
            })
        };
        let (Some(before), Some(growth)) = (number("unit.memory.bytes"), number("unit.memory.growth_bytes")) else {
            return Err(Error::Invalid("the plan does not say what the unit held".to_owned()));
        };
        let unit = units::status(name)?;
        if unit.active != "active" {
            return Ok(Verdict::NotHealed(format!("{name} is {} now", unit.active)));
        }
        let now_ns = clock::now_ns();
        let started = unit.since.unwrap_or(0).max(now_ns.saturating_sub(FIGURE_AGE_NS_MAX));
        let now = held(&metrics::query(HELD, &[(UNIT, name)], started, now_ns)?).last().map(|(_, value)| *value);
        let was = text::bytes(before as u64);
        Ok(match (helped(before, growth, now), now) {
            (Some(true), Some(now)) => {
                Verdict::Healed(format!("{name} holds {} now, {was} before", text::bytes(now as u64)))
            }
            (Some(false), Some(now)) => {
                Verdict::NotHealed(format!("{name} holds {} already, {was} before", text::bytes(now as u64)))
            }
            _ => Verdict::Unsure(format!("{name} is active, and nothing is known yet of what it holds")),
        })
    }
}

/// What all programs of the unit hold together, at each moment.
fn held(series: &[Series]) -> Vec<Point> {
    let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
    for point in series.iter().flat_map(|it| &it.points) {
        *sums.entry(point.at).or_default() += point.value;
    }
    sums.into_iter().collect()
}

/// Points after the start; the step in which it started holds both.
fn since(points: &[Point], start_ns: u64) -> Vec<Point> {
    points.iter().filter(|(at, _)| *at > start_ns).copied().collect()
}

/// The unit's own limit in bytes. No limit, no such file or no grant: none.
fn limit(unit: &str) -> Option<f64> {
    let path = format!("/sys/fs/cgroup/system.slice/{unit}/memory.max");
    match files::read(&path, 64) {
        Ok(Some(bytes)) => String::from_utf8(bytes).ok()?.trim().parse().ok(),
        Ok(None) | Err(_) => None,
    }
}

/// What the host can still give, in bytes.
fn host_has(now_ns: u64) -> Result<Option<f64>, Error> {
    let found = metrics::query("system.memory.linux.available", &[], now_ns.saturating_sub(FIGURE_AGE_NS_MAX), now_ns)?;
    Ok(found.iter().find_map(metrics::newest))
}

export!(MemoryLeakMedic: Check + Remediator);

#[cfg(test)]
mod tests;
