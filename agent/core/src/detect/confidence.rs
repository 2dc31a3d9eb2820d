//! The one place where scores become confidence.
//!
//! Confidence is how likely a statement is true, 0 to 1. What the host or a digest says itself is certain. The curves for
//! statistical methods are stated priors, but for oddness, which is calibrated on labelled history: the score of a tail is no
//! probability of trouble. All stay below 0.95 and are lowered by what is known to make them worse.

use std::time::Duration;

use crate::model::Confidence;

/// The most that a statistical method may claim.
const STATISTICAL_MAX: f64 = 0.95;

/// A limit was passed without a break: the numbers are certain, the limit is the operator's.
pub fn of_threshold() -> Confidence {
    Confidence::clamped(0.98)
}

/// How often a value of such oddness lay in a labelled window: (oddness, share), never falling. Measured on the univariate labelled series
/// of `cargo xtask bench detect` and pooled where it fell; the table is in docs/detection.md.
const ODDNESS: [(f64, f64); 9] = [
    (0.05, 0.05),
    (0.15, 0.05),
    (0.25, 0.05),
    (0.35, 0.05),
    (0.45, 0.14),
    (0.55, 0.31),
    (0.65, 0.41),
    (0.75, 0.43),
    (0.85, 0.80),
];

/// The share of values of this oddness that were trouble, between the measured ones; never less than the first.
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

/// A departure of `deviations` robust standard deviations on average that has lasted so long, for a series watched so long.
/// Whatever the height, it grows with duration and history; deliberate activity nearby halves the belief that it is trouble.
/// `oddness`, once the series is known well enough: its measured share takes the place of the prior.
pub fn of_departure(
    deviations: f64,
    oddness: Option<f64>,
    lasted: Duration,
    history: Duration,
    activity: bool,
) -> Confidence {
    // 6 deviations: 0.5; 12: 0.75; 50: 0.94.
    let prior = 1.0 - 3.0 / deviations.max(3.0);
    let height = oddness.map_or(prior, |it| of_oddness(it).get());
    // 30 s: 0.75; 2 min: 0.92; 5 min: 0.97.
    let duration = 1.0 - 10.0 / (lasted.as_secs_f64() + 10.0);
    // A day holds every hour once; before that the next one may simply be unknown.
    let seen = 0.7 + 0.3 * (history.as_secs_f64() / 86_400.0).min(1.0);
    let context = if activity { 0.5 } else { 1.0 };
    Confidence::clamped((height * duration * seen * context).min(STATISTICAL_MAX))
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
