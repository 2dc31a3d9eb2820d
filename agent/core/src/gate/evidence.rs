//! Whether there is enough telemetry to say anything: before the start, and since the finish.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GateInputs, Outcome, Until, span};
use crate::model::{Evidence, Timestamp};

/// A longer hole between two samples counts as time without telemetry: collectors run every second, at most every 10.
const HOLE: Duration = Duration::from_secs(15);

/// How much of a time has telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Samples of one series that every collection brings.
    pub samples: u64,
    /// Time between them, holes of more than 15 s left out.
    pub covered: Duration,
}

impl Coverage {
    /// Of the moments of the samples, oldest first.
    pub fn of(times: &[Timestamp]) -> Self {
        let gaps = times.windows(2).map(|pair| pair[1].since(pair[0])).filter(|gap| *gap <= HOLE);
        Self { samples: times.len() as u64, covered: gaps.sum() }
    }
}

pub(super) fn check(inputs: &GateInputs) -> Outcome {
    let (wanted_before, wanted_after) = (inputs.limits.history, inputs.limits.observe);
    let (before, after) = (inputs.before, inputs.after);
    let history = format!(
        "{} of telemetry before the start ({} samples; wanted {})",
        span(before.covered),
        before.samples,
        span(wanted_before)
    );
    let seen =
        format!("{} since the finish ({} samples; wanted {})", span(after.covered), after.samples, span(wanted_after));
    let numbers = vec![
        Evidence::new("gate.history_s", before.covered.as_secs_f64()),
        Evidence::new("gate.history_samples", before.samples),
        Evidence::new("gate.observed_s", after.covered.as_secs_f64()),
        Evidence::new("gate.observed_samples", after.samples),
    ];
    let missing_history = before.covered < wanted_before;
    let outcome = match inputs.since_finish() {
        None => Outcome::inconclusive(format!("{history}; the deployment has not finished"), Until::Unknown),
        Some(since) if after.covered < wanted_after => {
            let missing = wanted_after.saturating_sub(after.covered);
            // Twice the window without enough samples: nothing collects, and waiting is no cure.
            if since >= wanted_after.saturating_mul(2) {
                let text = format!("{history}; only {seen}, although it is {} ago: nothing collects", span(since));
                Outcome::inconclusive(text, Until::Settled)
            } else {
                let until = Until::At(inputs.at.plus(missing));
                Outcome::inconclusive(format!("{history}; {seen}: {} more to wait", span(missing)), until)
            }
        }
        Some(_) if missing_history => Outcome::inconclusive(
            format!("{history}: too little to compare with, and waiting does not bring it back; {seen}"),
            Until::Settled,
        ),
        Some(_) => Outcome::pass(format!("{history}; {seen}")),
    };
    outcome.with(numbers)
}
