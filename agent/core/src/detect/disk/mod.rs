//! `disk.full` and `disk.filling`, from what the filesystem collector reports of each mount point.
//!
//! Full: the used share is high **and** few bytes are free (a big disk at 95 % has room), or no inode is left. Filling: a trend
//! that reaches full within the horizon, see `trend.rs`. Space that was used and came back by itself (rotated logs,
//! builds that clean up) is remembered for a day: the way down to where it turned last time is no news.
//! A full file system doesn't fill any more, but that is no cure: filling isn't cleared while it is full.

mod filling;
mod full;
pub(super) mod trend;
pub(super) mod turns;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::confidence;
use super::config::DiskConfig;
use super::labels::Labels;
use super::said::Said;
use crate::model::{Class, Confidence, Detection, Evidence, Method, Presence, SeriesKey, Severity, Target, Timestamp};
use full::Full;
use trend::{Forecast, Trend};
use turns::Turns;

pub(super) const METHOD_FULL: &str = "disk_full";
pub(super) const METHOD_FILLING: &str = "disk_time_to_full";
const VERSION: u32 = 1;
/// An exbibyte and more: more than any file system holds.
const BYTES_MAX: f64 = 1e19;
/// Readings further apart than this don't belong to one trend.
pub(super) const GAP: Duration = Duration::from_mins(30);

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
    /// A person confirmed that its filling is trouble: no turn makes it usual. Of the labels, not of the samples.
    #[serde(skip)]
    known_incident: bool,
    trend: Trend,
    last_forecast: Option<Forecast>,
    free_at_onset: f64,
    filling_since: Option<Timestamp>,
    calm_since: Option<Timestamp>,
    /// Where space came back, and how often.
    turns: Turns,
    filling: Said,
    full: Full,
    no_inodes: Full,
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
            known_incident: false,
            trend: Trend::default(),
            last_forecast: None,
            free_at_onset: 0.0,
            filling_since: None,
            calm_since: None,
            turns: Turns::default(),
            filling: Said::default(),
            full: Full::default(),
            no_inodes: Full::default(),
        }
    }

    /// What people confirmed of this file system is never usual.
    pub(super) fn protect(&mut self, labels: &Labels) {
        let fingerprint = format!("{METHOD_FILLING}|disk.filling|{}|", Target::filesystem(&self.name));
        self.known_incident = labels.incidents(&fingerprint).next().is_some();
    }

    pub(super) fn standing(&self) -> bool {
        self.filling.present || self.full.said.present || self.no_inodes.said.present
    }

    /// One sample; whether the mount is to be judged when the batch is through.
    pub(super) fn put(&mut self, role: Role, value: f64) -> bool {
        // No space is negative, and none is larger than this.
        let value = value.clamp(0.0, BYTES_MAX);
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
            self.turns.restart();
        }
        self.at = Some(at);
        self.judge_full(config, at, free, out);
        self.judge_inodes(at, out);
        self.judge_filling(config, at, free, scratch, out);
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
