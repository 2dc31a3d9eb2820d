//! What grows old or too much: samples become minutes, minutes become hours, hours and changes are deleted.
//!
//! Each step is one transaction: at any moment a time is told of by exactly one tier.

use std::path::Path;

use holdfast_core::model::Timestamp;
use rusqlite::{Connection, params};

use super::super::error::{Context, StoreError};
use super::disk::{Disk, delete_segment};
use super::stored::{Segments, Whole};
use super::tiers::{self, HOURS, MINUTES, SAMPLES};
use super::{TelemetryOptions, roll, seal};

/// Segments that are dealt with for their age at once: a clock that jumps ahead costs so much, not everything.
const EXPIRED_AT_ONCE: i64 = 8;
/// Segments of minutes that become one of hours: those of a day, however short they are.
const DAY_SEGMENTS_MAX: i64 = 256;
pub(super) const DAY_NS: i64 = 86_400_000_000_000;
const WHAT: &str = "delete old data";

/// Shares of the cap that the coarser tiers may use, one part in so many: beyond it they make room before samples do.
const MINUTES_SHARE: u64 = 4;
const HOURS_SHARE: u64 = 8;
/// The same for changes, each taken for so many bytes.
const CHANGES_SHARE: u64 = 8;
const CHANGE_BYTES: u64 = 1_024;

/// Which tiers there are: a tier that is kept no longer than the finer one is none.
pub(super) fn next_tier(tier: u8, options: &TelemetryOptions) -> Option<u8> {
    let minutes = options.minutes > options.retention;
    let hours = options.hours > options.retention.max(if minutes { options.minutes } else { options.retention });
    match tier {
        SAMPLES if minutes => Some(MINUTES),
        SAMPLES | MINUTES if hours => Some(HOURS),
        _ => None,
    }
}

/// What room is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Changes,
    Tier(u8),
}

/// What room is made of, dearest first: changes and coarser tiers beyond their share, then samples, then the coarser tiers, then
/// changes. One may come twice.
pub(super) fn order(db: &Connection, path: &Path, budget: u64) -> Result<Vec<Victim>, StoreError> {
    let mut order = vec![Victim::Tier(SAMPLES), Victim::Tier(MINUTES), Victim::Tier(HOURS), Victim::Changes];
    for (tier, share) in [(MINUTES, MINUTES_SHARE), (HOURS, HOURS_SHARE)] {
        if bytes_of(db, path, tier)? > budget / share {
            order.insert(0, Victim::Tier(tier));
        }
    }
    let changes = ids(db, path, "SELECT ifnull(max(number) - min(number) + 1, 0) FROM change", [])?;
    let changes = changes.first().and_then(|count| u64::try_from(*count).ok()).unwrap_or(0);
    if changes * CHANGE_BYTES > budget / CHANGES_SHARE {
        order.insert(0, Victim::Changes);
    }
    Ok(order)
}

/// Pages from which on room is made.
pub(super) fn goal(pages_max: u64) -> u64 {
    pages_max - pages_max / 8
}

/// Bytes of a tier's columns, about: its rows are full but for the last of each segment.
pub(super) fn bytes_of(db: &Connection, path: &Path, tier: u8) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(sum((SELECT max(page.id) - (segment.id << 20) + 1 FROM page
            WHERE page.id >= segment.id << 20 AND page.id < (segment.id + 1) << 20) * page_bytes), 0)
          FROM segment WHERE tier = ?";
    Ok(ids(db, path, sql, [tier])?.first().and_then(|bytes| u64::try_from(*bytes).ok()).unwrap_or(0))
}

fn ids(db: &Connection, path: &Path, sql: &str, values: impl rusqlite::Params) -> Result<Vec<i64>, StoreError> {
    let mut statement = db.prepare(sql).during(WHAT, path)?;
    let rows = statement.query_map(values, |row| row.get(0)).during(WHAT, path)?;
    rows.collect::<rusqlite::Result<_>>().during(WHAT, path)
}

