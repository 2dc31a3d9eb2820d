//! What people and programs may ask of the running agent, and how it answers.
//!
//! Reads go straight to the stores' readers. Everything that alters state goes through here to the event loop, which is the
//! only writer of `state.db`: one order, one audit chain. Every call has a deadline.

use std::time::Duration;

use holdfast_core::detect::tuning::{Proof, Tuning};
use holdfast_core::model::{DeploymentId, FindingId, RemediationId, RunId};
use serde::{Deserialize, Serialize};

/// What a caller may do. Ordered: each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Labels, acknowledges, pauses, records deployments.
    Operator,
    /// Approves and rejects plans.
    Approver,
    /// Accepts baselines, installs plugins, resumes.
    Admin,
}

impl Role {
    /// The word in JSON, CLI and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who asks, as the socket's peer credentials tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `alice (uid 1000)`.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// What they may do.
    pub role: Role,
}

/// A deployment as a pipeline announces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployStart {
    /// The pipeline's own id; made by the agent when absent.
    pub id: Option<DeploymentId>,
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `deployment.environment.name`; the agent's own when absent, and `production` where it has none.
    #[serde(default)]
    pub environment: Option<String>,
    /// `sha256:…`.
    #[serde(default)]
    pub artifact: Option<String>,
    /// VCS revision.
    #[serde(default)]
    pub revision: Option<String>,
    /// Where the release lies; its files are recorded at the finish.
    #[serde(default)]
    pub release_dir: Option<String>,
    /// Units that run the service.
    #[serde(default)]
    pub units: Vec<String>,
    /// Paths that the deployment may alter.
    #[serde(default)]
    pub paths: Vec<String>,
}

