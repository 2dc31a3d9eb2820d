//! Reading `telemetry.db` beside its writer: sealed columns and newest rows as one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_core::model::{Change, SeriesId, SeriesKey, Timestamp};
use rusqlite::{Connection, ToSql};

use super::super::error::{Context, StoreError};
use super::super::sqlite::Pool;
use super::query::{Agg, Gather};
use super::seal;
use super::stored::Segments;
use super::{SeriesRegistry, Shared};

/// Series that one query answers for.
const SERIES_MAX: usize = 2_000;
/// Points that one query answers with, all series together.
const POINTS_MAX: usize = 1_000_000;
/// Points a series without a limit.
const LIMIT_DEFAULT: usize = 10_000;
/// A rate's first step looks back for the sample before it, at least this far.
const LOOK_BACK: Duration = Duration::from_mins(2);

/// Which series.
#[derive(Debug, Clone, Default)]
pub struct SeriesFilter {
    /// Only this metric; a `*` at the end stands for any rest.
    pub metric: Option<String>,
    /// Only series that have each of these attributes with this value.
    pub where_: Vec<(String, String)>,
}

/// A question about one metric.
#[derive(Debug, Clone)]
pub struct Query {
    /// The metric's name.
    pub metric: String,
    /// Only series that have each of these attributes with this value.
    pub where_: Vec<(String, String)>,
    /// From this moment on.
    pub since: Timestamp,
    /// Up to and with this moment.
    pub until: Timestamp,
    /// Length of a step; steps are aligned to its multiples since the epoch. `None`: every sample is a point (with
    /// [`Agg::Rate`]: the rate since the sample before).
    pub step: Option<Duration>,
    /// What stands for the samples of a step.
    pub agg: Agg,
    /// At most so many points a series, the latest; 0 stands for 10 000.
    pub limit: usize,
}

impl Query {
    /// Every sample of a metric within a time.
    pub fn raw(metric: impl Into<String>, since: Timestamp, until: Timestamp) -> Self {
        Self { metric: metric.into(), where_: Vec::new(), since, until, step: None, agg: Agg::Last, limit: 0 }
    }
}

/// One series' answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesPoints {
    /// Its number.
    pub id: SeriesId,
    /// What it is.
    pub key: Arc<SeriesKey>,
    /// Oldest first. A step is named by its start. Missing data are missing points.
    pub points: Vec<(Timestamp, f64)>,
    /// Older points were left out because of the limit.
    pub truncated: bool,
}

/// Which changes.
#[derive(Debug, Clone, Default)]
pub struct ChangeFilter {
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Up to and with this moment.
    pub until: Option<Timestamp>,
    /// Only this kind; `file.*` and the like stand for all that match.
    pub kind: Option<String>,
    /// Only about this target, as printed: `unit:web.service`.
    pub target: Option<String>,
    /// At most so many, the latest; 0 stands for 1000.
    pub limit: usize,
}

/// Reads samples and changes; cheap to clone. Each call sees one moment of the database.
#[derive(Debug, Clone)]
pub struct TelemetryReader {
    pub(super) pool: Pool,
    pub(super) registry: Arc<SeriesRegistry>,
    shared: Arc<Shared>,
}

fn matches(key: &SeriesKey, wanted: &[(String, String)]) -> bool {
    wanted.iter().all(|(name, value)| key.attributes.get(name) == Some(value))
}

impl TelemetryReader {
    pub(super) fn new(pool: Pool, registry: Arc<SeriesRegistry>, shared: Arc<Shared>) -> Self {
        Self { pool, registry, shared }
    }

