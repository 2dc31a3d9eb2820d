//! Findings with one presumed cause, and the changes suspected of it.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::finding::{Confidence, Severity};
use super::id::{ChangeId, DeploymentId, FindingId, IncidentId};
use super::target::Target;
use super::time::Timestamp;

/// How an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// At least one of its findings is open.
    Open,
    /// All of them are resolved or suppressed.
    Resolved,
}

/// Evidence of a suspect: how far it has to do with what is wrong, 0 to 1.
pub const TARGET_MATCH_EVIDENCE: &str = "suspect.target_match";
/// Up to so much, no relation is known.
pub const UNRELATED: f64 = 0.1;

/// A change close enough before an incident to be its cause: ranked with evidence, never asserted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The change.
    pub change: ChangeId,
    /// Its kind.
    pub kind: String,
    /// Its target.
    pub target: Target,
    /// Its summary.
    pub summary: String,
    /// When it happened.
    pub at: Timestamp,
    /// The deployment it belongs to.
    pub deployment: Option<DeploymentId>,
    /// 0 to 1, comparable within one incident only.
    pub score: f64,
    /// Why: each part with its number.
    pub evidence: Vec<Evidence>,
}

/// One line of an incident's story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// `finding`, `change`, `plan`, `decision`, `approval`, `step`, `verification`, `note`.
    pub kind: String,
    /// The id of what the line is about; may be empty.
    pub reference: String,
    /// One line for people.
    pub text: String,
}

/// Findings with one presumed cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// This incident.
    pub id: IncidentId,
    /// How it stands.
    pub state: IncidentState,
    /// The title of its most severe finding.
    pub title: String,
    /// The highest among its findings.
    pub severity: Severity,
    /// The highest among its findings.
    pub confidence: Confidence,
    /// Its findings, oldest first.
    pub findings: Vec<FindingId>,
    /// Ranked, most suspicious first; may be empty.
    pub suspects: Vec<Suspect>,
    /// The story, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// When the first symptom began.
    pub began_at: Timestamp,
    /// When it was first reported.
    pub detected_at: Timestamp,
    /// When the last finding closed.
    pub resolved_at: Option<Timestamp>,
    /// How it ended, for people.
    pub outcome: Option<String>,
    /// How often it was opened again after it was resolved, because one of its findings came back.
    #[serde(default)]
    pub reopened: u64,
    /// When it was opened again last.
    #[serde(default)]
    pub reopened_at: Option<Timestamp>,
}

impl Incident {
    /// When its newest episode began to be told: its last opening, else its first report.
    pub fn opened_at(&self) -> Timestamp {
        self.reopened_at.unwrap_or(self.detected_at)
    }
}
