//! `resource.exhausting`: what the host has only so much of will run out, by the trend that file systems are judged by.
//!
//! Inodes of each file system, open files, tracked connections, threads, memory. Only what is half gone already counts, only a trend that
//! was seen for ten minutes, and none is drawn out to more than four times the time that it was seen for. What came back by itself
//! three times within a day is usual on its way down to there. A share of free, so one method fits all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::confidence;
use super::config::ExhaustionConfig;
use super::disk::GAP;
use super::disk::trend::{Forecast, Trend};
use super::disk::turns::Turns;
use super::said::{Said, span};
use crate::model::{Class, Confidence, Detection, Evidence, Method, Presence, SeriesKey, Severity, Target, Timestamp};

const KIND: &str = "resource.exhausting";
pub(super) const METHOD: &str = "resource_time_to_full";
const VERSION: u32 = 1;
/// More than this part free is plenty, whatever the trend.
const FREE_MAX: f64 = 0.5;
/// A trend that was seen for less is a burst.
const SEEN_MIN_S: f64 = 600.0;
/// Cleared after the trend was not seen for so long.
const CALM: Duration = Duration::from_mins(5);

/// What a series says about a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// The used share.
    Share,
    Used,
    Free,
    Limit,
}

/// The name of the resource that a series is about, and its role; `None` for all others.
pub(super) fn role(key: &SeriesKey) -> Option<(String, Role)> {
    let (name, role) = match key.metric.as_str() {
        "holdfast.filesystem.inode_utilization" => {
            return Some((format!("inodes of {}", key.attributes.get("system.filesystem.mountpoint")?), Role::Share));
        }
        "holdfast.file.utilization" => ("open files", Role::Share),
        "holdfast.conntrack.utilization" => ("tracked connections", Role::Share),
        "holdfast.thread.count" => ("threads", Role::Used),
        "holdfast.thread.limit" => ("threads", Role::Limit),
        "system.memory.linux.available" => ("memory", Role::Free),
        "system.memory.limit" => ("memory", Role::Limit),
        _ => return None,
    };
    Some((name.to_owned(), role))
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Resource {
    pub(super) name: String,
    value: Option<f64>,
    limit: Option<f64>,
    free: Option<f64>,
    fresh: bool,
    pub(super) at: Option<Timestamp>,
    trend: Trend,
    turns: Turns,
    since: Option<Timestamp>,
    calm_since: Option<Timestamp>,
    last: Option<Forecast>,
    pub(super) said: Said,
}

impl Resource {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: None,
            limit: None,
            free: None,
            fresh: false,
            at: None,
            trend: Trend::default(),
            turns: Turns::default(),
            since: None,
            calm_since: None,
            last: None,
            said: Said::default(),
        }
    }

    pub(super) fn put(&mut self, role: Role, raw: f64) {
        let raw = raw.clamp(0.0, 1e19);
        match role {
            Role::Limit => {
                self.limit = Some(raw);
                return;
            }
            Role::Share => self.free = Some(1.0 - raw.min(1.0)),
            Role::Used | Role::Free => {
                self.value = Some(raw);
                let Some(limit) = self.limit.filter(|limit| *limit > 0.0) else { return };
                let share = (raw / limit).min(1.0);
                self.free = Some(if role == Role::Free { share } else { 1.0 - share });
            }
        }
        self.fresh = true;
    }

    /// All samples of one moment are in.
    pub(super) fn step(
        &mut self,
        config: &ExhaustionConfig,
        at: Timestamp,
        scratch: &mut Vec<f64>,
        out: &mut Vec<Detection>,
    ) {
        if !std::mem::take(&mut self.fresh) {
            return;
        }
        let Some(free) = self.free else { return };
        if self.at.is_some_and(|last| last >= at || at.since(last) > GAP) {
            self.trend.restart();
            self.turns.restart();
        }
        self.at = Some(at);
        if self.turns.watch(at, free, 1.0, 1) {
            self.trend.restart();
        }
        self.trend.push(at, free, config.horizon.0.as_secs_f64(), self.said.present, scratch);
        let forecast = self.trend.forecast_seen(SEEN_MIN_S).filter(|_| free <= FREE_MAX);
        if let Some(forecast) = forecast.filter(|_| self.said.present || !self.turns.usual(at, free)) {
            self.last = Some(forecast);
            self.calm_since = None;
            if !self.said.present {
                let seen = Duration::from_secs_f64(forecast.since_s.clamp(0.0, 1e9));
                self.since = Some(at.minus(seen));
            }
            if self.said.due(at, urgency(&forecast)) {
                out.push(self.detection(at, free, Presence::Present));
            }
            return;
        }
        if !self.said.present {
            return;
        }
        // Exhausted is no cure.
        if free <= 0.001 {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(at);
        if at.since(since) >= CALM {
            out.push(self.detection(at, free, Presence::Cleared));
            self.said.cleared();
            (self.since, self.calm_since, self.last) = (None, None, None);
        }
    }

    /// It isn't measured any more.
    pub(super) fn silent(&mut self, at: Timestamp) -> Option<Detection> {
        self.said.silent().then(|| self.detection(at, self.free.unwrap_or(0.0), Presence::Inconclusive))
    }

    fn detection(&self, at: Timestamp, free: f64, presence: Presence) -> Detection {
        let name = &self.name;
        let percent = free * 100.0;
        let mut evidence =
            vec![Evidence::new("resource.name", name.as_str()), Evidence::new("resource.free_share", free)];
        let (mut severity, mut certain) = (Severity::Low, Confidence::clamped(0.0));
        let mut title = match presence {
            Presence::Cleared => format!("{name}: not running out any more, {percent:.1}% free"),
            _ => format!("{name}: not measured any more"),
        };
        if let Some(forecast) = &self.last {
            severity = urgency(forecast);
            certain = confidence::of_trend(forecast.score, forecast.rate_low, forecast.rate_high);
            if presence == Presence::Present {
                title = format!(
                    "{name} will run out in about {} ({} to {}): {percent:.1}% free",
                    span(forecast.full_in_s),
                    span(forecast.low_s),
                    span(forecast.high_s)
                );
                evidence.extend([
                    Evidence::new("resource.full_in_s", forecast.full_in_s),
                    Evidence::new("resource.full_in_s_low", forecast.low_s),
                    Evidence::new("resource.full_in_s_high", forecast.high_s),
                    Evidence::new("resource.share_per_s", forecast.rate),
                    Evidence::new("resource.trend_seen_s", forecast.seen_s),
                    Evidence::new("resource.trend_points", forecast.points as u64),
                ]);
            }
        }
        let target = match name.strip_prefix("inodes of ") {
            Some(mount) => Target::filesystem(mount),
            None => Target::host(),
        };
        Detection {
            kind: KIND.to_owned(),
            class: Class::Reliability,
            target,
            discriminator: name.clone(),
            presence,
            title,
            severity,
            confidence: certain,
            method: Method { name: METHOD.to_owned(), version: VERSION },
            evidence,
            began_at: self.since.unwrap_or(at),
            cause: None,
        }
    }
}

/// The sooner, the worse; it is a forecast, so never critical.
fn urgency(forecast: &Forecast) -> Severity {
    match forecast.full_in_s {
        s if s < 900.0 => Severity::High,
        s if s < 2.0 * 3_600.0 => Severity::Medium,
        _ => Severity::Low,
    }
}
