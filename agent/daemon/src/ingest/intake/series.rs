//! The series of all sources: their numbers, their newest values, and how many there may be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{SampleBatch, SeriesId, SeriesKey, Timestamp};

use super::super::config::Limits;
use super::{Reason, Registry};

struct Entry {
    id: SeriesId,
    source: Arc<str>,
    announced: bool,
    at: Timestamp,
    seen: Duration,
    /// Sum of what was added, for senders that tell differences.
    sum: f64,
    value: f64,
    fresh: bool,
}

pub(super) struct Table {
    limits: Limits,
    registry: Arc<dyn Registry>,
    entries: HashMap<SeriesKey, Entry>,
    sources: HashMap<Arc<str>, usize>,
    /// Keys of what is fresh, so that a quiet tick looks at nothing.
    fresh: Vec<SeriesKey>,
}

impl Table {
    pub(super) fn new(limits: Limits, registry: Arc<dyn Registry>) -> Self {
        Self { limits, registry, entries: HashMap::new(), sources: HashMap::new(), fresh: Vec::new() }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A value of a series.
    pub(super) fn put(
        &mut self,
        source: &str,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        now: Duration,
    ) -> Result<(), Reason> {
        self.change(source, key, at, value, now, false)
    }

    /// What a series has grown by.
    pub(super) fn add(
        &mut self,
        source: &str,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        now: Duration,
    ) -> Result<(), Reason> {
        self.change(source, key, at, value, now, true)
    }

    fn change(
        &mut self,
        source: &str,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        now: Duration,
        adds: bool,
    ) -> Result<(), Reason> {
        if !value.is_finite() {
            return Err(Reason::NotFinite);
        }
        if !self.entries.contains_key(key) {
            self.admit(source, key, now)?;
        }
        let Some(entry) = self.entries.get_mut(key) else { return Err(Reason::SeriesInAll) };
        // Differences of several senders may cross; what they add counts all the same.
        if at < entry.at && !adds {
            return Err(Reason::OutOfOrder);
        }
        entry.at = entry.at.max(at);
        entry.seen = now;
        entry.value = if adds {
            entry.sum += value;
            entry.sum
        } else {
            value
        };
        if !entry.fresh {
            entry.fresh = true;
            self.fresh.push(key.clone());
        }
        Ok(())
    }

    fn admit(&mut self, source: &str, key: &SeriesKey, now: Duration) -> Result<(), Reason> {
        let known = self.sources.get_key_value(source).map(|(name, count)| (Arc::clone(name), *count));
        if known.is_none() && self.sources.len() >= self.limits.sources_max {
            return Err(Reason::SourceLimit);
        }
        if known.as_ref().is_some_and(|(_, count)| *count >= self.limits.series_per_source) {
            return Err(Reason::SeriesOfSource);
        }
        if self.entries.len() >= self.limits.series_max {
            return Err(Reason::SeriesInAll);
        }
        // A number, once given, is the series' for as long as its data are kept: the host's own series must still find one.
        let id = match self.registry.find(key) {
            Some(id) => id,
            None if self.registry.room() > 0 => self.registry.intern(key),
            None => return Err(Reason::SeriesInAll),
        };
        let source = known.map_or_else(|| Arc::from(source), |(name, _)| name);
        *self.sources.entry(Arc::clone(&source)).or_default() += 1;
        let entry = Entry {
            id,
            source,
            announced: false,
            at: Timestamp::from_ns(i64::MIN),
            seen: now,
            sum: 0.0,
            value: 0.0,
            fresh: false,
        };
        self.entries.insert(key.clone(), entry);
        Ok(())
    }

    pub(super) fn drain(&mut self, batch: &mut SampleBatch) {
        for key in self.fresh.drain(..) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.fresh = false;
            if !entry.announced {
                entry.announced = true;
                batch.new_series.push((entry.id, Arc::new(key)));
            }
            batch.samples.push((entry.id, entry.value));
        }
    }

    pub(super) fn forget_idle(&mut self, now: Duration, idle: Duration) {
        let sources = &mut self.sources;
        self.entries.retain(|_, entry| {
            let stays = entry.fresh || now.saturating_sub(entry.seen) < idle;
            if !stays && let Some(count) = sources.get_mut(&entry.source) {
                *count = count.saturating_sub(1);
            }
            stays
        });
        sources.retain(|_, count| *count > 0);
    }
}
