//! systemd units, as far as granted.

use crate::Error;
use crate::bindings::host::units as wire;

pub use wire::UnitStatus;

impl Default for UnitStatus {
    /// A unit that has never run; for tests and tables.
    fn default() -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            name: String::new(),
            load: text("loaded"),
            active: text("inactive"),
            sub: text("dead"),
            unit_file: text("enabled"),
            main_pid: None,
            restarts: 0,
            since: None,
            fragment_path: None,
            result: text("success"),
            invocation_id: None,
            restart_policy: String::new(),
        }
    }
}

/// One unit's state, fresh.
///
/// ```
/// use holdfast_plugin_sdk::host::units::{self, UnitStatus};
/// use holdfast_plugin_sdk::Error;
///
/// /// Pure: whether systemd has given up on it.
/// fn gave_up(unit: &UnitStatus) -> bool {
///     unit.active == "failed" && unit.result == "start-limit-hit"
/// }
///
/// fn look(name: &str) -> Result<bool, Error> {
///     match units::status(name) {
///         Ok(unit) => Ok(gave_up(&unit)),
///         Err(Error::NotFound(_)) => Ok(false),
///         Err(why) => Err(why),
///     }
/// }
/// assert!(!gave_up(&UnitStatus::default()));
/// # let _ = look; // asks the host
/// ```
pub fn status(name: &str) -> Result<UnitStatus, Error> {
    wire::status(name)
}

/// Units by a glob: `web-*.service`.
///
/// ```
/// use holdfast_plugin_sdk::host::units;
/// use holdfast_plugin_sdk::Error;
///
/// fn failed() -> Result<Vec<String>, Error> {
///     Ok(units::list("web-*.service")?.into_iter().filter(|it| it.active == "failed").map(|it| it.name).collect())
/// }
/// # let _ = failed; // asks the host
/// ```
pub fn list(pattern: &str) -> Result<Vec<UnitStatus>, Error> {
    wire::list(pattern)
}
