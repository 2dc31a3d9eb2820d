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
/// A trend that is bent by so much of its way began in the middle.
const BENT_PART: f64 = 0.2;
/// Time to full beyond this is printed as this: a century.
const FULL_IN_MAX_S: f64 = 3.2e9;

/// Earlier forecasts that are remembered, at least so far apart: what they disagreed by, this one may be wrong by.
const TOLD_MAX: usize = 24;
const TOLD_EVERY_S: f64 = 60.0;

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
    /// How long ago it began, which may be in the middle of what was seen.
    #[serde(default)]
    pub(in crate::detect) since_s: f64,
    pub(in crate::detect) points: usize,
    pub(in crate::detect) free_at_begin: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Window {
    /// Seconds since the trend's own beginning, so that no precision is lost; free bytes.
    points: Vec<Point>,
    verdict: Option<Forecast>,
    judged: bool,
    /// Ends of the time to full by every trend that was seen in the window, near or far; and how long they were seen for.
    #[serde(default)]
    reach: Option<(f64, f64, f64)>,
}

/// The free space of one file system, at four scales. At most 104 points.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::detect) struct Trend {
    begin: Option<Timestamp>,
    windows: [Window; SCALES.len()],
    /// When, and which moment was forecast as the end then; seconds since the beginning.
    #[serde(default)]
    told: Vec<(f64, f64)>,
}

impl Trend {
    /// The past says nothing about the future any more: space was freed, or samples are missing.
    pub(in crate::detect) fn restart(&mut self) {
        self.begin = None;
        self.told.clear();
        for window in &mut self.windows {
            window.points.clear();
            (window.verdict, window.judged, window.reach) = (None, false, None);
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
            (window.verdict, window.reach) = (None, None);
            for last in [shortest, len / 2, len] {
                let Some(points) = window.points.get(len.saturating_sub(last)..) else { continue };
                let Some(seen) = see(points, scratch) else { continue };
                let (low, high, longest) = window.reach.unwrap_or((f64::INFINITY, 0.0, 0.0));
                window.reach = Some((low.min(seen.low_s), high.max(seen.high_s), longest.max(seen.seen_s)));
                let urgent = window.verdict.is_none_or(|it| seen.full_in_s < it.full_in_s);
                if urgent && is_near(points, &seen, horizon_s, followed) {
                    window.verdict = Some(seen);
                }
            }
        }
        // An earlier fill that came to rest says nothing of this one.
        let going = self.windows.iter().any(|it| it.verdict.is_some());
        self.told.retain(|(then, _)| going && now - then <= TOLD_MAX as f64 * TOLD_EVERY_S);
        let due = self.told.last().is_none_or(|(then, _)| now - then >= TOLD_EVERY_S);
        if let Some(forecast) = self.windows.iter().filter_map(|it| it.verdict).max_by(longer).filter(|_| due) {
            if self.told.len() >= TOLD_MAX {
                self.told.remove(0);
            }
            self.told.push((now, now + forecast.full_in_s));
        }
    }

    /// The most urgent forecast.
    pub(in crate::detect) fn forecast(&self) -> Option<Forecast> {
        self.forecast_seen(0.0)
    }

    /// The most urgent forecast of a trend that was seen for so long.
    pub(in crate::detect) fn forecast_seen(&self, seen_s: f64) -> Option<Forecast> {
        let long = self.windows.iter().filter_map(|it| it.verdict).filter(|it| it.seen_s >= seen_s);
        long.min_by(|a, b| a.full_in_s.total_cmp(&b.full_in_s)).map(|it| self.widened(it))
    }

    /// The interval of a slope takes errors for independent, and of several trends the most urgent is told. So it reaches as far as the
    /// other trends that were seen for as long, and as the forecasts of the last while.
    fn widened(&self, mut forecast: Forecast) -> Forecast {
        let now = self.windows[0].points.last().map_or(0.0, |it| it.0);
        let seen = self.windows.iter().filter_map(|it| it.reach).filter(|it| it.2 >= forecast.seen_s);
        let told = self.told.iter().map(|(_, end)| (end - now).max(0.0));
        for (low, high) in seen.map(|it| (it.0, it.1)).chain(told.map(|it| (it, it))) {
            forecast.low_s = forecast.low_s.min(low);
            forecast.high_s = forecast.high_s.max(high.min(FULL_IN_MAX_S));
        }
        forecast
    }

