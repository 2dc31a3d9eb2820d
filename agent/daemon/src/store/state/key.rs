//! The audit chain's key: 32 random bytes in a file that only the agent's user can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use holdfast_core::model::audit::AuditKey;

use super::super::error::{Context, StoreError};

const FILE: &str = "audit.key";

/// The key of `dir`; made at the first start, mode 0600, and never replaced. A file that others can read is refused.
pub fn load_or_create_audit_key(dir: &Path) -> Result<AuditKey, StoreError> {
    let path = dir.join(FILE);
    match File::open(&path) {
        Ok(file) => read(file, &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(dir, &path)?;
            read(File::open(&path).during("open the audit key", &path)?, &path)
        }
        Err(error) => Err(StoreError::io("open the audit key", &path, error)),
    }
}

fn read(file: File, path: &Path) -> Result<AuditKey, StoreError> {
    let mode = file.metadata().during("look at the audit key", path)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::KeyMode { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(64).read_to_end(&mut bytes).during("read the audit key", path)?;
    let found = bytes.len();
    let key: [u8; 32] =
        bytes.try_into().map_err(|_| StoreError::KeyMalformed { path: path.to_owned(), bytes: found })?;
    Ok(AuditKey::new(key))
}

/// Written whole under another name and linked into place: a crash leaves no half key, a second starter no second key.
fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|error| StoreError::io("draw random bytes for", path, io::Error::other(error.to_string())))?;
    let draft = dir.join(format!("{FILE}.{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()
    });
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => File::open(dir).and_then(|d| d.sync_all()).during("write the audit key", path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::io("write the audit key", path, error)),
    }
}
