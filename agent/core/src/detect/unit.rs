//! `unit.failed`: the service manager itself says that a unit failed.
//!
//! No statistics: certain when it is stated. A unit on its way from one state to another is inconclusive, because it may end
//! up either way; a unit that systemd restarts by itself (`auto-restart`) is on its way too, and one that it restarts again and again is
//! `unit.restarting`.

use crate::model::{
    CauseId, Class, Confidence, Detection, Evidence, Method, Presence, Severity, Target, Timestamp, UnitState,
};

const METHOD: &str = "unit_failure";
const VERSION: u32 = 1;

/// What the state of a unit says. `at`: when it was read.
pub fn unit_failure(unit: &UnitState, at: Timestamp, cause: Option<CauseId>) -> Detection {
    let presence = match unit.active_state.as_str() {
        "failed" => Presence::Present,
        "active" | "inactive" => Presence::Cleared,
        _ => Presence::Inconclusive,
    };
    let mut evidence = vec![
        Evidence::new("unit.active_state", unit.active_state.as_str()),
        Evidence::new("unit.sub_state", unit.sub_state.as_str()),
        Evidence::new("unit.result", unit.result.as_str()),
        Evidence::new("unit.n_restarts", unit.n_restarts),
        Evidence::new("unit.restart", unit.restart.as_str()),
    ];
    if let Some(invocation) = &unit.invocation_id {
        evidence.push(Evidence::new("unit.invocation_id", invocation.as_str()));
    }
    Detection {
        kind: "unit.failed".to_owned(),
        class: Class::Reliability,
        target: Target::unit(&unit.name),
        discriminator: String::new(),
        presence,
        title: title(unit, presence),
        severity: severity(unit),
        confidence: Confidence::CERTAIN,
        method: Method { name: METHOD.to_owned(), version: VERSION },
        evidence,
        began_at: unit.since.filter(|since| *since <= at).unwrap_or(at),
        cause,
    }
}

fn title(unit: &UnitState, presence: Presence) -> String {
    let name = &unit.name;
    match presence {
        Presence::Cleared | Presence::Inconclusive => format!("{name} is {}", unit.active_state),
        Presence::Present => {
            let why = match unit.result.as_str() {
                "" | "success" => String::new(),
                "start-limit-hit" => ": it was restarted too often, systemd gave up".to_owned(),
                "oom-kill" => ": killed for want of memory".to_owned(),
                "signal" => ": killed by a signal".to_owned(),
                "core-dump" => ": crashed and dumped core".to_owned(),
                "exit-code" => ": its process ended with an error".to_owned(),
                "watchdog" => ": it stopped answering its watchdog".to_owned(),
                "timeout" => ": it took too long".to_owned(),
                other => format!(": {other}"),
            };
            match unit.n_restarts {
                0 => format!("{name} failed{why}"),
                1 => format!("{name} failed{why} (after 1 restart)"),
                n => format!("{name} failed{why} (after {n} restarts)"),
            }
        }
    }
}

/// What people keep enabled they miss when it fails; of the others, less can be said.
pub(super) fn severity(unit: &UnitState) -> Severity {
    let service = [".service", ".socket", ".mount"].iter().any(|kind| unit.name.ends_with(kind));
    if service && unit.unit_file_state.starts_with("enabled") { Severity::High } else { Severity::Medium }
}
