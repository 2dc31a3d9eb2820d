//! How odd a value is for its series: several nonconformities, each told by its own past how rare it is.
//!
//! Members compare the value, or a short mean of it, with levels of the recent and the longer past, with the season, with the range
//! seen so far, and ask how often such a pair of mean and dispersion, or of value and hour, was seen. Each goes through a
//! streaming tail to `-log10 p`; the largest and a part of the others make the rarity of the whole. One setting for all
//! series, counted in values, whatever their distance in time; only what is of the day or the week, and how long ago as much was
//! said, look at the clock. About 6 KiB and 1 µs a value. Too little history is 0.
//!
//! Two answers: `score` says how odd the present is, `alarm` whether that is news: so rare, and not so rare for so long
//! ([`returns`]), and not just said ([`rest`]), nor at this time of most days ([`daily`](super::daily)). Neither is a probability: [`confidence`](super::confidence) makes one, by a table
//! measured on labelled series.

mod host;
mod rest;
mod returns;
mod scaled;
mod season;

use serde::{Deserialize, Serialize};

use self::rest::Fading;
use self::returns::Returns;
use self::season::Season;
use super::daily::Daily;
use crate::model::Timestamp;
use crate::stats::density::Density;
use crate::stats::tail::{RareTail, Tail};

pub use host::{Host, HostOddness, HostPart};

/// An alarm from here on; fixed beforehand for all series.
pub const ALARM_AT: f64 = 0.2;
/// Values that are only looked at.
const WARM: usize = 24;
/// Values before the first alarm: the tails are young.
const ALARMS_AFTER: u64 = 160;
/// Levels: the values that they remember.
const LEVELS: [f64; 4] = [60.0, 250.0, 1000.0, 4000.0];
/// Short means: the values that they remember.
const MEANS: [f64; 4] = [1.0, 5.0, 16.0, 50.0];
/// Mean and dispersion are those of about so many values.
const SPREAD: f64 = 24.0;
/// The usual place and scale of the densities.
const USUAL: f64 = 5000.0;
/// Values beyond so many scales are pulled in before they move a level.
const CLEAN: f64 = 3.0;
/// The least that counts, as part of the level or the scale.
const LEAST: f64 = 1e-3;
const LEAST_SURPRISE: f64 = 0.05;
/// Out of range begins at this part of the range: what is barely beyond it is the next record of a series that goes on as it did,
/// and each series sets such records all its life.
const RANGE_PART: f64 = 0.04;

/// What a member compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Mean (its place in [`MEANS`]) against level (its place in [`LEVELS`]).
    Level(usize, usize),
    Range(usize),
    Season,
    /// A short mean of the distance from the season.
    Seasons,
    /// Mean and dispersion of the last two dozen values, together.
    Spread,
    /// Value and hour of the day, together.
    Hour,
}

/// Members: how much each weighs in what is news, and in how odd the present is. A value outside the range seen so far says
/// the most; what another member sees too counts half. Otherwise all weigh the same: weights that were searched for did not hold
/// on series that they were not searched on.
const MEMBERS: [(Part, f64, f64); 11] = [
    (Part::Level(0, 1), 1.0, 1.0),
    (Part::Level(2, 2), 1.0, 1.0),
    (Part::Level(2, 3), 1.0, 1.0),
    (Part::Level(3, 2), 0.5, 0.0),
    (Part::Range(0), 4.0, 1.0),
    (Part::Range(1), 1.0, 1.0),
    (Part::Range(2), 1.0, 1.0),
    (Part::Hour, 1.0, 1.0),
    (Part::Season, 1.0, 1.0),
    (Part::Seasons, 0.5, 1.0),
    (Part::Spread, 0.5, 1.0),
];
/// Rarities count by this power in what is news: many small ones say more than one large.
const POWER: f64 = 0.74;
/// Less than this is not said.
const SAID_MIN: f64 = 0.3;
/// What the others add to the largest: of what is news, and of how odd the present is.
const NEWS_SHARE: f64 = 0.5;
const SHARE: f64 = 0.25;
/// The rarity's power in the alarm, and the return time up to which nothing is news.
const ALARM_POWER: f64 = 1.3;
const RETURNS_FROM_S: f64 = 80.0 * 60.0;
/// The last peak is forgotten in so many values.
const REST: f64 = 110.0;
/// What of it is taken off.
const REST_PART: f64 = 0.83;
/// Half of the alarm's scale from 0 to 1.
const ALARM_HALF: f64 = 39.0;
/// The score holds on to a peak for about so many values.
const HOLD: f64 = 20.0;
/// Half of the score's scale from 0 to 1.
const SCORE_HALF: f64 = 4.0;
/// Distances from the season are averaged over about so many values.
const SEASONS: f64 = 16.0;

