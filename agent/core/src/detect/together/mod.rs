//! Series that come together, one row each ten seconds: the host's, and each unit's. What departs beside a finding is its evidence.
//!
//! [`Host`] says how odd a row is and which series make it so. It opens no finding of its own: measured on labelled hosts it would be
//! wrong every other day (docs/detection.md). For a finding of the host it is also told which units use more than they did.
//!
//! Bounded: one host of 36 series with their seasons, about 120 KiB, and at most [`UNITS_MAX`] units of 9 without, 2 KiB each. A row
//! costs O(n²): some 5 µs of CPU for the host, less than 1 for a unit. What is missing takes no part; after a silence nothing is carried on.

mod places;
mod tell;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::odd::Host;
use super::silence::FORGOTTEN_AFTER;
use crate::model::{SeriesKey, Timestamp};

/// Between two rows: as often as units are read.
const ROW_S: i64 = 10;
/// Units at once.
const UNITS_MAX: usize = 64;
/// When all places are taken, a unit that was silent for longer gives way to one that is not.
const GIVES_WAY: Duration = Duration::from_mins(10);
/// A number stands for so long: series come at their own times.
const STANDS: Duration = Duration::from_secs(30);

/// Where a series stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    group: usize,
    /// Who had the group's place then.
    owner: u32,
    place: usize,
}

/// One number of the next row.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Sum {
    added: f64,
    /// Different moments since the last row.
    moments: u32,
    at: Timestamp,
    /// In the last row.
    value: Option<f64>,
}

/// The series of one owner.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Group {
    /// Empty: the host.
    unit: String,
    /// Each that ever had a place has its own number.
    #[serde(default)]
    owner: u32,
    sums: Vec<Sum>,
    host: Host,
    score: f64,
    heard_at: Timestamp,
}

impl Group {
    fn new(unit: &str) -> Self {
        let (count, host) = if unit.is_empty() {
            (places::HOST.len(), Host::new(places::HOST.len()))
        } else {
            (places::UNIT.len(), Host::plain(places::UNIT.len()))
        };
        Self { unit: unit.to_owned(), sums: vec![Sum::default(); count], host, ..Self::default() }
    }

    fn places(&self) -> &'static [places::Place] {
        if self.unit.is_empty() { &places::HOST } else { &places::UNIT }
    }

    fn row(&mut self, at: Timestamp, row: &mut Vec<f64>, least: &mut Vec<f64>) {
        row.clear();
        least.clear();
        for sum in &mut self.sums {
            if sum.moments > 0 {
                sum.value = Some(sum.added / f64::from(sum.moments));
                (sum.added, sum.moments) = (0.0, 0);
            } else if at.since(sum.at) > STANDS {
                sum.value = None;
            }
            row.push(sum.value.unwrap_or(f64::NAN));
        }
        if row.iter().all(|it| it.is_nan()) {
            self.score = 0.0;
            return;
        }
        least.extend(self.places().iter().map(|it| it.least));
        self.score = self.host.push(at, row, least).score;
    }
}

/// All that come together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Together {
    /// The number of the row that is being filled.
    row: i64,
    groups: Vec<Group>,
    #[serde(default)]
    owners: u32,
}

impl Together {
    /// Whether the series has a place, and there is room for its owner.
    pub(super) fn wants(&self, key: &SeriesKey) -> bool {
        match places::unit_of(key) {
            None => places::find(&places::HOST, key).is_some(),
            Some(unit) => {
                places::find(&places::UNIT, key).is_some()
                    && (self.groups.iter().any(|it| it.unit == unit) || self.has_room())
            }
        }
    }

    /// Whether its unit would have a place if there was room.
    pub(super) fn has_place(key: &SeriesKey) -> bool {
        places::unit_of(key).is_some() && places::find(&places::UNIT, key).is_some()
    }

    /// Whether another unit would find room.
    pub(super) fn has_room(&self) -> bool {
        self.groups.len() <= UNITS_MAX || self.silent_longest().is_some()
    }

    /// The unit that gives way to another.
    fn silent_longest(&self) -> Option<usize> {
        let now = Timestamp::from_secs(self.row * ROW_S);
        let silent = |it: &(usize, &Group)| !it.1.unit.is_empty() && now.since(it.1.heard_at) > GIVES_WAY;
        let longest = self.groups.iter().enumerate().filter(silent).min_by_key(|it| it.1.heard_at);
        longest.map(|(index, _)| index)
    }

    /// Where a series stands, made where it is not there yet.
    pub(super) fn standing(&mut self, key: &SeriesKey) -> Option<Standing> {
        if !self.wants(key) {
            return None;
        }
        let unit = places::unit_of(key);
        let place = places::find(if unit.is_some() { &places::UNIT } else { &places::HOST }, key)?;
        let unit = unit.unwrap_or_default();
        let group = match self.groups.iter().position(|it| it.unit == unit) {
            Some(known) => known,
            None => self.place(unit)?,
        };
        Some(Standing { group, owner: self.groups.get(group)?.owner, place })
    }

    /// A new group, at the place of one that gives way when all are taken.
    fn place(&mut self, unit: &str) -> Option<usize> {
        self.owners = self.owners.wrapping_add(1);
        // It is heard from now on, or it gives way itself.
        let heard_at = Timestamp::from_secs(self.row * ROW_S);
        let group = Group { owner: self.owners, heard_at, ..Group::new(unit) };
        if unit.is_empty() || self.groups.len() <= UNITS_MAX {
            self.groups.push(group);
            return Some(self.groups.len() - 1);
        }
        let index = self.silent_longest()?;
        self.groups[index] = group;
        Some(index)
    }

    /// One value, or rate. Whether it still has the place.
    pub(super) fn put(&mut self, standing: Standing, at: Timestamp, value: f64) -> bool {
        let group = self.groups.get_mut(standing.group).filter(|it| it.owner == standing.owner);
        let Some(group) = group else { return false };
        let Some(sum) = group.sums.get_mut(standing.place) else { return false };
        group.heard_at = at;
        sum.added += value;
        sum.moments += u32::from(sum.at != at || sum.moments == 0);
        sum.at = at;
        true
    }

    /// A moment begins: rows that are full are judged.
    pub(super) fn step(&mut self, at: Timestamp) {
        let now = at.ns().div_euclid(ROW_S * 1_000_000_000);
        if now == self.row {
            return;
        }
        self.row = now;
        let (mut row, mut least) = (Vec::new(), Vec::new());
        for group in &mut self.groups {
            group.row(at, &mut row, &mut least);
        }
    }

    /// Lets go of units that were not heard for long. Standings are void afterwards.
    pub(super) fn forget(&mut self, at: Timestamp) {
        self.groups.retain(|it| it.unit.is_empty() || at.since(it.heard_at) <= FORGOTTEN_AFTER);
    }

    /// Whether what was saved fits the lists of now.
    pub(super) fn fits(&self) -> bool {
        self.groups.len() <= UNITS_MAX + 1
            && self.groups.iter().all(|it| it.sums.len() == it.places().len() && it.host.series() == it.places().len())
    }
}
