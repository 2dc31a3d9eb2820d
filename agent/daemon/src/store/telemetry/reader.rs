//! Reading `telemetry.db` beside its writer: sealed columns and newest rows as one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_core::model::{Change, SeriesId, SeriesKey, Timestamp};
use rusqlite::{Connection, ToSql};

use super::super::error::{Context, StoreError};
use super::super::sqlite::Pool;
use super::query::{Agg, Gather, Steps};
use super::stored::{Segment, Segments};
use super::tiers::{self, PARTS, SAMPLES};
use super::{SeriesRegistry, Shared, TelemetryOptions};
use super::{roll, seal};

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
    /// Only series that have each of these attributes with this value, or with the digest that stands for it.
    pub where_: Vec<(String, String)>,
}

/// A question about one metric.
#[derive(Debug, Clone)]
pub struct Query {
    /// The metric's name.
    pub metric: String,
    /// Only series that have each of these attributes with this value, or with the digest that stands for it.
    pub where_: Vec<(String, String)>,
    /// From this moment on.
    pub since: Timestamp,
    /// Up to and with this moment.
    pub until: Timestamp,
    /// Length of a step. `None`: every sample is a point (with [`Agg::Rate`]: the rate since the sample before).
    pub step: Option<Duration>,
    /// A moment that a step begins at. The default, the epoch, makes steps begin at round times.
    pub origin: Timestamp,
    /// What stands for the samples of a step.
    pub agg: Agg,
    /// At most so many points a series, the latest; 0 stands for 10 000.
    pub limit: usize,
}

impl Query {
    /// Every sample of a metric within a time.
    pub fn raw(metric: impl Into<String>, since: Timestamp, until: Timestamp) -> Self {
        let (where_, origin) = (Vec::new(), Timestamp::from_ns(0));
        Self { metric: metric.into(), where_, since, until, step: None, origin, agg: Agg::Last, limit: 0 }
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
    /// The longest step that points rest on, where samples were made coarser for their age. `None`: samples everywhere.
    pub resolution: Option<Duration>,
}

impl Query {
    /// The start of the step that a moment lies in; the moment itself without steps.
    pub fn start_of(&self, at: Timestamp) -> Timestamp {
        self.steps().map_or(at, |steps| Timestamp::from_ns(steps.start_of(at.ns())))
    }

    fn steps(&self) -> Option<Steps> {
        let ns = i64::try_from(self.step?.as_nanos()).unwrap_or(i64::MAX);
        (ns > 0).then_some(Steps { ns, origin: self.origin.ns() })
    }
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
    pub(super) options: Arc<TelemetryOptions>,
}

fn in_time(what: &'static str, go_on: &dyn Fn() -> bool) -> Result<(), StoreError> {
    if go_on() { Ok(()) } else { Err(StoreError::Late { what }) }
}

/// Hands out the steps of a coarser tier's segment. True when there were any.
fn coarse(
    segments: &mut Segments<'_>,
    segment: &Segment,
    told: impl Fn(i64) -> bool,
    path: &Path,
    gathers: &mut BTreeMap<u32, Gather>,
) -> Result<bool, StoreError> {
    let mut any = false;
    let places = segment.places(path)?;
    for places in places.chunk_by(|a, b| a.series / PARTS == b.series / PARTS) {
        let Some(id) = places.first().map(|place| place.series / PARTS) else { continue };
        let Some(gather) = gathers.get_mut(&id) else { continue };
        let mut columns = Vec::with_capacity(places.len());
        for place in places {
            columns.push((place.series % PARTS, segments.column(segment, *place)?));
        }
        for (at, part) in roll::parts(&segment.times, columns.into_iter()).iter().filter(|(at, _)| told(*at)) {
            gather.add_part(*at, part);
            any = true;
        }
    }
    Ok(any)
}

impl TelemetryReader {
    pub(super) fn new(
        pool: Pool,
        registry: Arc<SeriesRegistry>,
        shared: Arc<Shared>,
        options: Arc<TelemetryOptions>,
    ) -> Self {
        Self { pool, registry, shared, options }
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
        let subject = self.registry.subject(&filter.where_);
        found.retain(|(_, key)| start.is_none_or(|s| key.metric.starts_with(s)) && subject.fits(&key.attributes));
        found
    }

    /// The points of every matching series. Series without samples in the window are left out.
    pub fn query(&self, query: &Query) -> Result<Vec<SeriesPoints>, StoreError> {
        self.gather(query, query.steps(), &|| true)
    }

    /// The same for as long as `go_on` says so, which is asked before each segment is read. Errors: also [`StoreError::Late`].
    pub fn query_while(&self, query: &Query, go_on: &dyn Fn() -> bool) -> Result<Vec<SeriesPoints>, StoreError> {
        self.gather(query, query.steps(), go_on)
    }

