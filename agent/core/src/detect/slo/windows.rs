//! Events and errors of the last three days, in two rings: minutes for six hours, half hours for the rest.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// Length of a slot in seconds, and how many are kept: a little more than the longest window that is summed from them.
const MINUTES: (u64, usize) = (60, 362);
const HALVES: (u64, usize) = (1_800, 146);

/// Events and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Count {
    pub(super) total: f64,
    pub(super) errors: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Ring {
    /// By number of the slot since the epoch; the oldest first. Slots without events are not there.
    slots: std::collections::VecDeque<(u64, Count)>,
}

impl Ring {
    fn add(&mut self, slot: u64, kept: usize, count: Count) {
        // A clock that was set back adds to the newest slot that there is.
        match self.slots.back_mut().filter(|(newest, _)| *newest >= slot) {
            Some((_, known)) => {
                known.total += count.total;
                known.errors += count.errors;
            }
            None => self.slots.push_back((slot, count)),
        }
        while self.slots.len() > kept || self.slots.front().is_some_and(|(oldest, _)| oldest + (kept as u64) < slot) {
            self.slots.pop_front();
        }
    }

    /// Everything in the slots after `from`.
    fn sum(&self, from: u64) -> Count {
        let mut all = Count::default();
        for (_, count) in self.slots.iter().rev().take_while(|(slot, _)| *slot > from) {
            all.total += count.total;
            all.errors += count.errors;
        }
        all
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Windows {
    minutes: Ring,
    halves: Ring,
    /// The minute that was judged last.
    judged: u64,
    /// The second of the first event that was ever seen.
    first: Option<u64>,
}

fn slot(at: Timestamp, length_s: u64) -> u64 {
    u64::try_from(at.ns()).unwrap_or(0) / 1_000_000_000 / length_s
}

impl Windows {
    pub(super) fn add(&mut self, at: Timestamp, count: Count) {
        self.first.get_or_insert(slot(at, 1));
        self.minutes.add(slot(at, MINUTES.0), MINUTES.1, count);
        self.halves.add(slot(at, HALVES.0), HALVES.1, count);
    }

    /// Whether a minute has ended since it was asked last; never before the first event.
    pub(super) fn turned(&mut self, at: Timestamp) -> bool {
        if self.halves.slots.is_empty() {
            return false;
        }
        let minute = slot(at, MINUTES.0);
        std::mem::replace(&mut self.judged, minute) != minute
    }

    /// Which part of so many seconds before `at` it has been watched; 0 to 1.
    pub(super) fn covered(&self, at: Timestamp, seconds: u64) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let now = slot(at, 1);
        (now.saturating_sub(first) as f64 / seconds.max(1) as f64).min(1.0)
    }

    /// What happened in about so many seconds before `at`.
    pub(super) fn sum(&self, at: Timestamp, seconds: u64) -> Count {
        let (ring, (length_s, kept)) =
            if seconds / MINUTES.0 < MINUTES.1 as u64 - 1 { (&self.minutes, MINUTES) } else { (&self.halves, HALVES) };
        let slots = (seconds / length_s).min(kept as u64);
        ring.sum(slot(at, length_s).saturating_sub(slots))
    }
}
