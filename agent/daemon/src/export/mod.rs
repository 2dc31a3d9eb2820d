//! OTLP out: samples with their true times, findings, decisions and audit heads as log records, remediations as traces.
//!
//! The stores are the queue. An exporter is one task with one position a stream, moved only after the receiver's 2xx and
//! kept in `telemetry.db`; stopping flushes nothing, starting goes on from there. At least once: a lost answer means a
//! repetition with the same times. What a receiver rejects is counted and never sent again; what was deleted before it
//! could be sent is a row of the gap ledger. One slow destination holds up nobody else.

mod delivery;
mod http;
mod task;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::store::{StateReader, TelemetryDb};

/// What can be exported, each with its own position.
pub const STREAMS: [&str; 5] = ["metrics", "findings", "decisions", "audit", "remediations"];

/// One destination.
#[derive(Debug, Clone)]
pub struct ExportConfig {
    /// `http://host:4318`; `/v1/metrics` and its siblings are added.
    pub endpoint: String,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Pause when everything is sent. Default: 5 s.
    pub interval: Duration,
    /// Samples in one request, 1 to 100 000. Default: 8 192.
    pub samples_max: usize,
    /// Longest wait for one answer. Default: 10 s.
    pub timeout: Duration,
    /// First pause after a failure; doubled each time, up to 60 s. Default: 1 s.
    pub backoff: Duration,
}

impl ExportConfig {
    /// A destination with everything else as by default.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            interval: Duration::from_secs(5),
            samples_max: 8_192,
            timeout: Duration::from_secs(10),
            backoff: Duration::from_secs(1),
        }
    }
}

/// A destination that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The endpoint is not an `http://` address.
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
}

/// One stream's counts since the agent started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StreamStatus {
    /// Samples, records or spans that the receiver accepted.
    pub sent: u64,
    /// Those that it rejected; they are never sent again.
    pub rejected: u64,
    /// Ticks that were deleted before they could be sent.
    pub skipped: u64,
    /// The position after the last accepted request.
    pub position: u64,
}

/// How an exporter stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExportStatus {
    /// Where to.
    pub endpoint: String,
    /// By stream: see [`STREAMS`].
    pub streams: BTreeMap<String, StreamStatus>,
    /// Moment of the last sample that was accepted.
    pub exported_until: Option<Timestamp>,
    /// Age of the oldest sample that is not, seen from the newest, in seconds.
    pub lag_s: u64,
    /// Requests in a row that failed and will be tried again.
    pub failures: u32,
    /// Why the last request failed or was rejected.
    pub last_error: Option<String>,
}

type Shared = Arc<Mutex<ExportStatus>>;

/// A running exporter.
#[derive(Debug)]
pub struct ExportHandle {
    status: Shared,
    telemetry: TelemetryDb,
    task: JoinHandle<()>,
}

impl ExportHandle {
    /// How it stands now.
    pub fn status(&self) -> ExportStatus {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stats = self.telemetry.stats();
        let from = status.exported_until.or(stats.oldest);
        if let (Some(newest), Some(from)) = (stats.newest, from) {
            status.lag_s = newest.since(from).as_secs();
        }
        status
    }

    /// Waits for the end of the task, after `shutdown` has said so.
    pub async fn stopped(self) {
        let _ = self.task.await;
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

/// Starts one exporter; `shutdown` becoming true (or its sender's end) stops it at once.
pub fn start(
    config: ExportConfig,
    telemetry: TelemetryDb,
    state: StateReader,
    resource: Vec<(String, String)>,
    shutdown: watch::Receiver<bool>,
) -> Result<ExportHandle, ExportError> {
    let client = http::Client::new(&config.endpoint, &config.headers, config.timeout)?;
    let status: Shared = Arc::new(Mutex::new(ExportStatus {
        endpoint: config.endpoint.clone(),
        streams: STREAMS.iter().map(|s| ((*s).to_owned(), StreamStatus::default())).collect(),
        ..ExportStatus::default()
    }));
    let task = task::Task {
        config,
        client,
        telemetry: telemetry.clone(),
        state,
        resource: Arc::new(wire::resource(&resource)),
        status: Arc::clone(&status),
        positions: BTreeMap::new(),
    };
    let task = tokio::spawn(task::supervise(task, shutdown));
    Ok(ExportHandle { status, telemetry, task })
}

#[cfg(test)]
pub(crate) mod receiver;
#[cfg(test)]
mod tests;
