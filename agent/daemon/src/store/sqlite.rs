//! What both databases share: opening, numbered migrations, a small pool of read-only connections.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::{Context, StoreError};

/// Longest wait for a lock that another connection holds: checkpoints and recovery only.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle read-only connections that are kept.
const IDLE_READERS_MAX: usize = 4;

/// Opens (or creates) the one writing connection. `before` runs first: settings that must precede the first page.
pub(super) fn open_writer(path: &Path, before: &str, synchronous: &str) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).during("open", path)?;
    db.busy_timeout(BUSY_TIMEOUT).during("open", path)?;
    db.execute_batch(before).during("open", path)?;
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).during("open", path)?;
    if mode != "wal" {
        let why = format!("the file system gives journal mode `{mode}`, not `wal`");
        return Err(StoreError::Encoding { what: "journal", path: path.to_owned(), why });
    }
    db.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF"
    ))
    .during("open", path)?;
    Ok(db)
}

/// Brings the schema from its `user_version` to the last of `migrations`, each step in its own transaction.
pub(super) fn migrate(db: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let known = migrations.len() as i64;
    let found: i64 =
        db.query_row("PRAGMA user_version", [], |row| row.get(0)).during("read the schema version", path)?;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    for (index, migration) in migrations.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let step = db.transaction().during("migrate the schema", path)?;
        step.execute_batch(migration).during("migrate the schema", path)?;
        step.pragma_update(None, "user_version", index as i64 + 1).during("migrate the schema", path)?;
        step.commit().during("migrate the schema", path)?;
    }
    Ok(())
}

/// A transaction whose statements are prepared once: for what is written every second. Rolled back unless committed.
#[derive(Debug)]
pub(super) struct Frequent<'c> {
    db: &'c Connection,
    open: bool,
}

impl<'c> Frequent<'c> {
    pub(super) fn begin(db: &'c Connection) -> rusqlite::Result<Self> {
        db.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self { db, open: true })
    }

    /// A failed commit is rolled back.
    pub(super) fn commit(mut self) -> rusqlite::Result<()> {
        self.db.prepare_cached("COMMIT")?.execute([])?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Frequent<'_> {
    fn drop(&mut self) {
        // A full disk has rolled back already; then there is nothing left to undo.
        if self.open && !self.db.is_autocommit() {
            let _ = self.db.execute_batch("ROLLBACK");
        }
    }
}

/// Read-only connections to one database; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<(u64, Connection)>>,
    /// Raised when the file behind the path is replaced: older connections are not used again.
    generation: AtomicU64,
}

impl Pool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner { path, idle: Mutex::new(Vec::new()), generation: AtomicU64::new(0) }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(super) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Forgets every connection: the file was replaced.
    pub(super) fn renew(&self) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs `work` in one read transaction: it sees one moment of the database.
    pub(super) fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = &self.0.path;
        let now = self.generation();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.pop().filter(|(made, _)| *made == now);
        drop(idle);
        let db = match kept {
            Some((_, db)) => db,
            None => self.open().during(what, path)?,
        };
        db.execute_batch("BEGIN").during(what, path)?;
        let result = work(&db);
        db.execute_batch("ROLLBACK").during(what, path)?;
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS_MAX && now == self.generation() {
            idle.push((now, db));
        }
        result
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.0.path, flags)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF")?;
        Ok(db)
    }
}
