//! The plan of a decision: steps with guards, side effects, and the numbers.

use holdfast_plugin_sdk::host::units::UnitStatus;
use holdfast_plugin_sdk::measure::Span;
use holdfast_plugin_sdk::{Finding, Plan, evidence, step};

use crate::decide::Treatment;

/// Active units of the same name that start this one by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Company {
    /// `web.socket`
    pub socket: Option<String>,
    /// `backup.timer`
    pub timer: Option<String>,
}

/// Writes the plan.
pub fn write(finding: &Finding, unit: &UnitStatus, treatment: &Treatment, company: &Company, settle: Span) -> Plan {
    let name = unit.name.as_str();
    // Cleared, a failed unit is `inactive`: the guard of the restart is the state that the first step leaves.
    let restart =
        if treatment.reset_first { step::restart_unit_when(unit, "inactive") } else { step::restart_unit(unit) };
    let mut restart = restart
        .because(&treatment.because)
        .risk(treatment.risk)
        .may_also(&format!("Units bound to {name} (Requires=, BindsTo=, PartOf=) are started or restarted with it."));
    if let Some(socket) = &company.socket {
        restart = restart.may_also(&format!("{socket} hands the connections that wait to {name} at once."));
    }
    if let Some(timer) = &company.timer {
        restart = restart.may_also(&format!("This run comes on top of those that {timer} starts."));
    }
    for caution in &treatment.cautions {
        restart = restart.may_also(caution);
    }
    let plan = if treatment.reset_first {
        let reset = step::reset_failed(unit)
            .because(&format!("the start limit of {name} refuses every start until it is cleared"))
            .may_also(&format!("systemd's restart counter of {name} ({}) begins again at 0.", unit.restarts));
        Plan::new(finding, &format!("clear the start limit of {name} and start it"), reset).then(restart)
    } else {
        Plan::new(finding, &format!("start {name} again"), restart)
    };
    let mut plan = plan
        .confidence(treatment.confidence)
        .settle_ms(u32::try_from(settle.0 / 1_000_000).unwrap_or(u32::MAX))
        .evidence(evidence("unit.active_state", unit.active.as_str()))
        .evidence(evidence("unit.sub_state", unit.sub.as_str()))
        .evidence(evidence("unit.result", unit.result.as_str()))
        .evidence(evidence("unit.n_restarts", unit.restarts))
        .evidence(evidence("unit.restart", unit.restart_policy.as_str()));
    if let Some(id) = &unit.invocation_id {
        plan = plan.evidence(evidence("unit.invocation_id", id.as_str()));
    }
    plan
}
