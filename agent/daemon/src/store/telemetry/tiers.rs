//! Coarser tiers: what is kept of samples that have grown old. Pure.
//!
//! A step of a minute or an hour keeps, of each series, how many samples there were, the smallest, the largest, their sum and the
//! last; of a counter also by how much it rose and over which time, so that a rate stays right where it started again. Steps are
//! aligned to the epoch. A step may come in two parts, when a stretch ended within it; parts add up.

use std::collections::BTreeMap;

/// Tiers, finest first: samples, minutes, hours.
pub(super) const SAMPLES: u8 = 0;
pub(super) const MINUTES: u8 = 1;
pub(super) const HOURS: u8 = 2;

/// Length of a tier's steps in nanoseconds; of samples, none.
pub(super) fn step_ns(tier: u8) -> Option<i64> {
    match tier {
        MINUTES => Some(60_000_000_000),
        HOURS => Some(3_600_000_000_000),
        _ => None,
    }
}

/// Parts that a column may tell of, in the order of their columns.
pub(super) const PARTS: u32 = 8;

/// By how much a counter rose, from sample to sample, and over which time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rise {
    pub(super) by: f64,
    pub(super) over_ns: i64,
}

impl Rise {
    /// From one sample to the next; a counter that starts again counts from zero. Nothing when time went back.
    pub(super) fn between(former: Option<(i64, f64)>, (at, value): (i64, f64)) -> Self {
        match former {
            Some((then, before)) if then < at => {
                Self { by: if value >= before { value - before } else { value }, over_ns: at - then }
            }
            _ => Self::default(),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.by += other.by;
        self.over_ns = self.over_ns.saturating_add(other.over_ns);
    }

    /// The increase a second.
    pub(super) fn rate(self) -> Option<f64> {
        (self.over_ns > 0).then(|| self.by / (self.over_ns as f64 / 1e9))
    }
}

/// What is kept of the samples of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub(super) count: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) sum: f64,
    pub(super) last: f64,
    /// Counters only: by how much it rose, from sample to sample, and over how many nanoseconds.
    pub(super) rise: Rise,
}

impl Default for Part {
    fn default() -> Self {
        Self { count: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, last: 0.0, rise: Rise::default() }
    }
}

impl Part {
    /// Arithmetic mean; not a number without samples.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.count
    }

    /// Takes in a later part of the same step.
    pub(super) fn add(&mut self, later: &Self) {
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.last = later.last;
        self.rise.add(later.rise);
    }

    /// Its columns: the last two of counters only.
    pub(super) fn columns(&self, counter: bool) -> impl Iterator<Item = f64> {
        let all = [self.count, self.min, self.max, self.sum, self.last, self.rise.by, self.rise.over_ns as f64];
        all.into_iter().take(if counter { 7 } else { 5 })
    }

    /// Puts one column's value back; columns of later versions are passed over.
    pub(super) fn set(&mut self, column: u32, value: f64) {
        match column {
            0 => self.count = value,
            1 => self.min = value,
            2 => self.max = value,
            3 => self.sum = value,
            4 => self.last = value,
            5 => self.rise.by = value,
            6 => self.rise.over_ns = value as i64,
            _ => {}
        }
    }
}

/// The start of the step that a moment lies in.
pub(super) fn start_of(at: i64, step_ns: i64) -> i64 {
    at.div_euclid(step_ns).saturating_mul(step_ns)
}

/// Samples as parts by the start of their step, in order of first appearance in time.
pub(super) fn roll(points: impl Iterator<Item = (i64, f64)>, step_ns: i64, counter: bool) -> BTreeMap<i64, Part> {
    let mut found: BTreeMap<i64, Part> = BTreeMap::new();
    let mut former: Option<(i64, f64)> = None;
    for (at, value) in points {
        let rise = if counter { Rise::between(former, (at, value)) } else { Rise::default() };
        former = Some((at, value));
        let one = Part { count: 1.0, min: value, max: value, sum: value, last: value, rise };
        found.entry(start_of(at, step_ns)).or_default().add(&one);
    }
    found
}
