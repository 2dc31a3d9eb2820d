//! Level and scale that a few wild values can't move.
//!
//! Batch: median and median absolute deviation (F. R. Hampel, "The influence curve and its role in robust estimation", JASA 69,
//! 1974); 1.4826 makes it estimate the standard deviation of a normal distribution.
//! Streaming: exponential smoothing with pre-cleaned values and a bounded scale recursion (S. Gelper, R. Fried, C. Croux, "Robust
//! forecasting with exponential and Holt-Winters smoothing", Journal of Forecasting 29, 2010), with their k = 2.

use serde::{Deserialize, Serialize};

/// Makes the median absolute deviation estimate a normal distribution's standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;
/// Residuals beyond this many deviations are pulled in before they move the level (k of the paper).
const CLEAN_AT: f64 = 2.0;
/// Keeps the bounded scale consistent at the normal distribution (c_k of the paper for k = 2).
const SCALE_BIAS: f64 = 2.52;

/// The middle value; the mean of the two middle ones for an even number. Reorders its input. `None` when empty.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if odd {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some(f64::midpoint(lower, upper))
}

/// A level and the usual distance from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Where the values usually are.
    pub level: f64,
    /// Robust standard deviation; 0 for a constant series.
    pub scale: f64,
}

impl Location {
    /// Median and scaled MAD. Reorders its input and leaves distances in it. `None` when empty.
    pub fn of(values: &mut [f64]) -> Option<Self> {
        let level = median(values)?;
        for value in &mut *values {
            *value = (*value - level).abs();
        }
        Some(Self { level, scale: median(values)? * MAD_TO_SIGMA })
    }

    /// Takes in one value. `level_weight` and `scale_weight`: 0 to 1, the part that the newest value has.
    /// `floor`: the scale by which the value is judged is at least this.
    pub fn update(&mut self, value: f64, level_weight: f64, scale_weight: f64, floor: f64) {
        let scale = self.scale.max(floor).max(f64::MIN_POSITIVE);
        let residual = (value - self.level) / scale;
        let rho = if residual.abs() <= CLEAN_AT {
            let inside = 1.0 - (residual / CLEAN_AT).powi(2);
            SCALE_BIAS * (1.0 - inside.powi(3))
        } else {
            SCALE_BIAS
        };
        // While the scale lies below the floor the residual is measured against the floor, so the scale can still sink and rise.
        let squared = scale_weight * rho * scale * scale + (1.0 - scale_weight) * self.scale * self.scale;
        self.scale = squared.sqrt();
        self.level += level_weight * residual.clamp(-CLEAN_AT, CLEAN_AT) * scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(values: &[f64], expected: Option<f64>) {
        assert_eq!(median(&mut values.to_vec()), expected, "values: {values:?}");
    }

    #[test]
    fn the_median_is_the_middle() {
        check(&[], None);
        check(&[3.0], Some(3.0));
        check(&[5.0, 1.0, 3.0], Some(3.0));
        check(&[4.0, 1.0, 3.0, 2.0], Some(2.5));
        check(&[7.0; 6], Some(7.0));
    }

    #[test]
    fn one_wild_value_in_nine_moves_nothing() {
        let mut values = vec![10.0, 11.0, 9.0, 10.0, 1e9, 10.5, 9.5, 10.0, 10.0];
        let found = Location::of(&mut values).unwrap();
        assert_eq!(found.level, 10.0);
        assert!(found.scale < 1.0, "{found:?}");
    }

    #[test]
    fn the_streaming_scale_of_normal_noise_is_its_standard_deviation() {
        let mut location = Location { level: 0.0, scale: 5.0 };
        let mut seed = 1_u64;
        let mut uniform = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        };
        for _ in 0..20_000 {
            let noise: f64 = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
            location.update(3.0 + 2.0 * noise, 0.01, 0.005, 0.0);
        }
        assert!((location.level - 3.0).abs() < 0.5, "{location:?}");
        assert!((location.scale - 2.0).abs() < 0.3, "{location:?}");
    }

    proptest! {
        #[test]
        fn any_finite_stream_keeps_level_and_scale_finite(
            values in prop::collection::vec(-1e100_f64..1e100, 1..200), floor in 0.0_f64..10.0,
        ) {
            let mut location = Location::of(&mut values.clone()).unwrap();
            for value in values {
                location.update(value, 0.1, 0.05, floor);
                prop_assert!(location.level.is_finite() && location.scale.is_finite() && location.scale >= 0.0, "{:?}", location);
            }
        }
    }
}
