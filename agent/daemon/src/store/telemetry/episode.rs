//! The samples that a labelled finding rests on, with a time of quiet before them.

use std::time::Duration;

use holdfast_core::detect::DetectConfig;
use holdfast_core::detect::replay::{Episode, EpisodeSeries, rests_on};
use holdfast_core::model::{Interval, Label, Timestamp};

use super::super::error::StoreError;
use super::reader::{Query, SeriesFilter, TelemetryReader};

/// The detectors learn from so much before the symptom began; the warm-up is ten minutes unless somebody chose another.
const BEFORE: Duration = Duration::from_hours(2);
/// So much after its end is kept, where there is so much already.
const AFTER: Duration = Duration::from_mins(10);
/// An episode is no longer than this; of a longer finding the end is left out.
const LONGEST: Duration = Duration::from_hours(6);
/// Series of one episode: a file system has four.
const SERIES_MAX: usize = 8;

impl TelemetryReader {
    /// The episode of a label, from what is stored now. Without series where the finding rests on none, or on none any more.
    pub fn episode(&self, label: &Label, detect: &DetectConfig, now: Timestamp) -> Result<Episode, StoreError> {
        let mut episode = Episode::of(label, detect);
        let from = label.began_at.minus(BEFORE);
        let until = label.ended_at.plus(AFTER).min(from.plus(LONGEST)).min(now);
        let all = self.list_series(&SeriesFilter::default());
        for (id, key) in all.into_iter().filter(|(_, key)| rests_on(label, detect, key)).take(SERIES_MAX) {
            let where_ = key.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            let query = Query { where_, limit: usize::MAX, ..Query::raw(&key.metric, from, until) };
            let found = self.query(&query)?;
            let Some(series) = found.into_iter().find(|series| series.id == id) else { continue };
            episode.resolution = episode.resolution.max(series.resolution.map(Interval));
            episode.series.push(EpisodeSeries::new(key.as_ref().clone(), &series.points));
        }
        Ok(episode)
    }
}
