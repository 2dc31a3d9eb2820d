//! Quantiles out of histograms, and a sketch that makes one. Pure.
//!
//! An estimate lies within its bucket: for explicit bounds as wide as the application chose them, for exponential ones and
//! for the sketch a few percent. Without a single value there is no quantile, never zero.

use std::collections::BTreeMap;

/// What is derived from each histogram.
pub(crate) const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];

/// How the values of a histogram lie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// Upper bounds, ascending, and one more count than bounds.
    Explicit { bounds: Vec<f64>, counts: Vec<u64> },
    /// Bucket `i` holds values above `2^(i/2^scale)` up to `2^((i+1)/2^scale)`; `zero` holds what is nearly zero.
    Exponential { scale: i32, zero: u64, counts: BTreeMap<i32, u64> },
}

impl Shape {
    /// Whether the parts fit together.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Explicit { bounds, counts } => {
                counts.len() == bounds.len() + 1
                    && bounds.iter().all(|b| b.is_finite())
                    && bounds.is_sorted_by(|a, b| a < b)
            }
            Self::Exponential { scale, .. } => (-10..=20).contains(scale),
        }
    }

    /// How many values it holds.
    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Explicit { counts, .. } => counts.iter().fold(0, |sum, n| sum.saturating_add(*n)),
            Self::Exponential { zero, counts, .. } => counts.values().fold(*zero, |sum, n| sum.saturating_add(*n)),
        }
    }

    /// What came since `before`; `None` when the two can't be compared or the histogram started again.
    pub(crate) fn since(&self, before: &Self) -> Option<Self> {
        match (self, before) {
            (Self::Explicit { bounds, counts }, Self::Explicit { bounds: old_bounds, counts: old }) => {
                if bounds != old_bounds {
                    return None;
                }
                let counts = counts.iter().zip(old).map(|(now, then)| now.checked_sub(*then)).collect::<Option<_>>()?;
                Some(Self::Explicit { bounds: bounds.clone(), counts })
            }
            (
                Self::Exponential { scale, zero, counts },
                Self::Exponential { scale: old_scale, zero: old_zero, counts: old },
            ) => {
                // A histogram that sees wider values gets coarser, never finer.
                let shift = u32::try_from(old_scale.checked_sub(*scale)?).ok()?;
                let mut left = counts.clone();
                for (index, count) in old {
                    let entry = left.get_mut(&(index >> shift.min(31)))?;
                    *entry = entry.checked_sub(*count)?;
                }
                Some(Self::Exponential { scale: *scale, zero: zero.checked_sub(*old_zero)?, counts: left })
            }
            _ => None,
        }
    }

    /// The value below which the share `q` lies; `None` without values.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total as f64;
        let mut below = 0.0;
        match self {
            Self::Explicit { bounds, counts } => {
                for (index, count) in counts.iter().enumerate() {
                    let count = *count as f64;
                    if count > 0.0 && below + count >= rank {
                        let Some(upper) = bounds.get(index) else { return bounds.last().copied() };
                        // Below the first bound values are taken to begin at zero, when they can.
                        let lower = match index.checked_sub(1) {
                            Some(before) => *bounds.get(before)?,
                            None => upper.min(0.0),
                        };
                        return Some(lower + (upper - lower) * ((rank - below) / count));
                    }
                    below += count;
                }
                bounds.last().copied()
            }
            Self::Exponential { scale, zero, counts } => {
                below = *zero as f64;
                if *zero > 0 && below >= rank {
                    return Some(0.0);
                }
                let width = (-f64::from(*scale)).exp2();
                let mut last = None;
                for (index, count) in counts.iter().filter(|(_, count)| **count > 0) {
                    let count = *count as f64;
                    let within = ((rank - below) / count).clamp(0.0, 1.0);
                    let value = ((f64::from(*index) + within) * width).exp2();
                    if below + count >= rank {
                        return Some(value);
                    }
                    below += count;
                    last = Some(value);
                }
                last
            }
        }
        .filter(|value| value.is_finite())
    }
}

