//! Whether series changed at one moment, where there is nothing to compare with but their own past: placebo in time.
//!
//! Samples of a host depend on their neighbours, so tests that take them for exchangeable find a difference at most moments. Here
//! the past itself says how large a difference is when nothing happened: the same measure is taken at many earlier moments.
//! The measure: how far the median of the samples after lies **above** that of the ten before, at each number of samples after, each
//! scaled by its own 90 % quantile over the placebos; the largest of all looks. Its rank among the placebos is the series' own p; the
//! rank of the smallest of all series at one moment corrects for their number. A fall is no rise, however rare it is. Looking at every sample, and at many series that go
//! together, is therefore part of what is calibrated. With many series and a short past nothing can be rare: [`Placebo::least_p`] says what can be reached. Too little past is `None`: nobody can say.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Samples before a moment that stand for how it was.
const BEFORE: usize = 10;
/// Samples after a moment that are looked at, at most.
pub const LOOKS_MAX: usize = 60;
/// Samples of history without which nothing is said.
pub const HISTORY_MIN: usize = 3000;
/// Earlier moments that are tried, at least and at most.
const PLACEBOS_MIN: usize = 150;
const PLACEBOS_MAX: usize = 1500;
/// Samples that a deployment may take, at most.
pub const GAP_MAX: usize = 90;
/// A stretch of the past that one series shares with others counts so often, at least: what is to come to it no stretch holds either.
const SHARED_MIN: f64 = 1.7;
/// A difference is at least this part of the level.
const LEAST: f64 = 1e-3;

/// What one look is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Look {
    /// 90 % quantile of the weighted rise.
    scale: f64,
    /// 95 % quantile of the distance, either way.
    wide: f64,
    /// 95 % quantile of the rise.
    rare: f64,
}

/// How the series were at many earlier moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placebo {
    /// For each series and look.
    scales: Vec<Vec<Look>>,
    /// For each series the samples after the moment that are left out.
    settling: Vec<usize>,
    /// For each series the largest scaled rise of each placebo, rising.
    largest: Vec<Vec<f64>>,
    /// For each placebo the smallest p of all series, rising.
    smallest: Vec<f64>,
    /// Placebos that share samples with one: they are not as many as they seem.
    shared: usize,
    before: Vec<f64>,
}

/// What is found of one series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// Median after less median before, in the series' unit.
    pub by: f64,
    /// Median of the samples before.
    pub before: f64,
    /// Half the width of the interval in which the shift lies by 95 of 100 placebos.
    pub give: f64,
    /// Largest scaled rise so far.
    pub scaled: f64,
    /// Part of the placebos that rose as far in any series: already corrected for their number and for looking often.
    pub p: f64,
    /// Whether the last look alone is rare, too: at most one placebo in twenty rose as far by then. What rose and went back does not.
    pub lasts: bool,
}

impl Placebo {
    /// From the samples before the moment, oldest first, all series of one length. `gap`: samples that a deployment took, which are
    /// neither before nor after. `left_out`: samples around earlier deployments and incidents.
    pub fn of(history: &[&[f64]], gap: usize, left_out: &[Range<usize>]) -> Option<Self> {
        let history: Vec<(&[f64], usize)> = history.iter().map(|it| (*it, 0)).collect();
        Self::settling(&history, gap, left_out)
    }

    /// The same, with the samples after the moment that do not count, for each series: what a start costs. Fewer than [`LOOKS_MAX`].
    pub fn settling(history: &[(&[f64], usize)], gap: usize, left_out: &[Range<usize>]) -> Option<Self> {
        let length = history.iter().map(|it| it.0.len()).min()?;
        let finite = history.iter().all(|it| it.1 < LOOKS_MAX && it.0.iter().all(|value| value.is_finite()));
        if length < HISTORY_MIN || !finite {
            return None;
        }
        if gap > GAP_MAX {
            return None;
        }
        let first = BEFORE + gap;
        let room = length - first - LOOKS_MAX;
        let step = room.div_ceil(PLACEBOS_MAX).max(1);
        let free = |at: &usize| left_out.iter().all(|it| at + LOOKS_MAX <= it.start || *at >= it.end + first);
        let moments: Vec<usize> = (first..length - LOOKS_MAX).step_by(step).filter(free).collect();
        if moments.len() < PLACEBOS_MIN {
            return None;
        }
        let mut smallest = vec![1.0_f64; moments.len()];
        let mut largest = Vec::with_capacity(history.len());
        let mut scales = Vec::with_capacity(history.len());
        let mut before = Vec::with_capacity(history.len());
        for (series, settling) in history {
            let series = &series[series.len() - length..];
            let tried: Vec<Vec<f64>> = moments
                .iter()
                .map(|at| distances(middle(&series[at - first..at - gap]), &series[at + settling..at + LOOKS_MAX]))
                .collect();
            let last = middle(&series[length - BEFORE..]);
            let least = (LEAST * last.abs()).max(1e-9);
            let mut looks = Vec::with_capacity(LOOKS_MAX - settling);
            let mut most = vec![0.0_f64; moments.len()];
            for look in 0..LOOKS_MAX - settling {
                let quantile = |measure: fn(f64) -> f64, part: f64| {
                    let mut all: Vec<f64> = tried.iter().map(|it| measure(it[look])).collect();
                    let at = ((all.len() as f64 * part) as usize).min(all.len() - 1);
                    *all.select_nth_unstable_by(at, f64::total_cmp).1
                };
                let scale = (quantile(rise, 0.9) * weight(look)).max(least);
                let wide = quantile(f64::abs, 0.95).max(least / weight(look));
                looks.push(Look { scale, wide, rare: quantile(rise, 0.95).max(least) });
                for (most, one) in most.iter_mut().zip(&tried) {
                    *most = most.max(rise(one[look]) * weight(look) / scale);
                }
            }
            let mut rising = most.clone();
            rising.sort_by(f64::total_cmp);
            for (index, smallest) in smallest.iter_mut().enumerate() {
                *smallest = smallest.min(own(&rising, &most, &moments, index));
            }
            largest.push(rising);
            scales.push(looks);
            before.push(last);
        }
        smallest.sort_by(f64::total_cmp);
        let settling = history.iter().map(|it| it.1).collect();
        Some(Self { scales, settling, largest, smallest, shared: LOOKS_MAX / step, before })
    }

