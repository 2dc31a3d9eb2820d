//! A departure under way, and when it is said.
//!
//! Once the series is well known, a departure that has lasted is said when one of its values was an alarm ([`ALARM_AT`]: odd, and news), at
//! once where a value stands for longer than that; or, from three values on, when one was odder than a stated score. What lasts and is neither is no finding: on
//! labelled series half and more of all that lasted was nothing, and most of what was something was odd (docs/detection.md).

use serde::{Deserialize, Serialize};

use super::super::baseline::Expected;
use super::super::odd::{ALARM_AT, Oddness};
use crate::model::{Severity, Timestamp};

/// Without an alarm: a departure with a value at least so odd is said, as one in three such values of labelled series lies in trouble...
const ODD_ENOUGH: f64 = 0.6;
/// ... and has at least so many bins outside: of slow series two readings are no duration.
const BINS_MIN: u32 = 3;
/// One bin can't say more than this many deviations.
const SCORE_MAX: f64 = 50.0;

/// What oddness may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decides {
    /// Nothing: the series is too young. Every departure that lasts is said.
    Not,
    /// An alarm is said at once; so is every departure that lasts.
    Alarms,
    /// What is not odd is not said.
    All,
}

/// A departure under way, reported or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Episode {
    pub(super) up: bool,
    pub(super) began_at: Timestamp,
    /// Leaky count of the time outside.
    pub(super) outside_s: f64,
    pub(super) calm_s: f64,
    score_sum: f64,
    bins: u32,
    /// Value farthest from the level, and the level it left.
    pub(super) extreme: f64,
    /// The highest oddness, and what it was about.
    pub(super) odd: f64,
    pub(super) reason: String,
    /// How much of the oddness was news, at most.
    #[serde(default)]
    pub(super) alarm: f64,
    level: f64,
    scale: f64,
    /// Lasted long enough, but is known from earlier ones.
    pub(super) known: bool,
}

impl Episode {
    /// The first bin outside: how long it was, its value, and how many deviations away that is.
    pub(super) fn new(
        began_at: Timestamp,
        passed_s: f64,
        (value, score): (f64, f64),
        expected: Expected,
        oddness: Oddness,
    ) -> Self {
        Self {
            up: score > 0.0,
            began_at,
            outside_s: passed_s,
            calm_s: 0.0,
            score_sum: score.abs().min(SCORE_MAX),
            bins: 1,
            extreme: value,
            odd: oddness.score,
            reason: oddness.reason().unwrap_or_default().to_owned(),
            alarm: oddness.alarm,
            level: expected.level,
            scale: expected.scale,
            known: false,
        }
    }

    /// How odd the next bin is, inside or outside.
    pub(super) fn hear(&mut self, oddness: Oddness) {
        self.alarm = self.alarm.max(oddness.alarm);
        if oddness.score > self.odd {
            self.odd = oddness.score;
            if let Some(reason) = oddness.reason().filter(|it| *it != self.reason) {
                reason.clone_into(&mut self.reason);
            }
        }
    }

    /// The next bin outside.
    pub(super) fn add(&mut self, passed_s: f64, (value, score): (f64, f64), expected: Expected) {
        self.outside_s += passed_s;
        self.score_sum += score.abs().min(SCORE_MAX);
        self.bins = self.bins.saturating_add(1);
        if (value - expected.level).abs() > (self.extreme - expected.level).abs() {
            self.extreme = value;
        }
    }

    /// Whether it is to be said. What a person has confirmed, up and down from these sizes on, is said whenever it lasts.
    pub(super) fn opens(&self, sustained_s: f64, decides: Decides, confirmed: &[Option<f64>; 2]) -> bool {
        let alarm = self.is_news() && decides != Decides::Not;
        let odd = decides != Decides::All || self.odd >= ODD_ENOUGH || self.reaches(confirmed);
        (alarm && self.outside_s >= sustained_s) || (odd && self.has_lasted(sustained_s))
    }

    /// Whether it is as large as an incident that a person has confirmed.
    pub(super) fn reaches(&self, confirmed: &[Option<f64>; 2]) -> bool {
        confirmed[usize::from(!self.up)].is_some_and(|least| self.size() >= least)
    }

    /// Whether it has been outside for long enough, however odd.
    pub(super) fn has_lasted(&self, sustained_s: f64) -> bool {
        self.outside_s >= sustained_s && self.bins >= BINS_MIN
    }

    /// Whether one of its values was an alarm.
    pub(super) fn is_news(&self) -> bool {
        self.alarm >= ALARM_AT
    }

    /// Deviations on average.
    pub(super) fn score(&self) -> f64 {
        self.score_sum / f64::from(self.bins.max(1))
    }

    /// Distance of the extreme from the level that was left, in the series' unit.
    pub(super) fn size(&self) -> f64 {
        (self.extreme - self.level).abs()
    }

    /// Modest on purpose: less of something is seldom trouble, and even much more is only worth a look this week.
    pub(super) fn severity(&self) -> Severity {
        if !self.up {
            Severity::Informational
        } else if self.score() >= 20.0 {
            Severity::Medium
        } else {
            Severity::Low
        }
    }
}
