//! The series of all sources: their numbers, their newest values, and how many there may be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{SampleBatch, SeriesId, SeriesKey, Timestamp};

use super::super::config::Limits;
use super::{AHEAD_MAX, Reason, Registry};

/// Two points of a series that are this far apart are two, and not one that was told twice.
const RESOLUTION: Duration = Duration::from_secs(1);

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

/// Whether a point that was taken lies further ahead than any that is: the clock was set back since.
fn after(taken: Timestamp, wall: Timestamp) -> bool {
    taken > wall.plus(AHEAD_MAX)
}

pub(super) struct Table {
    limits: Limits,
    registry: Arc<dyn Registry>,
    entries: HashMap<SeriesKey, Entry>,
    sources: HashMap<Arc<str>, usize>,
    /// Keys of what is fresh, so that a quiet tick looks at nothing.
    fresh: Vec<SeriesKey>,
    /// Of the numbers in `entries`.
    generation: u32,
    /// Series whose newest point lay in the future, because the clock was set back.
    set_back: u64,
}

/// A point as the table takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Its own moment.
    pub(super) at: Timestamp,
    /// When it came: by the wall clock, and by one that never steps.
    pub(super) wall: Timestamp,
    pub(super) now: Duration,
}

/// What a series is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Told {
    /// Its value.
    Is(f64),
    /// What it has grown by.
    Adds(f64),
}

impl Told {
    fn number(self) -> f64 {
        match self {
            Self::Is(value) | Self::Adds(value) => value,
        }
    }
}

impl Table {
    pub(super) fn new(limits: Limits, registry: Arc<dyn Registry>) -> Self {
        let (entries, sources, generation) = (HashMap::new(), HashMap::new(), registry.generation());
        Self { limits, registry, entries, sources, fresh: Vec::new(), generation, set_back: 0 }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What one point says of some series, each named once: of all of them, or of none. True when it took the place of what another
    /// moment had said and no tick has carried yet.
    pub(super) fn put(&mut self, source: &str, parts: &[(SeriesKey, Told)], moment: Moment) -> Result<bool, Reason> {
        self.takes(source, parts, moment)?;
        let mut replaced = false;
        for (key, told) in parts {
            if !self.entries.contains_key(key) {
                self.admit(source, key, moment.now)?;
            }
            let Some(entry) = self.entries.get_mut(key) else { return Err(Reason::SeriesInAll) };
            if after(entry.at, moment.wall) {
                self.set_back += 1;
                entry.at = moment.at;
            }
            replaced |= entry.fresh && matches!(told, Told::Is(_)) && moment.at.since(entry.at) >= RESOLUTION;
            entry.at = entry.at.max(moment.at);
            entry.seen = moment.now;
            entry.value = match told {
                Told::Is(value) => *value,
                Told::Adds(value) => {
                    entry.sum += value;
                    entry.sum
                }
            };
            if !entry.fresh {
                entry.fresh = true;
                self.fresh.push(key.clone());
            }
        }
        Ok(replaced)
    }

    /// Whether every part would be taken.
    fn takes(&self, source: &str, parts: &[(SeriesKey, Told)], moment: Moment) -> Result<(), Reason> {
        if parts.iter().any(|(_, told)| !told.number().is_finite()) {
            return Err(Reason::NotFinite);
        }
        let (mut new, mut unnumbered) = (0, 0);
        for (key, told) in parts {
            match self.entries.get(key) {
                // Differences of several senders may cross; what they add counts all the same.
                Some(entry) if moment.at < entry.at && matches!(told, Told::Is(_)) && !after(entry.at, moment.wall) => {
                    return Err(Reason::OutOfOrder);
                }
                Some(_) => {}
                None => {
                    new += 1;
                    unnumbered += usize::from(self.registry.find(key).is_none());
                }
            }
        }
        if new == 0 {
            return Ok(());
        }
        let of_source = self.sources.get(source);
        if of_source.is_none() && self.sources.len() >= self.limits.sources_max {
            return Err(Reason::SourceLimit);
        }
        if of_source.unwrap_or(&0) + new > self.limits.series_per_source {
            return Err(Reason::SeriesOfSource);
        }
        // A number, once given, is the series' for as long as its data are kept: the host's own series must still find one.
        if self.entries.len() + new > self.limits.series_max || unnumbered > self.registry.room() {
            return Err(Reason::SeriesInAll);
        }
        Ok(())
    }

    /// Series that began again since the last call, because the clock was set back.
    pub(super) fn take_set_back(&mut self) -> u64 {
        std::mem::take(&mut self.set_back)
    }

    /// A new series; its room was looked for before.
    fn admit(&mut self, source: &str, key: &SeriesKey, now: Duration) -> Result<(), Reason> {
        let known = self.sources.get_key_value(source).map(|(name, _)| Arc::clone(name));
        let id = match self.registry.find(key) {
            Some(id) => id,
            None if self.registry.room() > 0 => self.registry.intern(key),
            None => return Err(Reason::SeriesInAll),
        };
        let source = known.unwrap_or_else(|| Arc::from(source));
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

    /// Numbers that were taken back while their series was silent are asked for again.
    fn renew(&mut self) {
        let generation = self.registry.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        for (key, entry) in &mut self.entries {
            let id = self.registry.intern(key);
            entry.announced &= id == entry.id;
            entry.id = id;
        }
    }

    pub(super) fn drain(&mut self, batch: &mut SampleBatch) {
        self.renew();
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