    /// Reads in one transaction; damage is passed on to the writer, which sets the file aside.
    pub(super) fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.pool.read(what, work);
        if result.as_ref().err().is_some_and(StoreError::is_corrupt) {
            self.shared.damaged.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Series by number.
    pub fn list_series(&self, filter: &SeriesFilter) -> Vec<(SeriesId, Arc<SeriesKey>)> {
        let start = filter.metric.as_deref().and_then(|m| m.strip_suffix('*'));
        let exact = if start.is_some() { None } else { filter.metric.as_deref() };
        let mut found = self.registry.select(exact);
        found.retain(|(_, key)| start.is_none_or(|s| key.metric.starts_with(s)) && matches(key, &filter.where_));
        found
    }

    /// The points of every matching series. Series without samples in the window are left out.
    pub fn query(&self, query: &Query) -> Result<Vec<SeriesPoints>, StoreError> {
        let mut series = self.registry.select(Some(&query.metric));
        series.retain(|(_, key)| matches(key, &query.where_));
        series.truncate(SERIES_MAX);
        if series.is_empty() {
            return Ok(Vec::new());
        }
        let limit = if query.limit == 0 { LIMIT_DEFAULT } else { query.limit }.min(POINTS_MAX / series.len());
        let step = query.step.map(|s| i64::try_from(s.as_nanos()).unwrap_or(i64::MAX));
        let mut gathers: BTreeMap<u32, Gather> =
            series.iter().map(|(id, _)| (id.0, Gather::new(query.agg, step, query.since.ns(), limit))).collect();
        let from = match query.agg {
            Agg::Rate => query.since.minus(query.step.unwrap_or(LOOK_BACK).max(LOOK_BACK)),
            _ => query.since,
        };
        self.scan(from, query.until, &mut gathers)?;
        let answer = series.into_iter().filter_map(|(id, key)| {
            let (points, truncated) = gathers.remove(&id.0)?.points();
            (!points.is_empty()).then_some(SeriesPoints { id, key, points, truncated })
        });
        Ok(answer.collect())
    }

    /// One value a series for the whole window `since..=until`; `step` and `limit` do not matter.
    pub fn aggregate(&self, query: &Query) -> Result<Vec<(Arc<SeriesKey>, f64)>, StoreError> {
        let raw = self.query(&Query { step: None, agg: Agg::Last, limit: usize::MAX, ..query.clone() })?;
        let whole = |series: SeriesPoints| {
            let mut gather = Gather::new(query.agg, Some(i64::MAX), i64::MIN, 1);
            series.points.iter().for_each(|(at, value)| gather.add(at.ns(), *value));
            gather.points().0.pop().map(|(_, value)| (series.key, value))
        };
        Ok(raw.into_iter().filter_map(whole).collect())
    }

    fn scan(&self, from: Timestamp, until: Timestamp, gathers: &mut BTreeMap<u32, Gather>) -> Result<(), StoreError> {
        let (from, until) = (from.ns(), until.ns());
        let within = |at: i64| at >= from && at <= until;
        self.read("read samples", |db| {
            let path = self.pool.path();
            let mut segments = Segments::new(db, path)?;
            for id in segments.overlapping(from, until)? {
                let segment = segments.load(id)?;
                for place in segment.places(path)? {
                    let Some(gather) = gathers.get_mut(&place.series) else { continue };
                    let column = segments.column(&segment, place)?;
                    for (tick, value) in column.points() {
                        if let Some(at) = segment.times.get(tick).filter(|at| within(**at)) {
                            gather.add(*at, value);
                        }
                    }
                }
            }
            seal::newest(db, path, |_, at, row| {
                if within(at) {
                    for (id, gather) in gathers.iter_mut() {
                        if let Some(value) = row.get(*id) {
                            gather.add(at, value);
                        }
                    }
                }
            })
        })
    }

    /// Changes, oldest first.
    pub fn changes(&self, filter: &ChangeFilter) -> Result<Vec<Change>, StoreError> {
        let limit = if filter.limit == 0 { 1_000 } else { filter.limit } as i64;
        let since = filter.since.map_or(i64::MIN, Timestamp::ns);
        let until = filter.until.map_or(i64::MAX, Timestamp::ns);
        let mut sql = "SELECT id, body FROM change WHERE at >= ? AND at <= ?".to_owned();
        let mut values: Vec<&dyn ToSql> = vec![&since, &until];
        if let Some(kind) = &filter.kind {
            sql.push_str(" AND kind GLOB ?");
            values.push(kind);
        }
        if let Some(target) = &filter.target {
            sql.push_str(" AND target = ?");
            values.push(target);
        }
        sql.push_str(" ORDER BY at DESC, number DESC LIMIT ?");
        values.push(&limit);
        let path = self.pool.path();
        self.read("read changes", |db| {
            let mut statement = db.prepare(&sql).during("read changes", path)?;
            let mut rows = statement.query(values.as_slice()).during("read changes", path)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().during("read changes", path)? {
                let id: String = row.get(0).during("read changes", path)?;
                let body: String = row.get(1).during("read changes", path)?;
                let change: Change = serde_json::from_str(&body).map_err(|source| StoreError::Document {
                    what: "change",
                    id,
                    source,
                })?;
                found.push(change);
            }
            found.reverse();
            Ok(found)
        })
    }
}
