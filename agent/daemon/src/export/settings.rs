//! What one destination is: where it lies, how it is spoken to, what it gets. Words as the configuration writes them.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What can be exported, each with its own position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Samples of the host, as metrics.
    Metrics,
    /// Findings, as log records.
    Findings,
    /// Decisions, as log records.
    Decisions,
    /// Number and hash of each audit entry, as log records.
    Audit,
    /// Remediations at their end, as traces.
    Remediations,
    /// Build steps run by `holdfast exec`, as spans.
    Steps,
}

impl Stream {
    /// Every stream there is.
    pub const ALL: [Self; 6] =
        [Self::Metrics, Self::Findings, Self::Decisions, Self::Audit, Self::Remediations, Self::Steps];

    /// Its word in configuration, status and ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Findings => "findings",
            Self::Decisions => "decisions",
            Self::Audit => "audit",
            Self::Remediations => "remediations",
            Self::Steps => "steps",
        }
    }

    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Metrics => Signal::Metrics,
            Self::Findings | Self::Decisions | Self::Audit => Signal::Logs,
            Self::Remediations | Self::Steps => Signal::Traces,
        }
    }
}

/// OTLP's three kinds of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Logs,
    Traces,
}

/// How OTLP is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// One POST a request, usually to port 4318.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// Unary calls over HTTP/2, usually to port 4317.
    #[serde(rename = "grpc")]
    Grpc,
}

/// How a request's body is made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// What every receiver understands.
    Gzip,
    /// Smaller and cheaper, where the receiver understands it; not over gRPC.
    Zstd,
}

/// PEM files for an `https://` destination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Whose certificates are believed. None: those that the host believes.
    pub ca: Option<PathBuf>,
    /// The agent's own certificate, with what stands between it and the authority.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportConfig {
    /// Whose positions these are in the store, whatever the endpoint is.
    pub name: String,
    /// Another name under which positions are looked for when there is none under `name`. Default: none.
    pub formerly: Option<String>,
    /// `http://` or `https://host:port`; over HTTP `/v1/metrics` and its siblings are added.
    pub endpoint: String,
    /// Default: HTTP.
    pub protocol: Protocol,
    /// Default: none.
    pub compression: Compression,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// More of them, one `name: value` a line. Read at the start and after a failure.
    pub headers_file: Option<PathBuf>,
    /// Read at the start and after a failure.
    pub tls: TlsFiles,
    /// Default: all.
    pub streams: Vec<Stream>,
    /// Pause when everything is sent. Default: 5 s.
    pub interval: Duration,
    /// Samples in one request, 1 to 100 000. Default: 8 192.
    pub samples_max: usize,
    /// Longest wait for one answer. Default: 10 s.
    pub timeout: Duration,
    /// First pause after a failure; doubled each time, up to 60 s, or 5 min where the address or the credentials are refused. Default: 1 s.
    pub backoff: Duration,
}

impl ExportConfig {
    /// A destination with everything else as by default, named as its endpoint.
    pub fn new(endpoint: impl Into<String>) -> Self {
        let endpoint = endpoint.into();
        Self {
            name: endpoint.clone(),
            formerly: None,
            endpoint,
            protocol: Protocol::default(),
            compression: Compression::default(),
            headers: Vec::new(),
            headers_file: None,
            tls: TlsFiles::default(),
            streams: Stream::ALL.into(),
            interval: Duration::from_secs(5),
            samples_max: 8_192,
            timeout: Duration::from_secs(10),
            backoff: Duration::from_secs(1),
        }
    }
}
