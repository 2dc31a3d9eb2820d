//! OTLP out: samples with their true times, findings, decisions and audit heads as log records, remediations and build steps
//! as traces; over HTTP or gRPC, plain or TLS, to several destinations.
//!
//! The stores are the queue. An exporter is one task a stream with one position, moved only after the receiver's yes and
//! kept in `telemetry.db` under the destination's name; stopping flushes nothing, starting goes on from there. At least
//! once: a lost answer means a repetition with the same times. What a receiver rejects is counted and never sent again;
//! what was deleted before it could be sent is a row of the gap ledger. One slow destination holds up nobody else, nor one
//! slow stream the others. Secrets (headers, keys) are in memory only, never in status, log or error.

mod body;
mod connect;
mod delivery;
mod grpc;
mod http;
mod parcel;
mod sender;
mod settings;
mod task;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_core::model::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::host::Clock;
use crate::store::{StateReader, TelemetryDb};

pub(crate) use connect::base;
pub use settings::{Compression, ExportConfig, Protocol, Stream, TlsFiles};

/// A destination that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The endpoint is not an `http://` or `https://` address.
    #[error("the OTLP endpoint `{endpoint}` cannot be used: {why}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// A header has a forbidden character.
    #[error("the OTLP header `{name}` has a name or a value that HTTP does not allow")]
    Header {
        /// Its name.
        name: String,
    },
    /// A file that a destination needs.
    #[error("cannot read the {key} `{}` of the OTLP destination `{name}`", path.display())]
    File {
        /// The destination.
        name: String,
        /// Which file.
        key: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file that does not hold what it should.
    #[error("the {key} of the OTLP destination `{name}` cannot be used: {why}")]
    Unusable {
        /// The destination.
        name: String,
        /// Which file.
        key: &'static str,
        /// What is wrong with it; never its content.
        why: String,
    },
}

impl ExportError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { path, .. } if path.starts_with("$CREDENTIALS_DIRECTORY") => Some(
                "a bare name is a systemd credential: `systemctl edit holdfast`, write LoadCredential=NAME:/PATH below \
                 [Service], and `systemctl restart holdfast`, for credentials are loaded at a start; or name an absolute path"
                    .to_owned(),
            ),
            Self::File { path, .. }
                if std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|dir| path.starts_with(dir)) =>
            {
                Some("credentials are loaded at a start: `systemctl restart holdfast`".to_owned())
            }
            _ => None,
        }
    }
}

/// One stream's counts since the agent started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamStatus {
    /// Samples, records or spans that the receiver accepted.
    pub sent: u64,
    /// Those that it rejected; they are never sent again.
    pub rejected: u64,
    /// Ticks that were deleted before they could be sent.
    pub skipped: u64,
    /// The position after the last accepted request.
    pub position: u64,
    /// Requests in a row that failed and will be tried again.
    pub failures: u32,
}

/// How an exporter stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportStatus {
    /// Whose positions these are.
    pub name: String,
    /// Where to.
    pub endpoint: String,
    /// By stream: see [`Stream`].
    pub streams: BTreeMap<String, StreamStatus>,
    /// Moment of the last sample that was accepted.
    pub exported_until: Option<Timestamp>,
    /// Age of the oldest sample that is not, seen from the newest, in seconds.
    pub lag_s: u64,
    /// Requests in a row that failed and will be tried again, of the stream that fails most.
    pub failures: u32,
    /// Why the last request failed or was rejected.
    pub last_error: Option<String>,
}

impl ExportStatus {
    /// After a stream's turn. What still goes wrong with another stream is not forgotten because this one went well.
    fn tell(&mut self, error: Option<String>) {
        self.failures = self.streams.values().map(|s| s.failures).max().unwrap_or(0);
        if error.is_some() || self.failures == 0 {
            self.last_error = error;
        }
    }
}

type Shared = Arc<Mutex<ExportStatus>>;

/// A running exporter.
#[derive(Debug)]
pub struct ExportHandle {
    status: Shared,
    telemetry: TelemetryDb,
    tasks: Vec<JoinHandle<()>>,
}

impl ExportHandle {
    /// How it stands now.
    pub fn status(&self) -> ExportStatus {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stats = self.telemetry.stats();
        if !status.streams.contains_key(Stream::Metrics.as_str()) {
            return status;
        }
        let from = status.exported_until.or(stats.oldest);
        if let (Some(newest), Some(from)) = (stats.newest, from) {
            status.lag_s = newest.since(from).as_secs();
        }
        status
    }

    /// Waits for the end of its tasks, after `shutdown` has said so.
    pub async fn stopped(self) {
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// What every exported item says about where it comes from, in OpenTelemetry's words.
pub fn resource_attributes(host: &str, instance: &str, environment: Option<&str>) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut attributes = vec![
        pair("service.name", "holdfast"),
        pair("service.version", env!("CARGO_PKG_VERSION")),
        pair("service.instance.id", instance),
        pair("host.name", host),
    ];
    attributes.extend(environment.map(|e| pair("deployment.environment.name", e)));
    attributes
}

/// A destination that can be used: its files were read, its address and headers are in order.
#[derive(Debug)]
pub struct Prepared(Arc<task::Destination>);

/// Looks whether a destination can be used; nothing is sent.
pub fn prepare(
    config: ExportConfig,
    telemetry: TelemetryDb,
    state: StateReader,
    resource: &[(String, String)],
    clock: Arc<dyn Clock>,
) -> Result<Prepared, ExportError> {
    let config = Arc::new(config);
    let status: Shared = Arc::new(Mutex::new(ExportStatus {
        name: config.name.clone(),
        endpoint: config.endpoint.clone(),
        streams: config.streams.iter().map(|s| (s.as_str().to_owned(), StreamStatus::default())).collect(),
        ..ExportStatus::default()
    }));
    Ok(Prepared(Arc::new(task::Destination {
        sender: sender::Sender::new(Arc::clone(&config), clock)?,
        source: parcel::Source { telemetry, state, resource: wire::resource(resource) },
        config,
        status,
    })))
}

impl Prepared {
    /// Starts it, on the caller's runtime; `shutdown` becoming true (or its sender's end) stops it at once. Two of one name at the same
    /// time would send everything twice.
    pub fn start(self, shutdown: &watch::Receiver<bool>) -> ExportHandle {
        let Self(destination) = self;
        let start = |stream: &Stream| {
            let task = task::Task::new(Arc::clone(&destination), *stream);
            tokio::spawn(task::supervise(task, shutdown.clone()))
        };
        ExportHandle {
            status: Arc::clone(&destination.status),
            telemetry: destination.source.telemetry.clone(),
            tasks: destination.config.streams.iter().map(start).collect(),
        }
    }
}

#[cfg(test)]
pub(crate) mod receiver;
#[cfg(test)]
mod tests;
