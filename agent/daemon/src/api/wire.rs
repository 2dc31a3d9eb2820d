//! Documents of the API, as `--format json` prints them too. Field names are a contract with scripts, held by snapshots.
//!
//! A document about one thing carries that thing as `holdfast_core::model` writes it, with what belongs to it beside.
//! Lists are newest first, except changes and audit entries, which tell a story. Absence is `null`.

use holdfast_core::detect::DetectConfig;
use holdfast_core::detect::tuning::Tuning;
use holdfast_core::model::{
    Attributes, AuditEntry, Change, Decision, Deployment, FileState, Finding, FindingId, Incident, Interval, Label,
    MetricKind, Remediation, SeriesKey, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::answers::TuningVersion;
use crate::request::{Refusal, RefusalKind, StepMeasurement};
use crate::status::PluginStatus;
use crate::store::{
    Across, Agg, BaselineFile, ChainReport, ContentsPlan, EpisodeHead, Fill, RecordsPlan, RetentionPlan,
};

/// Every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// The refusal.
    pub error: Refusal,
}

impl ErrorDocument {
    /// Of a kind, without a hint.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { error: Refusal::new(kind, message) }
    }
}

/// `GET /api/v1/metrics`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsDocument {
    /// By metric, then by attributes.
    pub series: Vec<SeriesKey>,
    /// Whether there are more than could be listed.
    pub truncated: bool,
}

/// `GET /api/v1/data/retention`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetentionDocument {
    /// Samples, changes and the ledger.
    #[serde(flatten)]
    pub telemetry: RetentionPlan,
    /// Findings, incidents, deployments and all else that is kept as records of its own.
    pub state: Vec<RecordsPlan>,
    /// Accepted contents of files.
    pub contents: ContentsPlan,
}

/// `GET /api/v1/metrics/query`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryDocument {
    /// The metric.
    pub metric: String,
    /// From this moment on.
    pub since: Timestamp,
    /// Up to and with this moment.
    pub until: Timestamp,
    /// Length of a step; `null` when every sample is a point.
    pub step: Option<Interval>,
    /// What stands for the samples of a step.
    pub agg: Agg,
    /// What stands for a step without samples.
    pub fill: Fill,
    /// What stands for the series of a step, when they were joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub across: Option<Across>,
    /// Attributes by which joined series stay apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// One a series with points; by attributes.
    pub series: Vec<SeriesDocument>,
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_one(count: &usize) -> bool {
    *count == 1
}

/// One series of a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesDocument {
    /// What distinguishes it.
    pub attributes: Attributes,
    /// UCUM unit of the stored samples; of a rate, it is this a second.
    pub unit: String,
    /// Gauge or counter.
    pub kind: MetricKind,
    /// How many series it is made of; left out when it is one.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub of: usize,
    /// `[time, value]`, oldest first; a step that `fill` shows and does not bridge has the value `null`.
    pub points: Vec<(Timestamp, Option<f64>)>,
    /// Older points were left out.
    pub truncated: bool,
    /// The longest step that points rest on, where samples were made coarser for their age; `null`: samples everywhere.
    pub resolution: Option<Interval>,
}

/// `GET /api/v1/changes`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesDocument {
    /// Oldest first.
    pub changes: Vec<Change>,
}

/// `GET /api/v1/findings`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingsDocument {
    /// Newest first.
    pub findings: Vec<Finding>,
}

/// `GET /api/v1/findings/ID`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FindingDocument {
    /// The finding.
    pub finding: Finding,
    /// Attempts to cure it, newest first.
    pub remediations: Vec<Remediation>,
    /// What policy decided about it, newest first.
    pub decisions: Vec<Decision>,
    /// What a person said about it.
    #[serde(default)]
    pub label: Option<Label>,
    /// The label of another finding that decides about this one; its `label.effect` and `label.why` say how.
    #[serde(default)]
    pub ruled_by: Option<Label>,
}

/// `GET /api/v1/labels`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelsDocument {
    /// The newest first.
    pub labels: Vec<LabelDocument>,
    /// A detection that is more than this many times as large as what was labelled is a finding again.
    pub larger: f64,
}

/// One label and its effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelDocument {
    /// The label.
    pub label: Label,
    /// Findings that it suppresses at the moment, the newest first.
    pub suppresses: Vec<FindingId>,
}

/// `GET /api/v1/episodes`; one of them with its samples is at `/api/v1/episodes/FINDING`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpisodesDocument {
    /// The newest first.
    pub episodes: Vec<EpisodeHead>,
    /// What they take together, in bytes.
    pub bytes: u64,
    /// They stay below this, in bytes.
    pub bytes_max: u64,
}

/// `GET /api/v1/tuning`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuningDocument {
    /// Detection as the configuration says.
    pub base: DetectConfig,
    /// What is over it; empty: nothing.
    pub tuning: Tuning,
    /// The settings in force: both together.
    pub in_force: DetectConfig,
    /// Every remembered version, the newest first.
    pub versions: Vec<TuningVersion>,
}

