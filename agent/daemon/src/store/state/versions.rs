//! What was accepted, version by version: each alteration of the accepted state is one, with the state before and after.
//!
//! Written with the alteration itself, in one transaction, whoever brings it about; so no way to accept something can forget it.
//! A version is a difference: what was accepted at an earlier one is what is accepted now without everything since.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{AcceptedItems, FileState, ItemKind, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::error::{Context, StoreError};
use super::reader::StateReader;
use super::writes::{BaselineFile, Writes, items_setting};

/// Versions that are read at once, by whoever goes back over them.
pub const VERSIONS_READ_MAX: usize = 100_000;

/// One file or item, and what was accepted of it. Files as [`BaselineFile`], items as their value; `None`: nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// `/etc/hosts`, `user:alice`.
    pub subject: String,
    /// Before this version.
    pub before: Option<Value>,
    /// From this version on.
    pub after: Option<Value>,
}

/// One version of what is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineVersion {
    /// 1, 2, 3, ..
    pub number: u64,
    /// Since when.
    pub at: Timestamp,
    /// Who accepted it: a person, or `agent` for what is explained.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What was altered.
    pub entries: Vec<VersionEntry>,
}

fn unreadable(what: &'static str, id: &str) -> impl FnOnce(serde_json::Error) -> StoreError {
    let id = id.to_owned();
    move |source| StoreError::Document { what, id, source }
}

fn stored(db: &Connection, path: &Path, sql: &str, id: &str) -> Result<Option<Value>, StoreError> {
    let body: Option<String> =
        db.query_row(sql, [id], |row| row.get(0)).optional().during("read what was accepted", path)?;
    body.map(|text| serde_json::from_str(&text).map_err(unreadable("baseline", id))).transpose()
}

/// What is accepted of a file; who accepted the same again, and when, makes no difference.
fn same_file(before: Option<&Value>, after: &BaselineFile) -> bool {
    before.and_then(|it| serde_json::from_value::<BaselineFile>(it.clone()).ok()).is_some_and(|it| {
        // When it was written is a label, not a part of what is accepted.
        let state = FileState { modified_at: after.state.modified_at, ..it.state };
        state == after.state && it.blob == after.blob
    })
}

fn entries(writes: &Writes, db: &Connection, path: &Path) -> Result<Vec<VersionEntry>, StoreError> {
    let mut all = Vec::new();
    let file = |name: &str| stored(db, path, "SELECT body FROM baseline WHERE path = ?", name);
    for it in &writes.baselines {
        let before = file(&it.state.path)?;
        if !same_file(before.as_ref(), it) {
            let after = Some(serde_json::json!(it));
            all.push(VersionEntry { subject: it.state.path.clone(), before, after });
        }
    }
    for name in &writes.baselines_removed {
        if let Some(before) = file(name)? {
            all.push(VersionEntry { subject: name.clone(), before: Some(before), after: None });
        }
    }
    for kind in ItemKind::ALL {
        let key = items_setting(kind);
        let Some((_, now)) = writes.settings.iter().find(|(name, _)| *name == key) else { continue };
        // The first look at a kind is where its versions begin.
        let Some(before) = stored(db, path, "SELECT body FROM setting WHERE key = ?", &key)? else { continue };
        let read = |value: &Value| serde_json::from_value::<AcceptedItems>(value.clone()).unwrap_or_default();
        let (before, now) = (read(&before), read(now));
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for name in names.into_iter().filter(|name| before.get(*name) != now.get(*name)) {
            let value = |of: &AcceptedItems| of.get(name).map(|it| Value::String(it.clone()));
            let subject = format!("{kind}:{name}");
            all.push(VersionEntry { subject, before: value(&before), after: value(&now) });
        }
    }
    Ok(all)
}

/// When, by whom and why: as the files say themselves, else as the audit chain is told in the same breath.
fn told(writes: &Writes) -> (Timestamp, &str, &str) {
    if let Some(file) = writes.baselines.first() {
        return (file.accepted_at, &file.accepted_by, &file.reason);
    }
    let draft = writes.audit.iter().find(|it| it.kind == AuditKind::Baseline).or(writes.audit.first());
    draft.map_or((Timestamp::default(), "", ""), |it| {
        (it.at, it.actor.as_str(), it.body.get("reason").and_then(Value::as_str).unwrap_or_default())
    })
}

/// Before these are written: what they alter of what is accepted.
pub(super) fn record(writes: &Writes, db: &Connection, path: &Path) -> Result<(), StoreError> {
    let entries = entries(writes, db, path)?;
    if entries.is_empty() {
        return Ok(());
    }
    let (at, by, reason) = told(writes);
    let text = serde_json::to_string(&entries).map_err(unreadable("baseline version", &entries[0].subject))?;
    db.execute(
        "INSERT INTO baseline_version (at, actor, reason, entries) VALUES (?,?,?,?)",
        params![at.ns(), by, reason, text],
    )
    .during("write a version of what is accepted", path)
    .map(drop)
}

impl StateReader {
    /// The oldest version that can be gone back to; 0 while none was deleted, or when there is none.
    pub fn baseline_reach(&self) -> Result<u64, StoreError> {
        let path = self.pool.path();
        self.pool.read("read versions", |db| {
            db.query_row("SELECT coalesce(min(number), 1) - 1 FROM baseline_version", [], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
                .during("read versions", path)
        })
    }

    /// Versions after number `after`, oldest first.
    pub fn baseline_versions(&self, after: u64, limit: usize) -> Result<Vec<BaselineVersion>, StoreError> {
        let path = self.pool.path();
        self.pool.read("read versions", |db| {
            let mut statement = db
                .prepare(
                    "SELECT number, at, actor, reason, entries FROM baseline_version WHERE number > ? ORDER BY number LIMIT ?",
                )
                .during("read versions", path)?;
            let mut rows = statement.query(params![after as i64, limit as i64]).during("read versions", path)?;
            let mut all = Vec::new();
            while let Some(row) = rows.next().during("read versions", path)? {
                let text: String = row.get(4).during("read versions", path)?;
                let number = row.get::<_, i64>(0).during("read versions", path)? as u64;
                all.push(BaselineVersion {
                    number,
                    at: Timestamp::from_ns(row.get(1).during("read versions", path)?),
                    by: row.get(2).during("read versions", path)?,
                    reason: row.get(3).during("read versions", path)?,
                    entries: serde_json::from_str(&text)
                        .map_err(unreadable("baseline version", &number.to_string()))?,
                });
            }
            Ok(all)
        })
    }

    /// The newest version; 0: none yet.
    pub fn baseline_version(&self) -> Result<u64, StoreError> {
        let path = self.pool.path();
        self.pool.read("read versions", |db| {
            db.query_row("SELECT coalesce(max(number), 0) FROM baseline_version", [], |row| row.get::<_, i64>(0))
                .map(|number| number as u64)
                .during("read versions", path)
        })
    }
}

/// What these versions together altered, by subject: before the first and after the last of them.
pub fn together(versions: &[BaselineVersion]) -> BTreeMap<String, (Option<Value>, Option<Value>)> {
    let mut all: BTreeMap<String, (Option<Value>, Option<Value>)> = BTreeMap::new();
    for entry in versions.iter().flat_map(|it| &it.entries) {
        let after = entry.after.clone();
        all.entry(entry.subject.clone())
            .and_modify(|(_, last)| last.clone_from(&after))
            .or_insert_with(|| (entry.before.clone(), after.clone()));
    }
    all.retain(|_, (before, after)| before != after);
    all
}