    /// One series (its place in the history) with the samples since, oldest first. `None` without a sample.
    pub fn shift(&self, series: usize, after: &[f64]) -> Option<Shift> {
        let (scales, before) = (self.scales.get(series)?, self.before.get(series)?);
        let after = after[..after.len().min(LOOKS_MAX)].get(self.settles(series)..)?;
        let found = distances(*before, after);
        let by = *found.last()?;
        if found.iter().any(|it| !it.is_finite()) {
            return None;
        }
        let scaled = found.iter().zip(scales).enumerate().map(|(look, (it, of))| rise(*it) * weight(look) / of.scale);
        let scaled = scaled.fold(0.0, f64::max);
        let largest = self.largest.get(series)?;
        // The moment itself is one more: p is never 0.
        let own = (above(largest, scaled) + 1) as f64 / (largest.len() + 1) as f64;
        let last = scales.get(found.len() - 1)?;
        Some(Shift { by, before: *before, give: last.wide, scaled, p: self.joint(own), lasts: by >= last.rare })
    }

    /// Samples after the moment that do not count for this series.
    pub fn settles(&self, series: usize) -> usize {
        self.settling.get(series).copied().unwrap_or_default()
    }

    /// The smallest p that anything could have, all these series together. Above the level that is asked for, nothing can be found.
    pub fn least_p(&self) -> f64 {
        let most = self.largest.iter().map(Vec::len).max().unwrap_or_default();
        self.joint(1.0 / (most + 1) as f64)
    }

    /// The p of all series together, of the smallest of their own.
    fn joint(&self, own: f64) -> f64 {
        let as_small = self.smallest.partition_point(|it| *it <= own);
        // What one stretch of the past holds counts once, and the more series there are, the more of what is to come no stretch holds.
        let series = (1.0 + (self.scales.len() as f64).ln()).max(SHARED_MIN);
        let shared = (self.shared.max(1) as f64 * series) as usize;
        (as_small + shared) as f64 / (self.smallest.len() + shared) as f64
    }
}

/// The p of one placebo among those that share no samples with it, as the real moment shares none with any.
fn own(rising: &[f64], most: &[f64], moments: &[usize], index: usize) -> f64 {
    let near = |other: &usize| moments[*other].abs_diff(moments[index]) < LOOKS_MAX;
    let before = (0..index).rev().take_while(near);
    let sharing: Vec<usize> = before.chain((index..moments.len()).take_while(near)).collect();
    let as_far = sharing.iter().filter(|it| most[**it] >= most[index]).count();
    (above(rising, most[index]) - as_far + 1) as f64 / (rising.len() - sharing.len() + 1) as f64
}

/// How many are at least so large.
fn above(rising: &[f64], value: f64) -> usize {
    rising.len() - rising.partition_point(|it| *it < value)
}

/// Only what is above counts.
fn rise(distance: f64) -> f64 {
    distance.max(0.0)
}

fn weight(look: usize) -> f64 {
    ((look + 1).min(BEFORE) as f64).sqrt()
}

fn middle(values: &[f64]) -> f64 {
    crate::stats::robust::median(&mut values.to_vec()).unwrap_or(f64::NAN)
}

