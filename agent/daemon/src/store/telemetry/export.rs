//! The store as an exporter's queue: positions in it, slices after a position, and the ledger of what was skipped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use holdfast_core::model::{MetricKind, SeriesId, SeriesKey, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::super::error::{Context, StoreError};
use super::reader::TelemetryReader;
use super::seal;
use super::stored::Segments;

/// A position: the number of the last tick that was dealt with. The default is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExportCursor(pub u64);

/// One series' points of a slice; of a counter, those since the same start.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportSeries {
    /// What it is.
    pub key: Arc<SeriesKey>,
    /// Counters only: the moment since which the sum counts, as far as this agent saw it.
    pub started_at: Option<Timestamp>,
    /// In the order of writing, with the moment of the reading.
    pub points: Vec<(Timestamp, f64)>,
}

/// What follows a position.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExportSlice {
    /// By series.
    pub series: Vec<ExportSeries>,
    /// Points in it.
    pub samples: u64,
    /// The position after it.
    pub next_cursor: ExportCursor,
    /// Ticks between the cursor and the slice that are no longer there: deleted before they were exported.
    pub skipped_ticks: u64,
    /// Samples in it whose series was forgotten, for want of numbers: they are in no series of this.
    pub nameless: u64,
    /// Moment of the slice's last tick.
    pub last_at: Option<Timestamp>,
}

/// A row of the gap ledger: data that were not stored or not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When it was noticed.
    pub at: Timestamp,
    /// `store`, or an exporter's stream.
    pub stream: String,
    /// Samples, ticks or records, as the reason says.
    pub count: u64,
    /// One sentence.
    pub reason: String,
}

type Points = BTreeMap<u32, Vec<(i64, f64)>>;

impl TelemetryReader {
    /// What follows `cursor`: whole ticks, about `max_samples` points but at least one tick. An empty slice: nothing yet.
    pub fn export_after(&self, cursor: ExportCursor, max_samples: usize) -> Result<ExportSlice, StoreError> {
        let path = self.pool.path();
        self.read("read samples to export", |db| {
            let after = i64::try_from(cursor.0).unwrap_or(i64::MAX - 1);
            let mut slice = ExportSlice { next_cursor: cursor, ..ExportSlice::default() };
            let mut points = Points::new();
            let taken = match sealed(db, path, after, max_samples, &mut points)? {
                Some(taken) => Some(taken),
                None => unsealed(db, path, after, max_samples, &mut points)?,
            };
            let Some(Taken { first_seq, last_seq, last_at }) = taken else { return Ok(slice) };
            slice.next_cursor = ExportCursor(last_seq as u64);
            slice.skipped_ticks = (first_seq - after - 1).max(0) as u64;
            slice.last_at = Some(Timestamp::from_ns(last_at));
            for (id, points) in points {
                let Some(key) = self.registry.key(SeriesId(id)) else {
                    slice.nameless += points.len() as u64;
                    continue;
                };
                slice.samples += points.len() as u64;
                let starts = if key.kind == MetricKind::Counter { starts(db, path, id)? } else { Vec::new() };
                split(&mut slice.series, &key, &starts, points);
            }
            Ok(slice)
        })
    }

    /// An exporter's position in a stream; the beginning when it has none yet.
    pub fn export_cursor(&self, destination: &str, stream: &str) -> Result<u64, StoreError> {
        let sql = "SELECT position FROM export_cursor WHERE destination = ? AND stream = ?";
        self.read("read an export cursor", |db| {
            let found: Option<i64> = db
                .query_row(sql, [destination, stream], |row| row.get(0))
                .optional()
                .during("read an export cursor", self.pool.path())?;
            Ok(found.and_then(|position| u64::try_from(position).ok()).unwrap_or(0))
        })
    }

