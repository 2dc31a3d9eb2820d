//! Findings: stated problems about one target, and the raw detections that they are made of.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::evidence::Evidence;
use super::id::{CauseId, FindingId, IdSource, IncidentId};
use super::target::Target;
use super::time::Timestamp;

/// How bad, if true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Informational,
    /// Some day.
    Low,
    /// This week.
    Medium,
    /// Today.
    High,
    /// Now.
    Critical,
}

impl Severity {
    /// The word in JSON, CLI and policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How likely true: 0 to 1. Never multiplied with severity.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Confidence(f64);

/// A confidence that is not a number between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("confidence {0} is not between 0 and 1")]
pub struct ConfidenceError(pub f64);

impl Confidence {
    /// Certain: the host itself says so.
    pub const CERTAIN: Self = Self(1.0);

    /// Checked: 0 to 1 and a number.
    pub fn new(value: f64) -> Result<Self, ConfidenceError> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(ConfidenceError(value)) }
    }
    /// Brings any number into range; not-a-number becomes 0.
    pub fn clamped(value: f64) -> Self {
        if value.is_nan() { Self(0.0) } else { Self(value.clamp(0.0, 1.0)) }
    }
    /// 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Confidence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Which promise of the machine a finding touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It works.
    Reliability,
    /// It is ours.
    Security,
    /// It is as agreed.
    Compliance,
}

/// How a finding was reached; with the inputs it makes the finding repeatable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Method {
    /// `unit_failure`, `baseline_robust`, `plugin:release-verify`.
    pub name: String,
    /// Version of the method, raised whenever its answers may change.
    pub version: u32,
}

/// Whether a detection says that the problem is there, gone, or that it cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// The problem is there.
    Present,
    /// The same measure says that it is gone.
    Cleared,
    /// Too little is known to say either; never opens or resolves anything.
    Inconclusive,
}

/// What one method says about one target at one moment, before hysteresis and deduplication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// `unit.failed`, `unit.restarting`, `disk.filling`, `disk.full`, `file.drift`, `metric.anomaly`, `metric.spread`, `metric.threshold`, `resource.exhausting`,
    /// `slo.burn`, `release.tampered`, `plugin.quarantined`, `plugin.stuck`, `agent.collector_failed`, `telemetry.silent`.
    pub kind: String,
    /// Which promise it touches.
    pub class: Class,
    /// About what.
    pub target: Target,
    /// Tells two problems of one kind and target apart; usually empty.
    pub discriminator: String,
    /// There, gone, or unknown.
    pub presence: Presence,
    /// One line for people.
    pub title: String,
    /// How bad, if true.
    pub severity: Severity,
    /// How likely true.
    pub confidence: Confidence,
    /// How it was reached.
    pub method: Method,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// When the symptom began, as far as the method can tell.
    pub began_at: Timestamp,
    /// Set when the agent's own remediation brought it about.
    pub cause: Option<CauseId>,
}

impl Detection {
    /// What is read off the host or the agent itself, and so is certain: version 1 of its method, about reliability.
    pub fn certain(
        (kind, method): (&str, &str),
        target: Target,
        severity: Severity,
        (presence, title): (Presence, String),
        evidence: Vec<Evidence>,
        began_at: Timestamp,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            class: Class::Reliability,
            target,
            discriminator: String::new(),
            presence,
            title,
            severity,
            confidence: Confidence::CERTAIN,
            method: Method { name: method.to_owned(), version: 1 },
            evidence,
            began_at,
            cause: None,
        }
    }

    /// Same problem, same fingerprint: what deduplication goes by.
    pub fn fingerprint(&self) -> String {
        format!("{}|{}|{}|{}", self.method.name, self.kind, self.target, self.discriminator)
    }
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingState {
    /// Nobody has acted on it yet.
    New,
    /// A remediation is under way.
    InProgress,
    /// A person said that it is no problem.
    Suppressed,
    /// The measure that raised it says that it is gone; or nobody looks any more, which evidence `finding.ended` says.
    Resolved,
}

/// A stated problem about one target. Open findings have distinct fingerprints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// This finding.
    pub id: FindingId,
    /// See [`Detection::fingerprint`].
    pub fingerprint: String,
    /// See [`Detection::kind`].
    pub kind: String,
    /// Which promise it touches.
    pub class: Class,
    /// About what.
    pub target: Target,
    /// One line for people.
    pub title: String,
    /// How bad, if true.
    pub severity: Severity,
    /// How likely true.
    pub confidence: Confidence,
    /// How it was reached.
    pub method: Method,
    /// What it rests on, as last seen.
    pub evidence: Vec<Evidence>,
    /// How it stands.
    pub state: FindingState,
    /// Detections that this finding stands for.
    pub count: u64,
    /// When the symptom began.
    pub began_at: Timestamp,
    /// When it was first reported.
    pub detected_at: Timestamp,
    /// When it was last confirmed.
    pub last_seen_at: Timestamp,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
    /// The incident that groups it.
    pub incident: Option<IncidentId>,
    /// Set when it descends from the agent's own action: no rule matches it.
    pub cause: Option<CauseId>,
    /// A person's label, the last one given: `true-positive` or `false-positive`.
    pub label: Option<String>,
}

impl Finding {
    /// The finding that a detection opens, first reported `at`.
    pub fn opened(detection: &Detection, at: Timestamp, ids: &mut dyn IdSource) -> Self {
        Self {
            id: FindingId::new(at, ids),
            fingerprint: detection.fingerprint(),
            kind: detection.kind.clone(),
            class: detection.class,
            target: detection.target.clone(),
            title: detection.title.clone(),
            severity: detection.severity,
            confidence: detection.confidence,
            method: detection.method.clone(),
            evidence: detection.evidence.clone(),
            state: FindingState::New,
            count: 1,
            began_at: detection.began_at,
            detected_at: at,
            last_seen_at: at,
            resolved_at: None,
            incident: None,
            cause: detection.cause.clone(),
            label: None,
        }
    }
    /// Whether the problem still counts.
    pub fn is_open(&self) -> bool {
        matches!(self.state, FindingState::New | FindingState::InProgress)
    }
    /// The value of a piece of evidence, by name.
    pub fn evidence(&self, name: &str) -> Option<&super::evidence::Value> {
        self.evidence.iter().find(|e| e.name == name).map(|e| &e.value)
    }
}
