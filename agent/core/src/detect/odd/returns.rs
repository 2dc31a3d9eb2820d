//! How long ago so much was last said: the return time of a height, told by the series' own past.
//!
//! A tail says how rare a value is if values were independent. They are not: a series that is wild once a day is rare by each
//! sample and ordinary by the week. The time since a height was last reached needs no such assumption and no scale: what was
//! not there for a week is news in a calm series and in a wild one alike. It is time by the clock, since whoever is woken lives by
//! it: what comes each two hundred values comes about daily in steps of five minutes, and weekly in steps of an hour.
//!
//! Heights are told apart in steps of an eighth of a power of e. The last few values are not yet past: a rise that takes them would
//! otherwise hide itself. Silence is no evidence that nothing came, so little of it counts.

use serde::{Deserialize, Serialize};

const STEPS: usize = 32;
/// Heights up to here are one step, and steps to a power of e above.
const LOWEST: f64 = 0.3;
const STEPS_TO_E: f64 = 8.0;
/// Values that are not yet past.
const PRESENT: usize = 15;
/// What is nearly as high counts as as high.
const NEARLY: f64 = 0.93;
/// Of the time from one value to the next so much counts at most; a series that comes once a day is the slowest known.
const SILENCE_MAX_S: f64 = 86_400.0;

/// When each height was last reached, in seconds that the series was watched. What an older version saved counts values and is
/// forgotten: return times begin anew.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Returns {
    /// Since the first height.
    watched_s: f64,
    /// When the last height came, by the clock.
    came_at_s: Option<f64>,
    /// For each step, when it was last reached.
    reached_s: [f64; STEPS],
    /// The heights that are not yet past and when they came, the oldest first.
    fresh: [(f32, f64); PRESENT],
}

impl Returns {
    /// Seconds since something nearly as high was said, or since the first height where nothing was; and remembers this height.
    pub(super) fn push(&mut self, at_s: f64, height: f64) -> f64 {
        // A clock that was set back adds nothing.
        self.watched_s += self.came_at_s.map_or(0.0, |before| (at_s - before).clamp(0.0, SILENCE_MAX_S));
        self.came_at_s = Some(at_s);
        let (past, reached_s) = self.fresh[0];
        self.fresh.rotate_left(1);
        self.fresh[PRESENT - 1] = (height as f32, self.watched_s);
        if f64::from(past) > LOWEST {
            self.reached_s[..=step(f64::from(past))].fill(reached_s);
        }
        self.watched_s - self.reached_s[step(NEARLY * height)]
    }
}

fn step(height: f64) -> usize {
    ((height.max(LOWEST) / LOWEST).ln() * STEPS_TO_E).min(STEPS as f64 - 1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the last of these heights, each so many seconds after the one before.
    fn returned_s(step_s: f64, heights: impl IntoIterator<Item = f64>) -> f64 {
        let mut returns = Returns::default();
        heights.into_iter().enumerate().map(|(index, it)| returns.push(index as f64 * step_s, it)).last().unwrap()
    }

    /// Low but for every five hundredth.
    fn wild(values: usize) -> impl Iterator<Item = f64> {
        (0..values).map(|it| if it % 500 == 0 { 6.0 } else { 1.0 })
    }

    #[test]
    fn a_height_returns_after_the_time_since_it_was_last_there() {
        assert_eq!(returned_s(60.0, wild(1001)), 500.0 * 60.0);
        assert_eq!(returned_s(60.0, wild(1001).chain([9.0])), 1001.0 * 60.0, "never so high");
    }

    #[test]
    fn the_same_values_return_later_where_they_come_more_slowly() {
        assert_eq!(returned_s(3600.0, wild(1001)), 12.0 * returned_s(300.0, wild(1001)));
    }

    #[test]
    fn a_slow_rise_does_not_hide_itself() {
        let mut returns = Returns::default();
        for second in 0..1000 {
            returns.push(f64::from(second), 1.0);
        }
        for second in 1000..1010 {
            let height = 1.0 + 0.1 * f64::from(second - 999);
            let returned_s = returns.push(f64::from(second), height);
            assert!(height < 1.2 || returned_s > 900.0, "{second}");
        }
    }

    #[test]
    fn of_a_silence_a_day_counts_and_of_a_clock_set_back_nothing() {
        let mut returns = Returns::default();
        returns.push(0.0, 1.0);
        assert_eq!(returns.push(30.0 * SILENCE_MAX_S, 9.0), SILENCE_MAX_S);
        assert_eq!(returns.push(0.0, 9.0), SILENCE_MAX_S);
        assert_eq!(returns.push(60.0, 9.0), SILENCE_MAX_S + 60.0);
    }

    #[test]
    fn what_an_older_version_saved_begins_anew() {
        let saved = serde_json::json!({"last": vec![7; STEPS], "present": vec![1.5; PRESENT]});
        assert_eq!(serde_json::from_value::<Returns>(saved).unwrap(), Returns::default());
    }
}