/// Everything that alters state, or that only the event loop can answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Own state: see `engine::status`.
    Status,
    /// A yes to the remediation's plan.
    Approve {
        /// Which.
        remediation: RemediationId,
        /// In the approver's words.
        note: String,
        /// Digest of the plan that the approver saw; a yes to any other plan is refused. `None`: the plan as it is now.
        #[serde(default)]
        digest: Option<String>,
    },
    /// A no.
    Reject {
        /// Which.
        remediation: RemediationId,
        /// Why.
        note: String,
    },
    /// Take back what a remediation did.
    Undo {
        /// Which.
        remediation: RemediationId,
        /// Why.
        note: String,
    },
    /// What a remediation would change, exactly; writes nothing.
    Simulate {
        /// Which.
        remediation: RemediationId,
    },
    /// Feedback on a finding.
    Label {
        /// Which.
        finding: FindingId,
        /// `true-positive` or `false-positive`.
        label: String,
        /// Why.
        note: String,
    },
    /// Take a finding's label back.
    Unlabel {
        /// Which.
        finding: FindingId,
        /// Why.
        #[serde(default)]
        note: String,
    },
    /// Put settings of the detectors over those of the configuration, in place of an earlier tuning.
    TuneApply {
        /// All of them.
        tuning: Tuning,
        /// Why.
        reason: String,
        /// What was proved about them.
        #[serde(default)]
        proof: Option<Proof>,
    },
    /// Put the settings of an earlier tuning in force again.
    TuneRevert {
        /// Its number; 0: the configuration alone. `None`: the one before that of now.
        #[serde(default)]
        to: Option<u64>,
        /// Why.
        reason: String,
    },
    /// No action starts until `Resume`; survives a restart.
    Pause {
        /// Why.
        reason: String,
    },
    /// The end of a pause.
    Resume {
        /// Why.
        reason: String,
    },
    /// A deployment begins.
    DeployStart(DeployStart),
    /// A deployment ends.
    DeployFinish {
        /// Which.
        id: DeploymentId,
        /// Whether its pipeline says that it went well.
        succeeded: bool,
    },
    /// Record the present content of watched files (or only of `paths`) as accepted.
    BaselineCapture {
        /// Empty: everything that the configuration watches.
        paths: Vec<String>,
    },
    /// Accept the present content of files that drifted.
    BaselineAccept {
        /// Absolute paths; not empty.
        paths: Vec<String>,
        /// Why.
        reason: String,
    },
    /// Accept again what was accepted at an earlier version; files are left as they are.
    BaselineRestore {
        /// Which version.
        version: u64,
        /// Why.
        reason: String,
    },
    /// Run a plugin's check now and wait for its report.
    RunPlugin {
        /// The plugin's id.
        plugin: String,
    },
    /// End a plugin's quarantine: its past is forgotten, and it is called again.
    LiftQuarantine {
        /// The plugin's id.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// Forget what is kept of a plugin that has been removed: its state, its past, what its grant was written for.
    ForgetPlugin {
        /// The plugin's id.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// Look now whether plugins or grants have changed, and not at the next look by the clock. The answer does not wait for it.
    LookAtPlugins,
    /// A pipeline step's measurements, to be stored with that step's history.
    RecordStep(StepMeasurement),
    /// Forget telemetry about a subject, for good: samples of series and changes that have these attributes, and changes
    /// about this target. Findings, decisions and the audit chain stay: they are the record of what was done and why.
    Purge {
        /// Attributes and their values; all of them have to fit.
        #[serde(rename = "where", default)]
        where_: Vec<(String, String)>,
        /// A target as printed, `user:alice`.
        #[serde(default)]
        target: Option<String>,
        /// Why.
        reason: String,
    },
    /// Read configuration, policy and plugins again.
    Reload,
}

impl Request {
    /// The least role that may ask for it. The one place that says so; the API and the engine both look here.
    pub fn required_role(&self) -> Role {
        match self {
            Self::Status | Self::Simulate { .. } => Role::Viewer,
            Self::Label { .. }
            | Self::Unlabel { .. }
            | Self::Pause { .. }
            | Self::DeployStart(_)
            | Self::DeployFinish { .. }
            | Self::RunPlugin { .. }
            | Self::RecordStep(_) => Role::Operator,
            Self::Approve { .. } | Self::Reject { .. } | Self::Undo { .. } => Role::Approver,
            Self::Purge { .. }
            | Self::Resume { .. }
            | Self::LiftQuarantine { .. }
            | Self::TuneApply { .. }
            | Self::TuneRevert { .. }
            | Self::ForgetPlugin { .. }
            | Self::LookAtPlugins
            | Self::BaselineCapture { .. }
            | Self::BaselineAccept { .. }
            | Self::BaselineRestore { .. }
            | Self::Reload => Role::Admin,
        }
    }

    /// What it is called in messages and logs: `approve a plan`.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Status => "read the status",
            Self::Approve { .. } => "approve a plan",
            Self::Reject { .. } => "reject a plan",
            Self::Undo { .. } => "undo a remediation",
            Self::Simulate { .. } => "simulate a remediation",
            Self::Label { .. } | Self::Unlabel { .. } => "label a finding",
            Self::TuneApply { .. } | Self::TuneRevert { .. } => "tune detection",
            Self::Pause { .. } => "pause the agent",
            Self::Resume { .. } => "resume the agent",
            Self::DeployStart(_) | Self::DeployFinish { .. } => "record a deployment",
            Self::BaselineCapture { .. } | Self::BaselineAccept { .. } | Self::BaselineRestore { .. } => {
                "accept a baseline"
            }
            Self::RunPlugin { .. } => "run a plugin",
            Self::LiftQuarantine { .. } => "lift a plugin's quarantine",
            Self::ForgetPlugin { .. } => "forget a plugin",
            Self::LookAtPlugins => "have plugins looked at",
            Self::RecordStep(_) => "record a build step",
            Self::Purge { .. } => "purge telemetry",
            Self::Reload => "reload the configuration",
        }
    }
}

