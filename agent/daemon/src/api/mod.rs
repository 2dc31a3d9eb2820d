//! The local API: HTTP/1.1 and JSON over a Unix socket; and `/metrics` alone over TCP, where that is configured.
//!
//! The kernel says who asks (`SO_PEERCRED`); `[access]` says what they may. Reads go to the stores' readers on blocking
//! threads, everything that alters anything goes through the [`Door`], and roles are enforced here, in one place
//! (`routes`), before either. This room never writes a store and never calls an effector.
//!
//! Everything is bounded: connections (in all and for each user), the head, the body, the time of a request, the size of
//! an answer. Every error is `{"error": {"kind", "message", "hint"}}`.

mod access;
mod baseline;
mod client;
mod data;
mod exposition;
mod gate;
mod items;
mod learning;
mod metrics;
mod params;
mod prometheus;
mod read;
mod routes;
mod scraped;
mod serve;
mod versions;
pub mod wire;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::detect::DetectConfig;
use holdfast_core::model::audit::AuditKey;
use holdfast_core::model::{FileState, ItemKind, Items};
use holdfast_core::redact::Redactor;
use tokio::sync::watch;

use crate::data::Required;
use crate::host::{Clock, FsRoot};
use crate::pipeline::gate::Pasts;
use crate::plugins::UnitSource;
use crate::request::Door;
use crate::store::{Blobs, StateReader, TelemetryReader};

pub use access::{Access, Directory, Peer};
pub use client::{Client, ClientError};
pub use params::moment;
pub use scraped::serve_metrics;
pub use serve::{BindError, bind, serve};

/// Reads a watched file as it is now: its state, and its content up to that many bytes.
pub type ReadFile = fn(&FsRoot, &str, u64) -> io::Result<(FileState, Option<Vec<u8>>)>;

/// Looks at the kinds of items that are watched; without items where a kind cannot be read.
pub type Look = Arc<dyn Fn() -> Vec<(ItemKind, Option<Items>)> + Send + Sync>;

/// Everything that an answer is made from.
#[derive(Clone)]
pub struct ApiContext {
    /// To the event loop.
    pub door: Door,
    /// Findings, incidents, remediations, decisions, baselines, audit.
    pub state: StateReader,
    /// Samples and changes.
    pub telemetry: TelemetryReader,
    /// Who may what; replaced at a reload.
    pub access: watch::Receiver<Access>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Units as they are now, for the gate.
    pub units: Arc<dyn UnitSource>,
    /// Where users, groups and watched files are read.
    pub fs: FsRoot,
    /// What the host is made of, looked at now.
    pub look: Look,
    /// Accepted contents, for diffs.
    pub blobs: Blobs,
    /// The age that closed records reach.
    pub retention_records: Duration,
    /// The past of deployments, for the gate.
    pub pasts: Arc<Pasts>,
    /// Attributes that series have to have.
    pub required: Arc<Vec<Required>>,
    /// What is taken out of diffs that are shown.
    pub redactor: Arc<Redactor>,
    /// Detection as the configuration says, without a tuning.
    pub detect: Arc<DetectConfig>,
    /// Reads watched files: `ingest::files::read_state`.
    pub read_file: ReadFile,
    /// Where the audit chain's anchors lie.
    pub data_dir: PathBuf,
    /// The audit chain's key.
    pub audit_key: AuditKey,
}

impl std::fmt::Debug for ApiContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiContext").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