/// At each look: the median so far less `before`.
fn distances(before: f64, after: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = Vec::with_capacity(after.len());
    let median = |value: &f64| {
        sorted.insert(sorted.partition_point(|it| it < value), *value);
        let half = sorted.len() / 2;
        let upper = sorted[half];
        let middle = if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[half - 1], upper) };
        middle - before
    };
    after.iter().map(median).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strongly dependent on its neighbours, as loads are.
    fn wandering(length: usize, seed: u64) -> Vec<f64> {
        let (mut state, mut level) = (seed, 0.0);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            level = 0.95 * level + ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5);
            10.0 + level
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn without_history_nobody_can_say() {
        assert_eq!(Placebo::of(&[&wandering(HISTORY_MIN - 1, 1)], 0, &[]), None);
        let most = std::iter::once(0..2900).collect::<Vec<_>>();
        assert_eq!(Placebo::of(&[&wandering(HISTORY_MIN, 1)], 0, &most), None);
    }

    #[test]
    fn when_nothing_changed_one_in_twenty_is_flagged_however_often_one_looks() {
        let flagged = (0..200).filter(|seed| {
            let all = wandering(HISTORY_MIN + LOOKS_MAX, *seed + 1);
            let (history, after) = all.split_at(HISTORY_MIN);
            let placebo = Placebo::of(&[history], 0, &[]).unwrap();
            placebo.shift(0, after).unwrap().p <= 0.05
        });
        let flagged = flagged.count();
        assert!((1..=20).contains(&flagged), "{flagged} of 200");
    }

    #[test]
    fn a_jump_is_seen_with_its_size() {
        let all = wandering(HISTORY_MIN + 30, 7);
        let (history, after) = all.split_at(HISTORY_MIN);
        let after: Vec<f64> = after.iter().map(|it| it + 8.0).collect();
        let shift = Placebo::of(&[history], 0, &[]).unwrap().shift(0, &after).unwrap();
        assert!(shift.p <= 0.05 && (shift.by - 8.0).abs() <= shift.give, "{shift:?}");
    }

    #[test]
    fn a_fall_and_what_went_back_say_nothing_of_a_rise() {
        let history = wandering(HISTORY_MIN, 7);
        let level = history[HISTORY_MIN - 1];
        let placebo = Placebo::of(&[&history], 0, &[]).unwrap();
        let shift = |burst: f64, then: f64| {
            let after: Vec<f64> = (0..30).map(|at| level + if at < 5 { burst } else { then }).collect();
            placebo.shift(0, &after).unwrap()
        };
        assert!(shift(8.0, 8.0).p <= 0.05 && shift(8.0, 8.0).lasts);
        assert!(shift(-8.0, 0.1).p > 0.5, "{:?}", shift(-8.0, 0.1));
        assert!(shift(8.0, 0.1).p <= 0.05 && !shift(8.0, 0.1).lasts, "{:?}", shift(8.0, 0.1));
    }

    #[test]
    fn what_a_start_costs_is_left_out_where_it_is_said() {
        let history = wandering(HISTORY_MIN, 7);
        let level = history[HISTORY_MIN - 1];
        let after: Vec<f64> = (0..20).map(|at| level + if at < 12 { 8.0 } else { 0.0 }).collect();
        let p = |settling, after: &[f64]| {
            Some(Placebo::settling(&[(&history, settling)], 0, &[]).unwrap().shift(0, after)?.p)
        };
        assert!(p(0, &after).unwrap() <= 0.05 && p(12, &after).unwrap() > 0.2, "{:?}", p(12, &after));
        assert_eq!(p(12, &after[..12]), None);
    }

    #[test]
    fn how_rare_anything_can_be_is_known_before() {
        let many: Vec<Vec<f64>> = (1..9).map(|seed| wandering(3200, seed)).collect();
        let many: Vec<&[f64]> = many.iter().map(Vec::as_slice).collect();
        let (one, all) = (Placebo::of(&many[..1], 2, &[]).unwrap(), Placebo::of(&many, 2, &[]).unwrap());
        assert!(one.least_p() <= 0.05 && all.least_p() > 0.05, "{} {}", one.least_p(), all.least_p());
        let huge = vec![1e9; 10];
        assert_eq!((one.shift(0, &huge).unwrap().p, all.shift(0, &huge).unwrap().p), (one.least_p(), all.least_p()));
    }

    #[test]
    fn what_wanders_while_it_is_deployed_is_part_of_what_is_usual() {
        let history = wandering(HISTORY_MIN, 11);
        let after = vec![history[HISTORY_MIN - 1] + 1.2; 5];
        let p = |gap| Placebo::of(&[&history], gap, &[]).unwrap().shift(0, &after).unwrap().p;
        assert!(p(60) > p(0), "{} {}", p(60), p(0));
        assert_eq!(Placebo::of(&[&history], GAP_MAX + 1, &[]), None);
    }

    #[test]
    fn with_many_series_the_same_distance_means_less() {
        let many: Vec<Vec<f64>> = (1..20).map(|seed| wandering(HISTORY_MIN, seed)).collect();
        let many: Vec<&[f64]> = many.iter().map(Vec::as_slice).collect();
        let after = vec![many[0][HISTORY_MIN - 1] + 2.0; 10];
        let alone = Placebo::of(&many[..1], 0, &[]).unwrap().shift(0, &after).unwrap();
        let among = Placebo::of(&many, 0, &[]).unwrap().shift(0, &after).unwrap();
        assert!(among.p > alone.p, "{alone:?} {among:?}");
    }
}
