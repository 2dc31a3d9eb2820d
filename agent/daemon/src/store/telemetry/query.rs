//! From samples to points: aligned steps and what stands for each of them. Pure.

use std::collections::BTreeMap;

use holdfast_core::model::Timestamp;
use serde::{Deserialize, Serialize};

/// What stands for the samples of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Agg {
    /// Arithmetic mean.
    Avg,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sum.
    Sum,
    /// Number of samples.
    Count,
    /// The latest.
    #[default]
    Last,
    /// Increase a second of a counter; a counter that starts again counts from zero.
    Rate,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
}

impl Agg {
    fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.50),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            _ => None,
        }
    }
}

/// Quantile by linear interpolation between the two nearest ranks (Hyndman and Fan's type 7). `None` without values.
pub(super) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = q * (values.len().checked_sub(1)? as f64);
    let (low, part) = (rank.floor() as usize, rank.fract());
    let (low, high) = (*values.get(low)?, *values.get((low + 1).min(values.len() - 1))?);
    Some(low + (high - low) * part)
}

#[derive(Debug, Default)]
struct Bucket {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    last: f64,
    last_at: i64,
    increase: f64,
    over_ns: i64,
    values: Vec<f64>,
}

/// Gathers one series' samples, in any order of time but best in order, and gives its points.
#[derive(Debug)]
pub(super) struct Gather {
    agg: Agg,
    /// Length of a step; `None`: every sample is a point.
    step_ns: Option<i64>,
    since: i64,
    limit: usize,
    former: Option<(i64, f64)>,
    /// The bucket that is being filled: samples come mostly in order.
    current: Option<(i64, Bucket)>,
    buckets: BTreeMap<i64, Bucket>,
    raw: std::collections::VecDeque<(i64, f64)>,
    truncated: bool,
}

impl Gather {
    /// `since`: samples before it only serve as predecessors. At most the latest `limit` points are kept.
    pub(super) fn new(agg: Agg, step_ns: Option<i64>, since: i64, limit: usize) -> Self {
        let step_ns = step_ns.filter(|step| *step > 0);
        Self {
            agg,
            step_ns,
            since,
            limit: limit.max(1),
            former: None,
            current: None,
            buckets: BTreeMap::new(),
            raw: std::collections::VecDeque::new(),
            truncated: false,
        }
    }

    pub(super) fn add(&mut self, at: i64, value: f64) {
        let former = self.former.replace((at, value)).filter(|(then, _)| *then < at);
        if at < self.since {
            return;
        }
        let gained = former.map(|(then, before)| {
            let increase = if value >= before { value - before } else { value };
            (increase, at - then)
        });
        let Some(step) = self.step_ns else {
            let point = match (self.agg, gained) {
                (Agg::Rate, None) => return,
                (Agg::Rate, Some((increase, over_ns))) => increase / (over_ns as f64 / 1e9),
                _ => value,
            };
            self.raw.push_back((at, point));
            if self.raw.len() > self.limit {
                self.raw.pop_front();
                self.truncated = true;
            }
            return;
        };
        let start = at.div_euclid(step) * step;
        if self.current.as_ref().is_none_or(|(open, _)| *open != start) {
            self.shelve();
            let fresh = Bucket { min: f64::INFINITY, max: f64::NEG_INFINITY, last_at: i64::MIN, ..Bucket::default() };
            self.current = Some((start, self.buckets.remove(&start).unwrap_or(fresh)));
        }
        let Some((_, bucket)) = self.current.as_mut() else { return };
        bucket.count += 1;
        bucket.sum += value;
        bucket.min = bucket.min.min(value);
        bucket.max = bucket.max.max(value);
        if at >= bucket.last_at {
            (bucket.last, bucket.last_at) = (value, at);
        }
        if let Some((increase, over_ns)) = gained {
            bucket.increase += increase;
            bucket.over_ns += over_ns;
        }
        if self.agg.quantile().is_some() {
            bucket.values.push(value);
        }
    }

    /// Puts the bucket that was being filled to the others.
    fn shelve(&mut self) {
        self.buckets.extend(self.current.take());
        if self.buckets.len() > self.limit {
            self.buckets.pop_first();
            self.truncated = true;
        }
    }

