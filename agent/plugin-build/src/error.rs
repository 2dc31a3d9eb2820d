//! Why a plugin cannot be built.

use std::io;
use std::path::PathBuf;

/// Why there is no component. [`BuildError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file that is needed cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder is no plugin's.
    #[error("{}: {why}", .path.display())]
    Folder {
        /// The folder or the file.
        path: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// A program that the language needs is not there.
    #[error("`{program}` is not installed")]
    Missing {
        /// Its name.
        program: String,
        /// The command that installs it.
        install: String,
    },
    /// A target of the Rust toolchain is not there.
    #[error("the Rust target {0} is not installed")]
    Target(&'static str),
    /// A program that was started failed; its words are above.
    #[error("`{program}` failed: {status}")]
    Tool {
        /// What was started.
        program: String,
        /// How it ended.
        status: String,
    },
    /// It was made, and it is no plugin.
    #[error("{0}")]
    Component(String),
}

impl BuildError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { install, .. } => Some(install.clone()),
            Self::Target(_) => Some(crate::rust::TARGET_MISSING.to_owned()),
            Self::Folder { .. } => Some("`holdfast plugin new NAME` makes a folder that builds".to_owned()),
            _ => None,
        }
    }
}

/// Errors of `wit-component` and `wasmparser`, in one line a cause.
pub(crate) fn component(what: &str, error: &dyn std::fmt::Display) -> BuildError {
    BuildError::Component(format!("{what}: {error}"))
}
