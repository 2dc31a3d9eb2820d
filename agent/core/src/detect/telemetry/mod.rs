//! What is wrong with the telemetry itself: sources that fell silent, values that are stuck, a clock that was set.
//!
//! Such findings say nothing of the host but that less is known of it: severity is low, and what else hangs on the same
//! series is inconclusive meanwhile.

mod clock;
mod sources;
mod stuck;

pub(super) use clock::{Clock, UPTIME};
pub(super) use sources::Sources;
pub(super) use stuck::Stillness;

use crate::model::Severity;

/// Less is known of the host, and nothing of it is worse.
const SEVERITY: Severity = Severity::Low;
