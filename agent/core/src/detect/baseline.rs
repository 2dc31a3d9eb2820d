//! What a series is expected to look like: level and robust scale of its recent past.
//!
//! Samples are averaged into bins of five seconds (one sample each where they come more slowly), so the cost of a sample is an
//! addition, and neighbouring values, which depend on each other, count less. A few hundred bytes a series. The scale has a floor
//! that depends on the unit: a series that was constant may move a little, and what nobody would notice is no departure.
//! Until the warm-up is over nothing is expected, and nothing said.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{MetricKind, SeriesKey, Timestamp};
use crate::stats::robust::Location;

/// Samples so many bins apart are bins themselves.
const SLOW_BINS: f64 = 1.5;
/// Width of a bin.
pub(super) const BIN: Duration = Duration::from_secs(5);
/// How slowly the level follows: a departure of a minute must not become its own past.
const LEVEL_TAU_S: f64 = 1800.0;
/// How slowly the scale follows.
const SCALE_TAU_S: f64 = 7200.0;
/// Bins that the warm-up must have seen at least, however slow the samples.
const WARM_UP_BINS_MIN: u32 = 12;
/// Part of the level that a series may always move.
const FLOOR_RELATIVE: f64 = 0.05;

/// The mean of one bin, when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Bin {
    number: i64,
    sum: f64,
    count: u32,
}

impl Bin {
    /// Adds a sample; the mean of the bin before, when this sample begins a new one. Of a series that comes more slowly, `step_s` apart, each
    /// sample is a bin of its own, and nobody waits for the next.
    pub(super) fn push(&mut self, at: Timestamp, value: f64, step_s: f64) -> Option<f64> {
        if step_s > SLOW_BINS * BIN.as_secs_f64() {
            *self = Self::default();
            return Some(value);
        }
        let number = at.ns().div_euclid(BIN.as_nanos() as i64);
        if number == self.number && self.count > 0 {
            self.sum += value;
            self.count = self.count.saturating_add(1);
            return None;
        }
        let done = (self.count > 0).then(|| self.sum / f64::from(self.count));
        *self = Self { number, sum: value, count: 1 };
        done
    }
}

/// A bounded picture of a stretch of time: when it is full, every second value goes and from then on every second one is kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Sketch {
    values: Vec<f64>,
    stride: u32,
    skip: u32,
}

impl Sketch {
    const MAX: usize = 32;

    pub(super) fn clear(&mut self) {
        self.values.clear();
        (self.stride, self.skip) = (0, 0);
    }

    pub(super) fn push(&mut self, value: f64) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if self.values.len() == Self::MAX {
            let mut index = 0;
            self.values.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride = self.stride * 2 + 1;
        }
        // Room is taken once, here, and kept.
        if self.values.capacity() < Self::MAX {
            self.values.reserve_exact(Self::MAX - self.values.len());
        }
        self.values.push(value);
        self.skip = self.stride;
    }

    pub(super) fn location(&self) -> Option<Location> {
        Location::of(&mut self.values.clone())
    }
}

/// Level and scale of one series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Baseline {
    location: Option<Location>,
    first_at: Option<Timestamp>,
    bins: u32,
}

/// What was expected of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    pub(super) level: f64,
    /// Never below the floor.
    pub(super) scale: f64,
}

impl Baseline {
    /// What is expected; `None` during the warm-up.
    pub(super) fn expected(&self, floor: Floor) -> Option<Expected> {
        self.location.map(|it| Expected { level: it.level, scale: it.scale.max(floor.at(it.level)) })
    }

    /// How long the series has been watched.
    pub(super) fn history(&self, at: Timestamp) -> Duration {
        self.first_at.map_or(Duration::ZERO, |first| at.since(first))
    }

    /// One bin that belongs to the series' usual life. `warm` holds the first ones.
    pub(super) fn learn(
        &mut self,
        at: Timestamp,
        value: f64,
        since_last_s: f64,
        floor: Floor,
        warm_up: Duration,
        warm: &mut Sketch,
    ) {
        let first = *self.first_at.get_or_insert(at);
        self.bins = self.bins.saturating_add(1);
        if let Some(location) = &mut self.location {
            let weight = |tau: f64| 1.0 - (-since_last_s.clamp(0.0, tau / 10.0) / tau).exp();
            let floor = floor.at(location.level);
            location.update(value, weight(LEVEL_TAU_S), weight(SCALE_TAU_S), floor);
        } else {
            warm.push(value);
            if at.since(first) >= warm_up && self.bins >= WARM_UP_BINS_MIN {
                self.location = warm.location();
                warm.clear();
            }
        }
    }

    /// A departure has stayed: its own picture becomes what is expected.
    pub(super) fn adopt(&mut self, episode: &Sketch) {
        if let Some(location) = episode.location() {
            self.location = Some(location);
        }
    }
}

/// The least scale of a series, by its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Floor(f64);

impl Floor {
    /// A departure is reported from six (by default) of these on: 12 % of a share, 1.5 runnable threads, 96 MiB of memory.
    pub(super) fn of(key: &SeriesKey) -> Self {
        let floor = match (key.kind, key.unit.as_str()) {
            (MetricKind::Gauge, "1") | (MetricKind::Counter, "s") => 0.02,
            (MetricKind::Gauge, "{thread}" | "{process}" | "{operation}") => 0.25,
            (MetricKind::Gauge, "By") => 16.0 * 1_048_576.0,
            (MetricKind::Counter, "By") => 256.0 * 1024.0,
            (MetricKind::Counter, "{error}" | "{packet}" | "{operation}") => 5.0,
            _ => 0.0,
        };
        Self(floor)
    }

    /// At this level.
    pub(super) fn at(self, level: f64) -> f64 {
        self.0.max(level.abs() * FLOOR_RELATIVE).max(1e-9)
    }
}
