//! How large a share really is, from few trials: Wilson's score interval.
//!
//! E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927). Unlike the plain ratio and its
//! normal interval it says something sensible of no events and of all events: one failure of one trial is no proof of anything.

/// One-sided 95 %.
const Z: f64 = 1.645;

/// The ends of the interval for `hits` of `trials`: between 0 and 1. Without trials it is everything.
pub(super) fn interval(hits: f64, trials: f64) -> (f64, f64) {
    // Not-a-number is no number of trials either.
    if trials.is_nan() || trials <= 0.0 || hits.is_nan() {
        return (0.0, 1.0);
    }
    let share = (hits / trials).clamp(0.0, 1.0);
    let square = Z * Z / trials;
    let middle = (share + square / 2.0) / (1.0 + square);
    let half = Z / (1.0 + square) * (share * (1.0 - share) / trials + square / (4.0 * trials)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(hits: f64, trials: f64, low: f64, high: f64) {
        let found = interval(hits, trials);
        assert!((found.0 - low).abs() < 5e-4 && (found.1 - high).abs() < 5e-4, "{found:?}");
    }

    #[test]
    fn few_trials_prove_little_and_many_prove_much() {
        check(0.0, 0.0, 0.0, 1.0);
        check(1.0, 1.0, 0.2698, 1.0);
        check(0.0, 10.0, 0.0, 0.2130);
        check(5.0, 10.0, 0.2693, 0.7307);
        check(500.0, 1000.0, 0.4740, 0.5260);
        check(f64::NAN, 10.0, 0.0, 1.0);
    }

    #[test]
    fn the_true_share_lies_above_the_lower_end_about_nineteen_times_in_twenty() {
        let mut seed = 11_u64;
        let mut uniform = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        };
        for share in [0.01, 0.1, 0.5] {
            let held = (0..2_000)
                .filter(|_| {
                    let hits = (0..400).filter(|_| uniform() < share).count();
                    interval(hits as f64, 400.0).0 <= share
                })
                .count();
            assert!((1_840..=1_960).contains(&held), "{share}: {held} of 2000");
        }
    }

    proptest! {
        #[test]
        fn the_share_lies_in_its_interval_whatever_it_is(hits in 0.0_f64..1e9, more in 0.0_f64..1e9) {
            let trials = hits + more;
            let (low, high) = interval(hits, trials);
            let share = if trials > 0.0 { hits / trials } else { 0.5 };
            prop_assert!(0.0 <= low && low <= share + 1e-12 && share <= high + 1e-12 && high <= 1.0);
        }
    }
}
