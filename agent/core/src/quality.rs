//! How good stored data are: gaps, stale series, stuck sensors, counters that began again, clock jumps. Pure.
//!
//! A verdict rests on what a series itself does: its usual interval is the median of its own, and a sensor is stuck when it
//! changed with nearly every sample and then with none. So neither a slow series nor a constant one is accused.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{MetricKind, Timestamp};
use crate::stats::robust::median;

/// An interval this many times the usual one is a gap.
const GAP_FACTOR: f64 = 3.0;
/// Samples from which intervals and stillness can be judged.
const SAMPLES_MIN: usize = 8;
/// A sensor is stuck after so many equal samples…
const STILL_MIN: usize = 30;
/// …when before that at least this share of its samples differed from the one before.
pub(crate) const LIVELY: f64 = 0.9;
/// Samples before the stillness that show how lively it was.
const LIVELY_MIN: usize = 10;
/// A clock that moves by less against the machine's uptime is read with some delay, no more.
const JUMP_MIN: Duration = Duration::from_secs(2);

/// A stretch of time without samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// The last sample before it.
    pub from: Timestamp,
    /// The first sample after it.
    pub until: Timestamp,
}

/// How good one series is within a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesQuality {
    /// Samples within the window.
    pub samples: usize,
    /// Usual time between two samples, in seconds: the median; `None` below eight samples.
    pub interval_s: Option<f64>,
    /// Samples that are there, of those that a series without gaps would have; 0 to 1.
    pub coverage: f64,
    /// Gaps within the window.
    pub gaps: usize,
    /// The longest of them.
    pub longest_gap: Option<Silence>,
    /// The last sample, when the series has been silent for longer than a gap at the window's end.
    pub stale_since: Option<Timestamp>,
    /// The first of the equal samples, when it seems stuck.
    pub stuck_since: Option<Timestamp>,
    /// A counter's beginnings anew.
    pub resets: usize,
}

impl SeriesQuality {
    /// Whether anything is to be said about it.
    pub fn is_good(&self) -> bool {
        self.gaps == 0 && self.stale_since.is_none() && self.stuck_since.is_none()
    }
}

/// Judges one series; `points` oldest first, all within the window that ends at `until`.
pub fn judge(points: &[(Timestamp, f64)], kind: MetricKind, until: Timestamp) -> SeriesQuality {
    let mut intervals: Vec<f64> =
        points.windows(2).map(|pair| pair[1].0.since(pair[0].0).as_secs_f64()).filter(|s| *s > 0.0).collect();
    let interval = (points.len() >= SAMPLES_MIN).then(|| median(&mut intervals)).flatten();
    let mut quality = SeriesQuality {
        samples: points.len(),
        interval_s: interval,
        coverage: if points.is_empty() { 0.0 } else { 1.0 },
        gaps: 0,
        longest_gap: None,
        stale_since: None,
        stuck_since: None,
        resets: 0,
    };
    if kind == MetricKind::Counter {
        quality.resets = points.windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
    }
    let (Some(interval), Some(first), Some(last)) = (interval, points.first(), points.last()) else { return quality };
    let long = |from: Timestamp, until: Timestamp| until.since(from).as_secs_f64() > interval * GAP_FACTOR;
    for pair in points.windows(2) {
        let silence = Silence { from: pair[0].0, until: pair[1].0 };
        if !long(silence.from, silence.until) {
            continue;
        }
        quality.gaps += 1;
        let length = |it: &Silence| it.until.since(it.from);
        if quality.longest_gap.is_none_or(|longest| length(&silence) > length(&longest)) {
            quality.longest_gap = Some(silence);
        }
    }
    quality.stale_since = long(last.0, until).then_some(last.0);
    let expected = (last.0.since(first.0).as_secs_f64() / interval).round() + 1.0;
    quality.coverage = (points.len() as f64 / expected.max(1.0)).min(1.0);
    quality.stuck_since = stuck(points);
    quality
}

/// The first of the equal samples at the end of a series that was lively before.
fn stuck(points: &[(Timestamp, f64)]) -> Option<Timestamp> {
    let last = points.last()?.1;
    let still = points.iter().rev().take_while(|(_, value)| value.to_bits() == last.to_bits()).count();
    let before = &points[..points.len() - still];
    if still < STILL_MIN || before.len() < LIVELY_MIN {
        return None;
    }
    let moved = before.windows(2).filter(|pair| pair[0].1.to_bits() != pair[1].1.to_bits()).count();
    let share = moved as f64 / (before.len() - 1) as f64;
    (share >= LIVELY).then(|| points[points.len() - still].0)
}

