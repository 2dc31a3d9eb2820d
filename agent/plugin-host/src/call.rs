//! One call of a plugin: its result, its cost, and what it leaves behind.

use std::fmt;
use std::time::Duration;

use holdfast_core::model::VerificationVerdict;

/// One call, ended. The state is written by the caller, and only when `result` is good.
#[derive(Debug)]
pub struct Call<T> {
    /// What it gave, or why it gave nothing.
    pub result: Result<T, CallError>,
    /// What it cost.
    pub cost: CallCost,
    /// Keys of its own state that it set (`Some`) or removed (`None`); empty unless `result` is good.
    pub state: Vec<StateWrite>,
    /// What it logged.
    pub log: Vec<LogLine>,
}

/// A key, and its new value or none.
pub type StateWrite = (String, Option<Vec<u8>>);

/// What one call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallCost {
    /// Wall time, host calls included.
    pub elapsed: Duration,
    /// Most memory that its instance had, in bytes.
    pub memory_peak_bytes: u64,
    /// Host calls, log lines aside.
    pub host_calls: u64,
    /// Host calls that were denied for want of a grant.
    pub host_calls_denied: u64,
    /// Bytes that host calls handed to it.
    pub returned_bytes: u64,
    /// Log lines that were dropped.
    pub log_lines_dropped: u64,
    /// Log lines that were cut.
    pub log_lines_cut: u64,
}

/// How grave a plugin thinks a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Each step.
    Trace,
    /// For its author.
    Debug,
    /// Worth knowing.
    Info,
    /// Degraded.
    Warn,
    /// It cannot do its work.
    Error,
}

/// One line of a plugin's log: cut to a bound, without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How grave.
    pub level: LogLevel,
    /// The text.
    pub message: String,
    /// Named facts.
    pub fields: Vec<(String, String)>,
}

/// A plugin's own word on whether its plan helped. The agent's verification is another thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVerdict {
    /// The word.
    pub verdict: VerificationVerdict,
    /// One line for people.
    pub text: String,
}

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// It has no such role.
    #[error("the plugin is no {role}")]
    NoRole {
        /// The role that was asked for.
        role: &'static str,
    },
    /// It ended well and said that it could not do its work.
    #[error("the plugin answered `{kind}`: {text}")]
    Answered {
        /// `denied`, `not-found`, `invalid`, `limit`, `timeout`, `io`, `unsupported`, `other`.
        kind: &'static str,
        /// Its words, cut.
        text: String,
    },
    /// It ran for too long.
    #[error("the plugin was stopped after {} ms: its deadline had passed", .after.as_millis())]
    Deadline {
        /// The deadline.
        after: Duration,
    },
    /// It wanted more memory than it may have.
    #[error("the plugin wanted {wanted_bytes} bytes of memory, it may have {bytes_max}")]
    Memory {
        /// What it wanted.
        wanted_bytes: u64,
        /// What it may have.
        bytes_max: u64,
    },
    /// It called itself too deeply.
    #[error("the plugin's stack was exhausted: it calls itself too deeply")]
    Stack,
    /// It reached one of the other bounds.
    #[error("the plugin exceeded a limit: {what}")]
    Limit {
        /// Which one.
        what: String,
    },
    /// It broke off. WebAssembly's own words are not the cause, so they come last.
    #[error("the plugin broke off{}", Said(said, trap))]
    Trapped {
        /// The last error line that it logged, which a panic hook writes.
        said: Option<String>,
        /// WebAssembly's words.
        trap: String,
    },
    /// What it returned is not acceptable.
    #[error("the plugin's answer was refused: {what}")]
    Refused {
        /// What, by name.
        what: String,
    },
    /// The host could not run it.
    #[error("the plugin could not be started: {what}")]
    Host {
        /// Why.
        what: String,
    },
}

impl CallError {
    /// Whether it counts towards quarantine: the plugin misbehaved, rather than said that it cannot or was never begun.
    pub fn is_misbehaviour(&self) -> bool {
        !matches!(self, Self::Answered { .. } | Self::NoRole { .. } | Self::Host { .. })
    }
}

struct Said<'a>(&'a Option<String>, &'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(said) => write!(f, ", saying: {said}"),
            None => write!(f, " without a word (WebAssembly: {})", self.1),
        }
    }
}

impl<T> Call<T> {
    /// The same call with another kind of result.
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> Result<U, CallError>) -> Call<U> {
        let result = self.result.and_then(with);
        let state = if result.is_ok() { self.state } else { Vec::new() };
        Call { result, cost: self.cost, state, log: self.log }
    }
}
