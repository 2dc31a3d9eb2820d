//! `disk.full`: no room for bytes, or none for files.

use serde::{Deserialize, Serialize};

use super::{METHOD_FULL, Mount};
use crate::detect::confidence;
use crate::detect::config::DiskConfig;
use crate::detect::said::Said;
use crate::model::unit::human_bytes;
use crate::model::{Detection, Evidence, Presence, Severity, Timestamp};

/// Readings in a row that must say so.
const FULL_READINGS: u8 = 2;
/// Full ends this far below the limit.
const FULL_HYSTERESIS: f64 = 0.02;
/// Used share of inodes that counts as full.
const INODES_FULL: f64 = 0.98;

/// One limit, with hysteresis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Full {
    pub(super) readings: u8,
    pub(super) since: Option<Timestamp>,
    pub(super) said: Said,
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
    pub(super) fn judge_full(&mut self, config: &DiskConfig, at: Timestamp, free: f64, out: &mut Vec<Detection>) {
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

    pub(super) fn judge_inodes(&mut self, at: Timestamp, out: &mut Vec<Detection>) {
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
}
