//! How far a value lies from what its series expects, in the series' own scales: what a host's view is made of.
//!
//! Expected is the season where it explains the series, else the long level. The scale is that of the usual distance, never
//! less than what nobody would notice and than a part of the range seen so far, so a series that hardly ever moved can't shout
//! forever, and no value counts more than the inverse of that part. Small distances count as they are, large ones by their logarithm.

use serde::{Deserialize, Serialize};

use super::Level;
use super::season::Season;

/// Rows that level and scale remember.
const REMEMBERED: f64 = 20_000.0;
/// The recent level that the season is held against: level and scale.
const RECENT: (f64, f64) = (250.0, 2000.0);
/// The scale is at least this part of the range, and of the level.
const RANGE_PART: f64 = 0.005;
const LEVEL_PART: f64 = 1e-3;
/// A distance moves the scale at most so many scales.
const CUT: f64 = 10.0;
/// From about here on distances count by their logarithm.
const BENDS_AT: f64 = 10.0;

/// What is known of one series of a host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Scaled {
    seen: u64,
    level: Level,
    recent: Level,
    /// `None`: it is not looked for, which takes a twentieth of the memory.
    season: Option<Box<Season>>,
    /// Usual distance from the season.
    seasonal: f64,
    range: (f64, f64),
    /// Of the last value: in the series' unit, and in its scales.
    #[serde(default)]
    pub(super) away: f64,
    #[serde(default)]
    pub(super) distance: f64,
}

impl Scaled {
    /// With a season.
    pub(super) fn seasonal() -> Self {
        Self { season: Some(Box::default()), ..Self::default() }
    }

    /// Signed, bent distance of the value from what was expected, and learns the value. `least`: what nobody would notice, in the series'
    /// unit, or 0. What is not finite is no distance and teaches nothing.
    pub(super) fn push(&mut self, at_s: f64, value: f64, least: f64) -> f64 {
        (self.away, self.distance) = (0.0, 0.0);
        if !value.is_finite() {
            return 0.0;
        }
        if self.seen == 0 {
            self.level.at = value;
            self.recent.at = value;
            self.range = (value, value);
        }
        self.seen += 1;
        let young = 1.0 / self.seen as f64;
        let weight = young.max(1.0 / REMEMBERED);
        let (low, high) = self.range;
        self.range = (low.min(value), high.max(value));
        let part = RANGE_PART * (self.range.1 - self.range.0);
        let least = part.max(LEVEL_PART * self.level.at.abs()).max(least).max(f64::MIN_POSITIVE);
        let (recent, season) = (self.recent, self.season.as_mut());
        let expected = season.and_then(|it| it.step(at_s, value, recent.at, recent.scale));
        self.recent.learn(value, young.max(1.0 / RECENT.0), young.max(1.0 / RECENT.1), 0.1 * least);
        let scale = self.level.scale.max(least);
        let away = value - self.level.at;
        self.away = away;
        let distance = if let Some(expected) = expected {
            let scale = self.seasonal.max(least);
            let away = value - expected;
            self.away = away;
            learn(&mut self.seasonal, away, scale, weight);
            away / scale
        } else {
            self.seasonal = self.level.scale;
            away / scale
        };
        self.level.at += weight * away.clamp(-super::CLEAN * scale, super::CLEAN * scale);
        learn(&mut self.level.scale, away, scale, weight);
        self.distance = BENDS_AT * (distance.abs() / BENDS_AT).ln_1p().copysign(distance);
        self.distance
    }
}

fn learn(scale: &mut f64, away: f64, by: f64, weight: f64) {
    *scale += weight * (away.abs().min(CUT * by) * 1.25 - *scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance of `last` at six in the morning, when the wave of the day is at 22, after three days of it with a little noise.
    fn at_six(last: f64, least: f64) -> f64 {
        let mut scaled = Scaled::seasonal();
        for minute in 0..4680_i32 {
            let wave = 12.0 + 10.0 * (f64::from(minute) / 1440.0 * std::f64::consts::TAU).sin();
            scaled.push(f64::from(minute) * 60.0, wave + f64::from(minute % 3 - 1), least);
        }
        scaled.push(4680.0 * 60.0, last, least)
    }

    #[test]
    fn the_usual_value_of_another_hour_is_far() {
        let (usual, other) = (at_six(22.0, 0.0), at_six(2.0, 0.0));
        assert!(other.abs() > 8.0 * usual.abs().max(0.5), "{usual} {other}");
    }

    #[test]
    fn what_nobody_would_notice_is_near() {
        assert!(at_six(2.0, 1e3).abs() < 0.1);
    }

    #[test]
    fn a_series_that_never_moved_is_far_when_it_moves_but_not_without_end() {
        let mut scaled = Scaled::seasonal();
        for second in 0..1000 {
            assert_eq!(scaled.push(f64::from(second), 0.0, 0.0), 0.0);
        }
        let far = scaled.push(1000.0, 1e12, 0.0);
        assert!((20.0..60.0).contains(&far), "{far}");
        assert_eq!(scaled.push(1001.0, f64::NAN, 0.0), 0.0);
    }
}
