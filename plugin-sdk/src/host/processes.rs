//! Running processes. Command lines are empty unless `processes-cmdline` is granted.

use crate::Error;
use crate::bindings::host::processes as wire;

pub use wire::Process;

/// Processes by a glob on their name; `*` for all.
///
/// ```
/// use holdfast_plugin_sdk::host::processes::{self, Process};
/// use holdfast_plugin_sdk::Error;
///
/// /// Pure: those that run a program that has been replaced or removed.
/// fn outdated(all: &[Process]) -> Vec<&str> {
///     all.iter().filter(|it| it.exe_deleted).map(|it| it.name.as_str()).collect()
/// }
///
/// fn look() -> Result<usize, Error> {
///     Ok(outdated(&processes::list("*")?).len()) // asks the host
/// }
/// assert!(outdated(&[]).is_empty());
/// # let _ = look;
/// ```
pub fn list(pattern: &str) -> Result<Vec<Process>, Error> {
    wire::list(pattern)
}
