//! Plans: immutable ordered steps with every value resolved, bound by a digest.
//!
//! A step leaves nothing to choose. Its guards (invocation id, digest, size, newest change) are checked again when it is executed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::evidence::Evidence;
use super::finding::Confidence;
use super::id::{FindingId, PlanId, RunId};
use super::target::Target;
use super::time::Timestamp;

/// What a step may cost if it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Changes nothing that anyone would miss.
    None,
    /// A short interruption, or fully undone.
    Low,
    /// Needs thought.
    Medium,
    /// Needs a person.
    High,
}

impl Risk {
    /// The word in JSON, CLI and policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something to remove so that space comes back: a file, or a whole tree below one directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReclaimEntry {
    /// Absolute path strictly below the step's root.
    pub path: String,
    /// Regular files in it; 1 for a file.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Guard: refused when anything in it was altered after this moment.
    pub newest_change: Timestamp,
}

/// The closed vocabulary of what the agent can do. Every value is resolved; guards are named `only_if_…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Stop and start a unit (a failed one is started).
    RestartUnit {
        /// `web.service`.
        unit: String,
        /// Guard: refused when the unit was started since. `None`: the unit has never been started.
        only_if_invocation: Option<String>,
        /// Guard: refused when the unit is in another active state now.
        only_if_active_state: String,
    },
    /// Clear a unit's failed state and its start-limit counter.
    ResetFailedUnit {
        /// `web.service`.
        unit: String,
        /// Guard: refused when the unit was started since.
        only_if_invocation: Option<String>,
    },
    /// Put a file back to a recorded content, owner and mode.
    RestoreFile {
        /// Absolute path.
        path: String,
        /// Guard: SHA-256 of what lies there now; `None`: nothing does.
        only_if_sha256: Option<String>,
        /// SHA-256 of the content to put there; the agent's blob store holds it.
        sha256: String,
        /// Its size in bytes.
        bytes: u64,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Move a file out of the way, to where only root can reach it.
    QuarantinePath {
        /// Absolute path of a regular file.
        path: String,
        /// Guard: SHA-256 of what lies there now.
        only_if_sha256: String,
    },
    /// Remove files that nobody needs. Cannot be undone.
    ReclaimPaths {
        /// Absolute path of a directory; everything removed lies below it.
        root: String,
        /// What to remove, and nothing else.
        entries: Vec<ReclaimEntry>,
    },
}

impl Action {
    /// The verb: `restart_unit`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::RestartUnit { .. } => "restart_unit",
            Self::ResetFailedUnit { .. } => "reset_failed_unit",
            Self::RestoreFile { .. } => "restore_file",
            Self::QuarantinePath { .. } => "quarantine_path",
            Self::ReclaimPaths { .. } => "reclaim_paths",
        }
    }

    /// Every verb there is, for documents and checks.
    pub const VERBS: [&'static str; 5] =
        ["restart_unit", "reset_failed_unit", "restore_file", "quarantine_path", "reclaim_paths"];

    /// What it acts on.
    pub fn target(&self) -> Target {
        match self {
            Self::RestartUnit { unit, .. } | Self::ResetFailedUnit { unit, .. } => Target::unit(unit),
            Self::RestoreFile { path, .. } | Self::QuarantinePath { path, .. } => Target::file(path),
            Self::ReclaimPaths { root, .. } => Target::new("directory", root),
        }
    }

    /// The least risk that a plan may state for it.
    pub fn minimum_risk(&self) -> Risk {
        match self {
            Self::ResetFailedUnit { .. } => Risk::None,
            Self::RestartUnit { .. } | Self::RestoreFile { .. } => Risk::Low,
            Self::QuarantinePath { .. } | Self::ReclaimPaths { .. } => Risk::Medium,
        }
    }

    /// How it is taken back.
    pub fn undo(&self) -> Undo {
        match self {
            Self::RestoreFile { .. } | Self::QuarantinePath { .. } => Undo::Kept,
            Self::RestartUnit { .. } | Self::ResetFailedUnit { .. } => Undo::NothingToUndo,
            Self::ReclaimPaths { .. } => Undo::Impossible,
        }
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        match self {
            Self::RestartUnit { unit, .. } => format!("restart unit {unit}"),
            Self::ResetFailedUnit { unit, .. } => format!("clear the failed state of unit {unit}"),
            Self::RestoreFile { path, sha256, .. } => {
                format!("restore {path} to sha256:{}", sha256.get(..12).unwrap_or(sha256))
            }
            Self::QuarantinePath { path, .. } => format!("move {path} into quarantine"),
            Self::ReclaimPaths { root, entries } => format!(
                "remove {} entries ({}) below {root}",
                entries.len(),
                super::unit::human_bytes(entries.iter().map(|e| e.bytes).sum())
            ),
        }
    }
}