    /// Enough was seen lately to say that space is not going down right now.
    pub(super) fn calm(&self) -> bool {
        let recent = &self.windows[0];
        let flat = recent.points.len() >= 3
            && recent.points.first().zip(recent.points.last()).is_some_and(|(first, last)| last.1 >= first.1);
        self.forecast().is_none() && (recent.judged || flat)
    }
}

fn longer(a: &Forecast, b: &Forecast) -> std::cmp::Ordering {
    a.seen_s.total_cmp(&b.seen_s)
}

/// The trend through these points, however far it reaches.
fn see(points: &[Point], scratch: &mut Vec<f64>) -> Option<Forecast> {
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
    Some(Forecast {
        rate,
        full_in_s,
        low_s: (free / fastest).min(full_in_s),
        high_s: (free / slowest).clamp(full_in_s, FULL_IN_MAX_S.max(full_in_s)),
        score: -slope.score,
        rate_low: slowest / rate,
        rate_high: (fastest / rate).min(WIDTH_MAX),
        seen_s,
        since_s: last.0 - onset(points).0,
        points: points.len(),
        free_at_begin: first.1,
    })
}

/// Where the way down began: the point farthest above the straight line from the first to the last, if it is far; else the first.
fn onset(points: &[Point]) -> Point {
    let (Some(first), Some(last)) = (points.first().copied(), points.last()) else { return (0.0, 0.0) };
    let slope = (last.1 - first.1) / (last.0 - first.0).max(f64::MIN_POSITIVE);
    let above = |it: &Point| it.1 - (first.1 + slope * (it.0 - first.0));
    let bend = points.iter().copied().max_by(|a, b| above(a).total_cmp(&above(b))).unwrap_or(first);
    if above(&bend) > BENT_PART * (first.1 - last.1) { bend } else { first }
}

/// Whether a trend ends within the horizon, is not drawn out too far, and still goes on.
fn is_near(points: &[Point], seen: &Forecast, horizon_s: f64, followed: bool) -> bool {
    let Some(last) = points.last() else { return false };
    let patience = if followed { PATIENCE } else { 1.0 };
    if seen.full_in_s > patience * horizon_s.min(DRAWN_OUT_MAX * seen.seen_s) {
        return false;
    }
    // It must still be going on: a third of the window ago there was clearly more.
    let third = last.0 - seen.seen_s / 3.0;
    let earlier = points.iter().rev().find(|point| point.0 <= third);
    earlier.is_some_and(|earlier| earlier.1 - last.1 >= seen.rate * (last.0 - earlier.0) / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_that_came_to_rest_does_not_widen_the_next_one() {
        let (mut trend, mut scratch, mut free) = (Trend::default(), Vec::new(), 100e9);
        let mut second = 0;
        let mut run = |trend: &mut Trend, seconds: i64, rate: f64| {
            for _ in 0..seconds / 5 {
                (second, free) = (second + 5, free - 5.0 * rate);
                trend.push(Timestamp::from_secs(1_800_000_000 + second), free, 86_400.0, false, &mut scratch);
            }
        };
        run(&mut trend, 1200, 50e6);
        assert!(trend.forecast().is_some() && !trend.told.is_empty());
        run(&mut trend, 86_400, 0.0);
        assert!(trend.told.is_empty(), "{:?}", trend.told);
        // Ends that were forecast long ago are forgotten also while one trend goes on.
        run(&mut trend, 3600, 5e6);
        let now = trend.windows[0].points.last().unwrap().0;
        assert!(!trend.told.is_empty());
        assert!(trend.told.iter().all(|it| now - it.0 <= 1440.0), "{now} {:?}", trend.told);
    }
}
