//! What outlives a crash: the journal of requests and the former state of what was changed.
//!
//! A request is durable as `started` before its first effect and as finished after its last. Once started it is never executed
//! again: after a crash between the two, its outcome is unknown, and only a look at the world can tell.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::place::digest;
use crate::protocol::{Answer, Op};

/// Finished requests and former states are kept this long.
pub(crate) const KEEP: Duration = Duration::from_hours(30 * 24);

/// One request, as the journal holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) request_id: String,
    pub(crate) op: Op,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) answer: Option<Answer>,
}

/// How a file was before, and as what it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) path: String,
    /// `None`: nothing lay there.
    pub(crate) was: Option<Owned>,
    /// SHA-256 of what was left there; `None`: nothing.
    pub(crate) left: Option<String>,
}

/// Digest, mode and owner of a kept content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owned {
    pub(crate) sha256: String,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The state directory.
#[derive(Debug, Clone)]
pub(crate) struct Keep(PathBuf);

impl Keep {
    /// Makes the directories, readable by their owner alone.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        for sub in ["journal", "undo"] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join(sub))?;
        }
        Ok(Self(dir.to_owned()))
    }

    fn journal(&self, request_id: &str) -> PathBuf {
        // The digest names the file: no character of a peer's id reaches the file system.
        self.0.join("journal").join(format!("{}.json", digest(request_id.as_bytes())))
    }

    /// What is recorded of a request.
    pub(crate) fn entry(&self, request_id: &str) -> io::Result<Option<Entry>> {
        read_json(&self.journal(request_id))
    }

    /// Records a request durably.
    pub(crate) fn record(&self, entry: &Entry) -> io::Result<()> {
        write_durably(&self.journal(&entry.request_id), &serde_json::to_vec(entry)?)
    }

    /// The handle of what a request changes.
    pub(crate) fn token(request_id: &str) -> String {
        digest(request_id.as_bytes())[..32].to_owned()
    }

    /// Where the content for a token lies.
    pub(crate) fn content_path(&self, token: &str) -> PathBuf {
        self.0.join("undo").join(token).join("content")
    }

    /// Keeps a former state durably.
    pub(crate) fn keep(&self, token: &str, former: &Former, content: &[u8]) -> io::Result<()> {
        let dir = self.0.join("undo").join(token);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        write_durably(&dir.join("content"), content)?;
        write_durably(&dir.join("former.json"), &serde_json::to_vec(former)?)?;
        fs::File::open(self.0.join("undo"))?.sync_all()
    }

    /// The former state for a token; `None`: nothing is kept.
    pub(crate) fn former(&self, token: &str) -> io::Result<Option<(Former, Vec<u8>)>> {
        if token.len() != 32 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let dir = self.0.join("undo").join(token);
        let Some(former) = read_json::<Former>(&dir.join("former.json"))? else { return Ok(None) };
        let content = fs::read(dir.join("content"))?;
        if former.was.as_ref().is_some_and(|was| was.sha256 != digest(&content)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the kept content does not have its digest"));
        }
        Ok(Some((former, content)))
    }

    /// Forgets what is older than [`KEEP`]; the first failure ends it, and the next start tries again.
    pub(crate) fn forget_old(&self, now: Timestamp) -> io::Result<()> {
        for sub in ["journal", "undo"] {
            for item in fs::read_dir(self.0.join(sub))? {
                let item = item?;
                let meta = item.metadata()?;
                let changed = Timestamp::from_secs(meta.mtime());
                if now.since(changed) > KEEP {
                    if meta.is_dir() { fs::remove_dir_all(item.path()) } else { fs::remove_file(item.path()) }?;
                }
            }
        }
        Ok(())
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temp = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}
