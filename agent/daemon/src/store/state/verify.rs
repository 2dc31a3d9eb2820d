//! Is the audit chain whole? Two questions with two answers.
//!
//! Integrity: every entry that is there is genuine and in its place. Completeness: nothing was cut off at the end; only
//! an anchor kept elsewhere can show that. The file of heads beside the database is the nearest anchor; journald and OTLP
//! are better ones, and are passed in.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use holdfast_core::model::audit::{AuditKey, Broken, Head, Verifier};
use serde::{Deserialize, Serialize};

use super::super::error::{Context, StoreError};
use super::reader::{AuditRow, StateReader};

/// Heads of the chain beside the database, one JSON object a line, appended and never rewritten.
pub const AUDIT_HEADS_FILE: &str = "audit.heads";
/// Entries read at once.
const PAGE: usize = 1_000;

/// Whether what is there is genuine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    /// Every entry verifies.
    Intact,
    /// The first one that does not.
    Broken(Broken),
}

/// Whether all of it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// Everything up to the newest anchor is there.
    Complete {
        /// The newest anchor.
        anchor_seq: u64,
    },
    /// An anchor names an entry that is not there, or that has another hash.
    Truncated {
        /// The anchor.
        anchor: Head,
        /// The last genuine entry.
        last_seq: u64,
    },
    /// No anchor is known: nobody can tell.
    Unanchored,
}

/// Both answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainReport {
    /// Genuine entries, counted from the first.
    pub entries: u64,
    /// The last genuine entry.
    pub head: Head,
    /// Whether what is there is genuine.
    pub integrity: Integrity,
    /// Whether all of it is there.
    pub completeness: Completeness,
}

/// Walks the whole chain, and holds it against anchors kept elsewhere.
pub fn verify_chain(reader: &StateReader, key: &AuditKey, anchors: &[Head]) -> Result<ChainReport, StoreError> {
    let mut verifier = Verifier::new(key);
    let mut wanted: Vec<&Head> = anchors.iter().filter(|a| a.seq > 0).collect();
    wanted.sort_by_key(|a| a.seq);
    let mut wanted = wanted.into_iter().peekable();
    let mut contradicted = None;
    let integrity = 'walk: loop {
        let page = reader.audit_rows(verifier.head().seq, PAGE)?;
        if page.is_empty() {
            break Integrity::Intact;
        }
        for row in page {
            let checked = match &row {
                AuditRow::Entry(entry) => verifier.next(entry),
                AuditRow::Garbled { seq } => Err(Broken::Content { seq: *seq }),
            };
            if let Err(broken) = checked {
                break 'walk Integrity::Broken(broken);
            }
            while let Some(anchor) = wanted.next_if(|a| a.seq <= verifier.head().seq) {
                if anchor.seq == verifier.head().seq && anchor.hash != verifier.head().hash {
                    contradicted.get_or_insert_with(|| anchor.clone());
                }
            }
        }
    };
    let head = verifier.head().clone();
    // Behind a broken entry nothing is verified, but what is there was not cut off.
    for anchor in wanted {
        let there = reader.audit_rows(anchor.seq - 1, 1)?.pop().is_some_and(|row| match row {
            AuditRow::Entry(entry) => entry.seq == anchor.seq && entry.hash == anchor.hash,
            AuditRow::Garbled { seq } => seq == anchor.seq,
        });
        if !there {
            contradicted.get_or_insert_with(|| anchor.clone());
        }
    }
    let missing = contradicted;
    let completeness = match (missing, anchors.iter().map(|a| a.seq).max().filter(|seq| *seq > 0)) {
        (Some(anchor), _) => Completeness::Truncated { anchor, last_seq: head.seq },
        (None, Some(anchor_seq)) => Completeness::Complete { anchor_seq },
        (None, None) => Completeness::Unanchored,
    };
    Ok(ChainReport { entries: head.seq, head, integrity, completeness })
}

/// The anchors beside the database. A torn last line (power loss while appending) is no anchor and no error.
pub fn read_anchors(dir: &Path) -> Result<Vec<Head>, StoreError> {
    let path = dir.join(AUDIT_HEADS_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("read", &path, error)),
    }
}

pub(super) fn append_anchor(dir: &Path, head: &Head) -> Result<(), StoreError> {
    let path = dir.join(AUDIT_HEADS_FILE);
    let append = || -> io::Result<()> {
        let mut file = File::options().create(true).append(true).mode(0o600).open(&path)?;
        // The leading line end keeps a line torn by power loss from swallowing this one.
        file.write_all(format!("\n{}\n", serde_json::json!(head)).as_bytes())?;
        file.sync_data()
    };
    append().during("append to", &path)
}
