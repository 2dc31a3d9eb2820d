//! Where collectors put their samples, and how a series gets its number.
//!
//! A collector keeps the number of each of its series (`Cached`), so a steady second neither builds a key nor asks the registry.

use std::collections::HashSet;
use std::sync::Arc;

use holdfast_core::model::{MetricKind, SampleBatch, SeriesId, SeriesKey, Timestamp};

/// Gives series their numbers; the store's registry does.
pub trait Intern: Send + Sync {
    /// The number of this series, and whether it was given just now.
    fn intern(&self, key: &SeriesKey) -> (SeriesId, bool);

    /// Raised when numbers were taken back: those that are kept are asked for again.
    fn generation(&self) -> u32 {
        0
    }

    /// What a cumulative sum had come to when the agent stopped, told once; `None` when nothing is known of it.
    fn take_last(&self, _: SeriesId) -> Option<f64> {
        None
    }
}

/// The number of a series, once it is known, and what is added to its values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cached {
    /// The number, and the generation of numbers that it is of.
    id: Option<(SeriesId, u32)>,
    lift: f64,
}

/// Builds a key; for the first sample of a series only.
pub(crate) fn key(metric: &str, unit: &str, kind: MetricKind, attributes: &[(&str, &str)]) -> SeriesKey {
    SeriesKey {
        metric: metric.to_owned(),
        unit: unit.to_owned(),
        kind,
        attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

/// Shorthand for [`key`] of a level.
pub(crate) fn gauge(metric: &str, unit: &str, attributes: &[(&str, &str)]) -> SeriesKey {
    key(metric, unit, MetricKind::Gauge, attributes)
}

/// Shorthand for [`key`] of a cumulative sum.
pub(crate) fn counter(metric: &str, unit: &str, attributes: &[(&str, &str)]) -> SeriesKey {
    key(metric, unit, MetricKind::Counter, attributes)
}

/// A series that is known when the program is written: one row of a collector's table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) kind: MetricKind,
    pub(crate) attributes: &'static [(&'static str, &'static str)],
}

impl Figure {
    /// A level.
    pub(crate) const fn gauge(
        metric: &'static str,
        unit: &'static str,
        attributes: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { metric, unit, kind: MetricKind::Gauge, attributes }
    }

    /// A cumulative sum.
    pub(crate) const fn counter(
        metric: &'static str,
        unit: &'static str,
        attributes: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { metric, unit, kind: MetricKind::Counter, attributes }
    }

    pub(crate) fn key(&self) -> SeriesKey {
        key(self.metric, self.unit, self.kind, self.attributes)
    }
}

/// Collects the samples of one moment.
pub struct Sink {
    registry: Arc<dyn Intern>,
    announced: HashSet<SeriesId>,
    new_series: Vec<(SeriesId, Arc<SeriesKey>)>,
    samples: Vec<(SeriesId, f64)>,
    last_count: usize,
    generation: u32,
}

impl Sink {
    pub(crate) fn new(registry: Arc<dyn Intern>) -> Self {
        let generation = registry.generation();
        let announced = HashSet::new();
        Self { registry, announced, new_series: Vec::new(), samples: Vec::new(), last_count: 0, generation }
    }

    /// One sample; `key` is asked only while the series has no number. A value that isn't finite is no sample.
    pub(crate) fn put(&mut self, series: &mut Cached, value: f64, key: impl FnOnce() -> SeriesKey) {
        let (id, _) = self.number(series, key);
        if value.is_finite() {
            self.samples.push((id, value + series.lift));
        }
    }

    /// One sample of a sum that the collector keeps itself and that begins anew with the agent. It goes on from what the store has
    /// of it: a step back would be read as a counter that started again, and all of its value as an increase.
    pub(crate) fn put_total(&mut self, series: &mut Cached, value: f64, key: impl FnOnce() -> SeriesKey) {
        if !value.is_finite() {
            return;
        }
        let (id, first) = self.number(series, key);
        if first && let Some(last) = self.registry.take_last(id) {
            series.lift = (last - value).max(0.0);
        }
        self.samples.push((id, value + series.lift));
    }

    /// The series' number, and whether it was asked for just now.
    fn number(&mut self, series: &mut Cached, key: impl FnOnce() -> SeriesKey) -> (SeriesId, bool) {
        if let Some((id, generation)) = series.id
            && generation == self.generation
        {
            return (id, false);
        }
        let key = key();
        let (id, _) = self.registry.intern(&key);
        if self.announced.insert(id) {
            self.new_series.push((id, Arc::new(key)));
        }
        series.id = Some((id, self.generation));
        (id, true)
    }

    /// Samples so far; the mark for [`Sink::back_to`].
    pub(crate) fn mark(&self) -> usize {
        self.samples.len()
    }

    /// Drops the samples put since `mark`: half a reading is none.
    pub(crate) fn back_to(&mut self, mark: usize) {
        self.samples.truncate(mark);
    }

    pub(crate) fn take(&mut self, at: Timestamp) -> SampleBatch {
        self.generation = self.registry.generation();
        let samples = std::mem::take(&mut self.samples);
        self.last_count = samples.len();
        self.samples.reserve(self.last_count);
        SampleBatch { at, new_series: std::mem::take(&mut self.new_series), samples }
    }
}
