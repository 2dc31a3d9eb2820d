//! Why an effector stopped: before anything changed, or under way.

use holdfast_core::model::Effect;

use crate::protocol::{Answer, Code};

/// An effector's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing was changed.
    Refused(Code, String),
    /// The effects did happen.
    Failed { message: String, effects: Vec<Effect>, undo_token: Option<String> },
}

impl Stop {
    pub(crate) fn guard(reason: impl Into<String>) -> Self {
        Self::Refused(Code::Guard, reason.into())
    }
    /// A system call that failed before anything was changed.
    pub(crate) fn io(what: &str, error: impl std::fmt::Display) -> Self {
        Self::Failed { message: format!("cannot {what}: {error}"), effects: vec![], undo_token: None }
    }
}

impl From<Stop> for Answer {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(code, reason) => Self::Refused { code, reason },
            Stop::Failed { message, effects, undo_token } => Self::Failed { message, effects, undo_token },
        }
    }
}

/// What an effector did, and the handle to take it back.
pub(crate) type Did = Result<(Vec<Effect>, Option<String>), Stop>;