    /// One value a series for the whole window `since..=until`; `step` and `limit` do not matter.
    pub fn aggregate(&self, query: &Query) -> Result<Vec<(Arc<SeriesKey>, f64)>, StoreError> {
        let whole = Some(Steps { ns: i64::MAX, origin: 0 });
        let found = self.gather(&Query { limit: 0, ..query.clone() }, whole, &|| true)?;
        Ok(found.into_iter().filter_map(|series| Some((series.key, series.points.last()?.1))).collect())
    }

    fn gather(
        &self,
        query: &Query,
        steps: Option<Steps>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Vec<SeriesPoints>, StoreError> {
        let mut series = self.registry.select(Some(&query.metric));
        let subject = self.registry.subject(&query.where_);
        series.retain(|(_, key)| subject.fits(&key.attributes));
        series.truncate(SERIES_MAX);
        if series.is_empty() {
            return Ok(Vec::new());
        }
        let limit = if query.limit == 0 { LIMIT_DEFAULT } else { query.limit }.min(POINTS_MAX / series.len());
        let mut gathers: BTreeMap<u32, Gather> =
            series.iter().map(|(id, _)| (id.0, Gather::new(query.agg, steps, query.since.ns(), limit))).collect();
        let from = match query.agg {
            Agg::Rate => query.since.minus(query.step.unwrap_or(LOOK_BACK).max(LOOK_BACK)),
            _ => query.since,
        };
        let coarsest = self.scan((from, query.since, query.until), &mut gathers, go_on)?;
        let resolution = tiers::step_ns(coarsest).map(|ns| Duration::from_nanos(ns.unsigned_abs()));
        let answer = series.into_iter().filter_map(|(id, key)| {
            let (points, truncated) = gathers.remove(&id.0)?.points();
            (!points.is_empty()).then_some(SeriesPoints { id, key, points, truncated, resolution })
        });
        Ok(answer.collect())
    }

    /// Hands out what lies between two moments, predecessors from the first one on. Gives the coarsest tier of it.
    fn scan(
        &self,
        (from, since, until): (Timestamp, Timestamp, Timestamp),
        gathers: &mut BTreeMap<u32, Gather>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<u8, StoreError> {
        let (from, since, until) = (from.ns(), since.ns(), until.ns());
        let within = |at: i64| at >= from && at <= until;
        self.read("read samples", |db| {
            let path = self.pool.path();
            let mut segments = Segments::new(db, path)?;
            let mut coarsest = SAMPLES;
            for id in segments.overlapping(from, until)? {
                in_time("read samples", go_on)?;
                let segment = segments.load(id)?;
                if let Some(step_ns) = tiers::step_ns(segment.tier) {
                    let told = |at: i64| at.saturating_add(step_ns) > since && at <= until;
                    if coarse(&mut segments, &segment, told, path, gathers)? {
                        coarsest = coarsest.max(segment.tier);
                    }
                    continue;
                }
                for place in segment.places(path)? {
                    let Some(gather) = gathers.get_mut(&place.series) else { continue };
                    let column = segments.column(&segment, place)?;
                    for (first, values) in column.runs() {
                        let Some(times) = segment.times.get(first..first + values.len()) else { continue };
                        if segment.ordered {
                            let begin = times.partition_point(|at| *at < from);
                            let end = times.partition_point(|at| *at <= until).max(begin);
                            if let (Some(times), Some(values)) = (times.get(begin..end), values.get(begin..end)) {
                                gather.add_run(times, values);
                            }
                        } else {
                            let samples = times.iter().zip(values).filter(|(at, _)| within(**at));
                            samples.for_each(|(at, value)| gather.add(*at, *value));
                        }
                    }
                }
            }
            in_time("read samples", go_on)?;
            seal::newest(db, path, |_, at, row| {
                if within(at) {
                    for (id, gather) in gathers.iter_mut() {
                        if let Some(value) = row.get(*id) {
                            gather.add(at, value);
                        }
                    }
                }
            })?;
            Ok(coarsest)
        })
    }

    /// Changes, oldest first.
    pub fn changes(&self, filter: &ChangeFilter) -> Result<Vec<Change>, StoreError> {
        self.changes_while(filter, &|| true)
    }

    /// The same for as long as `go_on` says so, which is asked before each row. Errors: also [`StoreError::Late`].
    pub fn changes_while(&self, filter: &ChangeFilter, go_on: &dyn Fn() -> bool) -> Result<Vec<Change>, StoreError> {
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
            in_time("read changes", go_on)?;
            while let Some(row) = rows.next().during("read changes", path)? {
                in_time("read changes", go_on)?;
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
