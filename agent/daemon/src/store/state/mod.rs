//! `state.db`: what an acknowledged write has put here survives power loss.
//!
//! One owner, the event loop; every commit is one fsynced transaction (WAL, `synchronous = FULL`). The audit chain can
//! only grow: triggers forbid UPDATE and DELETE, and the chain's own hashes and MACs show whoever gets round them.

mod blobs;
mod counts;
mod episodes;
mod expire;
mod in_use;
mod key;
mod reader;
mod schema;
mod verify;
mod versions;
mod writes;

use std::fs::File;
use std::path::{Path, PathBuf};

use holdfast_core::model::AuditEntry;
use holdfast_core::model::audit::{AuditKey, Draft, Head, seal};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::error::{Context, StoreError};
use super::sqlite::{self, Pool};
use crate::telemetry::Chain;

pub use blobs::{Blobs, ContentsPlan, Swept};
pub use counts::StateCounts;
pub use episodes::{EPISODES_BYTES_MAX, EpisodeHead};
pub use expire::{Expired, Sent};
pub use in_use::InUse;
pub use key::load_or_create_audit_key;
pub use reader::{
    AuditRow, DecisionFilter, DeploymentFilter, Documents, FindingFilter, IncidentFilter, RemediationFilter, Revised,
    StateReader,
};
pub use verify::{AUDIT_HEADS_FILE, ChainReport, Completeness, Integrity, read_anchors, verify_chain};
pub use versions::{BaselineVersion, VERSIONS_READ_MAX, VersionEntry, together};
pub use writes::{BaselineFile, PluginStateWrite, TUNING_SETTING, Writes, items_setting};

/// The database's name within the data directory.
const FILE: &str = "state.db";
/// Held locked while an agent runs on the directory.
const LOCK_FILE: &str = "holdfast.lock";
/// Entries between two anchors in [`AUDIT_HEADS_FILE`].
const ANCHOR_EVERY: u64 = 32;

/// The owner of `state.db`: the only one that writes it.
#[derive(Debug)]
pub struct StateDb {
    db: Connection,
    dir: PathBuf,
    path: PathBuf,
    key: AuditKey,
    head: Head,
    anchored: u64,
    pool: Pool,
    _lock: File,
}

impl StateDb {
    /// Opens or creates `state.db` in `dir`. Refused while another agent uses the directory.
    pub fn open(dir: &Path, key: AuditKey) -> Result<Self, StoreError> {
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        // An agent that is gone for a second must not leave a WAL larger than this behind (bytes); and what is deleted, such as the samples
        // of a person, must not stay in a free page.
        let mut db =
            sqlite::open_writer(&path, "PRAGMA journal_size_limit = 8388608; PRAGMA secure_delete = ON", "FULL")?;
        sqlite::migrate(&mut db, &path, schema::MIGRATIONS)?;
        let head = stored_head(&db, &path)?;
        let anchored = read_anchors(dir)?.iter().map(|a| a.seq).max().unwrap_or(0);
        let pool = Pool::new(path.clone());
        Ok(Self { db, dir: dir.to_owned(), path, key, head, anchored, pool, _lock: lock })
    }

    /// Writes everything or nothing, durably, and gives back the audit entries as they were chained.
    pub fn commit(&mut self, writes: Writes) -> Result<Vec<AuditEntry>, StoreError> {
        let result = self.try_commit(writes);
        if result.is_err()
            && let Ok(head) = stored_head(&self.db, &self.path)
        {
            // Whatever became of the failed commit, the next one continues the chain as it lies on disk.
            self.head = head;
        }
        result
    }

    fn try_commit(&mut self, writes: Writes) -> Result<Vec<AuditEntry>, StoreError> {
        let path = &self.path;
        let transaction = self.db.transaction().during("begin a transaction", path)?;
        let drafts = writes.apply(&transaction, path)?;
        let (entries, head) = chain(&transaction, path, &self.key, &self.head, drafts)?;
        transaction.commit().during("commit", path)?;
        self.head = head;
        if self.head.seq >= self.anchored + ANCHOR_EVERY
            && let Err(error) = self.anchor()
        {
            // The commit stands; the anchor is tried again with the next one.
            tracing::warn!(error = %Chain(&error), "Audit anchor not written.");
        }
        Ok(entries)
    }

    /// The end of the audit chain.
    pub fn audit_head(&self) -> &Head {
        &self.head
    }

    /// Adds the present head to [`AUDIT_HEADS_FILE`]: at a clean stop, and by itself every few entries.
    pub fn anchor(&mut self) -> Result<(), StoreError> {
        if self.head.seq > self.anchored {
            verify::append_anchor(&self.dir, &self.head)?;
            self.anchored = self.head.seq;
        }
        Ok(())
    }

    /// Readers beside the writer.
    pub fn reader(&self) -> StateReader {
        StateReader::new(self.pool.clone())
    }
}

fn stored_head(db: &Connection, path: &Path) -> Result<Head, StoreError> {
    let newest = db
        .query_row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok(Head { seq: row.get::<_, i64>(0)? as u64, hash: row.get(1)? })
        })
        .optional()
        .during("read the audit head", path)?;
    Ok(newest.unwrap_or_else(Head::empty))
}

fn chain(
    db: &Transaction<'_>,
    path: &Path,
    key: &AuditKey,
    head: &Head,
    drafts: Vec<Draft>,
) -> Result<(Vec<AuditEntry>, Head), StoreError> {
    let mut head = head.clone();
    let mut entries = Vec::with_capacity(drafts.len());
    let mut insert = db
        .prepare("INSERT INTO audit (seq, at, kind, actor, subject, body, prev, hash, mac) VALUES (?,?,?,?,?,?,?,?,?)")
        .during("append to the audit chain", path)?;
    for draft in drafts {
        let entry = seal(&head, draft, key);
        let kind = writes::word(&entry.kind);
        insert
            .execute(params![
                entry.seq as i64,
                entry.at.ns(),
                kind,
                entry.actor,
                entry.subject,
                entry.body.to_string(),
                entry.prev,
                entry.hash,
                entry.mac
            ])
            .during("append to the audit chain", path)?;
        head = Head { seq: entry.seq, hash: entry.hash.clone() };
        entries.push(entry);
    }
    Ok((entries, head))
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).during("open the lock file", &path)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path }),
        Err(error) => Err(StoreError::io("lock", &path, error.into())),
    }
}

#[cfg(test)]
mod tests;
