//! Everything that a decision is computed from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{DeploymentId, Finding, Mode, Plan, Reason, RemediationState, Target, Timestamp, UnitState, Value};

/// Everything that a decision is computed from, and nothing else: stored with the decision, so that it can be decided again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Now.
    pub at: Timestamp,
    /// About what.
    pub finding: Finding,
    /// What is to be done; `None` before a plugin was asked.
    pub plan: Option<Plan>,
    /// Facts about the machine: `memory_available_ratio`, `cpu_busy_ratio`, `load_1m`, `cpus`. What is not known is absent.
    pub host: BTreeMap<String, Value>,
    /// The unit that the finding is about, as it is now.
    pub unit: Option<UnitState>,
    /// Deployments under way.
    pub deployments_running: Vec<DeploymentId>,
    /// The host's own ceiling.
    pub ceiling: Mode,
    /// What the operator grants the rule's plugin.
    pub grant: Mode,
    /// Whether somebody paused the agent.
    pub paused: bool,
    /// Earlier remediations, as far back as budgets and records reach.
    pub history: Vec<PastRun>,
    /// Remediations that are under way now.
    pub now_running: u32,
    /// What the agent found before asking: no plan, problems of the plan, content that is not kept. Added to the decision's own
    /// reasons; like every reason it can only tighten.
    #[serde(default)]
    pub given: Vec<Reason>,
}

/// An earlier remediation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    /// The rule that asked for it.
    pub rule: String,
    /// About what.
    pub target: Target,
    /// When its first step began.
    pub started_at: Timestamp,
    /// How it stands or ended.
    pub state: RemediationState,
}

impl PastRun {
    /// Whether it did, or may have done, anything.
    pub(super) fn acted(&self) -> bool {
        use RemediationState as S;
        matches!(self.state, S::Running | S::Verifying | S::Undoing | S::Succeeded | S::Failed | S::Undone)
    }
}

impl Inputs {
    /// The inputs as they will be stored, and as they come back from there. A decision is computed from the second, so that a
    /// replay cannot see anything else. Numbers that JSON cannot carry are absent (host) or text (evidence).
    pub(super) fn canonical(mut self) -> Result<(serde_json::Value, Self), (Box<Self>, String)> {
        self.host.retain(|_, value| !matches!(value, Value::Number(number) if !number.is_finite()));
        for evidence in &mut self.finding.evidence {
            if let Value::Number(number) = evidence.value {
                evidence.value = Value::from(number);
            }
        }
        let stored = match serde_json::to_value(&self) {
            Ok(stored) => stored,
            Err(error) => return Err((Box::new(self), error.to_string())),
        };
        match Self::deserialize(&stored) {
            Ok(back) => Ok((stored, back)),
            Err(error) => Err((Box::new(self), error.to_string())),
        }
    }
}
