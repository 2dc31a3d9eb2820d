//! From a finer tier to the next: the columns of some segments as the columns of one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;

use super::super::error::{Context, StoreError};
use super::merge::by_series;
use super::seal::{self, Stretch};
use super::segment::{Builder, Column, Effort, Place, Sealed};
use super::stored::Whole;
use super::tiers::{self, PARTS, Part, SAMPLES};

const WHAT: &str = "make old samples coarser";

/// Where a series' columns lie: which part of it each tells of, in which of the segments, and where in it.
type Places = Vec<(u32, usize, Place)>;

fn counters(db: &Connection, path: &Path) -> Result<BTreeSet<u32>, StoreError> {
    let mut statement = db.prepare("SELECT id FROM series WHERE kind = 'counter'").during(WHAT, path)?;
    let rows = statement.query_map([], |row| row.get(0)).during(WHAT, path)?;
    rows.collect::<rusqlite::Result<_>>().during(WHAT, path)
}

/// The steps of a coarser tier's segment that one series has, from its columns.
pub(super) fn parts(times: &[i64], columns: impl Iterator<Item = (u32, Column)>) -> Vec<(i64, Part)> {
    let mut found: Vec<Option<Part>> = vec![None; times.len()];
    for (part, column) in columns {
        for (tick, value) in column.points() {
            if let Some(slot) = found.get_mut(tick) {
                slot.get_or_insert_default().set(part, value);
            }
        }
    }
    times.iter().zip(found).filter_map(|(at, part)| Some((*at, part?))).collect()
}

/// What `tiers.1` keeps of segments of `tiers.0`; `None` when they hold nothing.
pub(super) fn up(
    db: &Connection,
    of: &[Whole],
    tiers: (u8, u8),
    step_ns: i64,
    path: &Path,
) -> Result<Option<(Stretch, Sealed)>, StoreError> {
    let first_seq = of.iter().map(|whole| whole.segment.first_seq).min();
    let last_seq = of.iter().map(|whole| whole.segment.last_seq).max();
    let (Some(first_seq), Some(last_seq)) = (first_seq, last_seq) else { return Ok(None) };
    let counters = counters(db, path)?;
    let starts: BTreeSet<i64> =
        of.iter().flat_map(|whole| whole.segment.times.iter().map(|at| tiers::start_of(*at, step_ns))).collect();
    let times: Vec<i64> = starts.into_iter().collect();
    let mut series: BTreeMap<u32, Places> = BTreeMap::new();
    for (key, places) in by_series(of) {
        let (id, part) = if tiers.0 == SAMPLES { (key, 0) } else { (key / PARTS, key % PARTS) };
        series.entry(id).or_default().extend(places.into_iter().map(|(index, place)| (part, index, place)));
    }
    let mut builder = Builder::new(&times, Effort::Full).ok_or_else(|| seal::refused(path))?;
    for (id, places) in series {
        let counter = counters.contains(&id);
        let steps = steps(of, &places, tiers.0, step_ns, counter, path)?;
        let mut columns: Vec<Column> = Vec::new();
        for (start, part) in steps {
            let Ok(tick) = times.binary_search(&start) else { continue };
            for (index, value) in part.columns(counter).enumerate() {
                if columns.len() == index {
                    columns.push(Column::default());
                }
                if let Some(column) = columns.get_mut(index) {
                    column.push(tick, value);
                }
            }
        }
        for (index, column) in columns.iter().enumerate() {
            builder.push(id * PARTS + index as u32, column).ok_or_else(|| seal::refused(path))?;
        }
    }
    Ok(Some((Stretch { tier: tiers.1, merged: true, first_seq, last_seq, times }, builder.end())))
}

/// One series' coarser steps.
fn steps(
    of: &[Whole],
    places: &Places,
    tier: u8,
    step_ns: i64,
    counter: bool,
    path: &Path,
) -> Result<BTreeMap<i64, Part>, StoreError> {
    let mut columns: BTreeMap<usize, Vec<(u32, Column)>> = BTreeMap::new();
    for (part, index, place) in places {
        let Some(whole) = of.get(*index) else { continue };
        columns.entry(*index).or_default().push((*part, whole.column(*place, path)?));
    }
    let times = |index: usize| of.get(index).map_or(&[][..], |whole| &whole.segment.times);
    if tier == SAMPLES {
        let points = columns.iter().flat_map(|(index, columns)| {
            let times = times(*index);
            columns.iter().flat_map(move |(_, column)| {
                column.points().filter_map(move |(tick, value)| Some((*times.get(tick)?, value)))
            })
        });
        return Ok(tiers::roll(points, step_ns, counter));
    }
    let mut found: BTreeMap<i64, Part> = BTreeMap::new();
    for (index, columns) in columns {
        for (at, part) in parts(times(index), columns.into_iter()) {
            found.entry(tiers::start_of(at, step_ns)).or_default().add(&part);
        }
    }
    Ok(found)
}
