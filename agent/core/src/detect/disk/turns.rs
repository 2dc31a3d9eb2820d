//! Where something that runs out came back by itself of late. The way down to there is usual, and no news.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// More than this part of the whole that comes back is a recovery, not noise.
const RECOVERY_PART: f64 = 0.05;
/// How long a turn is remembered.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Turns within that time after which the way down to them is no news.
pub(in crate::detect) const TURNS_USUAL: u32 = 3;
/// A turn with less free than this part of the whole was too narrow an escape to be counted as usual.
const FREE_PART_MIN: f64 = 0.1;

/// Where it came back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Turn {
    /// The least that was free at all of them.
    free: f64,
    at: Timestamp,
    count: u32,
}

/// The turns of late.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::detect) struct Turns {
    /// Least free since it last came back.
    lowest: Option<f64>,
    last: Option<Turn>,
}

impl Turns {
    /// Readings are too far apart: what was lowest belongs to another time.
    pub(in crate::detect) fn restart(&mut self) {
        self.lowest = None;
    }

    /// Keeps the lowest point, and notices when much has come back; whether it has just now. `free` and `whole` are in one unit;
    /// the turn counts for `weight` of them.
    pub(in crate::detect) fn watch(&mut self, at: Timestamp, free: f64, whole: f64, weight: u32) -> bool {
        let lowest = *self.lowest.get_or_insert(free);
        if free < lowest {
            self.lowest = Some(free);
            return false;
        }
        if free - lowest <= RECOVERY_PART * whole {
            return false;
        }
        if lowest > FREE_PART_MIN * whole {
            let before = self.last.filter(|turn| at.since(turn.at) <= REMEMBERED);
            self.last = Some(Turn {
                free: before.map_or(lowest, |turn| turn.free.min(lowest)),
                at,
                count: before.map_or(0, |turn| turn.count).saturating_add(weight),
            });
        }
        self.lowest = Some(free);
        true
    }

    /// On the way down to where it turned by itself before.
    pub(in crate::detect) fn usual(&self, at: Timestamp, free: f64) -> bool {
        self.last
            .is_some_and(|turn| turn.count >= TURNS_USUAL && at.since(turn.at) <= REMEMBERED && free > turn.free * 0.95)
    }
}
