//! Why the store could not do something, and what an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// An operation of the store that failed. The text names the operation and the file; the source says why.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system has no room left, or the database has reached its size cap.
    #[error("no space left to write `{path}` ({what})")]
    Full {
        /// The operation.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The database, its directory or its file system cannot be written.
    #[error("`{path}` is not writable ({what})")]
    ReadOnly {
        /// The operation.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The database is damaged or is no database at all.
    #[error("`{path}` is damaged ({what})")]
    Corrupt {
        /// The operation.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The database was written by a newer version of the agent.
    #[error("`{path}` has schema version {found}, this agent knows versions up to {known}")]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// Another agent runs on the same data directory.
    #[error("another agent is using `{path}`")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// Any other failure of SQLite.
    #[error("cannot {what} in `{path}`")]
    Sql {
        /// The operation.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A file beside the databases could not be read or written.
    #[error("cannot {what} `{path}`")]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A stored document is not what this version of the agent writes.
    #[error("the stored {what} `{id}` cannot be read")]
    Document {
        /// Its kind.
        what: &'static str,
        /// Its id.
        id: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A stored column or blob does not decode.
    #[error("stored {what} of `{path}` do not decode: {why}")]
    Encoding {
        /// What.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// In which way.
        why: String,
    },
    /// The audit key can be read by others than its owner.
    #[error("the audit key `{path}` has mode {mode:o}, which lets others read it")]
    KeyMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The audit key is not 32 bytes.
    #[error("the audit key `{path}` has {bytes} bytes instead of 32")]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// A kept content does not have the digest it is named by.
    #[error("the kept content `{path}` was altered: it has digest {found}")]
    BlobAltered {
        /// The file.
        path: PathBuf,
        /// SHA-256 of what lies there.
        found: String,
    },
    /// Who asked may wait no longer.
    #[error("it was not done in time to {what}")]
    Late {
        /// The operation.
        what: &'static str,
    },
    /// The writer has been stopped.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What to do about it, when something can be done.
    pub fn hint(&self) -> Option<String> {
        let dir = |path: &Path| path.parent().unwrap_or(path).display().to_string();
        match self {
            Self::Full { path, .. } => {
                Some(format!("free space on the file system of `{}`; the agent goes on by itself", dir(path)))
            }
            Self::ReadOnly { path, .. } => Some(format!(
                "make `{}` writable for the agent's user, or set [agent] data-dir to a directory that is",
                dir(path)
            )),
            Self::Corrupt { path, .. } => Some(format!(
                "keep a copy of `{}` and its -wal file for examination, then restore it from a backup",
                path.display()
            )),
            Self::Newer { .. } => Some("run the version of holdfast that wrote it, or a newer one".to_owned()),
            Self::InUse { .. } => Some("stop the other agent, or give this one its own [agent] data-dir".to_owned()),
            Self::KeyMode { path, .. } => Some(format!("chmod 0600 {}", path.display())),
            Self::KeyMalformed { path, .. } => Some(format!(
                "restore `{}` from a backup; without it the audit chain cannot be verified",
                path.display()
            )),
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("make `{}` accessible for the agent's user", dir(path)))
            }
            _ => None,
        }
    }

    /// Whether the database file itself is at fault, so that trying again cannot help.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    pub(super) fn sql(what: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { what, path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { what, path, source }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { what, path, source },
            _ => Self::Sql { what, path, source },
        }
    }
}

/// Names the operation and the file on the way up.
pub(super) trait Context<T> {
    fn during(self, what: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> Context<T> for rusqlite::Result<T> {
    fn during(self, what: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::sql(what, path, source))
    }
}

impl<T> Context<T> for io::Result<T> {
    fn during(self, what: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::io(what, path, source))
    }
}
