//! The daemon's only hand: asks `holdfast-actuator` for typed actions and reports what really changed.
//!
//! Every wait has a deadline. When a deadline passes after a request was sent, nobody here claims to know the outcome:
//! the caller asks [`ActuatorClient::outcome`]. Nothing is executed without an authorized plan.

mod wire;

use std::path::PathBuf;
use std::time::Duration;

use holdfast_actuator::protocol::{Answer, BLOB_BYTES_MAX, Code, Op, Request};
use holdfast_core::model::{Action, Effect, Plan};
use holdfast_core::policy::Authorized;

/// Longest wait for an answer to a question that executes nothing.
const QUESTION_DEADLINE: Duration = Duration::from_secs(15);
/// What an execution may take beyond the step's own time limit, for transfer and durable records.
const EXECUTION_MARGIN: Duration = Duration::from_secs(15);
/// Longest wait for an undo.
const UNDO_DEADLINE: Duration = Duration::from_mins(1);

/// What an executed step changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    /// What really changed.
    pub effects: Vec<Effect>,
    /// Handle by which it is taken back; `None` when there is nothing to put back.
    pub undo_token: Option<String>,
}

/// What the actuator remembers of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ended like this.
    Known(Result<Performed, ActError>),
    /// It is being executed right now.
    InFlight,
    /// It began, and nobody can say how it ended: look at the world, or ask a person.
    Unknown,
}

/// Why an action was not, or not surely, done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// Nothing was sent.
    #[error("the actuator at {socket} cannot be reached: {why}")]
    Unreachable {
        /// The socket.
        socket: String,
        /// The system's words.
        why: String,
    },
    /// Sent, and no answer came: ask [`ActuatorClient::outcome`] before anything else.
    #[error("the actuator gave no answer to {request_id}: {why}")]
    NoAnswer {
        /// The request.
        request_id: String,
        /// Deadline or broken connection.
        why: String,
    },
    /// Nothing was changed.
    #[error("the actuator refused ({code}): {reason}")]
    Refused {
        /// For programs.
        code: Code,
        /// For people.
        reason: String,
    },
    /// It went wrong under way.
    #[error("the actuator failed: {message}")]
    Failed {
        /// For people.
        message: String,
        /// What really changed before.
        effects: Vec<Effect>,
        /// For what changed before, where that can be taken back.
        undo_token: Option<String>,
    },
    /// The caller's own mistake; nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// An answer that does not belong to the question.
    #[error("the actuator answered {0}, which does not belong to the question")]
    Protocol(String),
}

impl ActError {
    /// Whether it is certain that nothing was changed.
    pub fn nothing_changed(&self) -> bool {
        match self {
            Self::Refused { code, .. } => *code != Code::Unknown,
            Self::Unreachable { .. } | Self::Usage(_) => true,
            Self::NoAnswer { .. } | Self::Failed { .. } | Self::Protocol(_) => false,
        }
    }
}

/// A client; cheap to clone, one connection a request.
#[derive(Debug, Clone)]
pub struct ActuatorClient {
    socket: PathBuf,
}

impl ActuatorClient {
    /// Talks to the actuator at this socket; connects only when asked something.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// What the action would change, exactly. Writes nothing.
    pub async fn check(&self, action: &Action) -> Result<Vec<Effect>, ActError> {
        let request = Request { request_id: "check".into(), op: Op::Check { action: action.clone() } };
        match wire::ask(&self.socket, &request, &[], QUESTION_DEADLINE).await? {
            Answer::Would { effects } => Ok(effects),
            other => Err(unexpected(other)),
        }
    }

    /// Carries out one step (counted from 0) of a plan that was authorized, at most once for each `request_id`.
    /// `content` is what a `restore_file` step puts there.
    pub async fn perform(
        &self,
        authorized: &Authorized<Plan>,
        step: usize,
        request_id: &str,
        content: Option<Vec<u8>>,
    ) -> Result<Performed, ActError> {
        let planned = authorized.plan().body().steps.get(step);
        let planned = planned.ok_or_else(|| ActError::Usage(format!("the plan has no step {step}")))?;
        self.execute(&planned.action, planned.timeout_ms, request_id, content).await
    }

    /// Private, because it asks for no authorization.
    async fn execute(
        &self,
        action: &Action,
        timeout_ms: u32,
        request_id: &str,
        blob: Option<Vec<u8>>,
    ) -> Result<Performed, ActError> {
        let blob = blob.unwrap_or_default();
        let blob_bytes = blob.len() as u64;
        if blob_bytes > BLOB_BYTES_MAX {
            return Err(ActError::Usage(format!("{blob_bytes} bytes are more than an action may carry")));
        }
        let op = Op::Do { action: action.clone(), blob_bytes, timeout_ms };
        let request = Request { request_id: request_id.to_owned(), op };
        let deadline = Duration::from_millis(u64::from(timeout_ms)) + EXECUTION_MARGIN;
        performed(wire::ask(&self.socket, &request, &blob, deadline).await?)
    }

    /// Takes back what an earlier step did, at most once for each `request_id`.
    pub async fn undo(&self, request_id: &str, token: &str) -> Result<Performed, ActError> {
        let request = Request { request_id: request_id.to_owned(), op: Op::Undo { token: token.to_owned() } };
        performed(wire::ask(&self.socket, &request, &[], UNDO_DEADLINE).await?)
    }

    /// What became of an earlier request; `None`: the actuator has never begun it.
    pub async fn outcome(&self, request_id: &str) -> Result<Option<Outcome>, ActError> {
        let op = Op::Outcome { request_id: request_id.to_owned() };
        let request = Request { request_id: "outcome".into(), op };
        match wire::ask(&self.socket, &request, &[], QUESTION_DEADLINE).await? {
            Answer::Outcome { known: Some(answer), .. } => Ok(Some(Outcome::Known(performed(*answer)))),
            Answer::Outcome { in_flight: true, .. } => Ok(Some(Outcome::InFlight)),
            Answer::Outcome { started: true, .. } => Ok(Some(Outcome::Unknown)),
            Answer::Outcome { .. } => Ok(None),
            other => Err(unexpected(other)),
        }
    }
}

fn performed(answer: Answer) -> Result<Performed, ActError> {
    match answer {
        Answer::Done { effects, undo_token } => Ok(Performed { effects, undo_token }),
        other => Err(unexpected(other)),
    }
}

fn unexpected(answer: Answer) -> ActError {
    match answer {
        Answer::Refused { code, reason } => ActError::Refused { code, reason },
        Answer::Failed { message, effects, undo_token } => ActError::Failed { message, effects, undo_token },
        other => ActError::Protocol(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests;
