//! `metric.spread`: a series varies clearly more, or less, from one value to the next than it used to, and goes on so.
//!
//! Values are taken by the dozen. How far neighbours within a dozen lie apart, the two farthest pairs left out, says how much the series varies, whatever its
//! level and however that drifts; of its logarithm a robust level and scale are kept, as slowly as a day of dozens. Told is what the median of the last dozens says: so much more or less, so many of
//! its own scales away, and more than anybody would notice. Nothing is said while the level is away, which is another finding, nor for a while after it was taken for normal. A spike is in one dozen and reaches nothing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::detect::known::Known;
use crate::detect::said::Said;
use crate::model::{Severity, Timestamp};
use crate::stats::robust::median;

/// Values of a dozen.
const BLOCK: usize = 12;
/// Pairs of neighbours that lie farthest apart in a dozen and are left out.
const LEFT_OUT: usize = 2;
/// Of normal noise: its standard deviation for the mean distance of the others.
const TO_SIGMA: f64 = 1.22;
/// Dozens of which the median speaks.
const RECENT: usize = 15;
/// Dozens that are looked through for when it began.
const LOOKED: usize = 2 * RECENT;
/// Dozens after which the usual is known.
const KNOWN_AFTER: u64 = 240;
/// The usual remembers so many.
const REMEMBERED: f64 = 1440.0;
/// Told from so many times the standard deviation on, or so many times less: six times the variance.
const TIMES: f64 = 2.5;
/// And from so many scales of the series' own.
const SCALES: f64 = 3.0;
/// The least scale of the logarithm.
const SCALE_MIN: f64 = 0.1;
/// It is over below this part of what is told.
const OVER_PART: f64 = 0.5;
/// This much more varied is worth a look this week.
const MUCH: f64 = 10.0;
/// What varies by less than this part of what nobody would notice does not vary.
const LEAST_PART: f64 = 0.25;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::detect) struct Spread {
    block: Vec<f64>,
    block_at: Timestamp,
    seen: u64,
    /// Of the logarithm: where it usually is, and how far from there.
    usual: f64,
    scale: f64,
    /// When each began, and the logarithm of how much it varied; oldest first.
    recent: VecDeque<(Timestamp, f64)>,
    episode: Option<Episode>,
    /// Up, down.
    known: [Known; 2],
    pub(in crate::detect) said: Said,
    /// Of the labels, not of the samples: more, less.
    #[serde(skip)]
    pub(super) protected: [Option<f64>; 2],
}

/// A change of spread that is told, or known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Episode {
    up: bool,
    began_at: Timestamp,
    told_at: Timestamp,
    /// Dozens since it was told.
    blocks: usize,
    /// How much the series varied before; standard deviations.
    before: f64,
    /// Most times more, or less.
    most: f64,
    known: bool,
}

/// What there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Stands,
    Over,
    /// It stayed, and is the usual from now on.
    Adopted,
}

/// The figures of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    pub(super) up: bool,
    pub(super) began_at: Timestamp,
    /// Standard deviations from one value to the next, in the series' unit.
    pub(super) before: f64,
    pub(super) now: f64,
    /// How many times more, or less, at most; at least 1.
    pub(super) most: f64,
}

impl Figures {
    pub(super) fn severity(&self) -> Severity {
        match (self.up, self.most >= MUCH) {
            (false, _) => Severity::Informational,
            (true, false) => Severity::Low,
            (true, true) => Severity::Medium,
        }
    }
}

impl Spread {
    /// Values are missing: a dozen has no hole.
    pub(super) fn gap(&mut self) {
        self.block.clear();
    }

    /// The level is away: how much the series varies there is no matter of its spread.
    pub(super) fn pause(&mut self) {
        self.block.clear();
        if self.episode.is_none() {
            self.recent.clear();
        }
    }

    /// Another level is normal from now on, and may vary otherwise.
    pub(super) fn anew(&mut self) {
        self.pause();
        if self.episode.is_none() {
            self.seen = 0;
        }
    }

    /// One value at its usual level. `least`: what nobody would notice, in the series' unit. `adopt_after_s`: what stays for so long is the usual.
    pub(super) fn push(
        &mut self,
        at: Timestamp,
        value: f64,
        least: f64,
        adopt_after_s: f64,
        wanted: bool,
    ) -> Option<Turn> {
        if self.block.is_empty() {
            self.block_at = at;
        }
        self.block.push(value);
        if self.block.len() < BLOCK {
            return None;
        }
        let varies = varies(&self.block).max(least * LEAST_PART).max(f64::MIN_POSITIVE).ln();
        self.block.clear();
        if self.recent.len() >= LOOKED {
            self.recent.pop_front();
        }
        self.recent.push_back((self.block_at, varies));
        if self.episode.is_none() {
            self.learn(varies);
        }
        if self.seen < KNOWN_AFTER || self.recent.len() < RECENT {
            return None;
        }
        self.judge(at, least, adopt_after_s, wanted)
    }