    /// The gap ledger, oldest first.
    pub fn gaps(&self, since: Timestamp, limit: usize) -> Result<Vec<Gap>, StoreError> {
        let path = self.pool.path();
        self.read("read the gap ledger", |db| {
            let mut statement = db
                .prepare("SELECT at, stream, count, reason FROM gap WHERE at >= ? ORDER BY number LIMIT ?")
                .during("read the gap ledger", path)?;
            let rows = statement
                .query_map([since.ns(), limit as i64], |row| {
                    let (at, count): (i64, i64) = (row.get(0)?, row.get(2)?);
                    Ok(Gap {
                        at: Timestamp::from_ns(at),
                        stream: row.get(1)?,
                        count: count as u64,
                        reason: row.get(3)?,
                    })
                })
                .during("read the gap ledger", path)?;
            rows.collect::<rusqlite::Result<_>>().during("read the gap ledger", path)
        })
    }
}

struct Taken {
    first_seq: i64,
    last_seq: i64,
    last_at: i64,
}

fn sealed(
    db: &Connection,
    path: &Path,
    after: i64,
    max_samples: usize,
    points: &mut Points,
) -> Result<Option<Taken>, StoreError> {
    let found: Option<(i64, i64)> = db
        .query_row(
            "SELECT id, samples FROM segment WHERE tier = 0 AND last_seq > ? ORDER BY last_seq LIMIT 1",
            [after],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        .during("read samples to export", path)?;
    let Some((id, samples)) = found else { return Ok(None) };
    let mut segments = Segments::new(db, path)?;
    let segment = segments.load(id)?;
    let ticks = segment.times.len().max(1);
    let each = (usize::try_from(samples).unwrap_or(0) / ticks).max(1);
    let first_seq = segment.first_seq.max(after + 1);
    let last_seq = (first_seq + (max_samples / each).max(1) as i64 - 1).min(segment.last_seq);
    points.extend(segments.stretch(&segment, first_seq, last_seq)?);
    let last_at = segment.times.get((last_seq - segment.first_seq) as usize).copied().unwrap_or(0);
    Ok(Some(Taken { first_seq, last_seq, last_at }))
}

fn unsealed(
    db: &Connection,
    path: &Path,
    after: i64,
    max_samples: usize,
    points: &mut Points,
) -> Result<Option<Taken>, StoreError> {
    let (mut taken, mut count): (Option<Taken>, usize) = (None, 0);
    seal::newest(db, path, |seq, at, row| {
        if seq <= after || (taken.is_some() && count + row.len() > max_samples) {
            // Full: nothing that comes later may be taken either.
            count = if taken.is_some() { usize::MAX / 2 } else { count };
            return;
        }
        count += row.len();
        for (id, value) in row.samples() {
            points.entry(id).or_default().push((at, value));
        }
        let first_seq = taken.as_ref().map_or(seq, |t| t.first_seq);
        taken = Some(Taken { first_seq, last_seq: seq, last_at: at });
    })?;
    Ok(taken)
}

/// Moments from which a counter counts: when it was first seen, and each time it started again.
fn starts(db: &Connection, path: &Path, series: u32) -> Result<Vec<i64>, StoreError> {
    let sql =
        "SELECT first_at FROM series WHERE id = ?1 UNION SELECT at FROM counter_reset WHERE series = ?1 ORDER BY 1";
    let mut statement = db.prepare(sql).during("read counter starts", path)?;
    let rows = statement.query_map([series], |row| row.get(0)).during("read counter starts", path)?;
    rows.collect::<rusqlite::Result<_>>().during("read counter starts", path)
}

/// A point at the very moment of a reset is the last before it: the counter started again after that reading.
fn split(out: &mut Vec<ExportSeries>, key: &Arc<SeriesKey>, starts: &[i64], points: Vec<(i64, f64)>) {
    let start_of = |at: i64| starts.iter().rev().find(|start| **start < at).or(starts.first()).map(|s| *s.min(&at));
    let mut current: Option<ExportSeries> = None;
    for (at, value) in points {
        let started_at = start_of(at).map(Timestamp::from_ns);
        let point = (Timestamp::from_ns(at), value);
        match &mut current {
            Some(series) if series.started_at == started_at => series.points.push(point),
            _ => {
                let next = ExportSeries { key: Arc::clone(key), started_at, points: vec![point] };
                out.extend(current.replace(next));
            }
        }
    }
    out.extend(current);
}
