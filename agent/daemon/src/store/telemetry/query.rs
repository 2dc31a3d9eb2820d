//! From samples to points: aligned steps and what stands for each of them. Pure.

use std::collections::VecDeque;

use holdfast_core::model::Timestamp;
use serde::{Deserialize, Serialize};

use super::tiers::{Part, Rise, start_of};

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
    /// Median. Where only minutes or hours are kept, quantiles are of their means, each counted as often as it has samples.
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

/// A value, and how many samples it stands for.
type Weighted = (f64, f64);

/// Quantile by linear interpolation between the two nearest ranks (Hyndman and Fan's type 7), a value that stands for several
/// samples taken that many times. `None` without values.
pub(super) fn quantile(values: &mut [Weighted], q: f64) -> Option<f64> {
    values.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let count: f64 = values.iter().map(|(_, weight)| weight).sum();
    let rank = q * (count - 1.0).max(0.0);
    let mut before = 0.0;
    let mut at = |rank: f64, from: usize| {
        values.iter().enumerate().skip(from).find_map(|(index, (value, weight))| {
            let reached = before + weight;
            if rank < reached {
                Some((index, *value))
            } else {
                before = reached;
                None
            }
        })
    };
    let (index, low) = at(rank.floor(), 0)?;
    let high = at(rank.floor() + 1.0, index).map_or(low, |(_, high)| high);
    Some(low + (high - low) * rank.fract())
}

/// Four sums beside one another: an addition need not wait for the one before it.
fn sum(values: &[f64]) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let four = fours.iter().fold([0.0; 4], |sums: [f64; 4], four| std::array::from_fn(|n| sums[n] + four[n]));
    (four[0] + four[1]) + (four[2] + four[3]) + rest.iter().sum::<f64>()
}

#[derive(Debug)]
struct Bucket {
    part: Part,
    last_at: i64,
    /// For quantiles only.
    values: Vec<Weighted>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { part: Part::default(), last_at: i64::MIN, values: Vec::new() }
    }
}

/// Steps as they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    /// Length in nanoseconds, more than nothing.
    pub(super) ns: i64,
    /// A moment that a step begins at.
    pub(super) origin: i64,
}

impl Steps {
    /// The start of the step that a moment lies in.
    pub(super) fn start_of(self, at: i64) -> i64 {
        start_of(at.saturating_sub(self.origin), self.ns).saturating_add(self.origin)
    }
}

/// Gathers one series' samples, in any order of time but best in order, and gives its points.
#[derive(Debug)]
pub(super) struct Gather {
    agg: Agg,
    /// `None`: every sample is a point.
    steps: Option<Steps>,
    since: i64,
    limit: usize,
    former: Option<(i64, f64)>,
    /// The bucket that is being filled: samples come mostly in order.
    current: Option<(i64, Bucket)>,
    /// By rising start.
    buckets: VecDeque<(i64, Bucket)>,
    raw: VecDeque<(i64, f64)>,
    truncated: bool,
}

impl Gather {
    /// `since`: samples before it only serve as predecessors. At most the latest `limit` points are kept.
    pub(super) fn new(agg: Agg, steps: Option<Steps>, since: i64, limit: usize) -> Self {
        Self {
            agg,
            steps: steps.filter(|steps| steps.ns > 0),
            since,
            limit: limit.max(1),
            former: None,
            current: None,
            buckets: VecDeque::new(),
            raw: VecDeque::new(),
            truncated: false,
        }
    }

    /// Consecutive samples; time does not go back among them.
    pub(super) fn add_run(&mut self, times: &[i64], values: &[f64]) {
        let simple = matches!(self.agg, Agg::Avg | Agg::Sum | Agg::Count | Agg::Last | Agg::Min | Agg::Max);
        let (Some(steps), true) = (self.steps, simple) else {
            times.iter().zip(values).for_each(|(at, value)| self.add(*at, *value));
            return;
        };
        // Steps mostly hold as many samples as the one before.
        let (mut from, mut usual) = (0, 1);
        while let (Some(times @ [first, ..]), Some(values)) = (times.get(from..), values.get(from..)) {
            if *first < self.since {
                from += 1;
                continue;
            }
            let start = steps.start_of(*first);
            let end = start.saturating_add(steps.ns);
            let as_usual =
                times.get(usual - 1).is_some_and(|at| *at < end) && times.get(usual).is_none_or(|at| *at >= end);
            let count = if as_usual { usual } else { times.partition_point(|at| *at < end).max(1) };
            usual = count;
            let last_at = times.get(count - 1).copied().unwrap_or(*first);
            let within = values.get(..count).unwrap_or_default();
            let Some(last) = within.last() else { return };
            let mut part = Part { count: count as f64, last: *last, ..Part::default() };
            match self.agg {
                Agg::Avg | Agg::Sum => part.sum = sum(within),
                Agg::Min => part.min = within.iter().copied().fold(f64::INFINITY, f64::min),
                Agg::Max => part.max = within.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                _ => {}
            }
            self.put(start, last_at, &part);
            from += count;
        }
    }

    pub(super) fn add(&mut self, at: i64, value: f64) {
        let rise = if self.agg == Agg::Rate {
            Rise::between(self.former.replace((at, value)), (at, value))
        } else {
            Rise::default()
        };
        if at < self.since {
            return;
        }
        let Some(steps) = self.steps else {
            let point = if self.agg == Agg::Rate { rise.rate() } else { Some(value) };
            return self.point(at, point);
        };
        let part = Part { count: 1.0, min: value, max: value, sum: value, last: value, rise };
        self.put(steps.start_of(at), at, &part);
    }

