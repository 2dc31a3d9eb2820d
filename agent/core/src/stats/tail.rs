//! How rare a nonconformity is, told by its own past: a streaming peaks-over-threshold tail.
//!
//! Values above a running quantile are exceedances; a generalised Pareto distribution is fitted to them by moments (J. R. M. Hosking,
//! J. F. Wallis, Technometrics 29, 1987; A. Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017). The
//! quantile moves in the logarithm, so that no wild first value can carry it out of reach, and exceedances are cut before they are
//! learnt. Answers are `-log10 p`. O(1) a value; too few values are 0: not rare, as far as anybody knows.

use serde::{Deserialize, Serialize};

/// Part of the values that exceeds the running quantile.
const ABOVE: f64 = 0.03;
/// Step of the quantile, in its logarithm: in the end, and for the first values so many by their number.
const STEP: f64 = 0.001;
const STEP_YOUNG: f64 = 4.0;
/// Values that are gathered before the first answer.
const GATHERED: usize = 80;
/// Exceedances that the moments remember.
const REMEMBERED: f64 = 200.0;
/// Bounds of the shape: a lighter tail than the first has an end, a heavier one than the second no mean worth the name.
const SHAPE: (f64, f64) = (-0.1, 0.4);
/// The most that is said.
const MOST: f64 = 12.0;
/// An exceedance teaches at most so many mean ones.
const CUT: f64 = 6.0;
/// Of values that are nearly always nought: how often they are not, at least and at first, and how slowly that is learnt.
const RARE_MIN: f64 = 1e-4;
const RARE_FIRST: f64 = 0.01;
const RARE_WEIGHT: f64 = 1e-3;

/// First two moments of the exceedances.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Moments {
    count: f64,
    mean: f64,
    square: f64,
}

impl Moments {
    fn add(&mut self, excess: f64) {
        self.count += 1.0;
        let weight = (1.0 / self.count).max(1.0 / REMEMBERED);
        self.mean += weight * (excess - self.mean);
        self.square += weight * (excess * excess - self.square);
    }

    /// `-log10` of the part of exceedances that is larger.
    fn rarity(&self, excess: f64) -> f64 {
        let mean = self.mean.max(f64::MIN_POSITIVE);
        let ratio = mean * mean / (self.square - mean * mean).max(f64::MIN_POSITIVE);
        let shape = (0.5 * (1.0 - ratio)).clamp(SHAPE.0, SHAPE.1);
        let scaled = excess / (mean * (1.0 - shape)).max(f64::MIN_POSITIVE);
        if shape.abs() < 1e-3 {
            return scaled * std::f64::consts::LOG10_E;
        }
        let base = 1.0 + shape * scaled;
        if base <= 0.0 { MOST } else { base.log10() / shape }
    }
}

/// The tail of one nonconformity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Tail {
    quantile: f64,
    seen: u64,
    moments: Moments,
    gathered: Vec<f32>,
}

impl Tail {
    /// `-log10` of how often so much is seen, and learns it. `least` is what is no departure at all.
    pub fn push(&mut self, value: f64, least: f64) -> f64 {
        self.seen += 1;
        if self.quantile == 0.0 {
            self.gather(value.max(least), least);
            return 0.0;
        }
        let excess = value - self.quantile;
        let base = -ABOVE.log10();
        let rarity = if excess <= 0.0 { base * value / self.quantile } else { base + self.moments.rarity(excess) };
        if excess > 0.0 {
            self.moments.add(excess.min(CUT * self.moments.mean.max(least)));
        }
        let above = if excess > 0.0 { 1.0 } else { 0.0 };
        let step = STEP.max(STEP_YOUNG / self.seen as f64);
        self.quantile = (self.quantile * (step * (above - ABOVE)).exp()).max(least);
        let smallest = 0.05 * least.max(0.05 * self.quantile);
        self.moments.mean = self.moments.mean.max(smallest);
        self.moments.square = self.moments.square.max(self.moments.mean * self.moments.mean);
        rarity.clamp(0.0, MOST)
    }

    fn gather(&mut self, value: f64, least: f64) {
        self.gathered.push(value.min(f64::from(f32::MAX)) as f32);
        if self.gathered.len() < GATHERED {
            return;
        }
        let mut all = std::mem::take(&mut self.gathered);
        all.sort_by(f32::total_cmp);
        // Not the largest tenth: a transient at the start must not set the bar for good.
        all.truncate(GATHERED * 9 / 10 + 1);
        let sum: f64 = all.iter().map(|it| f64::from(*it)).sum();
        let mean = (0.5 * sum / all.len() as f64).max(least).max(f64::MIN_POSITIVE);
        self.quantile = all.last().map_or(least, |it| f64::from(*it)).max(least).max(f64::MIN_POSITIVE);
        self.moments = Moments { count: 4.0, mean, square: 2.0 * mean * mean };
    }
}

/// The same for what is nearly always nought, like being out of the range seen so far: how often it is not, is learnt too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RareTail {
    rate: f64,
    moments: Moments,
}

impl Default for RareTail {
    fn default() -> Self {
        Self { rate: RARE_FIRST, moments: Moments::default() }
    }
}

impl RareTail {
    /// `-log10` of how often so much is seen; 0 for nothing.
    pub fn push(&mut self, value: f64) -> f64 {
        let rarity = if value <= 0.0 {
            0.0
        } else if self.moments.count < 1.0 {
            -self.rate.log10()
        } else {
            -self.rate.log10() + self.moments.rarity(value)
        };
        let seen = if value > 0.0 { 1.0 } else { 0.0 };
        self.rate = (self.rate + RARE_WEIGHT * (seen - self.rate)).max(RARE_MIN);
        if value > 0.0 {
            let cut = if self.moments.count >= 3.0 { value.min(8.0 * self.moments.mean) } else { value };
            self.moments.add(cut);
        }
        rarity.min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (*seed >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }

    #[test]
    fn one_value_in_a_thousand_is_said_to_be_as_rare() {
        let (mut tail, mut seed, mut rare) = (Tail::default(), 7, 0);
        for _ in 0..50_000 {
            rare += u32::from(tail.push(noise(&mut seed), 1e-9) > 3.0);
        }
        assert!((15..150).contains(&rare), "{rare}");
    }

    #[test]
    fn a_transient_at_the_start_does_not_deafen_it() {
        let (mut tail, mut seed) = (Tail::default(), 7);
        for _ in 0..6 {
            tail.push(1e6, 1e-9);
        }
        for _ in 0..1000 {
            tail.push(noise(&mut seed), 1e-9);
        }
        assert!(tail.push(100.0, 1e-9) > 4.0);
    }

    #[test]
    fn what_was_never_there_is_rare_and_then_less() {
        let mut tail = RareTail::default();
        for _ in 0..5000 {
            assert_eq!(tail.push(0.0), 0.0);
        }
        let first = tail.push(0.3);
        for _ in 0..200 {
            tail.push(0.3);
        }
        assert!(first > 3.0 && tail.push(0.3) < first);
    }
}
