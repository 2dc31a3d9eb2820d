//! `[ingest]` of the configuration. Everything is off until an address, a target or a switch is written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use holdfast_core::model::{ByteSize, Interval};
use serde::{Deserialize, Serialize};

/// What is taken in from the host's own applications and pipelines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct IngestConfig {
    /// Where OTLP/HTTP is taken in, such as "127.0.0.1:4318". Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<SocketAddr>,
    /// Where OTLP/gRPC is taken in, such as "127.0.0.1:4317". Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<SocketAddr>,
    /// Where CDEvents are taken in, such as "127.0.0.1:4319"; their path is `/api/v1/cdevents`. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cdevents: Option<SocketAddr>,
    /// Senders of OTLP and CDEvents show the token in this file, as `Authorization: Bearer TOKEN`: an absolute path that not every user may read, or the name of a
    /// systemd credential. Without it receivers ask nobody who they are, and every user of this host may send. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// Addresses other than loopback need this switch, and `token-file`. Default: false.
    pub allow_remote: bool,
    /// Count what each unit writes into the journal, by priority. Default: false.
    pub journal: bool,
    /// A directory of `*.toml` and `*.json` with scrape targets, looked at again every minute. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_dir: Option<PathBuf>,
    /// How much is taken.
    pub limits: Limits,
    /// `[[ingest.scrape]]`: targets that speak Prometheus' text format or OpenMetrics. Default: none.
    pub scrape: Vec<ScrapeTarget>,
}

/// `[ingest.limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Longest body of a request, before and after it is decompressed. Default: "4MiB".
    pub body_max: ByteSize,
    /// Requests of one application (`service.name`) or target in a second; twice as many in a burst. Default: 50.
    pub requests_per_second: u32,
    /// Applications and targets told apart. Default: 64.
    pub sources_max: usize,
    /// Series of one application or target. Default: 1000.
    pub series_per_source: usize,
    /// Series of all of them together. Default: 5000.
    pub series_max: usize,
    /// Attributes of one series. Default: 24.
    pub attributes_max: usize,
    /// Operations (routes or span names) told apart for one service; the rest is `_OTHER`. Default: 20.
    pub operations_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max: ByteSize(4 << 20),
            requests_per_second: 50,
            sources_max: 64,
            series_per_source: 1_000,
            series_max: 5_000,
            attributes_max: 24,
            operations_max: 20,
        }
    }
}

/// `[[ingest.scrape]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScrapeTarget {
    /// `http://127.0.0.1:9100/metrics`
    pub url: String,
    /// Time between two scrapes. At least "1s". Default: "15s".
    #[serde(default = "every")]
    pub every: Interval,
    /// Longest wait for the answer, below `every`. Default: "5s".
    #[serde(default = "timeout")]
    pub timeout: Interval,
    /// Added to each series; `service.name` here is the source that limits count for. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn every() -> Interval {
    Interval::secs(15)
}

fn timeout() -> Interval {
    Interval::secs(5)
}

impl ScrapeTarget {
    /// With the defaults of everything but the address.
    pub fn new(url: String) -> Self {
        Self { url, every: every(), timeout: timeout(), labels: BTreeMap::new() }
    }
}