/// What is said of one value.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Oddness {
    /// How odd the present is, 0 to 1.
    pub score: f64,
    /// How much of that is news, 0 to 1; compare with [`ALARM_AT`].
    pub alarm: f64,
    /// The whole's rarity, in about powers of ten.
    pub rarity: f64,
    /// Which comparison says most: its place among the members.
    member: u8,
}

impl Oddness {
    /// The comparison that says most, in words; `None` when nothing says anything.
    pub fn reason(&self) -> Option<&'static str> {
        let (part, ..) = MEMBERS.get(usize::from(self.member)).filter(|_| self.rarity > 0.0)?;
        Some(match part {
            Part::Level(0 | 1, _) => "far from its level",
            Part::Level(..) => "its mean has left its level",
            Part::Range(_) => "outside the range seen so far",
            Part::Season | Part::Seasons => "unusual for the time of the week",
            Part::Spread => "an unusual level and spread",
            Part::Hour => "unusual for the hour",
        })
    }
}

/// A level and the usual distance from it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Level {
    at: f64,
    scale: f64,
}

impl Level {
    fn learn(&mut self, value: f64, weight: f64, scale_weight: f64, least: f64) {
        let cut = CLEAN * self.scale.max(least);
        let residual = (value - self.at).clamp(-cut, cut);
        self.at += weight * residual;
        self.scale += scale_weight * (residual.abs() * 1.25 - self.scale);
    }
}

/// Everything known about one series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Odd {
    seen: u64,
    warm: Vec<f64>,
    levels: [Level; 4],
    usual: Level,
    means: [f64; 4],
    ranges: [(f64, f64); 3],
    season: Season,
    spread: (f64, f64),
    pairs: Density,
    hours: Density,
    tails: Vec<Tail>,
    rare: [RareTail; 3],
    seasonal: f64,
    returns: Returns,
    last: Fading,
    #[serde(default)]
    daily: Daily,
    held: f64,
}

impl Odd {
    /// One value; what is not finite says nothing. `least`: what nobody would notice, in the series' unit, or 0.
    pub fn push(&mut self, at: Timestamp, value: f64, least: f64) -> Oddness {
        if !value.is_finite() {
            return Oddness::default();
        }
        let at_s = at.ns() as f64 / 1e9;
        self.seen += 1;
        if self.tails.is_empty() {
            self.season.step(at_s, value, value, 0.0);
            self.warm.push(value);
            if self.warm.len() == WARM {
                self.begin(least);
            }
            return Oddness::default();
        }
        let least = (LEAST * self.levels[3].at.abs().max(self.usual.scale)).max(least).max(1e-9);
        let rarities = self.rarities(at_s, value, least);
        self.learn_levels(value, least);
        self.whole(at_s, &rarities)
    }

