//! Why the agent does not run, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::api::BindError;
use crate::export::ExportError;
use crate::store::StoreError;
use crate::telemetry::InitError;

/// The agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Threads or signals.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// The data directory.
    #[error("cannot use the data directory `{path}`")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Logs or the agent's own telemetry.
    #[error("cannot set up logging")]
    Telemetry(#[source] InitError),
    /// A rule of `[redact]`.
    #[error("a rule of [redact] cannot be used: {0}")]
    Redact(String),
    /// A policy file.
    #[error("the policy has errors:\n{0}")]
    Policy(String),
    /// The policy directory.
    #[error("cannot read the policy directory `{path}`")]
    PolicyDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The plugin host.
    #[error("cannot start the plugin host: {0}")]
    Plugins(String),
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The socket of the API.
    #[error(transparent)]
    Api(BindError),
    /// A destination.
    #[error(transparent)]
    Export(ExportError),
}

impl AppError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::DataDir { .. } => {
                Some("name a directory that this user may write: --data-dir DIR, or [agent] data-dir".to_owned())
            }
            Self::Store(error) => error.hint(),
            Self::Api(error) => error.hint(),
            Self::Policy(_) => Some("`holdfast policy check` shows the same without starting the agent".to_owned()),
            Self::Export(error) => error.hint(),
            _ => None,
        }
    }

    /// 2 where configuration must be altered, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Policy(_) | Self::Redact(_) | Self::PolicyDir { .. } | Self::Export(_) | Self::Telemetry(_) => 2,
            _ => 1,
        }
    }
}
