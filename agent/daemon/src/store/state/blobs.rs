//! Contents of files, kept by their SHA-256: what a restore puts back.
//!
//! Together they stay below a size. What nothing refers to any more is swept away; when the rest is too much, the oldest versions of
//! what is accepted are named as due, for their contents; and when even what is accepted now is too much, no further content is
//! kept, which is counted.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use holdfast_core::model::Timestamp;
use holdfast_core::model::plan::hex;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};
use sha2::{Digest, Sha256};

use super::super::error::{Context, StoreError};
use super::in_use::InUse;

/// What nothing refers to is deleted when it is so old: a fresh content's reference may not be written yet.
const FRESH: Duration = Duration::from_hours(1);

/// Room for one in so many bytes is made at a time, at most: what is refused again and again wants no more.
const MADE_PART: u64 = 4;

/// What is known of the directory.
#[derive(Debug, Default)]
struct Held {
    drafts: u64,
    /// As counted by the last sweep, and what was added since.
    bytes: u64,
    /// Contents for which there was no room.
    refused: u64,
    /// Bytes of those: so much room is to be made, at most one in [`MADE_PART`] of all.
    wanted: u64,
    /// Nothing is deleted meanwhile.
    on_hold: bool,
    /// A sweep has counted what lies there.
    counted: bool,
    /// Versions up to this number are due for their contents.
    versions_due: u64,
}

/// What a sweep came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Contents that are left.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Contents that were deleted.
    pub deleted: u64,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContentsPlan {
    /// Bytes of contents, as of the last sweep and what was added since; `null` until the first one, minutes after the start.
    pub bytes: Option<u64>,
    /// The size that they stay below.
    pub bytes_max: u64,
    /// Contents that were not kept since the agent's start, because there was no room.
    pub refused: u64,
}

/// A directory of contents (0700, files 0600); cheap to clone. What `put` returned from survives power loss.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: PathBuf,
    bytes_max: u64,
    held: Arc<Mutex<Held>>,
}

impl Blobs {
    /// Opens or creates the directory `blobs` in the data directory `dir`. How much lies there is known after the first sweep.
    pub fn open(dir: &Path, bytes_max: u64) -> Result<Self, StoreError> {
        let dir = dir.join("blobs");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).during("create", &dir)?;
        Ok(Self { dir, bytes_max, held: Arc::default() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a content and gives its SHA-256, 64 hexadecimal digits; `None` when there is no room for it. Keeping it twice is keeping
    /// it once.
    pub fn put(&self, content: &[u8]) -> Result<Option<String>, StoreError> {
        let name = hex(&Sha256::digest(content));
        let path = self.dir.join(&name);
        // Held to the end, so that no sweep deletes what was just found to be there.
        let mut held = self.held();
        if matches!(self.get(&name), Ok(Some(_))) {
            File::open(&path).and_then(|file| touch(&file)).during("keep", &path)?;
            return Ok(Some(name));
        }
        if held.bytes.saturating_add(content.len() as u64) > self.bytes_max {
            held.refused += 1;
            held.wanted = held.wanted.saturating_add(content.len() as u64).min(self.bytes_max / MADE_PART);
            return Ok(None);
        }
        held.drafts += 1;
        let draft = self.dir.join(format!(".{name}.{}.{}", std::process::id(), held.drafts));
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut file| {
                file.write_all(content)?;
                file.sync_all()?;
                fs::rename(&draft, &path)?;
                File::open(&self.dir)?.sync_all()
            });
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written.during("keep", &path)?;
        held.bytes += content.len() as u64;
        Ok(Some(name))
    }

    /// How much is kept.
    pub fn plan(&self) -> ContentsPlan {
        let held = self.held();
        ContentsPlan { bytes: held.counted.then_some(held.bytes), bytes_max: self.bytes_max, refused: held.refused }
    }

    /// The number up to which versions of what is accepted have to go, for their contents; 0: none.
    pub fn versions_due(&self) -> u64 {
        self.held().versions_due
    }

    /// From now on nothing is deleted, for what refers to contents cannot be written; or it is again.
    pub fn hold(&self, on_hold: bool) {
        self.held().on_hold = on_hold;
    }

    /// Deletes what nothing refers to, and drafts that were never finished. `in_use` is read before.
    pub fn sweep(&self, in_use: &InUse, now: Timestamp) -> Result<Swept, StoreError> {
        let before = self.held().bytes;
        let old = UNIX_EPOCH + Duration::from_nanos(u64::try_from(now.ns()).unwrap_or(0)).saturating_sub(FRESH);
        let (mut swept, mut sizes) = (Swept::default(), Vec::new());
        for entry in fs::read_dir(&self.dir).during("list", &self.dir)? {
            let entry = entry.during("list", &self.dir)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let held = self.held();
            // Gone meanwhile: a draft that was finished.
            let Ok(meta) = entry.metadata() else { continue };
            let fresh = meta.modified().ok().is_none_or(|at| at > old);
            let is_content = is_digest(name);
            if held.on_hold
                || fresh
                || !meta.is_file()
                || (is_content && in_use.has(name))
                || !(is_content || name.starts_with('.'))
            {
                swept.files += u64::from(is_content);
                swept.bytes += meta.len();
                if is_content {
                    sizes.push((name.to_owned(), meta.len()));
                }
                continue;
            }
            fs::remove_file(entry.path()).during("delete", &entry.path())?;
            drop(held);
            swept.deleted += u64::from(is_content);
        }
        let mut held = self.held();
        held.bytes = swept.bytes + held.bytes.saturating_sub(before);
        held.counted = true;
        let excess = swept.bytes.saturating_add(held.wanted).saturating_sub(self.bytes_max);
        held.versions_due = in_use.versions_due(&sizes, excess);
        if excess == 0 {
            held.wanted = 0;
        }
        Ok(swept)
    }

    /// A kept content; `None` when it is not kept or `sha256` is no digest. An altered file is an error, never an answer.
    pub fn get(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !is_digest(sha256) {
            return Ok(None);
        }
        let path = self.dir.join(sha256);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let found = hex(&Sha256::digest(&content));
        if found == sha256 { Ok(Some(content)) } else { Err(StoreError::BlobAltered { path, found }) }
    }
}

/// Makes a file young again, by the kernel's clock.
fn touch(file: &File) -> io::Result<()> {
    let [now, omit] = [UTIME_NOW, UTIME_OMIT].map(|tv_nsec| Timespec { tv_sec: 0, tv_nsec });
    Ok(futimens(file, &Timestamps { last_access: omit, last_modification: now })?)
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