    /// Values that this series is known for.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    fn begin(&mut self, least: f64) {
        let mut warm = std::mem::take(&mut self.warm);
        let middle = crate::stats::robust::median(&mut warm).unwrap_or_default();
        warm.sort_by(f64::total_cmp);
        let mut away: Vec<f64> = warm.iter().map(|it| (it - middle).abs()).collect();
        let mean = away.iter().sum::<f64>() / WARM as f64;
        let scale = crate::stats::robust::median(&mut away).unwrap_or_default() * 1.4826;
        let scale = scale.max(mean).max(LEAST * middle.abs()).max(least).max(1e-9);
        let level = Level { at: middle, scale };
        self.levels = [level; 4];
        self.usual = level;
        self.means = [middle; 4];
        self.ranges = [(warm[0], warm[WARM - 1]), (middle, middle), (middle, middle)];
        self.spread = (middle, scale * scale);
        self.tails = vec![Tail::default(); MEMBERS.len()];
    }

    fn rarities(&mut self, at_s: f64, value: f64, least: f64) -> [f64; MEMBERS.len()] {
        for (mean, remembered) in self.means.iter_mut().zip(MEANS) {
            *mean += (value - *mean) / remembered;
        }
        self.spread.0 += (value - self.spread.0) / SPREAD;
        self.spread.1 += ((value - self.spread.0).powi(2) - self.spread.1) / SPREAD;
        let expected = self.season.step(at_s, value, self.levels[1].at, self.levels[2].scale);
        let away = expected.map(|expected| value - expected);
        self.seasonal += (away.unwrap_or(self.seasonal) - self.seasonal) / SEASONS;
        let place = |it: f64| it.signum() * it.abs().ln_1p() * 1.6;
        let usual = |it: f64| (it - self.usual.at) / self.usual.scale;
        let spread = (self.spread.1.sqrt() / self.usual.scale).max(1e-3).ln() * 1.2;
        let surprise = self.pairs.push(place(usual(self.spread.0)), spread);
        let hour = (at_s.rem_euclid(86_400.0) / 86_400.0 * 14.0 - 7.0) / 2.0 * 0.99;
        let hourly = self.hours.push(place(usual(self.means[1])), hour);
        let mut rarities = [0.0; MEMBERS.len()];
        for (index, (part, ..)) in MEMBERS.iter().enumerate() {
            let tail = &mut self.tails[index];
            rarities[index] = match *part {
                Part::Level(mean, level) => tail.push((self.means[mean] - self.levels[level].at).abs(), least),
                Part::Range(which) => {
                    let (low, high) = &mut self.ranges[which];
                    let width = (*high - *low).max(least);
                    let mean = self.means[which];
                    let out = (mean - *high).max(*low - mean).max(0.0) / width;
                    (*low, *high) = (low.min(mean), high.max(mean));
                    self.rare[which].push(if out < RANGE_PART { 0.0 } else { out })
                }
                Part::Season => away.map_or(0.0, |away| tail.push(away.abs(), least)),
                Part::Seasons => away.map_or(0.0, |_| tail.push(self.seasonal.abs(), least)),
                Part::Spread => tail.push(surprise, LEAST_SURPRISE),
                Part::Hour => tail.push(hourly, LEAST_SURPRISE),
            };
        }
        rarities
    }

    fn learn_levels(&mut self, value: f64, least: f64) {
        let young = 1.0 / self.seen as f64;
        for (level, remembered) in self.levels.iter_mut().zip(LEVELS) {
            level.learn(value, young.max(1.0 / remembered), young.max(0.5 / remembered), least);
        }
        let weight = young.max(1.0 / USUAL);
        self.usual.learn(value, weight, weight, 0.0);
        self.usual.scale = self.usual.scale.max(least);
    }

    fn whole(&mut self, at_s: f64, rarities: &[f64; MEMBERS.len()]) -> Oddness {
        let (mut largest, mut sum, mut member) = (0.0, 0.0, 0);
        let (mut plain, mut plain_sum) = (0.0_f64, 0.0);
        for (index, (rarity, (_, weighs, weighs_now))) in rarities.iter().zip(MEMBERS).enumerate() {
            plain_sum += weighs_now * rarity;
            plain = plain.max(weighs_now * rarity);
            if *rarity <= SAID_MIN {
                continue;
            }
            let said = weighs * rarity.powf(POWER);
            sum += said;
            if said > largest {
                (largest, member) = (said, index);
            }
        }
        let rarity = largest + NEWS_SHARE * (sum - largest);
        let returned_s = if self.seen > ALARMS_AFTER { self.returns.push(at_s, rarity) } else { 0.0 };
        let height = rarity.powf(ALARM_POWER) * (returned_s / RETURNS_FROM_S).max(1.0).log10();
        let news = (height - REST_PART * self.last.height()).max(0.0);
        self.last.learn(height, REST);
        let news = if self.seen > ALARMS_AFTER { (news - self.daily.push(at_s, news)).max(0.0) } else { 0.0 };
        self.held = (self.held * (1.0 - 1.0 / HOLD)).max(plain + SHARE * (plain_sum - plain));
        Oddness {
            score: self.held / (self.held + SCORE_HALF),
            alarm: news / (news + ALARM_HALF),
            rarity,
            member: u8::try_from(member).unwrap_or(u8::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
