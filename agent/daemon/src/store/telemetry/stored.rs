//! Reading sealed stretches back: only the pages that a wanted column lies in.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::super::error::{Context, StoreError};
use super::seal::{TICKS_MAX, damaged};
use super::segment::{self, Column, Place};
use super::tiers;

/// (moment, value), in the order of writing.
pub(super) type Points = Vec<(i64, f64)>;

const WHAT: &str = "read sealed samples";

/// One sealed stretch, its columns still in the database.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: i64,
    pub(super) tier: u8,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    /// Of a coarser tier: the starts of its steps.
    pub(super) times: Vec<i64>,
    /// Whether time never goes back among them.
    pub(super) ordered: bool,
    directory: Vec<u8>,
    page_bytes: usize,
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
        let sql = "SELECT first_seq, last_seq, ticks, timeline, directory, tier, page_bytes FROM segment WHERE id = ?";
        let head = db.prepare(sql).during(WHAT, path)?;
        let pages = db.prepare("SELECT data FROM page WHERE id BETWEEN ? AND ? ORDER BY id").during(WHAT, path)?;
        Ok(Self { db, path, head, pages })
    }

    /// Segments with ticks in a time, of all tiers, in the order of writing.
    pub(super) fn overlapping(&self, from: i64, until: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM segment
            WHERE (tier = 0 AND last_at >= ?1 OR tier IN (1, 2) AND last_at >= ?2) AND first_at <= ?3 ORDER BY first_seq";
        let mut statement = self.db.prepare(sql).during(WHAT, self.path)?;
        // The moment of a coarser step is its start.
        let longest = tiers::step_ns(tiers::HOURS).unwrap_or(0);
        let moments = [from, from.saturating_sub(longest), until];
        let rows = statement.query_map(moments, |row| row.get(0)).during(WHAT, self.path)?;
        rows.collect::<rusqlite::Result<_>>().during(WHAT, self.path)
    }

    pub(super) fn load(&mut self, id: i64) -> Result<Segment, StoreError> {
        let damaged = || damaged("segment", self.path, id);
        let found = self
            .head
            .query_row([id], |row| {
                let (first_seq, last_seq, ticks): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let (tier, page_bytes): (u8, i64) = (row.get(5)?, row.get(6)?);
                // Ticks of samples are numbered without a hole; steps of a coarser tier stand for many.
                let numbered = tier > 0 || last_seq.checked_sub(first_seq) == Some(ticks - 1);
                let wanted = usize::try_from(ticks).ok().filter(|n| *n <= 2 * TICKS_MAX as usize && numbered);
                let page_bytes = usize::try_from(page_bytes).ok().filter(|n| (1..1 << 20).contains(n));
                let timeline = row.get_ref(3)?.as_blob()?;
                let times = wanted.and_then(|n| segment::timeline(timeline, n));
                let (Some(times), Some(page_bytes)) = (times, page_bytes) else { return Ok(None) };
                let ordered = segment::goes_on_evenly(timeline) || times.is_sorted();
                let directory = row.get(4)?;
                Ok(Some(Segment { id, tier, first_seq, last_seq, times, ordered, directory, page_bytes }))
            })
            .optional()
            .during(WHAT, self.path)?;
        found.flatten().ok_or_else(damaged)
    }

    /// The bytes of some of a segment's pages.
    fn bytes(&mut self, of: &Segment, first: usize, last: usize) -> Result<Vec<u8>, StoreError> {
        let base = of.id << 20;
        let mut rows = self.pages.query(params![base + first as i64, base + last as i64]).during(WHAT, self.path)?;
        let mut bytes = Vec::new();
        while let Some(row) = rows.next().during(WHAT, self.path)? {
            bytes.extend_from_slice(row.get_ref(0).and_then(|v| Ok(v.as_blob()?)).during(WHAT, self.path)?);
        }
        Ok(bytes)
    }

    pub(super) fn column(&mut self, of: &Segment, place: Place) -> Result<Column, StoreError> {
        let first = place.start / of.page_bytes;
        let last = (place.start + place.len).saturating_sub(1) / of.page_bytes;
        let bytes = self.bytes(of, first, last)?;
        let skip = place.start - first * of.page_bytes;
        let column = bytes.get(skip..skip + place.len).and_then(|bytes| segment::column(bytes, of.times.len()));
        column.ok_or_else(|| damaged("segment", self.path, of.id))
    }

    /// A segment with all of its columns in memory.
    pub(super) fn whole(&mut self, id: i64) -> Result<Whole, StoreError> {
        let segment = self.load(id)?;
        let places = segment.places(self.path)?;
        let bytes = self.bytes(&segment, 0, (1 << 20) - 1)?;
        Ok(Whole { segment, places, bytes })
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

/// One sealed stretch, read as a whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) segment: Segment,
    pub(super) places: Vec<Place>,
    bytes: Vec<u8>,
}

impl Whole {
    pub(super) fn column(&self, place: Place, path: &Path) -> Result<Column, StoreError> {
        let bytes = self.bytes.get(place.start..place.start + place.len);
        let column = bytes.and_then(|bytes| segment::column(bytes, self.segment.times.len()));
        column.ok_or_else(|| damaged("segment", path, self.segment.id))
    }
}
