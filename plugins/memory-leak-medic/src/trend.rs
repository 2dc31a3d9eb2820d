//! Whether a series grows without an end, and how fast. Pure, and robust: a few odd points change nothing.
//!
//! The slope is the median of the slopes between all pairs of points (Theil and Sen), the steadiness how many more pairs rise than fall
//! (Kendall). A saw, as garbage collection draws it, has a slope near zero; a step has little steadiness.

/// A value at a moment, nanoseconds since the epoch.
pub type Point = (u64, f64);

/// Points that are compared with each other; more are thinned out evenly.
const POINTS_MAX: usize = 120;
/// Fewer say nothing.
const POINTS_MIN: usize = 8;

/// How a series has gone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// A second, in the series' unit.
    pub per_second: f64,
    /// Of the slopes between pairs, the quarter that is slowest is below this: for an estimate that does not hurry.
    pub slow_per_second: f64,
    /// -1 (only ever falls) to 1 (only ever rises).
    pub steadiness: f64,
    /// From the first to the last point.
    pub span_ns: u64,
    /// By the slope, over the span.
    pub growth: f64,
    /// By the slope, at the last point.
    pub level: f64,
}

/// The trend of points in the order of their time; `None`: there are too few.
pub fn trend(points: &[Point]) -> Option<Trend> {
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let points: Vec<Point> = points.iter().rev().step_by(step).rev().copied().collect();
    if points.len() < POINTS_MIN {
        return None;
    }
    let (first, last) = (points.first()?, points.last()?);
    let (mut slopes, mut balance) = (Vec::new(), 0_i64);
    for (at, (t0, v0)) in points.iter().enumerate() {
        for (t1, v1) in &points[at + 1..] {
            let secs = t1.saturating_sub(*t0) as f64 / 1e9;
            if secs > 0.0 {
                slopes.push((v1 - v0) / secs);
                balance += i64::from(v1 > v0) - i64::from(v1 < v0);
            }
        }
    }
    if slopes.is_empty() {
        return None;
    }
    slopes.sort_by(f64::total_cmp);
    let per_second = quantile(&slopes, 0.5);
    let span_ns = last.0.saturating_sub(first.0);
    // The median of what the points say about the level at the end.
    let mut levels: Vec<f64> =
        points.iter().map(|(at, value)| value + per_second * (last.0.saturating_sub(*at) as f64 / 1e9)).collect();
    levels.sort_by(f64::total_cmp);
    Some(Trend {
        per_second,
        slow_per_second: quantile(&slopes, 0.25),
        steadiness: balance as f64 / slopes.len() as f64,
        span_ns,
        growth: per_second * span_ns as f64 / 1e9,
        level: quantile(&levels, 0.5),
    })
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}
