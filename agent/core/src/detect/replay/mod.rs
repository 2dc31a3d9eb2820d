//! Samples of the past through the detectors of now: what would have been said.
//!
//! Nothing here is a copy of a method: a [`Replay`] is a [`Detectors`] that is fed from elsewhere, and notes what stood when. So settings
//! can be judged on what has happened. An [`Episode`] is a labelled stretch of samples that was kept for that.

mod episode;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::config::DetectConfig;
use super::detectors::Detectors;
use super::labels::Labels;
use crate::model::{Confidence, Presence, SampleBatch, SeriesId, SeriesKey, Severity, Timestamp};

pub use episode::{Episode, EpisodeError, EpisodeSeries, Found, rests_on};

/// Coming back within this time after it was cleared, a problem is the same finding; as the lifecycle has it.
const REOPENED_WITHIN: Duration = Duration::from_mins(10);
/// Stretches that one replay notes.
const STRETCHES_MAX: usize = 100_000;

/// A time that one finding would have stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// See [`Detection::fingerprint`](crate::model::Detection::fingerprint).
    pub fingerprint: String,
    /// The finding's kind.
    pub kind: String,
    /// The series that it rests on, where it is about one.
    pub series: Option<String>,
    /// When the symptom began.
    pub began_at: Timestamp,
    /// When it was first said.
    pub said_at: Timestamp,
    /// When it was cleared; `None`: it stood at the end.
    pub ended_at: Option<Timestamp>,
    /// The worst that was said of it.
    pub severity: Severity,
    /// How sure the detectors were when they first said it.
    pub confidence: Confidence,
}

impl Stretch {
    /// Whether it stood at any time between these.
    pub fn touches(&self, from: Timestamp, until: Timestamp) -> bool {
        self.said_at <= until && self.ended_at.is_none_or(|ended| ended >= from)
    }
}

/// The detectors, fed from the past.
#[derive(Debug)]
pub struct Replay {
    detectors: Detectors,
    ids: HashMap<SeriesKey, SeriesId>,
    open: BTreeMap<String, usize>,
    all: Vec<Stretch>,
    left_out: u64,
}

impl Replay {
    /// Without any history. `labels`: what people confirmed is never taken for normal.
    pub fn new(config: &DetectConfig, labels: &Labels) -> Self {
        let mut detectors = Detectors::new(config);
        detectors.protect(labels);
        Self { detectors, ids: HashMap::new(), open: BTreeMap::new(), all: Vec::new(), left_out: 0 }
    }

    /// All samples of one moment; moments in order of time.
    pub fn tell<'k>(&mut self, at: Timestamp, samples: impl IntoIterator<Item = (&'k SeriesKey, f64)>) {
        let mut batch = SampleBatch { at, new_series: Vec::new(), samples: Vec::new() };
        for (key, value) in samples {
            let known = self.ids.get(key).copied();
            let id = known.unwrap_or_else(|| {
                let id = SeriesId(u32::try_from(self.ids.len()).unwrap_or(u32::MAX));
                self.ids.insert(key.clone(), id);
                batch.new_series.push((id, Arc::new(key.clone())));
                id
            });
            batch.samples.push((id, value));
        }
        for said in self.detectors.on_batch(&batch) {
            let fingerprint = said.fingerprint();
            match said.presence {
                Presence::Inconclusive => {}
                Presence::Cleared => {
                    if let Some(stretch) = self.open.get(&fingerprint).and_then(|it| self.all.get_mut(*it)) {
                        stretch.ended_at.get_or_insert(at);
                    }
                }
                Presence::Present => {
                    let known = self.open.get(&fingerprint).and_then(|it| self.all.get_mut(*it));
                    if let Some(stretch) =
                        known.filter(|it| it.ended_at.is_none_or(|ended| at.since(ended) <= REOPENED_WITHIN))
                    {
                        stretch.ended_at = None;
                        stretch.severity = stretch.severity.max(said.severity);
                        continue;
                    }
                    if self.all.len() >= STRETCHES_MAX {
                        self.left_out = self.left_out.saturating_add(1);
                        continue;
                    }
                    let series = said.evidence.iter().find(|it| it.name == "series.key").map(|it| it.value.to_string());
                    self.open.insert(fingerprint.clone(), self.all.len());
                    self.all.push(Stretch {
                        fingerprint,
                        kind: said.kind,
                        series,
                        began_at: said.began_at,
                        said_at: at,
                        ended_at: None,
                        severity: said.severity,
                        confidence: said.confidence,
                    });
                }
            }
        }
    }

    /// Every stretch so far, in the order in which they were first said.
    pub fn stretches(&self) -> &[Stretch] {
        &self.all
    }

    /// Findings that found no place in the list.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Samples of several series, moment by moment. Each series in order of time.
pub fn moments<'s>(series: &'s [EpisodeSeries]) -> BTreeMap<Timestamp, Vec<(&'s SeriesKey, f64)>> {
    let mut all: BTreeMap<Timestamp, Vec<(&'s SeriesKey, f64)>> = BTreeMap::new();
    for one in series {
        for (at, value) in one.points() {
            all.entry(at).or_default().push((&one.key, value));
        }
    }
    all
}
