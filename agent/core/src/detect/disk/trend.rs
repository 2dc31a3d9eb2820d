//! When will a file system be full? Straight trends of its free space, seen over four stretches of time.
//!
//! **No trend is drawn out to more than four times the time that it was seen for**: a burst of a minute says nothing about
//! tomorrow, but a small file system that fills in two minutes is noticed before it is full. The slopes are Theil-Sen's; a trend
//! counts when Mann-Kendall's test sees one and the interval of the slope lies above zero.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::stats::slope::{Point, theil_sen};

/// Time between two points, and the points kept: 75 s at a sample every five seconds, 4 minutes, 24 minutes, 8 hours.
const SCALES: [(f64, usize); 4] = [(0.0, 16), (15.0, 16), (60.0, 24), (600.0, 48)];
/// Fewer points are no trend.
const POINTS_MIN: usize = 5;
/// A trend is drawn out to at most this many times the time that it was seen for.
const DRAWN_OUT_MAX: f64 = 4.0;
/// A trend already reported is followed with this much more patience, so that it doesn't flap at the horizon.
const PATIENCE: f64 = 1.5;
/// Mann-Kendall, one-sided 5 %.
const SCORE_MIN: f64 = 1.645;
/// An interval of the slope wider than this many slopes is no narrower than one of this width.
const WIDTH_MAX: f64 = 1e6;
/// Time to full beyond this is printed as this: a century.
const FULL_IN_MAX_S: f64 = 3.2e9;

/// A file system that is filling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Forecast {
    /// Bytes a second.
    pub(in crate::detect) rate: f64,
    pub(in crate::detect) full_in_s: f64,
    /// The interval; `full_in_s` lies in it.
    pub(in crate::detect) low_s: f64,
    pub(in crate::detect) high_s: f64,
    /// Mann-Kendall's score.
    pub(in crate::detect) score: f64,
    /// Ends of the slope's interval as parts of the slope.
    pub(in crate::detect) rate_low: f64,
    pub(in crate::detect) rate_high: f64,
    /// How long the trend was seen for, in how many points, and what was free at its beginning.
    pub(in crate::detect) seen_s: f64,
    pub(in crate::detect) points: usize,
    pub(in crate::detect) free_at_begin: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Window {
    /// Seconds since the trend's own beginning, so that no precision is lost; free bytes.
    points: Vec<Point>,
    verdict: Option<Forecast>,
    judged: bool,
}

/// The free space of one file system, at four scales. At most 104 points.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::detect) struct Trend {
    begin: Option<Timestamp>,
    windows: [Window; SCALES.len()],
}

impl Trend {
    /// The past says nothing about the future any more: space was freed, or samples are missing.
    pub(in crate::detect) fn restart(&mut self) {
        self.begin = None;
        for window in &mut self.windows {
            window.points.clear();
            (window.verdict, window.judged) = (None, false);
        }
    }

    /// One reading.
    pub(in crate::detect) fn push(
        &mut self,
        at: Timestamp,
        free: f64,
        horizon_s: f64,
        followed: bool,
        scratch: &mut Vec<f64>,
    ) {
        let begin = *self.begin.get_or_insert(at);
        let now = at.since(begin).as_secs_f64();
        for (window, (spacing, max)) in self.windows.iter_mut().zip(SCALES) {
            if window.points.last().is_some_and(|last| now - last.0 < spacing || now <= last.0) {
                continue;
            }
            if window.points.capacity() < max {
                window.points.reserve_exact(max - window.points.len());
            }
            if window.points.len() >= max {
                window.points.remove(0);
            }
            window.points.push((now, free));
            window.judged = window.points.len() >= POINTS_MIN;
            // What began in the middle of a window is seen in its last half first; the shortest trend, in its last five points.
            let len = window.points.len();
            let shortest = if spacing == 0.0 { POINTS_MIN } else { len };
            window.verdict = [shortest, len / 2, len]
                .into_iter()
                .filter_map(|last| window.points.get(len.saturating_sub(last)..))
                .filter_map(|points| judge(points, horizon_s, followed, scratch))
                .min_by(|a, b| a.full_in_s.total_cmp(&b.full_in_s));
        }
    }

    /// The most urgent forecast.
    pub(in crate::detect) fn forecast(&self) -> Option<Forecast> {
        self.windows.iter().filter_map(|it| it.verdict).min_by(|a, b| a.full_in_s.total_cmp(&b.full_in_s))
    }

    /// The most urgent forecast of a trend that was seen for so long.
    pub(in crate::detect) fn forecast_seen(&self, seen_s: f64) -> Option<Forecast> {
        let long = self.windows.iter().filter_map(|it| it.verdict).filter(|it| it.seen_s >= seen_s);
        long.min_by(|a, b| a.full_in_s.total_cmp(&b.full_in_s))
    }

    /// Enough was seen lately to say that space is not going down right now.
    pub(super) fn calm(&self) -> bool {
        let recent = &self.windows[0];
        let flat = recent.points.len() >= 3
            && recent.points.first().zip(recent.points.last()).is_some_and(|(first, last)| last.1 >= first.1);
        self.forecast().is_none() && (recent.judged || flat)
    }
}

fn judge(points: &[Point], horizon_s: f64, followed: bool, scratch: &mut Vec<f64>) -> Option<Forecast> {
    if points.len() < POINTS_MIN {
        return None;
    }
    let (first, last) = (points.first()?, points.last()?);
    let seen_s = last.0 - first.0;
    let free = last.1;
    let slope = theil_sen(points, scratch)?;
    // Free space falls: the rate of filling is the slope turned round.
    let (rate, slowest, fastest) = (-slope.per_second, -slope.high, -slope.low);
    if !(rate > 0.0 && slowest > 0.0 && -slope.score >= SCORE_MIN && free >= 0.0) {
        return None;
    }
    let full_in_s = (free / rate).min(FULL_IN_MAX_S);
    let patience = if followed { PATIENCE } else { 1.0 };
    if full_in_s > patience * horizon_s.min(DRAWN_OUT_MAX * seen_s) {
        return None;
    }
    // It must still be going on: a third of the window ago there was clearly more.
    let third = last.0 - seen_s / 3.0;
    let earlier = points.iter().rev().find(|point| point.0 <= third)?;
    if earlier.1 - free < rate * (last.0 - earlier.0) / 4.0 {
        return None;
    }
    Some(Forecast {
        rate,
        full_in_s,
        low_s: (free / fastest).min(full_in_s),
        high_s: (free / slowest).clamp(full_in_s, FULL_IN_MAX_S.max(full_in_s)),
        score: -slope.score,
        rate_low: slowest / rate,
        rate_high: (fastest / rate).min(WIDTH_MAX),
        seen_s,
        points: points.len(),
        free_at_begin: first.1,
    })
}
