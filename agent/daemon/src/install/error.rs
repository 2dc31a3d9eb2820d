//! Why nothing was installed, switched or removed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::plugins::TrustError;
use crate::registry::RegistryError;

/// Each leaves everything as it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file that is needed cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written; what was written before was put back.
    #[error("cannot write {}, so nothing was changed", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The registry gave nothing.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What was named is no plugin that this host could use.
    #[error("{what}: {why}")]
    Unusable {
        /// Where it came from.
        what: String,
        /// Why not.
        why: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Nobody whom this host trusts has signed it.
    #[error("{what}: {source}")]
    Untrusted {
        /// Where it came from.
        what: String,
        /// Why it is not let in.
        source: TrustError,
    },
    /// It is not the component whose digest was named.
    #[error("{what} has the digest {found}, and {wanted} was asked for")]
    OtherDigest {
        /// Where it came from.
        what: String,
        /// SHA-256 as it was named.
        wanted: String,
        /// SHA-256 as it is.
        found: String,
    },
    /// It may not be placed there.
    #[error("{why}")]
    Denied {
        /// Why.
        why: String,
        /// What to do instead.
        hint: String,
    },
    /// Another command is changing plugins and does not come to an end.
    #[error("plugins are being changed by another command{}, which has not ended within {} s", .process.map_or_else(String::new, |it| format!(" (process {it})")), .after.as_secs())]
    Busy {
        /// What is locked.
        path: PathBuf,
        /// Whose turn it is, as far as that is known.
        process: Option<u32>,
        /// How long it was waited for.
        after: Duration,
    },
    /// What lies in the place of the lock is none, or belongs to somebody else.
    #[error("cannot take a turn with {}, so nothing was changed", .path.display())]
    Lock {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What was decided rests on what is no longer so.
    #[error("plugins or grants were changed by somebody else while this was decided")]
    Meanwhile,
    /// The grant cannot be used or edited.
    #[error("{}: {why}", .file.display())]
    Grant {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl InstallError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Unusable { hint, .. } => hint.clone(),
            Self::Denied { hint, .. } => Some(hint.clone()),
            Self::OtherDigest { .. } => Some("nothing was installed; look where the difference comes from".to_owned()),
            Self::Write { source, .. } if forbidden(source) => {
                Some("plugins are installed by root, or by the user whose agent it is".to_owned())
            }
            Self::Busy { path, .. } => Some(format!(
                "nothing was changed; wait until it has ended: {} is given back with its process",
                path.display()
            )),
            Self::Lock { path, source } => {
                let who = if forbidden(source) {
                    "plugins are changed by root, or by the user whose agent it is; "
                } else {
                    ""
                };
                let path = path.display();
                Some(format!(
                    "{who}nothing is kept in it: while no other command changes plugins, {path} may be removed"
                ))
            }
            Self::Meanwhile => {
                Some("nothing was changed; the same command again looks at them as they are now".to_owned())
            }
            Self::Grant { .. } => Some("correct the grant, or take it away to have one written anew".to_owned()),
            _ => None,
        }
    }

    /// Whether somebody or some rule said no, and not the state of things.
    pub fn is_denial(&self) -> bool {
        match self {
            Self::Untrusted { .. } | Self::OtherDigest { .. } | Self::Denied { .. } => true,
            Self::Write { source, .. } | Self::Lock { source, .. } => forbidden(source),
            Self::Registry(error) => error.is_refusal(),
            _ => false,
        }
    }

    /// Whether it could not be done, and neither the request nor a rule is to blame.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Meanwhile => true,
            Self::Write { source, .. } | Self::Lock { source, .. } => !forbidden(source),
            Self::Registry(error) => !error.is_refusal() && !matches!(error, RegistryError::Shape { .. }),
            _ => false,
        }
    }
}

fn forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}