    /// The points, oldest first, and whether older ones were left out. A step without samples has no point.
    pub(super) fn points(mut self) -> (Vec<(Timestamp, f64)>, bool) {
        self.shelve();
        let Self { agg, step_ns, buckets, raw, truncated, .. } = self;
        let mut points: Vec<(Timestamp, f64)> = if step_ns.is_none() {
            raw.into_iter().map(|(at, value)| (Timestamp::from_ns(at), value)).collect()
        } else {
            let point = |(at, mut bucket): (i64, Bucket)| {
                let value = match agg {
                    Agg::Avg => bucket.sum / bucket.count as f64,
                    Agg::Min => bucket.min,
                    Agg::Max => bucket.max,
                    Agg::Sum => bucket.sum,
                    Agg::Count => bucket.count as f64,
                    Agg::Last => bucket.last,
                    Agg::Rate if bucket.over_ns > 0 => bucket.increase / (bucket.over_ns as f64 / 1e9),
                    Agg::Rate => return None,
                    Agg::P50 | Agg::P95 | Agg::P99 => quantile(&mut bucket.values, agg.quantile()?)?,
                };
                Some((Timestamp::from_ns(at), value))
            };
            buckets.into_iter().filter_map(point).collect()
        };
        // The wall clock may have been set back.
        points.sort_by_key(|(at, _)| *at);
        (points, truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[track_caller]
    fn check(agg: Agg, step_s: Option<i64>, samples: &[(i64, f64)], expected: &[(i64, f64)]) {
        let mut gather = Gather::new(agg, step_s.map(|s| s * S), 0, 100);
        for (at, value) in samples {
            gather.add(at * S, *value);
        }
        let (points, truncated) = gather.points();
        let found: Vec<(i64, f64)> = points.into_iter().map(|(at, v)| (at.ns() / S, v)).collect();
        assert_eq!((found.as_slice(), truncated), (expected, false), "{agg:?}");
    }

    #[test]
    fn steps_are_aligned_to_the_epoch() {
        check(Agg::Avg, Some(10), &[(9, 1.0), (10, 2.0), (19, 4.0), (20, 8.0)], &[(0, 1.0), (10, 3.0), (20, 8.0)]);
    }

    #[test]
    fn each_aggregate_says_what_its_name_says() {
        let samples = [(0, 4.0), (1, 1.0), (2, 3.0), (3, 2.0)];
        for (agg, value) in [
            (Agg::Avg, 2.5),
            (Agg::Min, 1.0),
            (Agg::Max, 4.0),
            (Agg::Sum, 10.0),
            (Agg::Count, 4.0),
            (Agg::Last, 2.0),
            (Agg::P50, 2.5),
            (Agg::P95, 3.849_999_999_999_999_6),
            (Agg::P99, 3.969_999_999_999_999_8),
        ] {
            check(agg, Some(10), &samples, &[(0, value)]);
        }
    }

    #[test]
    fn a_rate_is_the_increase_a_second() {
        check(Agg::Rate, Some(10), &[(0, 100.0), (5, 150.0), (10, 200.0)], &[(0, 10.0), (10, 10.0)]);
        check(Agg::Rate, None, &[(0, 100.0), (5, 150.0)], &[(5, 10.0)]);
    }

    #[test]
    fn a_counter_that_starts_again_counts_from_zero() {
        check(Agg::Rate, Some(100), &[(0, 1000.0), (10, 1050.0), (20, 50.0)], &[(0, 5.0)]);
    }

    #[test]
    fn one_sample_has_no_rate() {
        check(Agg::Rate, Some(10), &[(0, 1000.0)], &[]);
    }

    #[test]
    fn the_sample_before_the_window_gives_its_first_rate() {
        let mut gather = Gather::new(Agg::Rate, Some(10 * S), 10 * S, 100);
        gather.add(9 * S, 1.0);
        gather.add(10 * S, 3.0);
        assert_eq!(gather.points().0, vec![(Timestamp::from_secs(10), 2.0)]);
    }

    #[test]
    fn the_latest_points_are_kept() {
        for step in [None, Some(S)] {
            let mut gather = Gather::new(Agg::Last, step, 0, 2);
            for at in 0..5 {
                gather.add(at * S, at as f64);
            }
            let (points, truncated) = gather.points();
            assert_eq!((points[0].1, points.len(), truncated), (3.0, 2, true));
        }
    }
}
