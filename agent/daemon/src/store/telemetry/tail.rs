//! How one tick, its new series and a change are put into the database, and what the next tick leans on.

use std::sync::Arc;

use holdfast_core::model::{Change, MetricKind, SampleBatch, SeriesId, SeriesKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::error::{Context, StoreError};
use super::SeriesRegistry;
use super::disk::Disk;
use super::row::Row;
use super::stored::Segments;

/// Rows between two key rows: what reading a stretch from its middle costs at most.
const KEY_EVERY: u32 = 64;

/// What the next row is written against.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) next_seq: i64,
    /// The row before, when the next one may lean on it.
    pub(super) before: Option<Row>,
    pub(super) since_key: u32,
    /// Rows in `newest`, and the moment of the first.
    pub(super) ticks: u32,
    pub(super) oldest_newest_at: Option<i64>,
    /// Last value and its moment of each counter, to see it start again.
    pub(super) counters: Lasts,
}

/// The last value of each counter and its moment, by the series' number: asked for every counter at every tick.
#[derive(Debug, Default)]
pub(super) struct Lasts(Vec<Option<(f64, i64)>>);

impl Lasts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, (f64, i64))> + '_ {
        self.0.iter().enumerate().filter_map(|(id, last)| Some((id as u32, (*last)?)))
    }

    /// Gives the one before.
    pub(super) fn insert(&mut self, id: u32, last: (f64, i64)) -> Option<(f64, i64)> {
        let index = id as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        self.0.get_mut(index)?.replace(last)
    }
}

/// Which series are counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    of: u64,
    kinds: Vec<bool>,
}

impl Counters {
    /// Brought up to date; costs something only when there are new series.
    pub(super) fn renew(&mut self, registry: &SeriesRegistry) {
        let version = registry.version();
        if self.of == version {
            return;
        }
        let series = registry.select(None);
        let mut kinds = vec![false; series.last().map_or(0, |(id, _)| id.0 as usize + 1)];
        for (id, key) in series {
            if let Some(kind) = kinds.get_mut(id.0 as usize) {
                *kind = key.kind == MetricKind::Counter;
            }
        }
        *self = Self { of: version, kinds };
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.kinds.get(id as usize).copied().unwrap_or(false)
    }

    pub(super) fn note(&self, counters: &mut Lasts, row: &Row, at: i64) {
        for (id, value) in row.samples().filter(|(id, _)| self.contains(*id)) {
            counters.insert(id, (value, at));
        }
    }
}

pub(super) fn write_series(
    db: &Connection,
    fresh: &[(SeriesId, Arc<SeriesKey>)],
    at: Timestamp,
) -> rusqlite::Result<()> {
    if fresh.is_empty() {
        return Ok(());
    }
    let mut insert = db.prepare(
        "INSERT OR REPLACE INTO series (id, metric, unit, kind, attributes, first_at, last_at) VALUES (?,?,?,?,?,?,?)",
    )?;
    for (id, key) in fresh {
        let kind = if key.kind == MetricKind::Counter { "counter" } else { "gauge" };
        let attributes = serde_json::json!(key.attributes).to_string();
        insert.execute(params![id.0, key.metric, key.unit, kind, attributes, at.ns(), at.ns()])?;
    }
    Ok(())
}

pub(super) fn write_tick(
    db: &Connection,
    tail: &mut Tail,
    batch: &SampleBatch,
    kinds: &Counters,
) -> rusqlite::Result<()> {
    let at = batch.at.ns();
    let row = Row::new(batch.samples.iter().map(|(id, value)| (id.0, *value)));
    let before = tail.before.as_ref().filter(|_| tail.since_key < KEY_EVERY);
    let data = row.encode(before);
    tail.since_key = if before.is_some() { tail.since_key + 1 } else { 0 };
    let sql = "INSERT OR REPLACE INTO newest (slot, seq, at, data) VALUES (?,?,?,?)";
    db.prepare_cached(sql)?.execute(params![tail.ticks, tail.next_seq, at, data])?;
    for (id, value) in row.samples().filter(|(id, _)| kinds.contains(*id)) {
        if let Some((former, former_at)) = tail.counters.insert(id, (value, at))
            && value < former
        {
            db.execute("INSERT OR IGNORE INTO counter_reset (series, at) VALUES (?,?)", params![id, former_at])?;
        }
    }
    tail.next_seq += 1;
    tail.ticks += 1;
    tail.oldest_newest_at.get_or_insert(at);
    tail.before = Some(row);
    Ok(())
}

pub(super) fn write_change(db: &Connection, change: &Change, path: &std::path::Path) -> Result<(), StoreError> {
    let id = change.id.as_str();
    let body = serde_json::to_string(change).map_err(|source| StoreError::Document {
        what: "change",
        id: id.to_owned(),
        source,
    })?;
    let deployment = change.deployment.as_ref().map(holdfast_core::model::DeploymentId::as_str);
    let sql = "INSERT OR IGNORE INTO change (id, at, kind, target, deployment, body) VALUES (?,?,?,?,?,?)";
    db.execute(sql, params![id, change.at.ns(), change.kind, change.target.to_string(), deployment, body])
        .map(drop)
        .during("write a change", path)
}

/// The last value of each series in the last segment.
pub(super) fn last_sealed(disk: &Disk) -> Result<Vec<(u32, f64, i64)>, StoreError> {
    let last = disk
        .db
        .query_row("SELECT id FROM segment WHERE tier = 0 ORDER BY last_seq DESC LIMIT 1", [], |row| row.get(0))
        .optional()
        .during("read the last samples", &disk.path)?;
    let Some(id) = last else { return Ok(Vec::new()) };
    let mut segments = Segments::new(&disk.db, &disk.path)?;
    let segment = segments.load(id)?;
    let mut found = Vec::new();
    for (series, points) in segments.stretch(&segment, segment.first_seq, segment.last_seq)? {
        if let Some((at, value)) = points.last() {
            found.push((series, *value, *at));
        }
    }
    Ok(found)
}
