//! Which series are watched; and those of units that found no place, which are taken up when another unit gives way.

use std::sync::Arc;

use super::detectors::{Detectors, concerns};
use super::together::Together;
use super::{disk, groups};
use crate::model::{SampleBatch, SeriesId, SeriesKey};

/// Series that are kept in mind; the rest has to wait for a restart.
const REFUSED_MAX: usize = 1024;

impl Detectors {
    pub(super) fn wanted(&self, key: &SeriesKey) -> bool {
        self.compared(key)
            || self.limits.iter().any(|it| concerns(it, key) || it.of.as_deref() == Some(key.metric.as_str()))
            || disk::role(key).is_some()
            || groups::wanted(&self.config, key)
            || self.together.wants(key)
    }

    /// Keeps in mind what only wants a place.
    pub(super) fn refuse(&mut self, id: SeriesId, key: &Arc<SeriesKey>) {
        if self.refused.len() < REFUSED_MAX && Together::has_place(key) {
            self.refused.insert(id, Arc::clone(key));
        }
    }

    /// Binds what was refused, is heard now, and has a place now.
    pub(super) fn take_up(&mut self, batch: &SampleBatch) {
        if self.refused.is_empty() || !self.together.has_room() {
            return;
        }
        for (id, _) in &batch.samples {
            if let Some(key) = self.refused.get(id).filter(|key| self.together.wants(key)).cloned() {
                self.bind(*id, &key, batch.at);
            }
        }
    }
}