impl Disk {
    /// Retires what is too old, seen from `now`.
    pub(super) fn expire(&mut self, now: Timestamp, options: &TelemetryOptions) -> Result<(), StoreError> {
        let samples_before = now.minus(options.retention).ns();
        for id in self.expired(SAMPLES, samples_before, EXPIRED_AT_ONCE)? {
            self.retire(SAMPLES, &[id], next_tier(SAMPLES, options))?;
        }
        // Whole days, so that an hour is put together once.
        let minutes_before = tiers::start_of(now.minus(options.minutes.max(options.retention)).ns(), DAY_NS);
        let days = self.expired(MINUTES, minutes_before, DAY_SEGMENTS_MAX)?;
        if let Some(first) = days.first() {
            let day = self.same_day(*first)?;
            self.retire(MINUTES, &day, next_tier(MINUTES, options))?;
        }
        let longest = options.hours.max(options.minutes).max(options.retention);
        for id in self.expired(HOURS, now.minus(longest).ns(), EXPIRED_AT_ONCE)? {
            self.retire(HOURS, &[id], None)?;
        }
        let changes_before = now.minus(options.changes).ns();
        for table in ["change", "gap"] {
            let sql = format!(
                "DELETE FROM {table} WHERE number IN (SELECT number FROM {table} WHERE at < ? ORDER BY at LIMIT 5000)"
            );
            self.db.execute(&sql, [changes_before]).during(WHAT, &self.path)?;
        }
        let (free, all) = (self.pragma("freelist_count")?, self.pragma("page_count")?);
        if free > 512 && free > all / 4 {
            self.vacuum(free / 2)?;
        }
        Ok(())
    }

    fn ids(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<i64>, StoreError> {
        ids(&self.db, &self.path, sql, values)
    }

    fn expired(&self, tier: u8, before: i64, at_most: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM segment WHERE tier = ? AND last_at < ? ORDER BY last_seq LIMIT ?";
        self.ids(sql, params![tier, before, at_most])
    }

    /// Segments of minutes that begin on the same day as this one.
    fn same_day(&self, id: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM segment WHERE tier = ?1 AND first_at / ?2 =
              (SELECT first_at / ?2 FROM segment WHERE id = ?3) ORDER BY last_seq LIMIT ?4";
        self.ids(sql, params![MINUTES, DAY_NS, id, DAY_SEGMENTS_MAX])
    }

    /// Makes room when the cap is near. True when something was retired.
    pub(super) fn make_room(&mut self, options: &TelemetryOptions) -> Result<bool, StoreError> {
        let goal = goal(self.pages_max);
        let mut retired = false;
        while self.pragma("page_count")? - self.pragma("freelist_count")? > goal {
            if !self.retire_oldest(options)? {
                break;
            }
            retired = true;
        }
        Ok(retired)
    }

    /// Retires what is dearest. False when there is nothing left.
    fn retire_oldest(&mut self, options: &TelemetryOptions) -> Result<bool, StoreError> {
        let budget = self.pages_max * self.pragma("page_size")?;
        let oldest = "SELECT id FROM segment WHERE tier = ? ORDER BY last_seq LIMIT 1";
        for victim in order(&self.db, &self.path, budget)? {
            let Victim::Tier(tier) = victim else {
                if self.delete_changes()? {
                    return Ok(true);
                }
                continue;
            };
            let Some(id) = self.ids(oldest, [tier])?.first().copied() else { continue };
            let chosen = if tier == MINUTES { self.same_day(id)? } else { vec![id] };
            self.retire(tier, &chosen, next_tier(tier, options))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Deletes the oldest changes. False when there are none.
    fn delete_changes(&self) -> Result<bool, StoreError> {
        let sql = "DELETE FROM change WHERE number IN (SELECT number FROM change ORDER BY at LIMIT 1000)";
        Ok(self.db.execute(sql, []).during("make room", &self.path)? > 0)
    }

    /// Deletes segments of one tier, and keeps of them what the next tier keeps.
    fn retire(&mut self, tier: u8, ids: &[i64], next: Option<u8>) -> Result<(), StoreError> {
        let path = self.path.clone();
        let transaction = self.db.transaction().during(WHAT, &path)?;
        let kept = match next.and_then(|next| Some((next, tiers::step_ns(next)?))) {
            Some((next, step_ns)) => {
                let mut segments = Segments::new(&transaction, &path)?;
                // What does not decode would be deleted anyhow: it leaves nothing behind.
                let of: Vec<Whole> = ids.iter().filter_map(|id| segments.whole(*id).ok()).collect();
                match roll::up(&transaction, &of, (tier, next), step_ns, &path) {
                    Err(error) if error.is_corrupt() => None,
                    rolled => rolled?,
                }
            }
            None => None,
        };
        for id in ids {
            delete_segment(&transaction, *id).during(WHAT, &path)?;
        }
        if let Some((stretch, sealed)) = kept {
            seal::write_segment(&transaction, &stretch, &sealed, self.page_bytes).during(WHAT, &path)?;
        }
        transaction.commit().during(WHAT, &path)
    }
}
