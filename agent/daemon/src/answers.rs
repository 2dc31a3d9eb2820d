//! What the event loop answers to each [`crate::request::Request`] that alters or examines something.
//!
//! The door passes them on as JSON and the CLI prints them; field names are a contract with scripts. Requests that are not
//! listed here answer with the document that they altered, as `holdfast_core::model` writes it:
//! approve, reject and undo with the `Remediation`, label and unlabel with the `Finding`, deploy start and finish with the `Deployment`.

use holdfast_core::detect::tuning::{Difference, Proof, Tuning};
use holdfast_core::model::plan::PlanDigest;
use holdfast_core::model::{Detection, Effect, FindingId, RemediationId, RunId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::status::Paused;

/// Answer to `Simulate`: what would change, exactly. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulation {
    /// Which remediation.
    pub remediation: RemediationId,
    /// Digest of the plan that was simulated: what an approval is bound to.
    pub digest: PlanDigest,
    /// One a step, in the plan's order.
    pub steps: Vec<SimulatedStep>,
}

/// What one step would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedStep {
    /// The step's id within the plan.
    pub step: String,
    /// One line for people: `restart unit web.service`.
    pub action: String,
    /// Everything that would change.
    pub effects: Vec<Effect>,
    /// Why the step would be refused as things are now; `None` when it would run.
    pub refused: Option<String>,
}

/// Answer to `Pause` and `Resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseAnswer {
    /// Whether this request altered anything.
    #[serde(default)]
    pub changed: bool,
    /// The pause in force; `None` when actions may start.
    pub paused: Option<Paused>,
}

/// Answer to `BaselineCapture` and `BaselineAccept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineAnswer {
    /// Paths whose present content is accepted now.
    pub accepted: Vec<String>,
    /// Paths that could not be read, with the reason.
    pub skipped: Vec<Skipped>,
}

/// Answer to `TuneApply` and `TuneRevert`; and one version of the settings over those of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuningVersion {
    /// 1, 2, 3, ..
    pub number: u64,
    /// The settings in force from then on; empty: the configuration alone.
    pub tuning: Tuning,
    /// What was altered.
    pub differences: Vec<Difference>,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// What was proved about them beforehand.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// The version whose settings these are again.
    #[serde(default)]
    pub reverted_to: Option<u64>,
    /// Kept incidents that were not replayed beforehand, because all together are more than one proof takes: whether these are lost
    /// nobody knows.
    #[serde(default)]
    pub not_replayed: u64,
}

/// What replaying the kept incidents came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Found with the settings of now, and not with the wanted ones.
    pub lost: Vec<FindingId>,
    /// Not replayed: see [`TuningVersion::not_replayed`].
    pub not_replayed: u64,
}

/// Answer to `BaselineRestore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredBaseline {
    /// The version whose accepted state is in force again.
    pub version: u64,
    /// The version that this made.
    pub number: u64,
    /// Files and items that are accepted otherwise now.
    pub subjects: Vec<String>,
    /// Files and items of which nothing was accepted then: nothing is expected of them any more.
    #[serde(default)]
    pub ends: Vec<String>,
}

/// Answer to `Purge`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeAnswer {
    /// Series whose samples were forgotten.
    pub series: u64,
    /// Samples that were forgotten.
    pub samples: u64,
    /// Changes that were forgotten.
    pub changes: u64,
    /// Kept episodes that were let go, for they held such samples.
    #[serde(default)]
    pub episodes: u64,
    /// Findings that name the subject, the newest first, at most 100: they stay, as the record of what was done and why.
    #[serde(default)]
    pub findings: Vec<FindingId>,
    /// Damaged databases that were set aside, and may hold such samples as well: delete them by hand.
    #[serde(default)]
    pub set_aside: Vec<String>,
}

impl PurgeAnswer {
    /// Whether there was nothing to forget.
    pub fn is_nothing(&self) -> bool {
        self.series == 0 && self.samples == 0 && self.changes == 0 && self.episodes == 0
    }
}

/// Something left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// A path, or a plugin's rule.
    pub subject: String,
    /// Why.
    pub reason: String,
}

/// Answer to `RunPlugin`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginAnswer {
    /// The plugin's id.
    pub plugin: String,
    /// This run.
    pub run: RunId,
    /// What it found.
    pub detections: Vec<Detection>,
    /// Rules that it could evaluate.
    pub evaluated: Vec<String>,
    /// Rules that it could not.
    pub skipped: Vec<Skipped>,
    /// What the call took, in microseconds.
    pub elapsed_us: u64,
}

/// Answer to `LiftQuarantine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineLifted {
    /// The plugin's id.
    pub plugin: String,
    /// Whether it was quarantined.
    pub was_quarantined: bool,
}

/// Answer to `ForgetPlugin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginForgotten {
    /// The plugin's id.
    pub plugin: String,
    /// Keys of its own state that were removed.
    pub keys: u64,
}

/// Answer to `RecordStep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecorded {
    /// The run under which it is kept.
    pub run: RunId,
}

/// Answer to `Reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// SHA-256 over the policy documents that are in force now.
    pub policy_digest: String,
    /// What could not be taken over, one sentence each; what was in force before stays.
    pub problems: Vec<String>,
}
