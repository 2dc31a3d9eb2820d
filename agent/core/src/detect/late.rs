//! Which series are watched; and those that found no place, which are taken up when another gives way.
//!
//! There are [`SERIES_MAX`] places, and fewer for series of units that come together. On a host whose containers come and go a place is soon
//! taken by what is long gone. So, while others wait, a series that has been silent for an hour gives way (see [`silence`](super::silence)), and waits in turn:
//! its number is announced only once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::detectors::{Detectors, SERIES_MAX, concerns};
use super::disk;
use super::groups;
use super::series::shared;
use super::silence::GIVES_WAY_AFTER;
use super::together::Together;
use crate::model::{SampleBatch, SeriesId, SeriesKey, Timestamp};

/// Series that are kept in mind. When there are more, the one that was silent longest is not any more.
pub(super) const REFUSED_MAX: usize = 4096;

/// A series that found no place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Refused {
    #[serde(with = "shared")]
    key: Arc<SeriesKey>,
    /// It is watched as soon as there is room; else its unit has to find a place first.
    wanted: bool,
    heard_at: Timestamp,
}

impl Detectors {
    pub(super) fn wanted(&self, key: &SeriesKey) -> bool {
        self.compared(key)
            || self.limits.iter().any(|it| concerns(it, key) || it.of.as_deref() == Some(key.metric.as_str()))
            || disk::role(key).is_some()
            || groups::wanted(&self.config, key)
            || self.together.wants(key)
    }

    /// Series and file systems watched now.
    pub fn watched(&self) -> usize {
        self.series.len()
    }

    /// Series that should be watched, gave samples within the last hour, and are not, because there are too many; at most 4096 of them.
    pub fn left_out(&self) -> u64 {
        let waits = |it: &&Refused| it.wanted && self.swept_at.since(it.heard_at) <= GIVES_WAY_AFTER;
        self.refused.values().filter(waits).count() as u64
    }

    /// Whether series wait for a place.
    pub(super) fn is_short(&self) -> bool {
        self.series.len() >= SERIES_MAX && self.left_out() > 0
    }

    /// Keeps in mind what only wants a place.
    pub(super) fn refuse(&mut self, id: SeriesId, key: &Arc<SeriesKey>, wanted: bool, at: Timestamp) {
        if !wanted && !Together::has_place(key) {
            return;
        }
        let longest = || self.refused.iter().min_by_key(|(_, it)| it.heard_at).map(|(id, _)| *id);
        if self.refused.len() >= REFUSED_MAX
            && let Some(longest) = longest()
        {
            self.refused.remove(&longest);
        }
        self.refused.insert(id, Refused { key: Arc::clone(key), wanted, heard_at: at });
    }

    /// Binds what was refused, is heard now, and has a place now.
    pub(super) fn take_up(&mut self, batch: &SampleBatch) {
        if self.refused.is_empty() {
            return;
        }
        let room_for_units = self.together.has_room();
        for (id, _) in &batch.samples {
            let Some(refused) = self.refused.get_mut(id) else { continue };
            refused.heard_at = batch.at;
            let key = Arc::clone(&refused.key);
            let place = refused.wanted || (room_for_units && self.together.wants(&key));
            if place && self.series.len() < SERIES_MAX {
                self.bind(*id, &key, batch.at);
            }
        }
    }
}
