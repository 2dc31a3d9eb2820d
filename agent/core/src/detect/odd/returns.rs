//! How long ago so much was last said: the return time of a height, told by the series' own past.
//!
//! A tail says how rare a value is if values were independent. They are not: a series that is wild once a day is rare by each
//! sample and ordinary by the week. The time since a height was last reached needs no such assumption and no scale: what was
//! not there for three thousand values is news in a calm series and in a wild one alike.
//!
//! Heights are told apart in steps of an eighth of a power of e. The last few values are not yet past: a rise that takes them would
//! otherwise hide itself.

use serde::{Deserialize, Serialize};

const STEPS: usize = 32;
/// Heights up to here are one step, and steps to a power of e above.
const LOWEST: f64 = 0.3;
const STEPS_TO_E: f64 = 8.0;
/// Values that are not yet past.
const PRESENT: usize = 15;
/// What is nearly as high counts as as high.
const NEARLY: f64 = 0.93;

/// When each height was last reached.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Returns {
    /// For each step, the number of the value that last reached it.
    last: [u64; STEPS],
    /// The heights that are not yet past, by their number.
    present: [f32; PRESENT],
}

impl Returns {
    /// Values since something nearly as high was said, and remembers this height. `now`: the number of the value, one more each
    /// time; `from`: what was said before that number does not count.
    pub(super) fn push(&mut self, now: u64, from: u64, height: f64) -> u64 {
        let slot = (now % PRESENT as u64) as usize;
        let past = f64::from(std::mem::replace(&mut self.present[slot], height as f32));
        if past > LOWEST {
            self.last[..=step(past)].fill(now.saturating_sub(PRESENT as u64));
        }
        now.saturating_sub(self.last[step(NEARLY * height)].max(from))
    }
}

fn step(height: f64) -> usize {
    ((height.max(LOWEST) / LOWEST).ln() * STEPS_TO_E).min(STEPS as f64 - 1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_height_returns_after_the_time_since_it_was_last_there() {
        let mut returns = Returns::default();
        let mut said = 0;
        for now in 0..1001 {
            said = returns.push(now, 0, if now % 500 == 0 { 6.0 } else { 1.0 });
        }
        assert_eq!(said, 500);
        assert_eq!(returns.push(1001, 0, 9.0), 1001, "never so high");
        assert_eq!(returns.push(1002, 900, 9.0), 102, "nor since it counts");
    }

    #[test]
    fn a_slow_rise_does_not_hide_itself() {
        let mut returns = Returns::default();
        for now in 0..1000 {
            returns.push(now, 0, 1.0);
        }
        for now in 1000..1010 {
            let height = 1.0 + 0.1 * (now - 999) as f64;
            assert!(height < 1.2 || returns.push(now, 0, height) > 900, "{now}");
        }
    }
}
