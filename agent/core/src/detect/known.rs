//! Departures that came again and again: after three of one size within a day, or at this time of the day on two of the last three, they are
//! known, and reported no more.

use serde::{Deserialize, Serialize};

use super::daily::Daily;
use crate::model::Timestamp;

/// Departures of one size that are reported before they count as known.
const KNOWN_AFTER: f64 = 3.0;
/// A departure this much larger than the known ones is reported all the same.
const KNOWN_MARGIN: f64 = 1.2;
/// Half of what is known is forgotten in this time.
const KNOWN_HALF_LIFE_S: f64 = 24.0 * 3600.0;

/// Earlier departures to one side.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Known {
    size: f64,
    count: f64,
    at: Timestamp,
    /// How large they were at which time of the last days: what comes each night fades from the count before it is known.
    #[serde(default)]
    daily: Daily,
}

impl Known {
    /// Whether a departure of this size, begun then, is known at this moment. What is `news` all the same, though whoever says so knows
    /// what comes at this time of day, is not known from that.
    pub(super) fn covers(&self, size: f64, began_at: Timestamp, at: Timestamp, news: bool) -> bool {
        let (known, count) = self.faded(at);
        // A little less than three: the first one has faded a bit by the time of the fourth.
        let often = count > KNOWN_AFTER - 0.5 && size <= known * KNOWN_MARGIN;
        let nightly = size <= self.daily.known(seconds(began_at)) * KNOWN_MARGIN;
        often || (nightly && !news)
    }

    /// One more that is said, or known, from this moment on.
    pub(super) fn add(&mut self, size: f64, at: Timestamp) {
        let (known, count) = self.faded(at);
        (self.size, self.count, self.at) = (known.max(size), (count + 1.0).min(100.0), at);
    }

    /// One is over that began then: how large it was in the end. When it was said it may just have begun to grow.
    pub(super) fn came(&mut self, size: f64, began_at: Timestamp) {
        self.size = self.size.max(size);
        self.daily.learn(seconds(began_at), size);
    }

    fn faded(&self, at: Timestamp) -> (f64, f64) {
        let kept = (-at.since(self.at).as_secs_f64() / KNOWN_HALF_LIFE_S).exp2();
        (self.size * kept.sqrt(), self.count * kept)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.ns() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hour(hours: u64) -> Timestamp {
        Timestamp::from_secs(1_760_000_000).plus(Duration::from_secs(3600 * hours))
    }

    /// Whether a departure of this size at this hour is known, after one of size 10 at each of these.
    #[track_caller]
    fn check(hours: &[u64], (size, at, news): (f64, u64, bool), expected: bool) {
        let mut known = Known::default();
        for it in hours {
            known.add(10.0, hour(*it));
            known.came(10.0, hour(*it));
        }
        assert_eq!(known.covers(size, hour(at), hour(at), news), expected, "{hours:?}, then {size} at {at}");
    }

    #[test]
    fn three_within_hours_are_known() {
        check(&[0, 1], (10.0, 2, false), false);
        check(&[0, 1, 2], (10.0, 3, false), true);
        check(&[0, 1, 2], (13.0, 3, false), false);
        check(&[0, 1, 2], (10.0, 3, true), true);
    }

    #[test]
    fn two_nights_of_three_are_known_at_that_time_only() {
        check(&[0], (10.0, 24, false), false);
        check(&[0, 24], (10.0, 48, false), true);
        check(&[0, 24], (10.0, 49, false), true);
        check(&[0, 48], (10.0, 72, false), true);
        check(&[0, 24], (10.0, 60, false), false);
        check(&[0, 24], (13.0, 48, false), false);
        check(&[0, 24], (10.0, 48, true), false);
        check(&[0, 24], (10.0, 120, false), false);
    }
}
