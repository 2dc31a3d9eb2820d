//! What an author implements: [`Plugin`] once, and a trait for each role.
//!
//! Every call comes to a fresh instance: `configure`, then the one call, then the instance is gone. What must be remembered goes
//! through [`host::state`](crate::host::state).

use serde::de::DeserializeOwned;

use crate::{Error, Evidence, Finding, Plan, Report, Subject};

pub use crate::bindings::remediator::Verdict;

/// What every plugin knows about the call that it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The run's id, also in the audit log and on every log line.
    pub run_id: String,
    /// The host that it looks at.
    pub host_id: String,
}

/// Made anew for each call, from the operator's settings.
pub trait Plugin: Sized + 'static {
    /// The shape of `[settings]` in `plugin.toml`. The defaults live there; the host sends all keys.
    type Settings: DeserializeOwned;

    /// Checks the settings and keeps what the call needs. An error ends the call with its words.
    fn configure(context: Context, settings: Self::Settings) -> Result<Self, Error>;
}

/// Looks at the host and reports problems.
pub trait Check: Plugin {
    /// Fills the report. An error means that nothing at all could be said: no finding opens or closes.
    fn run(&self, report: &mut Report) -> Result<(), Error>;
}

/// Proposes plans. It never acts: the agent decides, acts, verifies and undoes.
pub trait Remediator: Plugin {
    /// A plan for the finding, or `None` (with a log line that says why) when there is nothing to propose.
    fn propose(&self, finding: &Finding) -> Result<Option<Plan>, Error>;

    /// Whether the finding is cured, from fresh facts. The agent has its own measure; this is a second opinion, and the default
    /// has none.
    fn verify(&self, finding: &Finding, plan: &ProposedPlan, outcomes: &[Outcome]) -> Result<Verdict, Error> {
        let _ = (finding, plan, outcomes);
        Ok(Verdict::Unsure("the plugin has no measure of its own".to_owned()))
    }
}

/// A plan as it comes back for verification.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedPlan {
    /// One line for people.
    pub summary: String,
    /// About what.
    pub subject: Subject,
    /// What it rested on.
    pub evidence: Vec<Evidence>,
    /// Its steps.
    pub steps: Vec<ProposedStep>,
}

/// A step as it comes back for verification.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedStep {
    /// The name within the plan.
    pub id: String,
    /// `unit.restart`, …
    pub capability: String,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The step's id.
    pub step: String,
    /// How it ended.
    pub state: OutcomeState,
    /// In words.
    pub message: String,
    /// In facts.
    pub facts: Vec<Evidence>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeState {
    /// Carried out.
    Done,
    /// Tried, and not done or only in part.
    Failed,
    /// Not tried.
    Skipped,
    /// Done and taken back.
    Undone,
    /// Only simulated.
    DryRun,
}

/// Reads the settings that the host sends as JSON.
pub fn settings<S: DeserializeOwned>(json: &str) -> Result<S, Error> {
    serde_json::from_str(json).map_err(|error| Error::Invalid(format!("settings: {error}")))
}
