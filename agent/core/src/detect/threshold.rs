//! `metric.threshold`: a limit passed without a break for a while.
//!
//! Exactly at the limit is fine. A gap in the samples, or one sample on the good side, starts the count again. It is cleared when
//! the value stays a twentieth of the limit on the good side, so that a value at the limit doesn't flap.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::confidence;
use super::config::Threshold;
use super::said::{Said, number, series_target};
use crate::model::{Class, Detection, Evidence, Method, Presence, SeriesKey, Timestamp};

pub(super) const METHOD: &str = "threshold";
const VERSION: u32 = 1;
/// The good side begins this part of the limit away from it, for a finding that is to be cleared.
const HYSTERESIS: f64 = 0.05;
const CLEARED_AFTER_MAX: Duration = Duration::from_mins(1);

/// One limit on one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ThresholdState {
    /// The limit's name; its place among the limits is looked up after a restart.
    pub(super) name: String,
    /// Since when the value is on the bad side without a break.
    since: Option<Timestamp>,
    /// Since when it is on the good side, while the finding stands.
    good_since: Option<Timestamp>,
    worst: f64,
    pub(super) said: Said,
}

impl ThresholdState {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), since: None, good_since: None, worst: 0.0, said: Said::default() }
    }

    /// Samples are missing: what was counted so far doesn't count.
    pub(super) fn gap(&mut self) {
        if !self.said.present {
            self.since = None;
        }
        self.good_since = None;
    }

    pub(super) fn step(&mut self, rule: &Threshold, key: &SeriesKey, at: Timestamp, value: f64) -> Option<Detection> {
        let bad = rule.above.is_some_and(|limit| value > limit) || rule.below.is_some_and(|limit| value < limit);
        if self.said.present {
            if bad {
                self.worst = worse(rule, self.worst, value);
            }
            if good(rule, value) {
                let since = *self.good_since.get_or_insert(at);
                if at.since(since) >= rule.sustained.0.min(CLEARED_AFTER_MAX) {
                    let detection = self.detection(rule, key, at, value, Presence::Cleared);
                    self.since = None;
                    self.good_since = None;
                    self.said.cleared();
                    return Some(detection);
                }
            } else {
                self.good_since = None;
            }
            return self.said.due(at, rule.severity).then(|| self.detection(rule, key, at, value, Presence::Present));
        }
        if !bad {
            self.since = None;
            return None;
        }
        if self.since.is_none() {
            self.worst = value;
        }
        self.worst = worse(rule, self.worst, value);
        let since = *self.since.get_or_insert(at);
        if at.since(since) < rule.sustained.0 {
            return None;
        }
        self.said.present(at, rule.severity);
        Some(self.detection(rule, key, at, value, Presence::Present))
    }

    /// For a finding whose series has gone silent.
    pub(super) fn silent(&mut self, rule: &Threshold, key: &SeriesKey, at: Timestamp) -> Option<Detection> {
        let value = self.worst;
        self.said.silent().then(|| self.detection(rule, key, at, value, Presence::Inconclusive))
    }

    fn detection(&self, rule: &Threshold, key: &SeriesKey, at: Timestamp, value: f64, presence: Presence) -> Detection {
        let since = self.since.unwrap_or(at);
        let lasted_s = at.since(since).as_secs();
        let what = match &rule.of {
            Some(of) => format!("{key} as a part of {of}"),
            None => key.to_string(),
        };
        let limit = match (rule.above, rule.below) {
            (Some(above), Some(below)) if value >= below => format!("above {}", number(above.min(f64::MAX))),
            (_, Some(below)) => format!("below {}", number(below)),
            (Some(above), None) => format!("above {}", number(above)),
            (None, None) => "beyond its limit".to_owned(),
        };
        let title = match presence {
            Presence::Present => format!("{}: {what} is {}, {limit} for {lasted_s} s", rule.name, number(value)),
            Presence::Cleared => format!("{}: {what} is {}, no longer {limit}", rule.name, number(value)),
            Presence::Inconclusive => format!("{}: {what} gives no samples any more", rule.name),
        };
        let mut evidence = vec![
            Evidence::new("threshold.name", rule.name.as_str()),
            Evidence::new("series.key", key.to_string()),
            Evidence::new("series.value", value),
            Evidence::new("series.worst", self.worst),
            Evidence::new("threshold.lasted_s", lasted_s),
        ];
        evidence.extend(rule.above.map(|limit| Evidence::new("threshold.above", limit)));
        evidence.extend(rule.below.map(|limit| Evidence::new("threshold.below", limit)));
        Detection {
            kind: "metric.threshold".to_owned(),
            class: Class::Reliability,
            target: series_target(key),
            discriminator: rule.name.clone(),
            presence,
            title,
            severity: rule.severity,
            confidence: confidence::of_threshold(),
            method: Method { name: METHOD.to_owned(), version: VERSION },
            evidence,
            began_at: since,
            cause: None,
        }
    }
}

fn worse(rule: &Threshold, a: f64, b: f64) -> f64 {
    match (rule.above, rule.below) {
        (None, Some(_)) => a.min(b),
        _ => a.max(b),
    }
}

fn good(rule: &Threshold, value: f64) -> bool {
    let margin = |limit: f64| limit.abs() * HYSTERESIS;
    // A share can't pass 1: the margin must leave room below a limit such as 0.99, and none may reach the other limit.
    rule.above.is_none_or(|limit| value <= limit - margin(limit))
        && rule.below.is_none_or(|limit| value >= limit + margin(limit))
}
