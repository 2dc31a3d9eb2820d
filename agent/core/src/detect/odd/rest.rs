//! What was alarming a while ago is less so now: memories that fade.
//!
//! Two of them. What was just said need not be said again: only what exceeds the fading last peak passes. And what a series, or one
//! of its members, does again and again is its way: peaks that are separate teach how high it usually gets.

use serde::{Deserialize, Serialize};

/// Below this a peak is over; so long after, in values, the next one is another.
const PEAK_FROM: f64 = 2.0;
const PEAK_APART: u32 = 26;
/// Half a habit is unlearnt by a lower peak ten times slower than it was learnt.
const LOWER_WEIGHT: f64 = 0.1;

/// How high separate peaks usually get.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Habit {
    usual: f64,
    peak: f64,
    idle: u32,
}

impl Habit {
    pub(super) fn usual(self) -> f64 {
        self.usual
    }

    /// `fade`: values in which it is forgotten to a third. `weight`: the part that one higher peak has.
    pub(super) fn learn(&mut self, rarity: f64, fade: f64, weight: f64) {
        self.usual *= 1.0 - 1.0 / fade;
        if rarity > PEAK_FROM {
            self.peak = self.peak.max(rarity);
            self.idle = 0;
        } else if self.peak > 0.0 {
            self.idle += 1;
            if self.idle > PEAK_APART {
                let weight = if self.peak > self.usual { weight } else { LOWER_WEIGHT };
                self.usual += weight * (self.peak - self.usual);
                self.peak = 0.0;
            }
        }
    }
}

/// The fading memory of the last peak.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Fading {
    height: f64,
}

impl Fading {
    pub(super) fn height(self) -> f64 {
        self.height
    }

    pub(super) fn learn(&mut self, rarity: f64, fade: f64) {
        self.height = (self.height * (1.0 - 1.0 / fade)).max(rarity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_that_come_again_become_usual() {
        let mut habit = Habit::default();
        for step in 0..2000 {
            habit.learn(if step % 100 == 0 { 6.0 } else { 0.1 }, 15_000.0, 0.3);
        }
        assert!((4.5..6.0).contains(&habit.usual()), "{habit:?}");
    }

    #[test]
    fn the_last_peak_fades() {
        let mut fading = Fading::default();
        fading.learn(8.0, 200.0);
        for _ in 0..1000 {
            fading.learn(0.0, 200.0);
        }
        assert!(fading.height() < 0.1);
    }
}
