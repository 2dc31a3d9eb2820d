//! How the agent stands: the answer to `holdfast status`, as the event loop gives it and the CLI prints it.
//!
//! Field names are a contract with scripts. Absence is `null`: the agent does not know, which is never zero.

use holdfast_core::model::audit::Head;
use holdfast_core::model::{Mode, Timestamp};
use serde::{Deserialize, Serialize};

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusDocument {
    /// Version of the agent.
    pub version: String,
    /// `host.name`.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// Seconds since.
    pub uptime_s: u64,
    /// What the agent itself costs.
    pub own: OwnCost,
    /// No rule goes further than this on this host.
    pub mode_ceiling: Mode,
    /// Set while paused.
    pub paused: Option<Paused>,
    /// One a collector.
    pub collectors: Vec<CollectorStatus>,
    /// One a plugin.
    pub plugins: Vec<PluginStatus>,
    /// The store of samples and changes.
    pub store: StoreStatus,
    /// One a destination.
    pub exports: Vec<serde_json::Value>,
    /// One a receiver of what applications and pipelines say, and a scraped target; only those that are on.
    #[serde(default)]
    pub receivers: Vec<ReceiverStatus>,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// Open findings.
    pub open_findings: u64,
    /// Series that the detectors watch.
    #[serde(default)]
    pub series_watched: u64,
    /// Series that they should watch and do not, because there are too many.
    #[serde(default)]
    pub series_left_out: u64,
    /// What people said about findings.
    #[serde(default)]
    pub labels: LabelsStatus,
    /// Settings of the detectors over those of the configuration; `None`: the configuration alone.
    #[serde(default)]
    pub tuning: Option<TuningStatus>,
    /// Open incidents.
    pub open_incidents: u64,
    /// Remediations that wait for a person.
    pub pending_approvals: u64,
    /// End of the audit chain.
    pub audit_head: Head,
    /// What goes wrong at the moment, one sentence each; empty when all is well.
    pub problems: Vec<String>,
}

/// What the agent itself costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnCost {
    /// Share of one core over the last minute, in percent.
    pub cpu_percent: Option<f64>,
    /// CPU seconds since the start.
    pub cpu_s: Option<f64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// CPU microseconds for each stored sample since the start, everything that the agent does included.
    pub cpu_us_per_sample: Option<f64>,
}

/// Who paused, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What people said about findings, and what comes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelsStatus {
    /// Findings that were no problem: what is like them is suppressed.
    pub false_positives: u64,
    /// Findings that were one: what is like them never is.
    pub true_positives: u64,
    /// Findings that are suppressed at the moment.
    pub suppressed: u64,
}

/// Settings of the detectors that are over those of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuningStatus {
    /// The version.
    pub number: u64,
    /// Who applied it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Its entries, by their keys in the configuration.
    pub entries: std::collections::BTreeMap<String, String>,
}

/// How one collector is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectorStatus {
    /// `cpu`, `filesystem`, …
    pub name: String,
    /// Its last run.
    pub last_run: Option<Timestamp>,
    /// What the last run took, in microseconds.
    pub cost_us: u64,
    /// Runs so far.
    pub runs: u64,
    /// Failed runs so far.
    pub errors: u64,
    /// Why the last run failed; `None` when it went well.
    pub failing: Option<String>,
    /// Why this host has nothing to read, when that is so.
    pub absent: Option<String>,
}

/// How one plugin is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its component.
    pub digest: String,
    /// `check`, `remediator`, …
    pub roles: Vec<String>,
    /// `ready`, `not_granted`, `disabled`, `quarantined`, `on_trial`, `stuck`, `refused`.
    pub state: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// How far its proposals may go on this host.
    pub mode: Mode,
    /// Calls since the start.
    pub calls: u64,
    /// Failed ones.
    pub failures: u64,
    /// Why the last call failed.
    pub last_error: Option<String>,
    /// What the last call took, in microseconds.
    pub last_cost_us: Option<u64>,
    /// Most memory that a call used, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Most memory that the last call used, in bytes.
    #[serde(default)]
    pub last_memory_bytes: Option<u64>,
    /// Bytes that the last call was handed by the host.
    #[serde(default)]
    pub last_returned_bytes: Option<u64>,
    /// Host calls of the last call.
    #[serde(default)]
    pub last_host_calls: Option<u64>,
    /// What all calls since the start took together, in microseconds.
    #[serde(default)]
    pub cost_us: u64,
    /// Bytes that all calls since the start were handed by the host.
    #[serde(default)]
    pub returned_bytes: u64,
    /// Host calls of all calls since the start.
    #[serde(default)]
    pub host_calls: u64,
    /// Those of them that were denied for want of a grant.
    #[serde(default)]
    pub host_calls_denied: u64,
    /// Rests since it was last forgiven: after three good calls in a row, or by a person.
    #[serde(default)]
    pub quarantines: u32,
    /// When it is tried again; `None`: it is not quarantined.
    #[serde(default)]
    pub quarantined_until: Option<Timestamp>,
    /// Why a newer component was refused while this one goes on.
    #[serde(default)]
    pub update_refused: Option<String>,
}

/// Something that a look at the plugin directories has altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginChange {
    /// The plugin's id.
    pub plugin: String,
    /// `added`, `replaced`, `regranted`, `stopped` (its grant cannot be read or is not for it), `disabled`, `enabled`, `removed`.
    pub what: &'static str,
    /// The version there is now; of what was removed, the one that was.
    pub version: String,
    /// SHA-256 of that version's component.
    pub digest: String,
    /// The version before; only where it was replaced.
    pub from: Option<String>,
}

/// The store of samples and changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Size of the database and its log, in bytes.
    pub bytes: u64,
    /// It stays below this, in bytes.
    pub size_max_bytes: u64,
    /// Data older than this are deleted, in seconds.
    pub retention_s: u64,
    /// Series known.
    pub series: u64,
    /// Samples held.
    pub samples_held: u64,
    /// Samples written since the start.
    pub samples_stored: u64,
    /// Samples and changes lost since the start.
    pub lost: u64,
    /// Readings since the start whose series found no number, because too many others were measured within the hour.
    #[serde(default)]
    pub series_refused: u64,
    /// The oldest tick held.
    pub oldest: Option<Timestamp>,
    /// The newest tick held.
    pub newest: Option<Timestamp>,
    /// Why writing fails at the moment.
    pub failing: Option<String>,
}

/// How one receiver or scraped target stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverStatus {
    /// `otlp-http`, `otlp-grpc`, `cdevents`, `scrape`.
    pub name: String,
    /// Where it listens, or what it reads.
    pub address: String,
    /// Why it does not work at the moment.
    pub failing: Option<String>,
    /// Requests taken, or scrapes made, since the start.
    pub requests: u64,
    /// Points, spans, records and events taken since the start.
    pub accepted: u64,
    /// What was refused since the start, by reason; reasons that begin with `requests_` count requests.
    pub rejected: std::collections::BTreeMap<String, u64>,
    /// Attributes of resources that were left out, for they tell no series apart.
    #[serde(default)]
    pub attributes_left_out: u64,
    /// The last refusal or failure; stays after a recovery.
    pub last_error: Option<String>,
}

/// The policy in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// SHA-256 over its documents.
    pub digest: String,
    /// Its files.
    pub files: Vec<String>,
    /// Its rules.
    pub rules: u64,
}
