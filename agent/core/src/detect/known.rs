//! Departures that came again and again: after three of one size they are known, and reported no more.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// Departures of one size that are reported before they count as known.
const KNOWN_AFTER: f64 = 3.0;
/// A departure this much larger than the known ones is reported all the same.
const KNOWN_MARGIN: f64 = 1.2;
/// Half of what is known is forgotten in this time.
const KNOWN_HALF_LIFE_S: f64 = 24.0 * 3600.0;

/// Earlier departures to one side.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Known {
    size: f64,
    count: f64,
    at: Timestamp,
}

impl Known {
    pub(super) fn faded(self, at: Timestamp) -> Self {
        let kept = (-at.since(self.at).as_secs_f64() / KNOWN_HALF_LIFE_S).exp2();
        Self { size: self.size * kept.sqrt(), count: self.count * kept, at }
    }

    pub(super) fn covers(self, size: f64) -> bool {
        // A little less than three: the first one has faded a bit by the time of the fourth.
        self.count > KNOWN_AFTER - 0.5 && size <= self.size * KNOWN_MARGIN
    }

    pub(super) fn add(&mut self, size: f64, at: Timestamp) {
        let faded = self.faded(at);
        *self = Self { size: faded.size.max(size), count: (faded.count + 1.0).min(100.0), at };
    }
}
