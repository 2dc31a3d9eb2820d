//! The file of `telemetry.db`: opening it, setting a damaged one aside, its size and what is deleted to keep it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use holdfast_core::model::{MetricKind, SeriesId, SeriesKey, Timestamp};
use rusqlite::Connection;

use super::super::error::{Context, StoreError};
use super::super::sqlite;
use super::cursors::Cursors;
use super::ledger;
use super::stored::Segments;
use super::{SeriesRegistry, Shared, StoreEvent, TelemetryOptions, schema, seal};
use crate::telemetry::Chain;

/// Least size that the cap can ask for, in bytes.
const SIZE_FLOOR_BYTES: u64 = 4 << 20;
/// Share of the cap that the write-ahead log may use: one part in so many, and at most [`WAL_MAX_BYTES`].
const WAL_SHARE: u64 = 4;
const WAL_MAX_BYTES: u64 = 8 << 20;
/// Damaged files that are kept; older ones are deleted.
const SET_ASIDE_MAX: usize = 2;

/// The writing connection and the sizes it is held to.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    pub(super) pages_max: u64,
    /// Bytes that the write-ahead log may use.
    wal_max: u64,
    /// Bytes of columns in one row of `page`.
    pub(super) page_bytes: usize,
    /// Bytes of columns that one transaction may merge.
    pub(super) merge_bytes_max: u64,
}

/// What one size cap comes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// Bytes of the file and its log.
    pub(super) size: u64,
    /// Pages of the file.
    pub(super) pages: u64,
    /// Bytes that the write-ahead log may use.
    log: u64,
}

impl Caps {
    pub(super) fn of(size_max_bytes: u64, page_size: u64) -> Self {
        let size = size_max_bytes.max(SIZE_FLOOR_BYTES);
        let log = (size / WAL_SHARE).min(WAL_MAX_BYTES);
        Self { size, pages: (size - log) / page_size.max(1), log }
    }
}

impl Disk {
    pub(super) fn open(
        path: &Path,
        options: &TelemetryOptions,
        shared: &Shared,
    ) -> Result<(Self, SeriesRegistry), StoreError> {
        let opened = Self::open_once(path, options).and_then(|disk| {
            disk.forget_series(options.series_max, None)?;
            Ok((disk.series()?, disk))
        });
        let (series, disk) = match opened {
            Err(error) if error.is_corrupt() => {
                let aside = set_aside(path, options.opened_at, &error, shared)?;
                let disk = Self::open_once(path, options)?;
                Cursors::saved_from(&aside).write(&disk.db, path)?;
                (Vec::new(), disk)
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
        let _ = set_aside(&path, at, error, shared)?;
        Self::open_once(&path, options)
    }

    fn open_once(path: &Path, options: &TelemetryOptions) -> Result<Self, StoreError> {
        let mut db = sqlite::open_writer(path, schema::BEFORE, "NORMAL")?;
        let page_size: i64 =
            db.query_row("PRAGMA page_size", [], |row| row.get(0)).during("read the page size", path)?;
        let page_size = u64::try_from(page_size).unwrap_or(0).max(512);
        let Caps { pages: pages_max, log: wal_max, .. } = Caps::of(options.size_max_bytes, page_size);
        // Half of the log's share until it is copied back, so that one large transaction still fits into the rest.
        db.pragma_update(None, "wal_autocheckpoint", (wal_max / 2 / page_size) as i64).during("open", path)?;
        sqlite::migrate(&mut db, path, schema::MIGRATIONS)?;
        let mut disk = Self {
            db,
            path: path.to_owned(),
            pages_max,
            wal_max,
            page_bytes: seal::page_data_bytes(page_size),
            merge_bytes_max: wal_max / 4,
        };
        disk.hold_to_cap(options)?;
        Ok(disk)
    }

    pub(super) fn pragma(&self, name: &str) -> Result<u64, StoreError> {
        let value: i64 = self
            .db
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
            .during("read the size of the database", &self.path)?;
        Ok(u64::try_from(value).unwrap_or(0))
    }

    /// Copies the log back when a reader has kept it from being used again, before it can outgrow its share.
    pub(super) fn bound_log(&self) -> Result<(), StoreError> {
        let log = fs::metadata(beside(&self.path, "-wal")).map_or(0, |m| m.len());
        if log <= self.wal_max * 3 / 4 {
            return Ok(());
        }
        let (what, path) = ("copy the log back", &self.path);
        let busy = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).during(what, path);
        if log > self.wal_max && busy? {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            let why = "a reader keeps the log from being copied back".to_owned();
            return Err(StoreError::sql(what, path, rusqlite::Error::SqliteFailure(code, Some(why))));
        }
        Ok(())
    }

    /// Bytes of the database and its log on disk.
    pub(super) fn bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |m| m.len());
        size(&self.path) + size(&beside(&self.path, "-wal"))
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

