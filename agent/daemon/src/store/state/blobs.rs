//! Contents of files, kept by their SHA-256: what a restore puts back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_core::model::plan::hex;
use sha2::{Digest, Sha256};

use super::super::error::{Context, StoreError};

/// A directory of contents (0700, files 0600); cheap to clone. What `put` returned from survives power loss.
#[derive(Debug, Clone)]
pub struct Blobs {
    dir: PathBuf,
    drafts: Arc<AtomicU64>,
}

impl Blobs {
    /// Opens or creates the directory `blobs` in the data directory `dir`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let dir = dir.join("blobs");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).during("create", &dir)?;
        Ok(Self { dir, drafts: Arc::new(AtomicU64::new(0)) })
    }

    /// Keeps a content and gives its SHA-256, 64 hexadecimal digits. Keeping it twice is keeping it once.
    pub fn put(&self, content: &[u8]) -> Result<String, StoreError> {
        let name = hex(&Sha256::digest(content));
        let path = self.dir.join(&name);
        if matches!(self.get(&name), Ok(Some(_))) {
            return Ok(name);
        }
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let draft = self.dir.join(format!(".{name}.{}.{number}", std::process::id()));
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
        Ok(name)
    }

    /// A kept content; `None` when it is not kept or `sha256` is no digest. An altered file is an error, never an answer.
    pub fn get(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
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
