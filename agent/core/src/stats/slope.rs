//! A straight trend through few points, some of them wild, with an interval and with the answer whether there is one at all.
//!
//! The slope is the median of the slopes of all pairs (H. Theil 1950; P. K. Sen, "Estimates of the regression coefficient based
//! on Kendall's tau", JASA 63, 1968), which up to 29 % of wild points can't carry away. Its interval are order statistics of
//! those slopes (M. Hollander, D. A. Wolfe, "Nonparametric Statistical Methods", section 9.3), and the test is Mann-Kendall's
//! (H. B. Mann 1945) with continuity correction. Both assume independent errors: on autocorrelated data the interval is too
//! narrow, so callers must not extrapolate far from it.

/// One point: time in seconds, value.
pub type Point = (f64, f64);

/// A trend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// Change of the value for each second.
    pub per_second: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Mann-Kendall's standard score: above 1.645 a rise at 5 % (one-sided), below -1.645 a fall.
    pub score: f64,
}

/// Points above which no slope is computed: pairs grow with the square.
pub const POINTS_MAX: usize = 64;
/// Two-sided 90 %.
const Z: f64 = 1.645;

/// The trend through the points; `None` for fewer than 4 or more than [`POINTS_MAX`] points, or when no two differ in time.
/// `scratch` is memory that the caller keeps, so that the steady state allocates nothing.
pub fn theil_sen(points: &[Point], scratch: &mut Vec<f64>) -> Option<Slope> {
    let n = points.len();
    if !(4..=POINTS_MAX).contains(&n) {
        return None;
    }
    scratch.clear();
    let mut concordance = 0_i64;
    for (index, a) in points.iter().enumerate() {
        for b in &points[index + 1..] {
            let (dt, dv) = (b.0 - a.0, b.1 - a.1);
            if dt == 0.0 {
                continue;
            }
            let slope = dv / dt;
            if !slope.is_finite() {
                continue;
            }
            concordance += i64::from(slope > 0.0) - i64::from(slope < 0.0);
            scratch.push(slope);
        }
    }
    if scratch.is_empty() {
        return None;
    }
    scratch.sort_unstable_by(f64::total_cmp);
    let pairs = scratch.len();
    let n = n as f64;
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let reach = Z * deviation;
    let low = ((pairs as f64 - reach) / 2.0).floor().max(0.0) as usize;
    let high = (pairs - 1).saturating_sub(low);
    let middle = pairs / 2;
    let per_second = if pairs % 2 == 1 { scratch[middle] } else { f64::midpoint(scratch[middle - 1], scratch[middle]) };
    // Ties make the variance smaller; leaving that out errs towards saying nothing.
    let concordance = concordance as f64;
    let score = (concordance - concordance.signum()) / deviation;
    Some(Slope {
        per_second,
        low: scratch[low.min(pairs - 1)].min(per_second),
        high: scratch[high].max(per_second),
        score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(values: &[f64]) -> Vec<Point> {
        values.iter().enumerate().map(|(at, value)| (at as f64, *value)).collect()
    }

    fn slope(values: &[f64]) -> Option<Slope> {
        theil_sen(&points(values), &mut Vec::new())
    }

    #[test]
    fn a_straight_line_has_its_slope_and_no_width() {
        let found = slope(&[1.0, 3.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((found.per_second, found.low, found.high), (2.0, 2.0, 2.0));
        assert!(found.score > 1.645, "{found:?}");
    }

    #[test]
    fn a_wild_point_doesnt_carry_the_slope_away() {
        let mut values: Vec<f64> = (0..20).map(f64::from).collect();
        values[7] = 1e6;
        values[13] = -1e6;
        let found = slope(&values).unwrap();
        assert!((found.per_second - 1.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn a_flat_or_a_jumping_series_is_no_trend() {
        assert!(slope(&[5.0; 12]).unwrap().score.abs() < 0.1);
        assert!(slope(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]).unwrap().score.abs() < 1.645);
    }

    #[test]
    fn three_points_are_too_few_and_one_moment_is_no_time() {
        assert_eq!(slope(&[1.0, 2.0, 3.0]), None);
        assert_eq!(theil_sen(&[(1.0, 1.0); 5], &mut Vec::new()), None);
    }

    #[test]
    fn four_rising_points_are_just_enough() {
        assert!(slope(&[1.0, 2.0, 3.0, 4.0]).unwrap().score >= 1.645);
        assert!(slope(&[1.0, 3.0, 2.0, 4.0]).unwrap().score < 1.645);
    }

    #[test]
    fn the_interval_holds_the_true_slope_about_nine_times_in_ten() {
        let mut seed = 7_u64;
        let mut uniform = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let held = (0..2_000)
            .filter(|_| {
                let values: Vec<f64> = (0..16).map(|at| f64::from(at) * 0.3 + 4.0 * uniform()).collect();
                let found = slope(&values).unwrap();
                found.low <= 0.3 && 0.3 <= found.high
            })
            .count();
        assert!((1_740..=1_880).contains(&held), "{held} of 2000");
    }

    proptest! {
        #[test]
        fn the_slope_lies_in_its_interval_whatever_the_points(
            points in prop::collection::vec((0.0_f64..1e9, -1e100_f64..1e100), 0..70),
        ) {
            if let Some(found) = theil_sen(&points, &mut Vec::new()) {
                prop_assert!(found.low <= found.per_second && found.per_second <= found.high, "{:?}", found);
            }
        }
    }
}
