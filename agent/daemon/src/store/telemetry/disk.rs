//! The file of `telemetry.db`: opening it, setting a damaged one aside, its size and what is deleted to keep it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{MetricKind, SeriesId, SeriesKey, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::error::{Context, StoreError};
use super::super::sqlite;
use super::stored::Segments;
use super::{SeriesRegistry, Shared, StoreEvent, TelemetryOptions, schema, seal};
use crate::telemetry::Chain;

const PAGE_BYTES: u64 = 4_096;
/// Least size that the cap can ask for, in bytes.
const SIZE_FLOOR_BYTES: u64 = 4 << 20;
/// Share of the cap that the write-ahead log may use: one part in so many, and at most [`WAL_MAX_PAGES`].
const WAL_SHARE: u64 = 4;
const WAL_MAX_PAGES: u64 = 2_048;
/// Segments deleted for their age at once: a clock that jumps ahead costs so much, not everything.
const EXPIRED_AT_ONCE: i64 = 8;
/// Damaged files that are kept; older ones are deleted.
const SET_ASIDE_MAX: usize = 2;

/// The writing connection and the sizes it is held to.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    pages_max: u64,
}

impl Disk {
    pub(super) fn open(
        path: &Path,
        options: &TelemetryOptions,
        shared: &Shared,
    ) -> Result<(Self, SeriesRegistry), StoreError> {
        let opened = Self::open_once(path, options).and_then(|disk| {
            disk.forget_series()?;
            Ok((disk.series()?, disk))
        });
        let (series, disk) = match opened {
            Err(error) if error.is_corrupt() => {
                set_aside(path, options.opened_at, &error, shared)?;
                (Vec::new(), Self::open_once(path, options)?)
            }
            other => other?,
        };
        Ok((disk, SeriesRegistry::new(options.series_max, Arc::clone(&options.redactor), series)))
    }

    /// Sets the file aside and begins an empty one.
    pub(super) fn start_over(
        self,
        options: &TelemetryOptions,
        at: Timestamp,
        error: &StoreError,
        shared: &Shared,
    ) -> Result<Self, StoreError> {
        let path = self.path.clone();
        drop(self);
        set_aside(&path, at, error, shared)?;
        Self::open_once(&path, options)
    }

    fn open_once(path: &Path, options: &TelemetryOptions) -> Result<Self, StoreError> {
        let mut db = sqlite::open_writer(path, schema::BEFORE, "NORMAL")?;
        let pages = options.size_max_bytes.max(SIZE_FLOOR_BYTES) / PAGE_BYTES;
        let wal_pages = (pages / WAL_SHARE).min(WAL_MAX_PAGES);
        // Half of the log's share until it is copied back, so that one large transaction still fits into the rest.
        db.pragma_update(None, "wal_autocheckpoint", (wal_pages / 2) as i64).during("open", path)?;
        sqlite::migrate(&mut db, path, schema::MIGRATIONS)?;
        let mut disk = Self { db, path: path.to_owned(), pages_max: pages - wal_pages };
        disk.hold_to_cap()?;
        Ok(disk)
    }

    fn pragma(&self, name: &str) -> Result<u64, StoreError> {
        let value: i64 = self
            .db
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
            .during("read the size of the database", &self.path)?;
        Ok(u64::try_from(value).unwrap_or(0))
    }