/// Buckets of the sketch are 2^(1/16) wide: an estimate is at most 4.5 % off.
const SKETCH_SCALE: i32 = 4;
/// From a nanosecond to some decades, in seconds; what lies outside is taken as the end.
const SKETCH_RANGE: std::ops::RangeInclusive<i32> = -480..=480;

/// Takes values one by one, in bounded room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sketch {
    counts: BTreeMap<i32, u64>,
}

impl Sketch {
    pub(crate) fn add(&mut self, value: f64) {
        let index = (value.max(1e-12).log2() * f64::from(1 << SKETCH_SCALE)).ceil() as i32 - 1;
        let index = index.clamp(*SKETCH_RANGE.start(), *SKETCH_RANGE.end());
        *self.counts.entry(index).or_default() += 1;
    }

    /// Everything so far; begins anew.
    pub(crate) fn take(&mut self) -> Shape {
        Shape::Exponential { scale: SKETCH_SCALE, zero: 0, counts: std::mem::take(&mut self.counts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn explicit(counts: &[u64]) -> Shape {
        Shape::Explicit { bounds: vec![1.0, 2.0, 4.0], counts: counts.to_vec() }
    }

    #[track_caller]
    fn check(counts: &[u64], q: f64, expected: Option<f64>) {
        assert_eq!(explicit(counts).quantile(q), expected, "{counts:?} {q}");
    }

    #[test]
    fn explicit_buckets_are_interpolated() {
        check(&[0, 0, 0, 0], 0.5, None);
        check(&[10, 0, 0, 0], 0.5, Some(0.5));
        check(&[0, 10, 0, 0], 0.5, Some(1.5));
        check(&[5, 5, 0, 0], 0.5, Some(1.0));
        check(&[0, 0, 100, 0], 0.95, Some(3.9));
    }

    #[test]
    fn beyond_the_last_bound_only_the_bound_is_known() {
        check(&[0, 0, 0, 7], 0.99, Some(4.0));
    }

    #[test]
    fn only_what_came_since_counts_and_a_restart_is_seen() {
        assert_eq!(explicit(&[5, 6, 7, 8]).since(&explicit(&[5, 1, 7, 8])), Some(explicit(&[0, 5, 0, 0])));
        assert_eq!(explicit(&[0, 1, 0, 0]).since(&explicit(&[5, 1, 7, 8])), None);
    }

    #[test]
    fn an_exponential_histogram_that_got_coarser_is_compared_at_the_coarser_scale() {
        let of = |scale, counts: &[(i32, u64)]| Shape::Exponential {
            scale,
            zero: 0,
            counts: counts.iter().copied().collect(),
        };
        let before = of(1, &[(-3, 1), (2, 4), (3, 1)]);
        let now = of(0, &[(-2, 1), (1, 7)]);
        assert_eq!(now.since(&before), Some(of(0, &[(-2, 0), (1, 2)])));
    }

    proptest! {
        #[test]
        fn the_sketch_is_within_five_percent(values in proptest::collection::vec(1e-6_f64..1e4, 1..300), q in 0.01_f64..1.0) {
            let mut sketch = Sketch::default();
            for value in &values {
                sketch.add(*value);
            }
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let is = sketch.take().quantile(q).unwrap();
            let exact = sorted[rank - 1];
            prop_assert!((is / exact - 1.0).abs() < 0.05, "{is} {exact}");
        }

        #[test]
        fn quantiles_grow_with_the_share(counts in proptest::collection::vec(0_u64..50, 4)) {
            let all: Vec<f64> = (0..=10).filter_map(|q| explicit(&counts).quantile(f64::from(q) / 10.0)).collect();
            prop_assert!(all.is_sorted(), "{all:?}");
        }
    }
}