/// What `holdfast exec` measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMeasurement {
    /// This run; the agent makes one when absent.
    #[serde(default)]
    pub run: Option<RunId>,
    /// `cicd.pipeline.task.name`.
    pub step: String,
    /// First element of the command line; arguments may hold secrets and are never recorded.
    pub program: String,
    /// Exit code, 0 to 255; 128 + signal when killed by one.
    pub exit_code: i32,
    /// RFC 3339 start.
    pub started_at: holdfast_core::model::Timestamp,
    /// Wall time in seconds.
    pub duration_s: f64,
    /// User and system CPU time in seconds, children included.
    pub cpu_s: f64,
    /// Peak resident memory in bytes; `None` when the kernel did not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes read from block devices.
    pub read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub written_bytes: Option<u64>,
    /// The span that the step is, as its command was told in `TRACEPARENT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<StepTrace>,
}

/// A step's place in a trace (W3C Trace Context), in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTrace {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits: the step itself, and the parent of whatever its command does.
    pub span_id: String,
    /// 16 digits: what started the step. `None`: the trace begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// The caller's decision: a span that is not sampled is not exported.
    pub sampled: bool,
}

/// Why a request was not done. The kind decides the exit code and the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The request itself is wrong (exit 2, HTTP 400).
    Usage,
    /// No such thing (exit 2, HTTP 404).
    NotFound,
    /// Role, policy, pause or freeze forbids it (exit 5, HTTP 403).
    Denied,
    /// It waits for, or has outlived, an approval (exit 6, HTTP 409).
    Approval,
    /// The state does not permit it any more (exit 1, HTTP 409).
    Conflict,
    /// The agent could not do it: disk, actuator, plugin (exit 1, HTTP 500).
    Failed,
    /// The event loop did not answer in time (exit 4, HTTP 503).
    Unavailable,
}

impl RefusalKind {
    /// The status that the API answers with.
    pub fn http_status(self) -> u16 {
        match self {
            Self::Usage => 400,
            Self::NotFound => 404,
            Self::Denied => 403,
            Self::Approval | Self::Conflict => 409,
            Self::Failed => 500,
            Self::Unavailable => 503,
        }
    }

    /// The exit code of a command that is refused with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage | Self::NotFound => 2,
            Self::Denied => 5,
            Self::Approval => 6,
            Self::Conflict | Self::Failed => 1,
            Self::Unavailable => 4,
        }
    }
}

/// A request that was not done, in one sentence, with what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind.
    pub kind: RefusalKind,
    /// One sentence.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }
    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The answer: a JSON document, or a refusal.
pub type Answer = Result<serde_json::Value, Refusal>;

/// Longest wait for the event loop's answer, approval-triggered work not included.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// One request on its way to the event loop.
#[derive(Debug)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub request: Request,
    /// Where the answer goes; a caller that went away is no error.
    pub answer: tokio::sync::oneshot::Sender<Answer>,
}

/// The door to the event loop; cheap to clone.
#[derive(Debug, Clone)]
pub struct Door(tokio::sync::mpsc::Sender<Call>);

/// Requests that may wait at the door.
pub const CALLS_MAX: usize = 64;

impl Door {
    /// The door and the end that the event loop reads.
    pub fn new() -> (Self, tokio::sync::mpsc::Receiver<Call>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(CALLS_MAX);
        (Self(sender), receiver)
    }

    /// Asks and waits for the answer, at most [`ANSWER_DEADLINE`].
    pub async fn ask(&self, caller: Caller, request: Request) -> Answer {
        let (answer, reply) = tokio::sync::oneshot::channel();
        let unavailable = |what: &str| Refusal::new(RefusalKind::Unavailable, what.to_owned());
        self.0
            .try_send(Call { caller, request, answer })
            .map_err(|_| unavailable("the agent is too busy to take the request").hint("try again in a moment"))?;
        match tokio::time::timeout(ANSWER_DEADLINE, reply).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unavailable("the agent is stopping")),
            Err(_) => Err(unavailable("the agent did not answer in time").hint("see `journalctl -u holdfast`")),
        }
    }
}