    /// Bytes of the database and its log on disk.
    pub(super) fn bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
        size(&self.path) + size(&beside(&self.path, "-wal"))
    }

    /// Forgets series that nothing in the database belongs to any more: only before their numbers are handed out.
    fn forget_series(&self) -> Result<(), StoreError> {
        let what = "forget series";
        let mut used = std::collections::BTreeSet::new();
        seal::newest(&self.db, &self.path, |_, _, row| used.extend(row.ids.iter().copied()))?;
        let sql = "SELECT id FROM series WHERE last_at < (SELECT min(first_at) FROM segment)";
        let mut statement = self.db.prepare(sql).during(what, &self.path)?;
        let rows = statement.query_map([], |row| row.get(0)).during(what, &self.path)?;
        let gone: Vec<u32> = rows.collect::<rusqlite::Result<_>>().during(what, &self.path)?;
        for id in gone.into_iter().filter(|id| !used.contains(id)) {
            self.db.execute("DELETE FROM series WHERE id = ?", [id]).during(what, &self.path)?;
            self.db.execute("DELETE FROM counter_reset WHERE series = ?", [id]).during(what, &self.path)?;
        }
        Ok(())
    }

    fn series(&self) -> Result<Vec<(SeriesId, SeriesKey)>, StoreError> {
        let what = "read the series";
        let mut statement =
            self.db.prepare("SELECT id, metric, unit, kind, attributes FROM series").during(what, &self.path)?;
        let rows = statement
            .query_map([], |row| {
                let kind: String = row.get(3)?;
                let kind = if kind == "counter" { MetricKind::Counter } else { MetricKind::Gauge };
                let attributes: String = row.get(4)?;
                let attributes = serde_json::from_str(&attributes).unwrap_or_default();
                Ok((SeriesId(row.get(0)?), SeriesKey { metric: row.get(1)?, unit: row.get(2)?, kind, attributes }))
            })
            .during(what, &self.path)?;
        rows.collect::<rusqlite::Result<_>>().during(what, &self.path)
    }

    /// Deletes what is too old, seen from `now`.
    pub(super) fn expire(&mut self, now: Timestamp, retention: Duration) -> Result<(), StoreError> {
        let before = now.minus(retention).ns();
        let transaction = self.db.transaction().during("delete old data", &self.path)?;
        let expired: Vec<i64> = {
            let mut statement = transaction
                .prepare("SELECT id FROM segment WHERE last_at < ? ORDER BY id LIMIT ?")
                .during("delete old data", &self.path)?;
            let rows = statement
                .query_map(params![before, EXPIRED_AT_ONCE], |row| row.get(0))
                .during("delete old data", &self.path)?;
            rows.collect::<rusqlite::Result<_>>().during("delete old data", &self.path)?
        };
        for segment in &expired {
            delete_segment(&transaction, *segment).during("delete old data", &self.path)?;
        }
        for table in ["change", "gap"] {
            let sql = format!(
                "DELETE FROM {table} WHERE number IN (SELECT number FROM {table} WHERE at < ? ORDER BY at LIMIT 5000)"
            );
            transaction.execute(&sql, [before]).during("delete old data", &self.path)?;
        }
        transaction.commit().during("delete old data", &self.path)?;
        let (free, all) = (self.pragma("freelist_count")?, self.pragma("page_count")?);
        if free > 512 && free > all / 4 {
            self.vacuum(free / 2)?;
        }
        Ok(())
    }

    /// Makes room when the cap is near. True when something was deleted.
    pub(super) fn make_room(&mut self) -> Result<bool, StoreError> {
        let goal = self.pages_max - self.pages_max / 8;
        let mut deleted = false;
        while self.pragma("page_count")? - self.pragma("freelist_count")? > goal {
            if !self.delete_oldest()? {
                break;
            }
            deleted = true;
        }
        Ok(deleted)
    }

    /// Deletes the oldest segment, or without one the oldest changes. False when there is nothing to delete.
    fn delete_oldest(&mut self) -> Result<bool, StoreError> {
        let what = "make room";
        let transaction = self.db.transaction().during(what, &self.path)?;
        let oldest: Option<i64> = transaction
            .query_row("SELECT id FROM segment ORDER BY id LIMIT 1", [], |row| row.get(0))
            .optional()
            .during(what, &self.path)?;
        let deleted = if let Some(segment) = oldest {
            let until: i64 = transaction
                .query_row("SELECT last_at FROM segment WHERE id = ?", [segment], |row| row.get(0))
                .during(what, &self.path)?;
            delete_segment(&transaction, segment).during(what, &self.path)?;
            transaction.execute("DELETE FROM change WHERE at < ?", [until]).during(what, &self.path)?;
            true
        } else {
            let sql = "DELETE FROM change WHERE number IN (SELECT number FROM change ORDER BY at LIMIT 1000)";
            transaction.execute(sql, []).during(what, &self.path)? > 0
        };
        transaction.commit().during(what, &self.path)?;
        Ok(deleted)
    }

    /// Holds the file to its cap. A cap that was lowered is reached by deleting the oldest data and giving pages back.
    fn hold_to_cap(&mut self) -> Result<(), StoreError> {
        let all = self.pragma("page_count")?;
        if all > self.pages_max {
            self.make_room()?;
            self.vacuum(all - self.pages_max)?;
        }
        self.db
            .query_row(&format!("PRAGMA max_page_count = {}", self.pages_max), [], |_| Ok(()))
            .during("hold the database to its size", &self.path)
    }

    /// Looks at every page: only after a reader came upon damage. Gives the number of samples that had to be dropped.
    pub(super) fn check(&self) -> Result<u64, StoreError> {
        let what = "check the database";
        let verdict: String =
            self.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).during(what, &self.path)?;
        if verdict != "ok" {
            return Err(seal::damaged("pages", &self.path, 0));
        }
        seal::newest(&self.db, &self.path, |_, _, _| {})?;
        self.drop_damaged_segments()
    }

    /// A segment whose columns do not decode costs itself, not the database. Gives the number of samples lost.
    fn drop_damaged_segments(&self) -> Result<u64, StoreError> {
        let what = "check the database";
        let mut statement = self.db.prepare("SELECT id, samples FROM segment").during(what, &self.path)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).during(what, &self.path)?;
        let segments: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>().during(what, &self.path)?;
        let mut lost = 0;
        let mut sealed = Segments::new(&self.db, &self.path)?;
        for (id, samples) in segments {
            let decoded = sealed.load(id).and_then(|s| sealed.stretch(&s, s.first_seq, s.last_seq));
            if decoded.is_err_and(|error| error.is_corrupt()) {
                delete_segment(&self.db, id).during(what, &self.path)?;
                lost += u64::try_from(samples).unwrap_or(0);
            }
        }
        Ok(lost)
    }

    fn vacuum(&self, pages: u64) -> Result<(), StoreError> {
        let what = "give free space back";
        let mut statement = self.db.prepare(&format!("PRAGMA incremental_vacuum({pages})")).during(what, &self.path)?;
        let mut rows = statement.query([]).during(what, &self.path)?;
        while rows.next().during(what, &self.path)?.is_some() {}
        Ok(())
    }
}

