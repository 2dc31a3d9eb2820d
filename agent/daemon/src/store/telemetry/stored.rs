//! Reading sealed stretches back: only the pages that a wanted column lies in.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::super::error::{Context, StoreError};
use super::seal::{PAGE_DATA_BYTES, TICKS_MAX, damaged};
use super::segment::{self, Column, Place};

/// (moment, value), in the order of writing.
pub(super) type Points = Vec<(i64, f64)>;

const WHAT: &str = "read sealed samples";

/// One sealed stretch, its columns still in the database.
#[derive(Debug)]
pub(super) struct Segment {
    id: i64,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    pub(super) times: Vec<i64>,
    directory: Vec<u8>,
}

impl Segment {
    pub(super) fn places(&self, path: &Path) -> Result<Vec<Place>, StoreError> {
        segment::directory(&self.directory).ok_or_else(|| damaged("segment", path, self.id))
    }
}

/// The statements that reading segments takes, prepared once.
pub(super) struct Segments<'c> {
    db: &'c Connection,
    path: &'c Path,
    head: Statement<'c>,
    pages: Statement<'c>,
}

impl<'c> Segments<'c> {
    pub(super) fn new(db: &'c Connection, path: &'c Path) -> Result<Self, StoreError> {
        let head = db
            .prepare("SELECT first_seq, last_seq, ticks, timeline, directory FROM segment WHERE id = ?")
            .during(WHAT, path)?;
        let pages = db.prepare("SELECT data FROM page WHERE id BETWEEN ? AND ? ORDER BY id").during(WHAT, path)?;
        Ok(Self { db, path, head, pages })
    }

    /// Segments with ticks in a time, in the order of writing.
    pub(super) fn overlapping(&self, from: i64, until: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM segment WHERE last_at >= ? AND first_at <= ? ORDER BY id";
        let mut statement = self.db.prepare(sql).during(WHAT, self.path)?;
        let rows = statement.query_map([from, until], |row| row.get(0)).during(WHAT, self.path)?;
        rows.collect::<rusqlite::Result<_>>().during(WHAT, self.path)
    }

    pub(super) fn load(&mut self, id: i64) -> Result<Segment, StoreError> {
        let damaged = || damaged("segment", self.path, id);
        let found = self
            .head
            .query_row([id], |row| {
                let (first_seq, last_seq, ticks): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let wanted = usize::try_from(ticks)
                    .ok()
                    .filter(|n| *n <= 2 * TICKS_MAX as usize && last_seq.checked_sub(first_seq) == Some(ticks - 1));
                let timeline = row.get_ref(3)?.as_blob()?;
                let times = wanted.and_then(|n| segment::timeline(timeline, n));
                Ok(times.map(|times| (first_seq, last_seq, times, row.get(4))))
            })
            .optional()
            .during(WHAT, self.path)?;
        let (first_seq, last_seq, times, directory) = found.flatten().ok_or_else(damaged)?;
        Ok(Segment { id, first_seq, last_seq, times, directory: directory.during(WHAT, self.path)? })
    }

    pub(super) fn column(&mut self, of: &Segment, place: Place) -> Result<Column, StoreError> {
        let first = place.start / PAGE_DATA_BYTES;
        let last = (place.start + place.len).saturating_sub(1) / PAGE_DATA_BYTES;
        let base = of.id << 20;
        let mut rows = self.pages.query(params![base + first as i64, base + last as i64]).during(WHAT, self.path)?;
        let mut bytes = Vec::with_capacity((last - first + 1) * PAGE_DATA_BYTES);
        while let Some(row) = rows.next().during(WHAT, self.path)? {
            bytes.extend_from_slice(row.get_ref(0).and_then(|v| Ok(v.as_blob()?)).during(WHAT, self.path)?);
        }
        let skip = place.start - first * PAGE_DATA_BYTES;
        let column = bytes.get(skip..skip + place.len).and_then(|bytes| segment::column(bytes, of.times.len()));
        column.ok_or_else(|| damaged("segment", self.path, of.id))
    }

    /// Every series with its points among the ticks numbered `from..=to`; series without one are left out.
    pub(super) fn stretch(&mut self, of: &Segment, from: i64, to: i64) -> Result<Vec<(u32, Points)>, StoreError> {
        let wanted = (from - of.first_seq).max(0) as usize..=(to - of.first_seq).max(0) as usize;
        let mut found = Vec::new();
        for place in of.places(self.path)? {
            let column = self.column(of, place)?;
            let points: Points = column
                .points()
                .filter(|(tick, _)| wanted.contains(tick))
                .filter_map(|(tick, value)| of.times.get(tick).map(|at| (*at, value)))
                .collect();
            if !points.is_empty() {
                found.push((place.series, points));
            }
        }
        Ok(found)
    }
}
