//! `telemetry.stuck`: a level that moved with nearly every sample, and then not at all.
//!
//! Only what was lively can be stuck, and values at which things come to rest (nothing, all) are no sign of it. While a series is
//! stuck its other findings are inconclusive: whatever it says is the past.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::said::{Said, number, series_target, span};
use super::SEVERITY;
use crate::model::{Detection, Evidence, MetricKind, Presence, SeriesKey, Timestamp};
use crate::quality::LIVELY;

/// Equal samples, and how long, before a lively series is stuck.
const STILL_MIN: u32 = 30;
const STILL_FOR: Duration = Duration::from_mins(10);
/// Samples before anybody knows how lively a series is, and how many the share remembers.
const KNOWN_AFTER: u32 = 256;
const REMEMBERED: f64 = 256.0;
/// Where ratios and counts of things come to rest.
const RESTING: [f64; 3] = [0.0, 1.0, 100.0];

/// How one series moves.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in super::super) struct Stillness {
    last: Option<f64>,
    /// Share of samples that moved, up to the last one that did.
    lively: f64,
    samples: u32,
    still: u32,
    since: Timestamp,
    said: Said,
}

/// What a sample means for the series' other findings.
#[derive(Debug, Default)]
pub(in super::super) struct Told {
    pub(in super::super) detection: Option<Detection>,
    /// It has just become known that the series says nothing.
    pub(in super::super) stuck: bool,
}

impl Stillness {
    /// One sample.
    pub(in super::super) fn step(&mut self, key: &SeriesKey, at: Timestamp, value: f64) -> Told {
        if key.kind == MetricKind::Counter {
            return Told::default();
        }
        let moved = self.last.replace(value).is_none_or(|last| last.to_bits() != value.to_bits());
        if moved {
            let weight = 1.0 / REMEMBERED;
            self.lively *= (1.0 - weight).powi(self.still.min(100_000) as i32);
            self.lively += weight.max(1.0 / f64::from(self.samples + 1)) * (1.0 - self.lively);
            self.samples = self.samples.saturating_add(self.still).saturating_add(1).min(KNOWN_AFTER);
            (self.still, self.since) = (0, at);
            return Told { detection: self.moves(key, at, value), stuck: false };
        }
        self.still = self.still.saturating_add(1);
        let lasted = at.since(self.since);
        let lively = self.samples >= KNOWN_AFTER && self.lively >= LIVELY;
        if self.still < STILL_MIN || lasted < STILL_FOR || !lively || RESTING.contains(&value) {
            return Told::default();
        }
        let stuck = !self.said.present;
        let due = self.said.due(at, SEVERITY);
        let title = || {
            let long = span(lasted.as_secs_f64());
            format!("{key} has been exactly {} for {long}; before, nearly every sample moved", number(value))
        };
        let evidence = || {
            vec![
                Evidence::new("series.key", key.to_string()),
                Evidence::new("series.value", value),
                Evidence::new("series.equal_samples", u64::from(self.still) + 1),
                Evidence::new("series.moving_share", self.lively),
            ]
        };
        let detection = due.then(|| said(key, (Presence::Present, title()), evidence(), self.since));
        Told { detection, stuck }
    }

    /// Whether the series says nothing at the moment.
    pub(in super::super) fn is_stuck(&self) -> bool {
        self.said.present
    }

    fn moves(&mut self, key: &SeriesKey, at: Timestamp, value: f64) -> Option<Detection> {
        if !self.said.present {
            return None;
        }
        self.said.cleared();
        let title = format!("{key} moves again: {}", number(value));
        Some(said(key, (Presence::Cleared, title), Vec::new(), at))
    }
}

fn said(key: &SeriesKey, what: (Presence, String), evidence: Vec<Evidence>, began: Timestamp) -> Detection {
    Detection::certain(("telemetry.stuck", "stillness"), series_target(key), SEVERITY, what, evidence, began)
}
