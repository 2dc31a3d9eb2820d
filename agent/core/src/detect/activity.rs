//! Deliberate activity near a departure: the likelier reason for it, and a reason to believe less that it is trouble.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Change, Timestamp};

/// Something deliberate that was going on lately.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Activity {
    pub(super) at: Timestamp,
    pub(super) what: String,
}

/// Activity this long before a departure is still a likely reason for it.
pub(super) const ACTIVITY_REACH: Duration = Duration::from_mins(10);
/// Deliberate activity that is remembered.
const ACTIVITY_MAX: usize = 16;
/// Kinds of changes that are activity, by how they begin; what the agent did itself is, whatever its kind.
const KINDS: [&str; 5] = ["deployment.", "service.", "package.", "pipeline_run.", "flag."];

/// What was going on lately, oldest first but for what came again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Activities(VecDeque<Activity>);

impl Activities {
    /// A change, if it is one of those that move a host.
    pub(super) fn change(&mut self, what: &Change) {
        if what.cause.is_none() && !KINDS.iter().any(|kind| what.kind.starts_with(kind)) {
            return;
        }
        let text =
            if what.summary.is_empty() { format!("{} {}", what.kind, what.target) } else { what.summary.clone() };
        self.note(what.at, text);
    }

    /// One reading of the host's uptime, in seconds: a host that was just booted starts everything at once.
    pub(super) fn uptime(&mut self, at: Timestamp, uptime_s: f64) {
        if (0.0..ACTIVITY_REACH.as_secs_f64()).contains(&uptime_s) {
            self.note(at.minus(Duration::from_secs_f64(uptime_s)), "the host was booted".to_owned());
        }
    }

    pub(super) fn note(&mut self, at: Timestamp, what: String) {
        if let Some(known) = self.0.iter_mut().find(|it| it.what == what) {
            known.at = known.at.max(at);
            return;
        }
        if self.0.len() >= ACTIVITY_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Activity { at, what });
    }

    /// Lets go of what is older than this.
    pub(super) fn forget(&mut self, at: Timestamp, kept: Duration) {
        self.0.retain(|it| at.since(it.at) <= kept);
    }

    pub(super) fn all(&mut self) -> &[Activity] {
        self.0.make_contiguous()
    }
}