fn delete_segment(db: &Connection, segment: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM page WHERE id >= ?1 << 20 AND id < (?1 + 1) << 20", [segment])?;
    db.execute("DELETE FROM segment WHERE id = ?", [segment])?;
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Renames the file and its log; the shared-memory index is worthless without them.
fn set_aside(path: &Path, at: Timestamp, error: &StoreError, shared: &Shared) -> Result<(), StoreError> {
    let aside = beside(path, &format!(".corrupt-{}", at.ns() / 1_000_000_000));
    fs::rename(path, &aside).during("set aside", path)?;
    let _ = fs::rename(beside(path, "-wal"), beside(&aside, "-wal"));
    let _ = fs::remove_file(beside(path, "-shm"));
    forget_older(path);
    shared.stats(|stats| stats.set_aside += 1);
    shared.event(StoreEvent::CorruptSetAside { path: aside, why: Chain(error).to_string() });
    Ok(())
}

/// Damaged files must not fill the disk: the newest few are kept.
fn forget_older(path: &Path) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
    let prefix = format!("{}.corrupt-", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut aside: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix)))
        .filter(|p| !p.to_string_lossy().ends_with("-wal"))
        .collect();
    aside.sort();
    for old in aside.iter().rev().skip(SET_ASIDE_MAX) {
        let _ = fs::remove_file(old);
        let _ = fs::remove_file(beside(old, "-wal"));
    }
}
