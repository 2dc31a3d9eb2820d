//! Whether the deployment's units run since its finish, without failing or starting again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GateInputs, GateVerdict, Outcome, Until, span};
use crate::model::{Change, Evidence, Timestamp, UnitState};

/// Attributes of a unit's changes.
const ACTIVE_STATE: &str = "unit.active_state";
const N_RESTARTS: &str = "unit.n_restarts";

/// What is known about one unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitFacts {
    /// `web.service`.
    pub name: String,
    /// What the host says now, when somebody asked it.
    pub now: Option<UnitState>,
    /// Changes of the unit, oldest first: at least the last one before the finish and all since.
    pub changes: Vec<Change>,
}

/// How a unit stands, from whichever source knows.
enum State {
    Active {
        since: Timestamp,
    },
    /// On its way to another state, or down; with the systemd word.
    Other {
        word: String,
        since: Option<Timestamp>,
    },
    Unknown,
}

/// Occurrences since the finish.
#[derive(Default)]
struct Count {
    failures: u64,
    starts: u64,
    stops: u64,
}

pub(super) fn check(inputs: &GateInputs) -> Outcome {
    if inputs.units.is_empty() {
        return Outcome::inconclusive(
            "the deployment names no unit, so nothing shows that the service runs (`deploy start --unit NAME` names one)",
            Until::Settled,
        );
    }
    let Some(finish) = inputs.deployment.finished_at else {
        let names: Vec<&str> = inputs.units.iter().map(|u| u.name.as_str()).collect();
        let text = format!("{}: judged once the deployment has finished", names.join(", "));
        return Outcome::inconclusive(text, Until::Unknown);
    };
    let each: Vec<Outcome> = inputs.units.iter().map(|unit| judge(unit, finish, inputs)).collect();
    let any = |verdict| each.iter().any(|o| o.verdict == verdict);
    let verdict = [GateVerdict::Fail, GateVerdict::Inconclusive].into_iter().find(|v| any(*v));
    let until = each.iter().map(|o| o.until).max().unwrap_or(Until::Settled);
    let text = each.iter().map(|o| o.text.as_str()).collect::<Vec<_>>().join("; ");
    Outcome::new(verdict.unwrap_or(GateVerdict::Pass), text, until)
        .with(each.into_iter().flat_map(|o| o.evidence).collect())
}

fn judge(unit: &UnitFacts, finish: Timestamp, inputs: &GateInputs) -> Outcome {
    let (name, at, limits) = (&unit.name, inputs.at, &inputs.limits);
    let settled_by = finish.plus(limits.grace);
    let count = count(unit, finish, settled_by);
    let numbers = |state: &str, active: Option<Duration>| {
        let mut all = vec![
            Evidence::new("unit.name", name.as_str()),
            Evidence::new("unit.active_state", state),
            Evidence::new("unit.failures_since_finish", count.failures),
            Evidence::new("unit.starts_since_finish", count.starts),
            Evidence::new("unit.stops_since_finish", count.stops),
        ];
        all.extend(active.map(|time| Evidence::new("unit.active_s", time.as_secs_f64())));
        all
    };
    let (word, outcome) = match state(unit) {
        State::Active { since } => {
            let active = at.since(since.max(finish));
            let missing = limits.observe.saturating_sub(active);
            let outcome = if count.failures + count.starts + count.stops > 0 {
                Outcome::fail(format!("{name} is active, but since the finish {count}"))
            } else if missing > Duration::ZERO {
                let text = format!("{name} is active for {} of {}", span(active), span(limits.observe));
                Outcome::inconclusive(text, Until::At(at.plus(missing)))
            } else {
                Outcome::pass(format!("{name} is active for {} since the finish, {count}", span(active)))
            };
            return outcome.with(numbers("active", Some(active)));
        }
        State::Other { word, since } => {
            let how_long = since.map(|s| format!(" for {}", span(at.since(s)))).unwrap_or_default();
            let text =
                format!("{name} is {word}{how_long}, {} after the finish; since then {count}", span(at.since(finish)));
            // The news of a start that belongs to the deployment may still be on its way.
            let news = count.failures == 0 && at < settled_by;
            let moving = matches!(word.as_str(), "activating" | "deactivating" | "reloading" | "refreshing");
            let over = at.since(finish) >= limits.observe.max(limits.grace);
            let outcome = if count.failures + count.starts + count.stops > 0 || (!news && !moving) || (moving && over) {
                Outcome::fail(text)
            } else {
                Outcome::inconclusive(text, Until::At(at.plus(limits.observe)))
            };
            (word, outcome)
        }
        State::Unknown => {
            let text = format!("the state of {name} is not known: the agent has seen no start or stop of it");
            let until = if inputs.window_over() { Until::Settled } else { Until::At(finish.plus(limits.observe)) };
            ("unknown".to_owned(), Outcome::inconclusive(text, until))
        }
    };
    outcome.with(numbers(&word, None))
}