/// How a step is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// The actuator keeps the former state and can put it back.
    Kept,
    /// Repeating or leaving it is harmless; there is no former state to put back.
    NothingToUndo,
    /// It cannot be taken back: never without a person's yes.
    Impossible,
}

/// One action of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique within the plan: `1`, `restart`.
    pub id: String,
    /// What to do.
    pub action: Action,
    /// Why.
    pub rationale: String,
    /// What else it may bring about.
    pub side_effects: Vec<String>,
    /// The higher of the plugin's view and the action's own.
    pub risk: Risk,
    /// How it is taken back.
    pub undo: Undo,
    /// Longest time it may take, in milliseconds; 1 to 600 000.
    pub timeout_ms: u32,
}

/// The content of a plan, before its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanBody {
    /// This plan.
    pub id: PlanId,
    /// Which finding it is to cure.
    pub finding: FindingId,
    /// About what.
    pub target: Target,
    /// The plugin that proposed it, and its version: `unit-medic 0.1.0`.
    pub proposed_by: String,
    /// SHA-256 of the plugin's component.
    pub plugin_digest: String,
    /// The plugin run that made it.
    pub run: RunId,
    /// One line for people.
    pub summary: String,
    /// How sure the plugin is that this cures the finding.
    pub confidence: Confidence,
    /// In order; the first failure stops the plan and undoes backwards.
    pub steps: Vec<Step>,
    /// What the plan rests on.
    pub evidence: Vec<Evidence>,
    /// After the last step, wait this long before verifying; at most 600 000.
    pub settle_ms: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// After this it may not start any more.
    pub expires_at: Timestamp,
}

/// SHA-256 over a plan's canonical JSON, 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PlanDigest(String);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a plan digest (64 hexadecimal digits)")]
pub struct PlanDigestError(pub String);

impl PlanDigest {
    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlanDigest {
    type Err = PlanDigestError;
    fn from_str(text: &str) -> Result<Self, PlanDigestError> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PlanDigestError(text.to_owned()))
        }
    }
}

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PlanDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A plan that cannot be altered any more: its digest is computed, and checked whenever it is read back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    body: PlanBody,
    digest: PlanDigest,
}

impl Plan {
    /// Seals a plan: from here on its digest names exactly this content.
    pub fn seal(body: PlanBody) -> Result<Self, serde_json::Error> {
        let digest = PlanDigest(hex(&Sha256::digest(serde_json::to_vec(&body)?)));
        Ok(Self { body, digest })
    }
    /// The content.
    pub fn body(&self) -> &PlanBody {
        &self.body
    }
    /// The digest.
    pub fn digest(&self) -> &PlanDigest {
        &self.digest
    }
    /// The highest risk of its steps.
    pub fn risk(&self) -> Risk {
        self.body.steps.iter().map(|s| s.risk).max().unwrap_or(Risk::None)
    }
    /// Whether every step is harmless to repeat or can be taken back.
    pub fn is_reversible(&self) -> bool {
        self.body.steps.iter().all(|s| s.undo != Undo::Impossible)
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Stored {
            body: PlanBody,
            digest: PlanDigest,
        }
        let stored = Stored::deserialize(deserializer)?;
        let plan = Self::seal(stored.body).map_err(serde::de::Error::custom)?;
        if plan.digest == stored.digest {
            Ok(plan)
        } else {
            Err(serde::de::Error::custom("the plan does not have the digest that is stored with it"))
        }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::id::SeededIds;
    use super::*;

    fn plan() -> Plan {
        let (at, ids) = (Timestamp::from_secs(1_800_000_000), &mut SeededIds(3));
        Plan::seal(PlanBody {
            id: PlanId::new(at, ids),
            finding: FindingId::new(at, ids),
            target: Target::unit("web.service"),
            proposed_by: "unit-medic 0.1.0".into(),
            plugin_digest: "0".repeat(64),
            run: RunId::new(at, ids),
            summary: "restart web.service".into(),
            confidence: Confidence::CERTAIN,
            steps: vec![Step {
                id: "1".into(),
                action: Action::RestartUnit {
                    unit: "web.service".into(),
                    only_if_invocation: None,
                    only_if_active_state: "failed".into(),
                },
                rationale: "it crashed".into(),
                side_effects: vec![],
                risk: Risk::Low,
                undo: Undo::NothingToUndo,
                timeout_ms: 30_000,
            }],
            evidence: vec![Evidence::new("x", 1.0)],
            settle_ms: 2_000,
            made_at: at,
            expires_at: at,
        })
        .unwrap()
    }

    #[test]
    fn a_stored_plan_comes_back_the_same() {
        let json = serde_json::to_string(&plan()).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan());
    }

    #[test]
    fn a_plan_altered_in_the_store_is_refused() {
        let json = serde_json::to_string(&plan()).unwrap().replace("\"web.service\"", "\"ssh.service\"");
        let error = serde_json::from_str::<Plan>(&json).unwrap_err().to_string();
        assert!(error.contains("does not have the digest"), "{error}");
    }
}
