//! `disk.full` and `disk.filling`, from what the filesystem collector reports of each mount point.
//!
//! Full: the used share is high **and** few bytes are free (a big disk at 95 % has room), or no inode is left. Filling: a trend
//! that reaches full within the horizon, see [`super::trend`]. Space that was used and came back by itself (rotated logs,
//! builds that clean up) is remembered for a day: the way down to where it turned last time is no news.
//! A full file system doesn't fill any more, but that is no cure: filling isn't cleared while it is full.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::confidence;
use super::config::DiskConfig;
use super::detectors::Said;
use super::trend::{Forecast, Trend};
use crate::model::unit::human_bytes;
use crate::model::{Class, Confidence, Detection, Evidence, Method, Presence, SeriesKey, Severity, Target, Timestamp};

const METHOD_FULL: &str = "disk_full";
const METHOD_FILLING: &str = "disk_time_to_full";
const VERSION: u32 = 1;
/// Readings in a row that must say so.
const FULL_READINGS: u8 = 2;
/// Full ends this far below the limit.
const FULL_HYSTERESIS: f64 = 0.02;
/// Used share of inodes that counts as full.
const INODES_FULL: f64 = 0.98;
/// Filling is cleared after space was seen not to go down for so long.
const CALM: Duration = Duration::from_secs(10);
/// Readings further apart than this don't belong to one trend.
const GAP: Duration = Duration::from_mins(30);
/// Space that comes back in this part of the whole is a recovery, not noise.
const RECOVERY_PART: f64 = 0.05;
/// How long a turn is remembered.
const TURN_REMEMBERED: Duration = Duration::from_hours(24);
/// A turn with less free than this part of the whole was too narrow an escape to be counted as usual.
const TURN_FREE_PART_MIN: f64 = 0.1;

/// What a series says about a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    Free,
    Limit,
    Share,
    Inodes,
}

