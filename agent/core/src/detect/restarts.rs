//! `unit.restarting`: systemd restarts a unit again and again, and never gives up.
//!
//! A unit that crashes less often than its start limit counts (with `RestartSec=5` always) is never failed for longer than a moment, and
//! between two crashes it is active. So what is counted is systemd's own counter of restarts (`NRestarts`): five within ten minutes are
//! a finding, which ends when ten minutes brought none, or when the unit rests. Restarts that people or the agent ask for are not in that
//! counter. What was counted before the first look is not: nobody knows when it was.

use std::collections::VecDeque;
use std::time::Duration;

use super::unit;
use crate::model::{CauseId, Class, Confidence, Detection, Evidence, Method, Presence, Target, Timestamp, UnitState};

const METHOD: &str = "unit_restarts";
const VERSION: u32 = 1;
/// So many restarts within [`WINDOW`] are a loop.
const RESTARTS_MIN: usize = 5;
/// What is counted together; a loop is over after so long without a restart.
const WINDOW: Duration = Duration::from_mins(10);
/// Restarts that are remembered of one unit; more within the window are counted as so many.
const KEPT_MAX: usize = 1_000;

/// The restarts of one unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restarts {
    counter: Option<u32>,
    at: VecDeque<Timestamp>,
    said: bool,
}

impl Restarts {
    /// What the unit's state says, or that nothing new is told of it by now. `None`: nothing worth a word.
    pub fn step(&mut self, unit: &UnitState, at: Timestamp, cause: Option<CauseId>) -> Option<Detection> {
        let before = self.counter.replace(unit.n_restarts).unwrap_or(unit.n_restarts);
        // Less than before: somebody started it anew, and the counter with it.
        let grown = unit.n_restarts.checked_sub(before).unwrap_or(unit.n_restarts) as usize;
        for _ in 0..grown.min(KEPT_MAX) {
            self.at.push_back(at);
        }
        while self.at.len() > KEPT_MAX || self.at.front().is_some_and(|it| at.since(*it) > WINDOW) {
            self.at.pop_front();
        }
        let rests = matches!(unit.active_state.as_str(), "failed" | "inactive");
        if rests {
            self.at.clear();
        }
        if self.at.len() >= RESTARTS_MIN && (grown > 0 || !self.said) {
            self.said = true;
            return Some(self.detection(unit, Presence::Present, at, cause));
        }
        if self.said && self.at.is_empty() {
            self.said = false;
            return Some(self.detection(unit, Presence::Cleared, at, cause));
        }
        None
    }

    /// Whether a finding stands, so that time alone may end it.
    pub fn stands(&self) -> bool {
        self.said
    }

    fn detection(&self, unit: &UnitState, presence: Presence, at: Timestamp, cause: Option<CauseId>) -> Detection {
        let (name, times) = (&unit.name, self.at.len());
        let minutes = WINDOW.as_secs() / 60;
        let title = match presence {
            Presence::Present => {
                format!("{name} does not settle: systemd restarted it {times} times within {minutes} min")
            }
            _ => format!("{name} is not restarted again and again any more"),
        };
        let mut evidence = vec![
            Evidence::new("unit.restarts", times as u64),
            Evidence::new("unit.restarts_within_s", WINDOW.as_secs()),
            Evidence::new("unit.n_restarts", unit.n_restarts),
            Evidence::new("unit.result", unit.result.as_str()),
            Evidence::new("unit.restart", unit.restart.as_str()),
        ];
        if let Some(invocation) = &unit.invocation_id {
            evidence.push(Evidence::new("unit.invocation_id", invocation.as_str()));
        }
        Detection {
            kind: "unit.restarting".to_owned(),
            class: Class::Reliability,
            target: Target::unit(name),
            discriminator: String::new(),
            presence,
            title,
            severity: unit::severity(unit),
            confidence: Confidence::CERTAIN,
            method: Method { name: METHOD.to_owned(), version: VERSION },
            evidence,
            began_at: self.at.front().copied().unwrap_or(at),
            cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Story {
        restarts: Restarts,
        at: Timestamp,
    }

    impl Story {
        fn says(&mut self, active_state: &str, n_restarts: u32, after_s: u64) -> Option<Presence> {
            self.at = self.at.plus(Duration::from_secs(after_s));
            let unit = UnitState {
                name: "web.service".to_owned(),
                active_state: active_state.to_owned(),
                n_restarts,
                ..UnitState::default()
            };
            self.restarts.step(&unit, self.at, None).map(|it| it.presence)
        }
    }

    fn looping(from: u32) -> Story {
        let mut story = Story { restarts: Restarts::default(), at: Timestamp::from_secs(1_000_000) };
        assert_eq!(story.says("active", from, 0), None);
        for n in 1..5 {
            assert_eq!(story.says("activating", from + n, 3), None, "{n}");
            assert_eq!(story.says("active", from + n, 5), None, "{n}");
        }
        story
    }

    #[test]
    fn five_restarts_within_ten_minutes_are_a_loop_and_ten_minutes_without_end_it() {
        let mut story = looping(40);
        assert_eq!(story.says("activating", 45, 3), Some(Presence::Present));
        assert_eq!(story.says("active", 45, 3), None);
        assert_eq!(story.says("activating", 46, 3), Some(Presence::Present), "each one confirms it");
        assert_eq!(story.says("active", 46, 590), None);
        assert_eq!(story.says("active", 46, 20), Some(Presence::Cleared));
        assert_eq!(story.says("active", 46, 20), None);
    }

    #[test]
    fn restarts_that_lie_apart_and_what_was_counted_before_are_none() {
        let mut story = looping(7_000);
        for n in 5..20 {
            assert_eq!(story.says("active", 7_000 + n, 601), None, "{n}");
        }
    }

    #[test]
    fn many_restarts_between_two_looks_count_as_many() {
        let mut story = Story { restarts: Restarts::default(), at: Timestamp::from_secs(1_000_000) };
        assert_eq!(story.says("active", 0, 0), None);
        assert_eq!(story.says("active", u32::MAX, 60), Some(Presence::Present));
        // Started anew by somebody: what it counted since counts.
        assert_eq!(story.says("active", 2, 60), Some(Presence::Present));
    }

    #[test]
    fn a_unit_that_rests_is_restarted_no_more() {
        for state in ["failed", "inactive"] {
            let mut story = looping(0);
            assert_eq!(story.says("activating", 5, 3), Some(Presence::Present));
            assert_eq!(story.says(state, 5, 3), Some(Presence::Cleared), "{state}");
        }
    }
}
