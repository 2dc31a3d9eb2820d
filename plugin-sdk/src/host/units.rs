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
pub fn status(name: &str) -> Result<UnitStatus, Error> {
    wire::status(name)
}

/// Units by a glob: `web-*.service`.
pub fn list(pattern: &str) -> Result<Vec<UnitStatus>, Error> {
    wire::list(pattern)
}
