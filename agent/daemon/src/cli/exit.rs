//! Exit codes, as `interfaces` promises them, and why a command ends with one.

use std::fmt::Display;
use std::io;

use crate::api::ClientError;
use crate::install::InstallError;
use crate::store::StoreError;
use crate::telemetry::Chain;

/// Yes, or done.
pub(super) const DONE: u8 = 0;
/// The honest answer is no.
pub(super) const NO: u8 = 1;
/// Usage or configuration is wrong.
pub(super) const USAGE: u8 = 2;
/// Too little is known to say.
pub(super) const INCONCLUSIVE: u8 = 3;
/// Policy, permission, freeze or pause says no.
pub(super) const DENIED: u8 = 5;
/// The approval is pending or has expired.
pub(super) const APPROVAL: u8 = 6;
/// The action failed and was undone.
pub(super) const UNDONE: u8 = 7;
/// The action failed and was not undone.
pub(super) const FAILED: u8 = 8;

/// A command that could not do what it was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The reader of the output went away: nothing to say and nobody to say it to.
    pub(super) is_broken_pipe: bool,
}

impl Failure {
    pub(super) fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string(), hint: None, is_broken_pipe: false }
    }

    pub(super) fn usage(message: impl Display) -> Self {
        Self::new(USAGE, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { code: error.exit_code(), message: Chain(&error).to_string(), hint: error.hint(), is_broken_pipe: false }
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        let code = match &error {
            it if it.is_denial() => DENIED,
            it if it.is_failure() => NO,
            _ => USAGE,
        };
        Self { code, message: Chain(&error).to_string(), hint: error.hint(), is_broken_pipe: false }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { code: NO, message: Chain(&error).to_string(), hint: error.hint(), is_broken_pipe: false }
    }
}

impl From<io::Error> for Failure {
    /// Of writing the output.
    fn from(error: io::Error) -> Self {
        let is_broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        let code = if is_broken_pipe { DONE } else { NO };
        Self { code, message: format!("cannot write the output: {error}"), hint: None, is_broken_pipe }
    }
}

/// What a command ends with: an exit code, or why there is none of its own.
pub(super) type Outcome = Result<u8, Failure>;
