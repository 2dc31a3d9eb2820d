//! `telemetry.clock_jump`: the wall clock was set, forwards or backwards.
//!
//! The clock is held against the machine's uptime, which nobody sets. Samples around a jump lie where the clock was, so what
//! is counted in time begins anew there; the finding stands for a quarter of an hour and then goes by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SEVERITY;
use crate::model::{Detection, Evidence, Presence, Target, Timestamp};
use crate::quality;

/// The series that tells the machine's uptime in seconds.
pub(in super::super) const UPTIME: &str = "system.uptime";
/// How long a jump stays a finding, by uptime.
const STANDS: Duration = Duration::from_mins(15);

/// The clock as it was read last, and the last jump that is still told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in super::super) struct Clock {
    last: Option<(Timestamp, f64)>,
    /// Uptime at the jump.
    jumped: Option<f64>,
}

impl Clock {
    /// One reading of the uptime, in seconds.
    pub(in super::super) fn step(&mut self, at: Timestamp, uptime_s: f64) -> Option<Detection> {
        let last = self.last.replace((at, uptime_s))?;
        if let Some(jump) = quality::clock_jumps(&[last, (at, uptime_s)]).first() {
            self.jumped = Some(uptime_s);
            let way = if jump.by_s > 0.0 { "forwards" } else { "backwards" };
            let title = format!("The clock was set {way} by {:.1} s", jump.by_s.abs());
            let evidence = vec![Evidence::new("clock.jump_s", jump.by_s)];
            return Some(Self::said(Presence::Present, title, evidence, at));
        }
        // A restarted machine begins at nothing: then the jump is long past too.
        let jumped = self.jumped?;
        if (0.0..STANDS.as_secs_f64()).contains(&(uptime_s - jumped)) {
            return None;
        }
        self.jumped = None;
        Some(Self::said(Presence::Cleared, "The clock has not been set since".to_owned(), Vec::new(), at))
    }

    fn said(presence: Presence, title: String, evidence: Vec<Evidence>, at: Timestamp) -> Detection {
        let kind = ("telemetry.clock_jump", "clock_jump");
        Detection::certain(kind, Target::host(), SEVERITY, (presence, title), evidence, at)
    }
}
