//! What the engine wants done outside of the loop. Each result comes back as an [`Event`](crate::event_loop::Event).

use std::sync::Arc;

use holdfast_core::detect::DetectConfig;
use holdfast_core::detect::tuning::{Proof, Tuning};
use holdfast_core::model::{Action, Finding, Label, Plan, PlanBody, PlanDigest, RemediationId, RunId, StepRecord};
use holdfast_core::policy::Authorized;
use tokio::sync::oneshot;

use crate::event_loop::ReadFor;
use crate::request::Answer;
use crate::store::PurgeFilter;

/// Settings of the detectors that somebody wants in force.
#[derive(Debug, Clone)]
pub struct WantedTuning {
    /// All of them.
    pub tuning: Tuning,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What was proved about them by whoever proposed them.
    pub proof: Option<Proof>,
    /// The version whose settings these are again.
    pub reverted_to: Option<u64>,
}

/// One thing to do.
#[derive(Debug)]
pub enum Command {
    /// Ask a plugin for a plan.
    Propose {
        /// Which plugin.
        plugin: String,
        /// For this rule.
        rule: String,
        /// The run.
        run: RunId,
        /// What the plan is to cure.
        finding: Box<Finding>,
    },
    /// Run a plugin's check.
    Check {
        /// Which plugin.
        plugin: String,
        /// The run.
        run: RunId,
        /// A person waits for the report.
        answer: Option<oneshot::Sender<Answer>>,
    },
    /// Ask the plugin whether its plan has cured the finding.
    AskPlugin {
        /// Which plugin.
        plugin: String,
        /// The run.
        run: RunId,
        /// Whose.
        remediation: RemediationId,
        /// The finding.
        finding: Box<Finding>,
        /// The plan.
        plan: Box<PlanBody>,
        /// What became of its steps.
        steps: Vec<StepRecord>,
    },
    /// Carry out one step: its intent is durable.
    Perform {
        /// The plan, with the authority to carry it out.
        authorized: Arc<Authorized<Plan>>,
        /// Whose.
        remediation: RemediationId,
        /// Which step, counted from 0.
        step: usize,
        /// By this name it is carried out at most once.
        request_id: String,
    },
    /// Take one step back: its intent is durable.
    Undo {
        /// Whose.
        remediation: RemediationId,
        /// Which step, counted from 0.
        step: usize,
        /// By this name it is carried out at most once.
        request_id: String,
        /// What the actuator keeps the former state under.
        token: String,
    },
    /// Ask the actuator what became of an earlier request, after a pause.
    AskOutcome {
        /// Whose.
        remediation: RemediationId,
        /// Which step, counted from 0.
        step: usize,
        /// The request.
        request_id: String,
        /// Whether it was an undo.
        undo: bool,
        /// How often it was asked before: the pause grows with it.
        attempt: u32,
    },
    /// Ask the actuator what these actions would change; the caller waits.
    Simulate {
        /// Whose.
        remediation: RemediationId,
        /// Digest of the plan.
        digest: PlanDigest,
        /// In order.
        actions: Vec<(String, Action)>,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// Read files; directories stand for all files in them.
    Read {
        /// Absolute paths.
        paths: Vec<String>,
        /// Not before so many milliseconds.
        after_ms: u64,
        /// What for.
        purpose: ReadFor,
    },
    /// Look whether anything is left in the directory of a superseded release, some seconds later.
    LookWhatIsLeft(String),
    /// From now on tell when something in this directory is altered.
    Watch(String),
    /// No longer tell what is altered in this directory.
    Unwatch(String),
    /// Gather the samples that a labelled finding rests on.
    KeepEpisode {
        /// The label.
        label: Box<Label>,
        /// The settings in force.
        detect: Box<DetectConfig>,
    },
    /// Replay kept incidents under other settings: none may be lost. The caller waits.
    ProveTuning {
        /// Who wants what.
        wanted: Box<WantedTuning>,
        /// The settings in force.
        before: Box<DetectConfig>,
        /// Those that are wanted.
        after: Box<DetectConfig>,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// Forget telemetry, and look for what else tells of the subject; the caller waits.
    Purge {
        /// Who wants it.
        by: String,
        /// What.
        filter: PurgeFilter,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// Read configuration, policy and plugins again.
    Reload(Option<oneshot::Sender<Answer>>),
}