/// The mount point and role of a filesystem series; `None` for all others.
pub(super) fn role(key: &SeriesKey) -> Option<(&str, Role)> {
    let state = key.attributes.get("system.filesystem.state").map(String::as_str);
    let role = match (key.metric.as_str(), state) {
        ("system.filesystem.usage", Some("free")) => Role::Free,
        ("system.filesystem.limit", _) => Role::Limit,
        ("system.filesystem.utilization", Some("used")) => Role::Share,
        ("holdfast.filesystem.inode_utilization", _) => Role::Inodes,
        _ => return None,
    };
    Some((key.attributes.get("system.filesystem.mountpoint")?, role))
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mount {
    pub(super) name: String,
    free: Option<f64>,
    limit: Option<f64>,
    share: Option<f64>,
    inodes: Option<f64>,
    /// Last reading of the free space.
    pub(super) at: Option<Timestamp>,
    #[serde(skip)]
    fresh: bool,
    trend: Trend,
    last_forecast: Option<Forecast>,
    free_at_onset: f64,
    filling_since: Option<Timestamp>,
    calm_since: Option<Timestamp>,
    /// Least free space since it last came back.
    lowest: Option<f64>,
    /// Where it turned by itself, and when.
    turn: Option<(f64, Timestamp)>,
    filling: Said,
    full: Full,
    no_inodes: Full,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Full {
    readings: u8,
    since: Option<Timestamp>,
    said: Said,
}

enum Turned {
    Still,
    Begins,
    Again,
    Ends,
}

impl Full {
    fn step(&mut self, at: Timestamp, bad: bool, good: bool, severity: Severity) -> Turned {
        if self.said.present {
            if good {
                self.said.cleared();
                self.readings = 0;
                return Turned::Ends;
            }
            return if self.said.due(at, severity) { Turned::Again } else { Turned::Still };
        }
        if !bad {
            (self.readings, self.since) = (0, None);
            return Turned::Still;
        }
        self.since.get_or_insert(at);
        self.readings = self.readings.saturating_add(1);
        if self.readings < FULL_READINGS {
            return Turned::Still;
        }
        self.said.present(at, severity);
        Turned::Begins
    }
}

impl Mount {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            free: None,
            limit: None,
            share: None,
            inodes: None,
            at: None,
            fresh: false,
            trend: Trend::default(),
            last_forecast: None,
            free_at_onset: 0.0,
            filling_since: None,
            calm_since: None,
            lowest: None,
            turn: None,
            filling: Said::default(),
            full: Full::default(),
            no_inodes: Full::default(),
        }
    }

    pub(super) fn standing(&self) -> bool {
        self.filling.present || self.full.said.present || self.no_inodes.said.present
    }

    /// One sample; whether the mount is to be judged when the batch is through.
    pub(super) fn put(&mut self, role: Role, value: f64) -> bool {
        match role {
            Role::Free => {
                self.free = Some(value);
                self.fresh = true;
                return true;
            }
            Role::Limit => self.limit = Some(value),
            Role::Share => self.share = Some(value),
            Role::Inodes => self.inodes = Some(value),
        }
        false
    }

    /// All samples of one moment are in.
    pub(super) fn step(
        &mut self,
        config: &DiskConfig,
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
            self.lowest = None;
        }
        self.at = Some(at);
        self.judge_full(config, at, free, out);
        self.judge_inodes(at, out);
        self.judge_filling(config, at, free, scratch, out);
    }

    fn judge_full(&mut self, config: &DiskConfig, at: Timestamp, free: f64, out: &mut Vec<Detection>) {
        let Some(share) = self.share else { return };
        let (above, below) = (config.full_above.0, config.full_free_below.0 as f64);
        let bad = (share >= above && free <= below) || free <= 0.0;
        let good = free > 0.0 && (share < above - FULL_HYSTERESIS || free > below * 1.25);
        let severity = if share >= 0.995 || free <= 0.0 { Severity::Critical } else { Severity::High };
        let presence = match self.full.step(at, bad, good, severity) {
            Turned::Still => return,
            Turned::Begins | Turned::Again => Presence::Present,
            Turned::Ends => Presence::Cleared,
        };
        let name = &self.name;
        let free_text = human_bytes(free.max(0.0) as u64);
        let title = match presence {
            Presence::Cleared => format!("{name} has {free_text} free again ({:.1}% used)", share * 100.0),
            _ => format!("{name} is full: {:.1}% used, {free_text} free", share * 100.0),
        };
        let mut evidence = vec![Evidence::new("filesystem.used_share", share)];
        evidence.extend(self.space());
        out.push(self.detection(
            METHOD_FULL,
            "disk.full",
            "",
            presence,
            title,
            severity,
            confidence::of_full(),
            evidence,
            self.full.since.unwrap_or(at),
        ));
    }

    fn judge_inodes(&mut self, at: Timestamp, out: &mut Vec<Detection>) {
        let Some(inodes) = self.inodes else { return };
        let severity = if inodes >= 0.999 { Severity::Critical } else { Severity::High };
        let good = inodes < INODES_FULL - FULL_HYSTERESIS;
        let presence = match self.no_inodes.step(at, inodes >= INODES_FULL, good, severity) {
            Turned::Still => return,
            Turned::Begins | Turned::Again => Presence::Present,
            Turned::Ends => Presence::Cleared,
        };
        let title = match presence {
            Presence::Cleared => format!("{} has inodes free again ({:.1}% used)", self.name, inodes * 100.0),
            _ => format!("{} has no room for more files: {:.1}% of its inodes are used", self.name, inodes * 100.0),
        };
        let mut evidence = vec![Evidence::new("filesystem.inodes_used_share", inodes)];
        evidence.extend(self.space());
        out.push(self.detection(
            METHOD_FULL,
            "disk.full",
            "inodes",
            presence,
            title,
            severity,
            confidence::of_full(),
            evidence,
            self.no_inodes.since.unwrap_or(at),
        ));
    }

    fn judge_filling(
        &mut self,
        config: &DiskConfig,
        at: Timestamp,
        free: f64,
        scratch: &mut Vec<f64>,
        out: &mut Vec<Detection>,
    ) {
        let recovered = self.watch_turns(at, free);
        self.trend.push(at, free, config.horizon.0.as_secs_f64(), self.filling.present, scratch);
        let forecast = self.trend.forecast();
        if !self.filling.present {
            let Some(forecast) = forecast.filter(|_| free > 0.0 && !self.usual(at, free)) else { return };
            self.free_at_onset = forecast.free_at_begin;
            let seen = Duration::from_secs_f64(forecast.seen_s.clamp(0.0, 1e9));
            self.filling_since = Some(at.minus(seen));
            self.last_forecast = Some(forecast);
            self.calm_since = None;
            self.filling.present(at, urgency(&forecast));
            out.push(self.filling_detection(at, free, Presence::Present));
            return;
        }
        if let Some(forecast) = forecast {
            self.last_forecast = Some(forecast);
            self.calm_since = None;
            if self.filling.due(at, urgency(&forecast)) {
                out.push(self.filling_detection(at, free, Presence::Present));
            }
            return;
        }
        if self.full.said.present || self.full.readings > 0 || free <= 0.0 {
            self.calm_since = None;
            return;
        }
        // More free than when it began: whoever freed it, the trouble that was reported is gone.
        let freed = recovered && free >= self.free_at_onset;
        if !freed && !self.trend.calm() {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(at);
        if freed || at.since(since) >= CALM {
            out.push(self.filling_detection(at, free, Presence::Cleared));
            self.filling.cleared();
            (self.filling_since, self.calm_since, self.last_forecast) = (None, None, None);
        }
    }

    /// Keeps the lowest point, and notices when much space has come back; whether it has just now.
    fn watch_turns(&mut self, at: Timestamp, free: f64) -> bool {
        let lowest = *self.lowest.get_or_insert(free);
        let whole = self.limit.unwrap_or(0.0).max(free);
        if free < lowest {
            self.lowest = Some(free);
            return false;
        }
        if free - lowest <= RECOVERY_PART * whole {
            return false;
        }
        let usual = !self.standing() && lowest > TURN_FREE_PART_MIN * whole;
        if usual {
            let deepest = self
                .turn
                .filter(|(_, then)| at.since(*then) <= TURN_REMEMBERED)
                .map_or(lowest, |(low, _)| low.min(lowest));
            self.turn = Some((deepest, at));
        }
        self.trend.restart();
        self.lowest = Some(free);
        true
    }

    /// On the way down to where it turned by itself before.
    fn usual(&self, at: Timestamp, free: f64) -> bool {
        self.turn.is_some_and(|(low, then)| at.since(then) <= TURN_REMEMBERED && free > low * 0.95)
    }

    /// For findings about a file system that isn't reported any more.
    pub(super) fn silent(&mut self, at: Timestamp, out: &mut Vec<Detection>) {
        let title = format!("{} is not measured any more", self.name);
        if self.full.said.silent() {
            let since = self.full.since.unwrap_or(at);
            out.push(self.detection(
                METHOD_FULL,
                "disk.full",
                "",
                Presence::Inconclusive,
                title.clone(),
                Severity::High,
                confidence::of_full(),
                self.space(),
                since,
            ));
        }
        if self.no_inodes.said.silent() {
            let since = self.no_inodes.since.unwrap_or(at);
            out.push(self.detection(
                METHOD_FULL,
                "disk.full",
                "inodes",
                Presence::Inconclusive,
                title,
                Severity::High,
                confidence::of_full(),
                self.space(),
                since,
            ));
        }
        if self.filling.silent() {
            out.push(self.filling_detection(at, self.free.unwrap_or(0.0), Presence::Inconclusive));
        }
    }

    fn filling_detection(&self, at: Timestamp, free: f64, presence: Presence) -> Detection {
        let mut evidence = self.space();
        let (mut title, mut severity, mut certain) = (String::new(), Severity::Low, Confidence::clamped(0.0));
        if let Some(forecast) = &self.last_forecast {
            severity = urgency(forecast);
            certain = confidence::of_trend(forecast.score, forecast.rate_low, forecast.rate_high);
            let rate = human_bytes(forecast.rate.max(0.0) as u64);
            title = format!(
                "{} will be full in about {} ({} to {}): {} free, filling at {rate}/s",
                self.name,
                span(forecast.full_in_s),
                span(forecast.low_s),
                span(forecast.high_s),
                human_bytes(free.max(0.0) as u64)
            );
            evidence.extend([
                Evidence::new("filesystem.full_in_s", forecast.full_in_s),
                Evidence::new("filesystem.full_in_s_low", forecast.low_s),
                Evidence::new("filesystem.full_in_s_high", forecast.high_s),
                Evidence::new("filesystem.fill_rate_bytes_per_s", forecast.rate),
                Evidence::new("filesystem.trend_seen_s", forecast.seen_s),
                Evidence::new("filesystem.trend_points", forecast.points as u64),
            ]);
        }
        match presence {
            Presence::Present => {}
            Presence::Cleared => {
                title = format!("{} is not filling any more: {} free", self.name, human_bytes(free.max(0.0) as u64));
            }
            Presence::Inconclusive => title = format!("{} is not measured any more", self.name),
        }
        let since = self.filling_since.unwrap_or(at);
        self.detection(METHOD_FILLING, "disk.filling", "", presence, title, severity, certain, evidence, since)
    }

    fn space(&self) -> Vec<Evidence> {
        let bytes = |name: &str, value: Option<f64>| value.map(|it| Evidence::new(name, it.clamp(0.0, 9e18) as u64));
        bytes("filesystem.free_bytes", self.free)
            .into_iter()
            .chain(bytes("filesystem.total_bytes", self.limit))
            .collect()
    }

    #[expect(clippy::too_many_arguments, reason = "one place that builds the detections of three measures")]
    fn detection(
        &self,
        method: &str,
        kind: &str,
        discriminator: &str,
        presence: Presence,
        title: String,
        severity: Severity,
        confidence: Confidence,
        evidence: Vec<Evidence>,
        began_at: Timestamp,
    ) -> Detection {
        Detection {
            kind: kind.to_owned(),
            class: Class::Reliability,
            target: Target::filesystem(&self.name),
            discriminator: discriminator.to_owned(),
            presence,
            title,
            severity,
            confidence,
            method: Method { name: method.to_owned(), version: VERSION },
            evidence,
            began_at,
            cause: None,
        }
    }
}

/// The sooner, the worse.
fn urgency(forecast: &Forecast) -> Severity {
    match forecast.full_in_s {
        s if s < 300.0 => Severity::Critical,
        s if s < 3_600.0 => Severity::High,
        s if s < 6.0 * 3_600.0 => Severity::Medium,
        _ => Severity::Low,
    }
}

/// For people: `40 s`, `12 min`, `7.5 h`, `12 d`.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}
