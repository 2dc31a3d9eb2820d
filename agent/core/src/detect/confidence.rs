//! The one place where scores become confidence.
//!
//! Confidence is how likely a statement is true, 0 to 1. What the host or a digest says itself is certain. The curves for
//! statistical methods are stated priors, but for departures of series that are known well, which are calibrated on labelled history: the score
//! of a tail is no probability of trouble, and neither duration nor height told more than it there. All stay below 0.95 and are lowered by what is known to make them worse.

use std::time::Duration;

use crate::model::Confidence;

/// The most that a statistical method may claim.
const STATISTICAL_MAX: f64 = 0.95;

/// A limit was passed without a break: the numbers are certain, the limit is the operator's.
pub fn of_threshold() -> Confidence {
    Confidence::clamped(0.98)
}

/// How often a departure whose oddest value was so odd was first said within a labelled window: (oddness, share), never falling. Measured on
/// the findings of `cargo xtask bench detect` over all its suites, and pooled where it fell; the table is in docs/detection.md.
const ODDNESS: [(f64, f64); 6] =
    [(0.5, 0.20), (0.575, 0.25), (0.625, 0.29), (0.675, 0.52), (0.725, 0.58), (0.775, 0.68)];
/// The same of those that were said because they lasted, of series whose oddness is not known yet, after their first day.
const LASTING: f64 = 0.48;

/// Of changes of spread one of fifteen was first said within a labelled window. Nobody has labelled such changes, so it is a stated prior: low.
const SPREAD: f64 = 0.1;

/// A series varies clearly more or less than it used to.
pub fn of_spread() -> Confidence {
    Confidence::clamped(SPREAD)
}

/// The share of departures with such an oddest value that were trouble, between the measured ones; never less than the first, nor more than the last.
pub fn of_oddness(oddness: f64) -> Confidence {
    let mut before = ODDNESS[0];
    for it in ODDNESS {
        if oddness < it.0 {
            let part = ((oddness - before.0) / (it.0 - before.0).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            return Confidence::clamped(before.1 + part * (it.1 - before.1));
        }
        before = it;
    }
    Confidence::clamped(before.1)
}

/// A departure that lasts, of a series that is known for more than a day, and too little for its oddness.
pub fn of_lasting() -> Confidence {
    Confidence::clamped(LASTING)
}

/// A departure of `deviations` robust standard deviations on average that has lasted so long, of a series in its first day: a stated prior that
/// grows with height, duration and history.
pub fn of_young(deviations: f64, lasted: Duration, history: Duration) -> Confidence {
    // 6 deviations: 0.5; 12: 0.75; 50: 0.94.
    let height = 1.0 - 3.0 / deviations.max(3.0);
    // 30 s: 0.75; 2 min: 0.92; 5 min: 0.97.
    let duration = 1.0 - 10.0 / (lasted.as_secs_f64() + 10.0);
    // A day holds every hour once; before that the next one may simply be unknown.
    let seen = 0.7 + 0.3 * (history.as_secs_f64() / 86_400.0).min(1.0);
    Confidence::clamped((height * duration * seen).min(STATISTICAL_MAX))
}

/// Deliberate activity nearby halves the belief that a departure is trouble. Nobody has labelled that: it is a stated prior.
pub fn beside_activity(alone: Confidence) -> Confidence {
    Confidence::clamped(alone.get() / 2.0)
}

/// A trend with this Mann-Kendall score whose interval reaches from `low` to `high` times its middle.
pub fn of_trend(score: f64, low: f64, high: f64) -> Confidence {
    let there = 1.0 - (-score.max(0.0)).exp();
    // An interval as wide as the slope itself halves it.
    let width = 1.0 / (1.0 + (high - low).max(0.0));
    Confidence::clamped((there * width).min(STATISTICAL_MAX))
}

/// The file system says itself how full it is.
pub fn of_full() -> Confidence {
    Confidence::CERTAIN
}

/// A digest differs: certain that it differs. Without the content at hand a reading race remains thinkable.
pub fn of_drift(content_read: bool) -> Confidence {
    if content_read { Confidence::CERTAIN } else { Confidence::clamped(0.95) }
}