/// The wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClockJump {
    /// The first sample after it, by the clock as it was then.
    pub at: Timestamp,
    /// Forwards or, negative, backwards, in seconds.
    pub by_s: f64,
}

/// Jumps of the wall clock: it is held against the machine's uptime in seconds, which nobody sets. `uptime` in the order of
/// storing. A restart of the machine is no jump.
pub fn clock_jumps(uptime: &[(Timestamp, f64)]) -> Vec<ClockJump> {
    let jump = |pair: &[(Timestamp, f64)]| {
        let (before, after) = (pair[0], pair[1]);
        if after.1 < before.1 {
            return None;
        }
        let by_s = (after.0.ns() - before.0.ns()) as f64 / 1e9 - (after.1 - before.1);
        (by_s.abs() >= JUMP_MIN.as_secs_f64()).then_some(ClockJump { at: after.0, by_s })
    };
    uptime.windows(2).filter_map(jump).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + second)
    }

    fn series(seconds: impl Iterator<Item = i64>, value: impl Fn(i64) -> f64) -> Vec<(Timestamp, f64)> {
        seconds.map(|s| (at(s), value(s))).collect()
    }

    #[test]
    fn a_series_without_a_break_is_good() {
        let quality = judge(&series(0..100, |s| s as f64), MetricKind::Gauge, at(100));
        assert!(quality.is_good(), "{quality:?}");
        assert_eq!((quality.interval_s, quality.coverage), (Some(1.0), 1.0));
    }

    #[test]
    fn a_gap_is_measured_against_the_series_own_interval() {
        let slow = judge(&series((0..200).step_by(10), |s| s as f64), MetricKind::Gauge, at(205));
        assert!(slow.is_good(), "ten seconds are usual here: {slow:?}");
        let broken = series((0..50).chain(60..100).chain(104..110), |s| s as f64);
        let quality = judge(&broken, MetricKind::Gauge, at(110));
        assert_eq!((quality.gaps, quality.longest_gap), (2, Some(Silence { from: at(49), until: at(60) })));
        assert!((0.86..0.9).contains(&quality.coverage), "{}", quality.coverage);
    }

    #[test]
    fn a_series_that_ended_is_stale_and_one_too_short_to_know_is_not() {
        assert_eq!(judge(&series(0..50, |s| s as f64), MetricKind::Gauge, at(90)).stale_since, Some(at(49)));
        assert_eq!(judge(&series(0..5, |s| s as f64), MetricKind::Gauge, at(90)).stale_since, None);
        assert_eq!(judge(&[], MetricKind::Gauge, at(90)).coverage, 0.0);
    }

    #[test]
    fn only_a_sensor_that_was_lively_before_is_stuck() {
        let lively = |s: i64| if s < 60 { (s * 7 % 13) as f64 } else { 5.0 };
        assert_eq!(judge(&series(0..120, lively), MetricKind::Gauge, at(120)).stuck_since, Some(at(60)));
        assert_eq!(judge(&series(0..80, lively), MetricKind::Gauge, at(80)).stuck_since, None, "still for too short");
        assert_eq!(judge(&series(0..120, |_| 5.0), MetricKind::Gauge, at(120)).stuck_since, None, "constant by nature");
        let steps = |s: i64| (s / 20) as f64;
        assert_eq!(judge(&series(0..120, steps), MetricKind::Gauge, at(120)).stuck_since, None, "moves now and then");
    }

    #[test]
    fn a_counter_that_began_again_is_counted() {
        let counter = |s: i64| (s % 40) as f64;
        assert_eq!(judge(&series(0..100, counter), MetricKind::Counter, at(100)).resets, 2);
        assert_eq!(judge(&series(0..100, counter), MetricKind::Gauge, at(100)).resets, 0);
    }

    #[test]
    fn a_clock_that_was_set_is_told_from_a_machine_that_was_restarted() {
        let uptime =
            [(at(0), 100.0), (at(1), 101.0), (at(3_601), 102.0), (at(2), 103.0), (at(600), 5.0), (at(601), 6.2)];
        let jumps = clock_jumps(&uptime);
        assert_eq!(jumps.len(), 2, "{jumps:?}");
        assert_eq!((jumps[0].at, jumps[0].by_s), (at(3_601), 3_599.0));
        assert_eq!((jumps[1].at, jumps[1].by_s), (at(2), -3_600.0));
    }
}
