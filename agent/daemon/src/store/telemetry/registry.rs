//! Series and their numbers: shared by collectors, the writer and the readers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use holdfast_core::model::{Attributes, MetricKind, SeriesId, SeriesKey};
use holdfast_core::redact::Redactor;

use super::Subject;
use crate::collect::sink::Intern;

/// Gives each series a number that stays the same until it is forgotten; none is given twice in the life of the database.
///
/// Bounded: from `series_max` on, every further series shares one number, that of `holdfast.store.series_overflow`.
#[derive(Debug)]
pub struct SeriesRegistry {
    inner: RwLock<Inner>,
    series_max: usize,
    redactor: Arc<Redactor>,
}

#[derive(Debug, Default)]
struct Inner {
    keys: HashMap<SeriesId, Arc<SeriesKey>>,
    ids: HashMap<Arc<SeriesKey>, SeriesId>,
    by_metric: HashMap<String, Vec<SeriesId>>,
    /// In the order of their arrival since the database was opened: what the writer has yet to store.
    fresh: Vec<SeriesId>,
    next: u32,
    refused: u64,
    /// Raised when numbers were taken back.
    generation: u32,
    /// Raised when there are other series.
    version: u64,
    overflow: Option<SeriesId>,
    /// What counters had come to when the database was opened, until it is asked for.
    lasts: HashMap<SeriesId, f64>,
}

impl Inner {
    fn add(&mut self, id: SeriesId, key: Arc<SeriesKey>) {
        self.by_metric.entry(key.metric.clone()).or_default().push(id);
        self.ids.insert(Arc::clone(&key), id);
        self.keys.insert(id, key);
        self.next = self.next.max(id.0.saturating_add(1));
        self.version += 1;
    }

    fn add_fresh(&mut self, key: Arc<SeriesKey>) -> SeriesId {
        let id = SeriesId(self.next.max(1));
        self.add(id, key);
        self.fresh.push(id);
        id
    }
}

impl Intern for SeriesRegistry {
    fn intern(&self, key: &SeriesKey) -> (SeriesId, bool) {
        Self::intern(self, key)
    }

    fn generation(&self) -> u32 {
        Self::generation(self)
    }

    fn take_last(&self, id: SeriesId) -> Option<f64> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).lasts.remove(&id)
    }
}

impl SeriesRegistry {
    pub(super) fn new(series_max: usize, redactor: Arc<Redactor>, stored: Vec<(SeriesId, SeriesKey)>) -> Self {
        let mut inner = Inner::default();
        for (id, key) in stored {
            inner.add(id, Arc::new(key));
        }
        Self { inner: RwLock::new(inner), series_max, redactor }
    }

    /// The series' number, and whether this call gave it. What must not be kept is taken out of its attributes first, so
    /// two series that differ in nothing else become one.
    pub fn intern(&self, key: &SeriesKey) -> (SeriesId, bool) {
        if let Some(id) = self.inner.read().unwrap_or_else(PoisonError::into_inner).ids.get(key) {
            return (*id, false);
        }
        let mut key = key.clone();
        self.redactor.attributes(&mut key.attributes);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = inner.ids.get(&key) {
            return (*id, false);
        }
        if inner.keys.len() < self.series_max {
            return (inner.add_fresh(Arc::new(key)), true);
        }
        inner.refused += 1;
        if let Some(id) = inner.overflow {
            return (id, false);
        }
        let overflow = SeriesKey {
            metric: "holdfast.store.series_overflow".to_owned(),
            unit: "1".to_owned(),
            kind: MetricKind::Gauge,
            attributes: Attributes::new(),
        };
        let id = inner.ids.get(&overflow).copied().unwrap_or_else(|| inner.add_fresh(Arc::new(overflow)));
        inner.overflow = Some(id);
        (id, true)
    }

    /// Numbers that were taken back: whoever keeps one asks again when this has changed.
    pub fn generation(&self) -> u32 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// Another number when there are other series than before.
    pub(super) fn version(&self) -> u64 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// Takes numbers back. They are not given again.
    pub(super) fn forget(&self, gone: &[u32]) {
        if gone.is_empty() {
            return;
        }
        let inner = &mut *self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for id in gone.iter().copied().map(SeriesId) {
            let Some(key) = inner.keys.remove(&id) else { continue };
            inner.ids.remove(&key);
            inner.lasts.remove(&id);
            if let Some(of_metric) = inner.by_metric.get_mut(&key.metric) {
                of_metric.retain(|it| *it != id);
                if of_metric.is_empty() {
                    inner.by_metric.remove(&key.metric);
                }
            }
            inner.overflow = inner.overflow.filter(|it| *it != id);
        }
        inner.generation += 1;
        inner.version += 1;
    }

    /// What counters had come to when the database was opened.
    pub(super) fn set_lasts(&self, lasts: HashMap<SeriesId, f64>) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).lasts = lasts;
    }

    /// Attributes in the forms that they may have in the store.
    pub fn subject(&self, where_: &[(String, String)]) -> Subject {
        Subject::new(where_, &self.redactor)
    }

    /// The number of a series that is known.
    pub fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).ids.get(key).copied()
    }

    /// Series that can still be given a number of their own.
    pub fn room(&self) -> usize {
        self.series_max.saturating_sub(self.len())
    }

    /// What a number stands for.
    pub fn key(&self, id: SeriesId) -> Option<Arc<SeriesKey>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).keys.get(&id).cloned()
    }

    /// Series known.
    pub fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).keys.len()
    }

    /// Whether no series is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Readings that found no number left.
    pub(super) fn refused(&self) -> u64 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).refused
    }

    /// Series of one metric, or all of them, by number.
    pub(super) fn select(&self, metric: Option<&str>) -> Vec<(SeriesId, Arc<SeriesKey>)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let with_key = |id: &SeriesId| inner.keys.get(id).map(|key| (*id, Arc::clone(key)));
        let mut found: Vec<_> = match metric {
            Some(metric) => inner.by_metric.get(metric).into_iter().flatten().filter_map(with_key).collect(),
            None => inner.keys.keys().filter_map(with_key).collect(),
        };
        found.sort_by_key(|(id, _)| *id);
        found
    }

    /// Fresh series from number `from` of their order on.
    pub(super) fn fresh(&self, from: usize) -> Vec<(SeriesId, Arc<SeriesKey>)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = inner.fresh.get(from..).unwrap_or_default();
        fresh.iter().filter_map(|id| inner.keys.get(id).map(|key| (*id, Arc::clone(key)))).collect()
    }

    /// After the database was started over: every series is fresh again.
    pub(super) fn all_fresh(&self) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<SeriesId> = inner.keys.keys().copied().collect();
        all.sort();
        inner.fresh = all;
    }
}
