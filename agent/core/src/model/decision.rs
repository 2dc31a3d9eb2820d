//! Decisions: an outcome with its reasons. The strictest reason wins; silence denies.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{DecisionId, FindingId};
use super::plan::PlanDigest;
use super::time::Timestamp;

/// How far the agent may go on its own. Ordered: a ceiling is a minimum of modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Record only.
    Observe,
    /// Propose plans, execute none.
    Advise,
    /// Execute after a person's yes.
    Approve,
    /// Execute, then tell.
    Auto,
}

impl Mode {
    /// The word in JSON, CLI and policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Advise => "advise",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a reason, and so a decision, allows. Ordered by strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// May run now.
    Allow,
    /// May run after a person's yes to this very plan.
    RequireApproval,
    /// May not run.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allow => "allow",
            Self::RequireApproval => "require-approval",
            Self::Deny => "deny",
        })
    }
}

/// One reason of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable name: `host_ceiling`, `rule_mode`, `budget_exhausted`, `cooldown`, `checklist`, `paused`, `own_effect`, `max_risk`, …
    pub code: String,
    /// What this reason alone would allow.
    pub verdict: Verdict,
    /// The rule, guardrail or setting that it comes from, with file and line where it has one.
    pub origin: String,
    /// One sentence with the numbers in it.
    pub text: String,
}

/// An outcome with its reasons. A pure function of stored inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// This decision.
    pub id: DecisionId,
    /// When it was taken.
    pub at: Timestamp,
    /// About which finding.
    pub finding: FindingId,
    /// About which plan, when one was made.
    pub plan: Option<PlanDigest>,
    /// The rule that matched; `None` when no rule did.
    pub rule: Option<String>,
    /// The least of all modes that apply.
    pub mode: Mode,
    /// The outcome.
    pub verdict: Verdict,
    /// Every reason, strictest first.
    pub reasons: Vec<Reason>,
    /// SHA-256 of the policy documents that were in force.
    pub policy_digest: String,
    /// Everything the decision was computed from, as canonical JSON: what a replay reads.
    pub inputs: serde_json::Value,
}

/// A named person's yes to one plan digest, until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who, as the socket's peer credentials tell: `alice (uid 1000)`.
    pub approver: String,
    /// To which plan.
    pub plan: PlanDigest,
    /// When.
    pub at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// In the approver's words.
    pub note: String,
}
