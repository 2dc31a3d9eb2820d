//! What the daemon and the actuator say to each other over a Unix stream socket.
//!
//! One JSON line a request, followed by exactly `blob_bytes` raw bytes when the request declares them; one JSON line an answer.
//! Unknown verbs and unknown fields are refused. A `request_id` is executed at most once, for ever.

use holdfast_core::model::{Action, Effect};
use serde::{Deserialize, Serialize};

/// Longest JSON line either way, in bytes, line feed included.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Largest content that may follow a request, in bytes.
pub const BLOB_BYTES_MAX: u64 = 64 << 20;
/// Longest `request_id`, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 200;
/// Where the actuator listens unless the configuration says otherwise.
pub const SOCKET_DEFAULT: &str = "/run/holdfast-actuator/actuator.sock";

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `<remediation>/<step>/<do|undo>`; 1 to [`REQUEST_ID_BYTES_MAX`] printable ASCII characters.
    pub request_id: String,
    /// What is asked.
    pub op: Op,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// What the action would change, exactly; writes nothing.
    Check {
        /// The action.
        action: Action,
    },
    /// Do it, once.
    Do {
        /// The action.
        action: Action,
        /// Raw bytes that follow the line: the content of a restored file, else 0.
        blob_bytes: u64,
        /// Longest time that the action itself may take, in milliseconds; 1 to 600 000.
        timeout_ms: u32,
    },
    /// Take back what an earlier `Do` did, once.
    Undo {
        /// From [`Answer::Done`].
        token: String,
    },
    /// What became of an earlier request.
    Outcome {
        /// The earlier request's id.
        request_id: String,
    },
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The peer is not one of root's listed users.
    Peer,
    /// Not JSON, an unknown verb or field, too long, a bad id.
    Malformed,
    /// Root's allow-list does not name it.
    NotAllowed,
    /// The target is no longer as the plan saw it.
    Guard,
    /// The same request was started before and its end is unknown.
    Unknown,
    /// The undo token names nothing that is kept.
    Gone,
}

impl Code {
    /// The word in JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Malformed => "malformed",
            Self::NotAllowed => "not_allowed",
            Self::Guard => "guard",
            Self::Unknown => "unknown",
            Self::Gone => "gone",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// To `Check`: all of it would be done now.
    Would {
        /// What would change.
        effects: Vec<Effect>,
    },
    /// To `Do` and `Undo`: all of it is done.
    Done {
        /// What really changed.
        effects: Vec<Effect>,
        /// For `Undo`; `None` when there is nothing to put back.
        undo_token: Option<String>,
    },
    /// Nothing was changed.
    Refused {
        /// Why, for programs.
        code: Code,
        /// Why, for people.
        reason: String,
    },
    /// It went wrong under way; the effects did happen.
    Failed {
        /// Why, for people.
        message: String,
        /// What really changed before.
        effects: Vec<Effect>,
        /// For what changed before, where that can be taken back.
        undo_token: Option<String>,
    },
    /// To `Outcome`.
    Outcome {
        /// The recorded answer.
        known: Option<Box<Answer>>,
        /// It is being executed right now.
        in_flight: bool,
        /// Its start is recorded. With `known` none and not in flight: nobody can say whether it was executed.
        started: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_survives_the_wire() {
        let action = Action::ResetFailedUnit { unit: "web.service".into(), only_if_invocation: None };
        for op in [
            Op::Check { action: action.clone() },
            Op::Do { action, blob_bytes: 0, timeout_ms: 5 },
            Op::Undo { token: "t".into() },
            Op::Outcome { request_id: "r".into() },
        ] {
            let request = Request { request_id: "rem/1/do".into(), op };
            let line = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request, "{line}");
        }
    }

    #[test]
    fn an_unknown_verb_or_field_is_refused() {
        for line in [
            r#"{"request_id":"a","op":{"shell":{"command":"id"}}}"#,
            r#"{"request_id":"a","op":{"undo":{"token":"t","force":true}}}"#,
            r#"{"request_id":"a","op":{"check":{"action":{"run":{"argv":["id"]}}}}}"#,
            r#"{"request_id":"a","op":{"undo":{"token":"t"}},"as":"root"}"#,
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }
}