    /// Holds the file to its cap. A cap that was lowered is reached by deleting the oldest data and giving pages back.
    fn hold_to_cap(&mut self, options: &TelemetryOptions) -> Result<(), StoreError> {
        let all = self.pragma("page_count")?;
        if all > self.pages_max {
            self.make_room(options)?;
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
            let decoded = sealed
                .whole(id)
                .and_then(|whole| whole.places.iter().try_for_each(|place| whole.column(*place, &self.path).map(drop)));
            if decoded.is_err_and(|error| error.is_corrupt()) {
                delete_segment(&self.db, id).during(what, &self.path)?;
                lost += u64::try_from(samples).unwrap_or(0);
            }
        }
        Ok(lost)
    }

    pub(super) fn vacuum(&self, pages: u64) -> Result<(), StoreError> {
        let what = "give free space back";
        let mut statement = self.db.prepare(&format!("PRAGMA incremental_vacuum({pages})")).during(what, &self.path)?;
        let mut rows = statement.query([]).during(what, &self.path)?;
        while rows.next().during(what, &self.path)?.is_some() {}
        Ok(())
    }
}

pub(super) fn delete_segment(db: &Connection, segment: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM page WHERE id >= ?1 << 20 AND id < (?1 + 1) << 20", [segment])?;
    db.execute("DELETE FROM segment WHERE id = ?", [segment])?;
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Renames the file and its log; the shared-memory index is worthless without them. What it held is lost to every reader, which
/// the gap ledger of the next file tells. Gives the new name.
fn set_aside(path: &Path, at: Timestamp, error: &StoreError, shared: &Shared) -> Result<PathBuf, StoreError> {
    let aside = beside(path, &format!(".corrupt-{}", at.ns() / 1_000_000_000));
    fs::rename(path, &aside).during("set aside", path)?;
    let _ = fs::rename(beside(path, "-wal"), beside(&aside, "-wal"));
    let _ = fs::remove_file(beside(path, "-shm"));
    forget_older(path);
    let (mut held, mut oldest) = (0, None);
    shared.stats(|stats| {
        stats.set_aside += 1;
        (held, oldest) = (stats.samples_held, stats.oldest);
    });
    let known = match oldest {
        Some(oldest) => format!("with the samples since {oldest}"),
        None => "with an unknown number of samples".to_owned(),
    };
    let name = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    shared.lost.fetch_add(held, Ordering::Relaxed);
    shared.owed().add(ledger::lost(
        at,
        held.max(1),
        format!("the database was damaged and set aside as {name}, {known}"),
    ));
    shared.event(StoreEvent::CorruptSetAside { path: aside.clone(), why: Chain(error).to_string() });
    Ok(aside)
}

/// Damaged files that were set aside and are still there, oldest first; their logs are not told.
pub(super) fn files_aside(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.corrupt-", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut aside: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix)))
        .filter(|p| !p.to_string_lossy().ends_with("-wal"))
        .collect();
    aside.sort();
    aside
}

/// Damaged files must not fill the disk: the newest few are kept.
fn forget_older(path: &Path) {
    for old in files_aside(path).iter().rev().skip(SET_ASIDE_MAX) {
        let _ = fs::remove_file(old);
        let _ = fs::remove_file(beside(old, "-wal"));
    }
}
