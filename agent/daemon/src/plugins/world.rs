//! The world that plugins see on this host: its clock, files, units, processes, and the agent's own stores.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_core::model::{Change, Timestamp, UnitState};
use holdfast_plugin_host::{MetricQuery, ProcessFacts, ProcessQuery, SeriesFacts, World, WorldError};

use super::held;
use super::processes;
use crate::collect::KernelUnits;
use crate::host::{Clock, FsRoot};
use crate::store::{Agg, ChangeFilter, Query, SeriesFilter, StateReader, StoreError, TelemetryReader};
use crate::telemetry::Chain;

/// Who knows about units. Asked on a blocking thread; keeps to the time it is given.
pub trait UnitSource: Send + Sync {
    /// One unit; `None`: systemd knows no such unit.
    fn unit(&self, name: &str, within: Duration) -> Result<Option<UnitState>, WorldError>;
    /// All units in view.
    fn units(&self, within: Duration) -> Result<Vec<UnitState>, WorldError>;
}

/// A host without systemd: each question is answered with `unsupported` and this reason.
#[derive(Debug, Clone)]
pub struct NoUnits(pub String);

impl UnitSource for NoUnits {
    fn unit(&self, _: &str, _: Duration) -> Result<Option<UnitState>, WorldError> {
        Err(WorldError::unsupported(&self.0))
    }
    fn units(&self, _: Duration) -> Result<Vec<UnitState>, WorldError> {
        Err(WorldError::unsupported(&self.0))
    }
}

/// What the world of plugins is made of.
pub struct Sources {
    /// Plugins' own state.
    pub state: StateReader,
    /// Samples and changes.
    pub telemetry: TelemetryReader,
    /// The root of the file system.
    pub fs: FsRoot,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Units.
    pub units: Arc<dyn UnitSource>,
    /// This host's id, told to plugins.
    pub host_id: String,
}

type Kept = BTreeMap<String, Vec<u8>>;

/// The real [`World`].
pub(super) struct HostWorld {
    sources: Sources,
    kernel: KernelUnits,
    /// Plugins' state as the calls since the start left it; what is not here is read from the store.
    kept: Mutex<BTreeMap<String, Kept>>,
}

fn store(error: &StoreError) -> WorldError {
    match error {
        StoreError::Late { .. } => WorldError::timeout(format!("{error}; ask more narrowly")),
        error => WorldError::io(Chain(error).to_string()),
    }
}

impl HostWorld {
    pub(super) fn new(sources: Sources) -> Self {
        Self { sources, kernel: KernelUnits::of_this_kernel(), kept: Mutex::default() }
    }

    /// What a call that ended well has written, for the calls after it.
    pub(super) fn remember(&self, plugin: &str, writes: &[(String, Option<Vec<u8>>)]) {
        let mut all = held(&self.kept);
        // Whoever wrote has read before, so it is there; if not, the store still has the former keys.
        let Some(kept) = all.get_mut(plugin) else { return };
        for (key, value) in writes {
            match value {
                Some(value) => kept.insert(key.clone(), value.clone()),
                None => kept.remove(key),
            };
        }
    }

    /// Nothing is kept of this plugin any more; answers the keys that the store still holds.
    pub(super) fn forget(&self, plugin: &str) -> Vec<String> {
        held(&self.kept).remove(plugin);
        let kept = self.sources.state.plugin_state(plugin).unwrap_or_else(|error| {
            tracing::warn!(plugin, error = %Chain(&error), "A plugin's state cannot be read.");
            Kept::new()
        });
        kept.into_keys().collect()
    }
}

impl World for HostWorld {
    fn now(&self) -> Timestamp {
        self.sources.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        self.sources.clock.monotonic()
    }

    fn root(&self) -> PathBuf {
        self.sources.fs.path("/")
    }

    fn unit(&self, name: &str, within: Duration) -> Result<Option<UnitState>, WorldError> {
        self.sources.units.unit(name, within)
    }

    fn units(&self, within: Duration) -> Result<Vec<UnitState>, WorldError> {
        self.sources.units.units(within)
    }

    fn processes(&self, query: &ProcessQuery<'_>, within: Duration) -> Result<Vec<ProcessFacts>, WorldError> {
        let end = self.monotonic() + within;
        processes::list(&self.sources.fs, query, self.kernel, || self.monotonic() < end)
    }

    /// A step's value is its last sample.
    fn metrics(&self, query: &MetricQuery, within: Duration) -> Result<Vec<SeriesFacts>, WorldError> {
        let (telemetry, end) = (&self.sources.telemetry, self.monotonic() + within);
        let filter = SeriesFilter { metric: Some(query.metric.clone()), where_: query.attributes.clone() };
        let series = telemetry.list_series(&filter).len();
        let query = Query {
            metric: query.metric.clone(),
            where_: query.attributes.clone(),
            since: query.since,
            until: query.until,
            step: query.step,
            origin: Timestamp::from_ns(0),
            agg: Agg::Last,
            limit: (query.points_max / series.max(1)).max(1),
        };
        let found = telemetry.query_while(&query, &|| self.monotonic() < end).map_err(|error| store(&error))?;
        Ok(found
            .into_iter()
            .map(|series| SeriesFacts {
                metric: series.key.metric.clone(),
                attributes: series.key.attributes.clone(),
                points: series.points,
                truncated: series.truncated,
            })
            .collect())
    }

    fn changes(
        &self,
        kinds: &[String],
        since: Timestamp,
        until: Timestamp,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Change>, WorldError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let end = self.monotonic() + within;
        let ask = |kind: Option<&String>| {
            let (since, until) = (Some(since), Some(until));
            let filter = ChangeFilter { since, until, kind: kind.cloned(), target: None, limit };
            let read = self.sources.telemetry.changes_while(&filter, &|| self.monotonic() < end);
            read.map_err(|error| store(&error))
        };
        let mut found = Vec::new();
        match kinds {
            [] => found = ask(None)?,
            kinds => {
                for kind in kinds {
                    found.extend(ask(Some(kind))?);
                }
            }
        }
        found.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        found.dedup_by(|a, b| a.id == b.id);
        let surplus = found.len().saturating_sub(limit);
        found.drain(..surplus);
        Ok(found)
    }

    fn state(&self, plugin: &str) -> Result<Kept, WorldError> {
        if let Some(kept) = held(&self.kept).get(plugin) {
            return Ok(kept.clone());
        }
        let read = self.sources.state.plugin_state(plugin).map_err(|error| store(&error))?;
        held(&self.kept).insert(plugin.to_owned(), read.clone());
        Ok(read)
    }
}