    fn learn(&mut self, varies: f64) {
        self.seen = self.seen.saturating_add(1);
        if self.seen == 1 {
            (self.usual, self.scale) = (varies, 1.0);
        }
        let weight = (1.0 / self.seen as f64).max(1.0 / REMEMBERED);
        let cut = 3.0 * self.scale.max(SCALE_MIN);
        let away = (varies - self.usual).clamp(-cut, cut);
        self.usual += weight * away;
        self.scale += weight * (away.abs() * 1.25 - self.scale);
    }

    /// The median of the last dozens.
    fn now(&self) -> f64 {
        let mut last: Vec<f64> = self.recent.iter().rev().take(RECENT).map(|it| it.1).collect();
        median(&mut last).unwrap_or(self.usual)
    }

    fn judge(&mut self, at: Timestamp, least: f64, adopt_after_s: f64, wanted: bool) -> Option<Turn> {
        let now = self.now();
        let away = now - self.usual;
        let limit = TIMES.ln().max(SCALES * self.scale.max(SCALE_MIN));
        let Some(episode) = &mut self.episode else {
            // Both the one that is more and the one that was more have to be something.
            let counts = now.max(self.usual).exp() >= least;
            if away.abs() < limit || !counts {
                return None;
            }
            return self.begin(at, away, wanted);
        };
        let same = (away > 0.0) == episode.up;
        episode.blocks = episode.blocks.saturating_add(1);
        if !same || away.abs() < limit * OVER_PART {
            return self.end(Turn::Over);
        }
        episode.most = episode.most.max(away.abs().exp());
        let stays = at.since(episode.told_at).as_secs_f64() >= adopt_after_s && episode.blocks >= LOOKED;
        let confirmed = self.protected[usize::from(!episode.up)].is_some_and(|it| episode.most >= it);
        if stays && !confirmed {
            self.usual = now;
            return self.end(Turn::Adopted);
        }
        (!episode.known).then_some(Turn::Stands)
    }

    fn begin(&mut self, at: Timestamp, away: f64, wanted: bool) -> Option<Turn> {
        let (up, most) = (away > 0.0, away.abs().exp());
        let began_at = self.began(away);
        let side = usize::from(!up);
        let confirmed = self.protected[side].is_some_and(|it| most >= it);
        let covered = self.known[side].covers(most, began_at, at, false) && !confirmed;
        self.known[side].add(most, at);
        let known = covered || !wanted;
        self.episode = Some(Episode { up, began_at, told_at: at, blocks: 0, before: self.usual.exp(), most, known });
        (!known).then_some(Turn::Stands)
    }

    fn end(&mut self, how: Turn) -> Option<Turn> {
        let episode = self.episode.as_ref()?;
        self.known[usize::from(!episode.up)].came(episode.most, episode.began_at);
        let told = !episode.known;
        if !told {
            self.episode = None;
        }
        told.then_some(how)
    }

    /// After what there was to say of it is said.
    pub(super) fn forget(&mut self) {
        self.episode = None;
        self.said.cleared();
    }

    /// From which dozen on the recent ones lie beyond the middle between before and now, taken together.
    fn began(&self, away: f64) -> Timestamp {
        let middle = self.usual + away / 2.0;
        let (mut sum, mut best, mut began_at) = (0.0, f64::NEG_INFINITY, self.block_at);
        for (at, varies) in self.recent.iter().rev() {
            sum += (varies - middle) * away.signum();
            if sum > best {
                (best, began_at) = (sum, *at);
            }
        }
        began_at
    }

    pub(super) fn figures(&self) -> Option<Figures> {
        let it = self.episode.as_ref()?;
        Some(Figures { up: it.up, began_at: it.began_at, before: it.before, now: self.now().exp(), most: it.most })
    }
}

/// Standard deviations from one value to the next.
fn varies(block: &[f64]) -> f64 {
    let mut apart: Vec<f64> = block.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    apart.sort_by(f64::total_cmp);
    apart.truncate(apart.len() - LEFT_OUT);
    TO_SIGMA * apart.iter().sum::<f64>() / apart.len() as f64
}
