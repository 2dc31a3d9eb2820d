//! What people said about findings.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::id::FindingId;
use super::target::Target;
use super::time::Timestamp;

/// A person's word about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// It was a problem.
    TruePositive,
    /// It was none.
    FalsePositive,
}

impl Says {
    /// The word in JSON and CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TruePositive => "true-positive",
            Self::FalsePositive => "false-positive",
        }
    }
}

impl std::fmt::Display for Says {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Says {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::TruePositive, Self::FalsePositive]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a label: true-positive or false-positive"))
    }
}

/// A label, with what the finding was like when it was given: all that is needed to recognise the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The finding that it was given to; a finding has at most one.
    pub finding: FindingId,
    /// The word.
    pub says: Says,
    /// See [`Detection::fingerprint`](super::Detection::fingerprint).
    pub fingerprint: String,
    /// See [`Detection::kind`](super::Detection::kind).
    pub kind: String,
    /// About what.
    pub target: Target,
    /// The finding's title.
    pub title: String,
    /// How bad it was.
    pub severity: Severity,
    /// What it rested on when it was labelled.
    pub evidence: Vec<Evidence>,
    /// When the symptom began.
    pub began_at: Timestamp,
    /// When it was last confirmed, or when it was resolved.
    pub ended_at: Timestamp,
    /// Who labelled it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    #[serde(default)]
    pub note: String,
    /// Findings that were suppressed because of it so far, the labelled one not counted.
    #[serde(default)]
    pub applied: u64,
    /// When the last of them was.
    #[serde(default)]
    pub applied_at: Option<Timestamp>,
}

/// Evidence about labels begins with this, and is no part of what a finding is like.
pub const LABEL_EVIDENCE: &str = "label.";

impl Label {
    /// The label of a finding as it stands.
    pub fn of(finding: &Finding, says: Says, by: &str, at: Timestamp, note: &str) -> Self {
        let own = |it: &&Evidence| !it.name.starts_with(LABEL_EVIDENCE);
        Self {
            finding: finding.id.clone(),
            says,
            fingerprint: finding.fingerprint.clone(),
            kind: finding.kind.clone(),
            target: finding.target.clone(),
            title: finding.title.clone(),
            severity: finding.severity,
            evidence: finding.evidence.iter().filter(own).cloned().collect(),
            began_at: finding.began_at,
            ended_at: finding.resolved_at.unwrap_or(finding.last_seen_at),
            by: by.to_owned(),
            at,
            note: note.to_owned(),
            applied: 0,
            applied_at: None,
        }
    }
}