/// `GET /api/v1/baseline/versions`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionsDocument {
    /// The newest first.
    pub versions: Vec<VersionDocument>,
}

/// One version of what is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionDocument {
    /// 1, 2, 3, ..
    pub number: u64,
    /// Since when.
    pub at: Timestamp,
    /// Who accepted it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Files and items that were altered.
    pub altered: u64,
    /// The first of them.
    pub subjects: Vec<String>,
}

/// `GET /api/v1/baseline/versions/diff`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionsDiffDocument {
    /// What was accepted at this version,
    pub from: u64,
    /// and at this one.
    pub to: u64,
    /// By subject.
    pub changes: Vec<VersionChange>,
}

/// A file or an item that was accepted otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionChange {
    /// `/etc/hosts`, `user:alice`.
    pub subject: String,
    /// What was accepted at the first version, in a line; `None`: nothing.
    pub before: Option<String>,
    /// What was accepted at the second.
    pub after: Option<String>,
    /// Of texts that are kept, a unified diff.
    pub diff: Option<String>,
}

/// `GET /api/v1/incidents`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentsDocument {
    /// Newest first.
    pub incidents: Vec<Incident>,
}

/// `GET /api/v1/incidents/ID`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentDocument {
    /// The incident.
    pub incident: Incident,
    /// Its findings, oldest first.
    pub findings: Vec<Finding>,
    /// Attempts to cure them, oldest first.
    pub remediations: Vec<Remediation>,
}

/// `GET /api/v1/remediations`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemediationsDocument {
    /// Newest first.
    pub remediations: Vec<Remediation>,
}

/// `GET /api/v1/remediations/ID`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemediationDocument {
    /// The remediation.
    pub remediation: Remediation,
    /// What it is to cure; `null` when it is not kept any more.
    pub finding: Option<Finding>,
}

/// `GET /api/v1/decisions`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionsDocument {
    /// Newest first.
    pub decisions: Vec<Decision>,
}

/// `GET /api/v1/decisions/ID`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionDocument {
    /// The decision.
    pub decision: Decision,
}

/// `GET /api/v1/deployments`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentsDocument {
    /// Newest first.
    pub deployments: Vec<Deployment>,
}

/// `GET /api/v1/deployments/ID`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentDocument {
    /// The deployment.
    pub deployment: Deployment,
    /// Changes that belong to it, oldest first.
    pub changes: Vec<Change>,
    /// Incidents that suspect it, newest first.
    pub incidents: Vec<Incident>,
}

/// `GET /api/v1/audit`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDocument {
    /// Oldest first.
    pub entries: Vec<AuditEntry>,
    /// Where to go on: give it as `after`; `null` at the end.
    pub next_after: Option<u64>,
}

/// `GET /api/v1/audit/verify`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyDocument {
    /// Both answers.
    #[serde(flatten)]
    pub report: ChainReport,
}

/// `GET /api/v1/baseline`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineDocument {
    /// Accepted files, by path.
    pub files: Vec<BaselineFile>,
}

/// `GET /api/v1/baseline/compare`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonDocument {
    /// One an accepted file, by path.
    pub files: Vec<FileComparison>,
    /// Items that are not as accepted: packages, accounts, kernel settings and modules, ports.
    #[serde(default)]
    pub items: Vec<ItemComparison>,
    /// Files and items that are as accepted.
    pub unchanged: u64,
    /// Files and items that are not.
    pub changed: u64,
    /// Files and kinds of items that could not be read.
    pub unknown: u64,
}

/// One item that is not as accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemComparison {
    /// `user:alice`
    pub item: String,
    /// What was accepted; `null`: that there is none.
    pub accepted: Option<String>,
    /// What is there; `null`: nothing.
    pub current: Option<String>,
    /// What on the host says that it should be so.
    pub stated_by: Option<String>,
}

/// How a file stands against what was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileVerdict {
    /// As accepted.
    Unchanged,
    /// Content, mode or owner differ.
    Changed,
    /// It was there and is gone.
    Missing,
    /// It was not there and is.
    Appeared,
    /// It cannot be read: nobody can tell.
    Unknown,
}

/// One file against what was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileComparison {
    /// Absolute path.
    pub path: String,
    /// How it stands.
    pub verdict: FileVerdict,
    /// What was accepted.
    pub accepted: FileState,
    /// What is there; `null` when that cannot be told.
    pub current: Option<FileState>,
    /// `content`, `mode`, `owner`: what differs.
    pub differs: Vec<String>,
    /// Unified diff, when asked for, where both contents are known and are text.
    pub diff: Option<String>,
    /// Why there is no diff or no answer.
    pub reason: Option<String>,
}

/// `GET /api/v1/steps/NAME`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepsDocument {
    /// The step.
    pub step: String,
    /// Its runs, newest first.
    pub runs: Vec<StepMeasurement>,
}

/// `GET /api/v1/plugins`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginsDocument {
    /// By id.
    pub plugins: Vec<PluginStatus>,
}
