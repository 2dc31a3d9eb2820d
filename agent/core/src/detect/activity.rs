//! Deliberate activity near a departure: the likelier reason for it, and a reason to believe less that it is trouble.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// Something deliberate that was going on lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Activity {
    pub(super) at: Timestamp,
    pub(super) what: String,
}

/// Activity this long before a departure is still a likely reason for it.
pub(super) const ACTIVITY_REACH: std::time::Duration = std::time::Duration::from_mins(10);
