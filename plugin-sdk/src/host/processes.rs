//! Running processes. Command lines are empty unless `processes-cmdline` is granted.

use crate::Error;
use crate::bindings::host::processes as wire;

pub use wire::Process;

/// Processes by a glob on their name; `*` for all.
pub fn list(pattern: &str) -> Result<Vec<Process>, Error> {
    wire::list(pattern)
}