    /// A step of a coarser tier, named by its start.
    pub(super) fn add_part(&mut self, at: i64, part: &Part) {
        // The next sample's predecessor lies somewhere within this step: a rate begins anew.
        self.former = None;
        match self.steps {
            Some(steps) => self.put(steps.start_of(at), at, part),
            None => self.point(
                at,
                match self.agg {
                    Agg::Rate => part.rise.rate(),
                    Agg::P50 | Agg::P95 | Agg::P99 => Some(part.mean()),
                    _ => Some(part.last),
                },
            ),
        }
    }

    fn point(&mut self, at: i64, value: Option<f64>) {
        let Some(value) = value else { return };
        self.raw.push_back((at, value));
        if self.raw.len() > self.limit {
            self.raw.pop_front();
            self.truncated = true;
        }
    }

    fn put(&mut self, start: i64, last_at: i64, part: &Part) {
        if self.current.as_ref().is_none_or(|(open, _)| *open != start) {
            self.shelve();
            self.current = Some((start, self.taken(start)));
        }
        let wanted = self.agg.quantile().is_some();
        let Some((_, bucket)) = self.current.as_mut() else { return };
        if wanted && part.count > 0.0 {
            bucket.values.push((part.mean(), part.count));
        }
        let last = if last_at >= bucket.last_at { part.last } else { bucket.part.last };
        bucket.part.add(part);
        bucket.part.last = last;
        bucket.last_at = bucket.last_at.max(last_at);
    }

    /// A step's bucket, to go on filling it.
    fn taken(&mut self, start: i64) -> Bucket {
        // Time mostly goes on.
        if self.buckets.back().is_none_or(|(last, _)| *last < start) {
            return Bucket::default();
        }
        match self.buckets.binary_search_by_key(&start, |(start, _)| *start) {
            Ok(index) => self.buckets.remove(index).map(|(_, bucket)| bucket).unwrap_or_default(),
            Err(_) => Bucket::default(),
        }
    }

    /// Puts the bucket that was being filled to the others.
    fn shelve(&mut self) {
        let Some((start, bucket)) = self.current.take() else { return };
        let index = match self.buckets.back() {
            Some((last, _)) if *last >= start => self.buckets.partition_point(|(other, _)| *other < start),
            _ => self.buckets.len(),
        };
        self.buckets.insert(index, (start, bucket));
        if self.buckets.len() > self.limit {
            self.buckets.pop_front();
            self.truncated = true;
        }
    }

    /// The points, oldest first, and whether older ones were left out. A step without samples has no point.
    pub(super) fn points(mut self) -> (Vec<(Timestamp, f64)>, bool) {
        self.shelve();
        let Self { agg, steps, buckets, raw, truncated, .. } = self;
        let mut points: Vec<(Timestamp, f64)> = if steps.is_none() {
            raw.into_iter().map(|(at, value)| (Timestamp::from_ns(at), value)).collect()
        } else {
            let point = |(at, mut bucket): (i64, Bucket)| {
                let part = bucket.part;
                let value = match agg {
                    Agg::Avg => part.mean(),
                    Agg::Min => part.min,
                    Agg::Max => part.max,
                    Agg::Sum => part.sum,
                    Agg::Count => part.count,
                    Agg::Last => part.last,
                    Agg::Rate => part.rise.rate()?,
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
        let steps = step_s.map(|s| Steps { ns: s * S, origin: 0 });
        let mut gather = Gather::new(agg, steps, 0, 100);
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
    fn what_stands_for_several_samples_counts_as_often() {
        let as_often: &[(f64, f64)] = &[(1.0, 3.0), (5.0, 1.0), (2.0, 2.0)];
        let each: Vec<(f64, f64)> = [1.0, 1.0, 1.0, 2.0, 2.0, 5.0].map(|value| (value, 1.0)).to_vec();
        for q in [0.0, 0.3, 0.5, 0.55, 0.75, 0.9, 0.99, 1.0] {
            let found = quantile(&mut as_often.to_vec(), q).unwrap();
            let wanted = quantile(&mut each.clone(), q).unwrap();
            assert!((found - wanted).abs() < 1e-12, "{q}: {found} {wanted}");
        }
        assert_eq!(quantile(&mut [], 0.5), None);
        assert_eq!(quantile(&mut [(7.0, 1.0)], 0.99), Some(7.0));
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
        let mut gather = Gather::new(Agg::Rate, Some(Steps { ns: 10 * S, origin: 0 }), 10 * S, 100);
        gather.add(9 * S, 1.0);
        gather.add(10 * S, 3.0);
        assert_eq!(gather.points().0, vec![(Timestamp::from_secs(10), 2.0)]);
    }

    #[test]
    fn the_latest_points_are_kept() {
        for step in [None, Some(Steps { ns: S, origin: 0 })] {
            let mut gather = Gather::new(Agg::Last, step, 0, 2);
            for at in 0..5 {
                gather.add(at * S, at as f64);
            }
            let (points, truncated) = gather.points();
            assert_eq!((points[0].1, points.len(), truncated), (3.0, 2, true));
        }
    }
}
