//! What this hour of the day, and this hour of the week, usually brings; used only where it explains the series.
//!
//! Two profiles, half hours of the day and hours of the week, read between the middles of their bins. Each is held to account: only
//! while its error is clearly smaller than that of the plain level is it a prediction. 216 bins, about 1.7 KiB.

use serde::{Deserialize, Serialize};

const DAY_S: f64 = 86_400.0;
const WEEK_S: f64 = 7.0 * DAY_S;
const DAY_BINS: usize = 48;
const WEEK_BINS: usize = 168;
/// The error of a profile that explains the series is at most this part of the level's.
const EXPLAINS_BELOW: f64 = 0.85;
/// Predictions that are looked at before a profile may be used.
const TRIED_DAY: f64 = 40.0;
const TRIED_WEEK: f64 = 100.0;
/// Errors are remembered over so many predictions.
const REMEMBERED: f64 = 1000.0;
/// A value moves a profile, and counts as error, at most so many scales.
const CUT: f64 = 6.0;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Profile {
    means: Vec<f64>,
    counts: Vec<f32>,
    tried: f64,
    error: f64,
}

impl Profile {
    fn place(&self, at_s: f64, period_s: f64) -> f64 {
        at_s.rem_euclid(period_s) / period_s * self.means.len() as f64
    }

    fn expected(&self, at_s: f64, period_s: f64) -> Option<f64> {
        let place = self.place(at_s, period_s) - 0.5;
        let bins = self.means.len();
        let before = (place.floor() + bins as f64) as usize % bins;
        let after = (before + 1) % bins;
        let part = place - place.floor();
        (self.counts[before] > 0.0 && self.counts[after] > 0.0)
            .then(|| (1.0 - part) * self.means[before] + part * self.means[after])
    }

    fn err(&mut self, error: f64) {
        self.tried += 1.0;
        self.error += (1.0 / self.tried).max(1.0 / REMEMBERED) * (error - self.error);
    }

    fn learn(&mut self, at_s: f64, period_s: f64, value: f64, cut: f64, bins: usize) {
        if self.means.len() != bins {
            (self.means, self.counts) = (vec![0.0; bins], vec![0.0; bins]);
        }
        let bin = (self.place(at_s, period_s) as usize).min(bins - 1);
        let (mean, count) = (&mut self.means[bin], &mut self.counts[bin]);
        *count = (*count + 1.0).min(1e6);
        let value = if *count > 3.0 { value.clamp(*mean - cut, *mean + cut) } else { value };
        *mean += f64::from((1.0 / *count).max(0.04)) * (value - *mean);
    }
}

/// The profiles of one series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Season {
    day: Profile,
    week: Profile,
    level_error: f64,
}

impl Season {
    /// What the season expects now, if it explains the series; and learns the value.
    pub(super) fn step(&mut self, at_s: f64, value: f64, level: f64, scale: f64) -> Option<f64> {
        let cut = CUT * scale;
        let mut found = None;
        if !self.day.means.is_empty() {
            let day = self.day.expected(at_s, DAY_S);
            if let Some(expected) = day {
                self.day.err((value - expected).abs().min(cut));
                let weight = (1.0 / self.day.tried).max(1.0 / REMEMBERED);
                self.level_error += weight * ((value - level).abs().min(cut) - self.level_error);
                if self.day.tried > TRIED_DAY && self.day.error < EXPLAINS_BELOW * self.level_error {
                    found = Some(expected);
                }
            }
            if let (Some(expected), Some(_)) = (self.week.expected(at_s, WEEK_S), day) {
                self.week.err((value - expected).abs().min(cut));
                if self.week.tried > TRIED_WEEK && self.week.error < 0.95 * self.day.error {
                    found = (self.week.error < EXPLAINS_BELOW * self.level_error).then_some(expected);
                }
            }
        }
        self.day.learn(at_s, DAY_S, value, cut, DAY_BINS);
        self.week.learn(at_s, WEEK_S, value, cut, WEEK_BINS);
        found
    }
}