/// Counts what happened since the finish. Starts and stops in the grace are the deployment's own; failures never are, and
/// neither are systemd's automatic restarts, which follow a crash even when nobody saw the unit fail.
fn count(unit: &UnitFacts, finish: Timestamp, settled_by: Timestamp) -> Count {
    let mut count = Count::default();
    let mut automatic = 0;
    let mut known = 0;
    for change in &unit.changes {
        // The count begins again at each start by hand; until the finish it is only carried along.
        let told = change.attributes.get(N_RESTARTS).and_then(|n| n.parse::<u64>().ok());
        if change.at > finish {
            automatic += told.map_or(0, |n| if n >= known { n - known } else { n });
            let late = change.at > settled_by;
            match change.kind.as_str() {
                "unit.failed" => count.failures += 1,
                "unit.started" | "unit.restarted" if late => count.starts += 1,
                "unit.stopped" if late => count.stops += 1,
                _ => {}
            }
        }
        known = told.unwrap_or(known);
    }
    // What the host says now covers restarts that were too quick to be seen one by one. A unit that has not changed its
    // state since the finish was restarted before it.
    if let Some(now) = unit.now.as_ref().filter(|now| now.since.is_some_and(|since| since > finish)) {
        let n = u64::from(now.n_restarts);
        automatic += if n >= known { n - known } else { n };
    }
    count.starts = count.starts.max(automatic);
    count
}

fn state(unit: &UnitFacts) -> State {
    if let Some(now) = &unit.now {
        return match (now.active_state.as_str(), now.since) {
            ("active", Some(since)) => State::Active { since },
            // Active for an unknown time: only the changes can tell since when.
            ("active", None) => match recorded(unit) {
                State::Other { .. } => State::Unknown,
                known => known,
            },
            ("", _) => State::Unknown,
            (word, since) => State::Other { word: word.to_owned(), since },
        };
    }
    recorded(unit)
}

fn recorded(unit: &UnitFacts) -> State {
    let last = unit.changes.iter().rev().find_map(|c| Some((c, word_after(c)?)));
    match last {
        None => State::Unknown,
        Some((change, "active")) => State::Active { since: change.at },
        Some((change, word)) => State::Other { word: word.to_owned(), since: Some(change.at) },
    }
}

/// The active state that a change leaves behind: as it says itself, else by its kind.
fn word_after(change: &Change) -> Option<&str> {
    let by_kind = match change.kind.as_str() {
        "unit.started" | "unit.restarted" => Some("active"),
        "unit.stopped" => Some("inactive"),
        "unit.failed" => Some("failed"),
        _ => None,
    };
    change.attributes.get(ACTIVE_STATE).map(String::as_str).filter(|word| !word.is_empty()).or(by_kind)
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let times = |n: u64, what: &str| match n {
            1 => format!("{what} once"),
            n => format!("{what} {n} times"),
        };
        let Self { failures, starts, stops } = *self;
        if failures + starts + stops == 0 {
            return f.write_str("no failure, no restart");
        }
        let parts = [(failures, "failed"), (starts, "started again"), (stops, "stopped")];
        let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| times(n, what)).collect();
        f.write_str(&parts.join(", "))
    }
}
