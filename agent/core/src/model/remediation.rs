//! One attempt to cure a finding by a plan, from proposal to outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::decision::{Approval, Decision};
use super::evidence::Evidence;
use super::id::{FindingId, IncidentId, RemediationId};
use super::plan::Plan;
use super::time::Timestamp;

/// How a remediation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemediationState {
    /// A plan that nobody may run (mode `advise`), or that is being decided.
    Proposed,
    /// Waits for a person's yes.
    AwaitingApproval,
    /// May run; waits for its turn.
    Approved,
    /// A step is under way.
    Running,
    /// Steps are done; the symptom is watched.
    Verifying,
    /// Steps are being taken back.
    Undoing,
    /// The symptom is gone.
    Succeeded,
    /// It did not help, or a step failed, and what was done stays done.
    Failed,
    /// What was done was taken back.
    Undone,
    /// A person said no.
    Rejected,
    /// Nobody answered in time.
    Expired,
    /// Policy forbids it.
    Denied,
}

impl RemediationState {
    /// Whether nothing more will happen on its own.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Undone | Self::Rejected | Self::Expired | Self::Denied)
    }

    /// Whether the state machine permits this move.
    pub fn may_become(self, next: Self) -> bool {
        use RemediationState as S;
        matches!(
            (self, next),
            (S::Proposed, S::AwaitingApproval | S::Approved | S::Denied | S::Rejected | S::Expired)
                | (S::AwaitingApproval, S::Approved | S::Rejected | S::Expired | S::Denied)
                | (S::Approved, S::Running | S::Denied | S::Expired | S::Rejected | S::Failed)
                | (S::Running, S::Verifying | S::Undoing | S::Failed)
                | (S::Verifying, S::Succeeded | S::Undoing | S::Failed)
                | (S::Undoing, S::Undone | S::Failed)
                // A person may still take back what was done.
                | (S::Succeeded | S::Failed, S::Undoing)
        )
    }

    /// The word in JSON and CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Verifying => "verifying",
            Self::Undoing => "undoing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Undone => "undone",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Denied => "denied",
        }
    }
}

impl fmt::Display for RemediationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Its intent is durable; it may have been executed.
    Started,
    /// Executed, as the actuator says.
    Done,
    /// Refused or failed; nothing or only the listed effects happened.
    Failed,
    /// Taken back.
    Undone,
    /// Started, and nobody can say whether it was executed: needs a person.
    Unknown,
}

/// One thing that really changed, as the actuator reports it, or that would change, as `simulate` says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Effect {
    /// `unit.restarted`, `unit.failed_state_reset`, `file.restored`, `file.quarantined`, `path.removed`.
    pub kind: String,
    /// Unit name or absolute path.
    pub subject: String,
    /// Bytes written or freed; 0 where it does not apply.
    pub bytes: u64,
    /// For people: digests, invocation ids, where the former state is kept.
    pub detail: String,
}

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's id within the plan.
    pub step: String,
    /// How it stands.
    pub state: StepState,
    /// When its intent became durable.
    pub started_at: Option<Timestamp>,
    /// When the actuator answered.
    pub finished_at: Option<Timestamp>,
    /// What really changed.
    pub effects: Vec<Effect>,
    /// Handle by which the actuator can take it back.
    pub undo_token: Option<String>,
    /// Why it failed, was refused, or cannot be told.
    pub message: Option<String>,
}

/// Whether the symptom is gone, by the measure that raised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationVerdict {
    /// Gone.
    Healed,
    /// Still there.
    NotHealed,
    /// Too little to say.
    Inconclusive,
}

/// The result of watching after the last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The verdict.
    pub verdict: VerificationVerdict,
    /// When it was reached.
    pub at: Timestamp,
    /// One sentence with the numbers.
    pub text: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// One attempt to cure a finding by a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remediation {
    /// This remediation; also the cause id of its effects.
    pub id: RemediationId,
    /// What it is to cure.
    pub finding: FindingId,
    /// The incident around it.
    pub incident: Option<IncidentId>,
    /// The rule that asked for it.
    pub rule: String,
    /// The person whose request led to it: who ran the check by hand that found what it is to cure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// What is to be done.
    pub plan: Plan,
    /// How it stands.
    pub state: RemediationState,
    /// What policy said.
    pub decision: Decision,
    /// The yes that it runs on, when one was asked.
    pub approval: Option<Approval>,
    /// One record a step, in the plan's order.
    pub steps: Vec<StepRecord>,
    /// What watching showed.
    pub verification: Option<Verification>,
    /// When it was proposed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How it ended, for people.
    pub outcome: Option<String>,
}
