//! What a method has said, so that it repeats itself only now and then; and how numbers and series are named to people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{SeriesKey, Severity, Target, Timestamp};

/// A finding that lasts is confirmed this often.
const REPEATED_EVERY: Duration = Duration::from_mins(1);

/// What a method has said last about one problem, so that it repeats itself only now and then.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Said {
    /// The problem stands.
    pub(super) present: bool,
    at: Timestamp,
    severity: Option<Severity>,
    silent: bool,
}

impl Said {
    pub(super) fn present(&mut self, at: Timestamp, severity: Severity) {
        *self = Self { present: true, at, severity: Some(severity), silent: false };
    }

    pub(super) fn cleared(&mut self) {
        *self = Self::default();
    }

    /// The problem stands: whether to say so now, for the first time or again.
    pub(super) fn due(&mut self, at: Timestamp, severity: Severity) -> bool {
        let due = self.silent || self.severity != Some(severity) || at.since(self.at) >= REPEATED_EVERY || at < self.at;
        if due {
            self.present(at, severity);
        }
        due
    }

    /// The series gives nothing any more: said once.
    pub(super) fn silent(&mut self) -> bool {
        let first = self.present && !self.silent;
        self.silent |= self.present;
        first
    }
}

/// A series' target: its file system where it has one, else the series itself.
pub(super) fn series_target(key: &SeriesKey) -> Target {
    match key.attributes.get("system.filesystem.mountpoint") {
        Some(mount) => Target::filesystem(mount),
        None => Target::series(key.to_string()),
    }
}

/// A number for people: four figures.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e7).contains(&size) {
        format!("{value:.3e}")
    } else if size >= 1000.0 {
        format!("{value:.0}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

/// For people: `40 s`, `12 min`, `7.5 h`, `12 d`.
pub(super) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}
