//! `metric.anomaly`: a series departs from its baseline, and stays away.
//!
//! A departure counts in time: bins outside add to it, bins inside take twice as much away, so a spike of five seconds reaches
//! nothing, whatever its height. It is over when the series has been well inside for as long as it had to be outside. What stays
//! for an hour is taken as the new normal. What comes again and again (an hourly job) is reported three times and then known,
//! until it is larger or some days have passed. An anomaly alone is no trouble: severity is modest, and recent deployments and
//! package runs lower the confidence.
//!
//! How odd each bin is, by several comparisons at once, is watched beside ([`Odd`]): it says what is unusual, and after an hour how sure
//! the report may be. docs/detection.md has what was measured.

use serde::{Deserialize, Serialize};

use super::activity::{ACTIVITY_REACH, Activity};
use super::baseline::{BIN, Baseline, Bin, Expected, Floor, Sketch};
use super::confidence;
use super::config::DetectConfig;
use super::known::Known;
use super::labels::Labels;
use super::odd::Odd;
use super::said::{Said, number, series_target};
use crate::model::{Class, Detection, Evidence, Method, MetricKind, Presence, SeriesKey, Severity, Timestamp};

const KIND: &str = "metric.anomaly";
const METHOD: &str = "baseline_robust";
const VERSION: u32 = 3;
/// Bins after which the oddness of a series is calibrated: its members know it by then.
const CALIBRATED_AFTER: u64 = 720;
/// Inside for good begins at this part of the reporting limit.
const CALM_PART: f64 = 0.6;
/// Bins outside that a departure has at least: of slow series two readings are no duration.
const BINS_MIN: u32 = 3;
/// One bin can't say more than this many deviations.
const SCORE_MAX: f64 = 50.0;

/// A departure under way, reported or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Episode {
    up: bool,
    began_at: Timestamp,
    /// Leaky count of the time outside.
    outside_s: f64,
    calm_s: f64,
    score_sum: f64,
    bins: u32,
    /// Value farthest from the level, and the level it left.
    extreme: f64,
    /// The highest oddness, and what it was about.
    odd: f64,
    reason: String,
    level: f64,
    scale: f64,
    /// Lasted long enough, but is known from earlier ones.
    known: bool,
}

impl Episode {
    fn score(&self) -> f64 {
        self.score_sum / f64::from(self.bins.max(1))
    }
}

/// Everything known about one watched series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Anomaly {
    floor: Floor,
    bin: Bin,
    /// When the last finished bin was finished.
    last_bin_at: Option<Timestamp>,
    baseline: Baseline,
    odd: Odd,
    /// The warm-up's picture, later that of the episode: never both at once.
    sketch: Sketch,
    episode: Option<Episode>,
    /// Up, down.
    known: [Known; 2],
    pub(super) said: Said,
    /// Up, down: departures from this size on are a known incident, and never become normal. Of the labels, not of the samples.
    #[serde(skip)]
    protected: [Option<f64>; 2],
    /// Of the configuration, not of the samples.
    #[serde(skip)]
    settings: Settings,
}

/// What the configuration says about this series.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Settings {
    /// Robust standard deviations.
    limit: f64,
    sustained_s: f64,
}

impl Anomaly {
    pub(super) fn new(key: &SeriesKey) -> Self {
        Self {
            floor: Floor::of(key),
            bin: Bin::default(),
            last_bin_at: None,
            baseline: Baseline::default(),
            odd: Odd::default(),
            sketch: Sketch::default(),
            episode: None,
            known: [Known::default(); 2],
            said: Said::default(),
            protected: [None; 2],
            settings: Settings::default(),
        }
    }

    /// To be told before the first sample, after a restore, and when the configuration changes.
    pub(super) fn configure(&mut self, config: &DetectConfig, key: &SeriesKey) {
        let (limit, sustained) = config.of_series(key);
        self.settings = Settings { limit, sustained_s: sustained.0.as_secs_f64() };
    }

    /// What people confirmed on this series is never known nor adopted.
    pub(super) fn protect(&mut self, key: &SeriesKey, labels: &Labels) {
        self.protected = labels.protected(&format!("{METHOD}|{KIND}|{}|", series_target(key)), key);
    }

    /// Whether the episode under way is as large as an incident that a person has confirmed.
    fn is_known_incident(&self) -> bool {
        self.episode.as_ref().is_some_and(|it| {
            let size = (it.extreme - it.level).abs();
            self.protected[usize::from(!it.up)].is_some_and(|least| size >= least)
        })
    }

    /// Samples are missing: a departure that isn't reported yet is counted anew.
    pub(super) fn gap(&mut self) {
        self.bin = Bin::default();
        self.last_bin_at = None;
        if let Some(episode) = &mut self.episode {
            if self.said.present || episode.known {
                episode.calm_s = 0.0;
            } else {
                self.episode = None;
                self.sketch.clear();
            }
        }
    }

    /// One sample (a rate, for counters).
    pub(super) fn step(
        &mut self,
        config: &DetectConfig,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        activity: &[Activity],
    ) -> Option<Detection> {
        let mean = self.bin.push(at, value)?;
        let bin_s = BIN.as_secs_f64();
        let since_last_s = self.last_bin_at.map_or(bin_s, |last| at.since(last).as_secs_f64());
        self.last_bin_at = Some(at);
        self.bin_done(config, key, at, mean, since_last_s, activity)
    }

    fn bin_done(
        &mut self,
        config: &DetectConfig,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        passed_s: f64,
        activity: &[Activity],
    ) -> Option<Detection> {
        let expected = self.baseline.expected(self.floor);
        // Of the level, not of this value: a wild one would raise for days what nobody would notice.
        let least = self.floor.at(expected.as_ref().map_or(0.0, |it| it.level));
        let oddness = self.odd.push(at, value, least);
        let Some(expected) = expected else {
            self.baseline.learn(at, value, passed_s, self.floor, config.warm_up.0, &mut self.sketch);
            return None;
        };
        let score = (value - expected.level) / expected.scale;
        let Settings { limit, sustained_s } = self.settings;
        let outside = score.abs() > limit;
        let Some(episode) = &mut self.episode else {
            if outside {
                self.sketch.clear();
                self.sketch.push(value);
                self.episode = Some(Episode {
                    up: score > 0.0,
                    // The bin that ended now began one bin ago.
                    began_at: at.minus(BIN),
                    outside_s: passed_s,
                    calm_s: 0.0,
                    score_sum: score.abs().min(SCORE_MAX),
                    bins: 1,
                    extreme: value,
                    odd: oddness.score,
                    reason: oddness.reason().unwrap_or_default().to_owned(),
                    level: expected.level,
                    scale: expected.scale,
                    known: false,
                });
            } else {
                self.baseline.learn(at, value, passed_s, self.floor, config.warm_up.0, &mut self.sketch);
            }
            return None;
        };
        if oddness.score > episode.odd {
            episode.odd = oddness.score;
            if let Some(reason) = oddness.reason().filter(|it| *it != episode.reason) {
                reason.clone_into(&mut episode.reason);
            }
        }
        self.sketch.push(value);
        let outside = outside && (score > 0.0) == episode.up;
        if outside {
            episode.outside_s += passed_s;
            episode.score_sum += score.abs().min(SCORE_MAX);
            episode.bins = episode.bins.saturating_add(1);
            if (value - expected.level).abs() > (episode.extreme - expected.level).abs() {
                episode.extreme = value;
            }
        }
        let calm = score.abs() < limit * CALM_PART;
        episode.calm_s = if calm { episode.calm_s + passed_s } else { 0.0 };
        let standing = self.said.present || episode.known;
        if !standing {
            if !outside {
                episode.outside_s -= 2.0 * passed_s;
                if episode.outside_s <= 0.0 {
                    self.end_unreported(at, value, passed_s, config);
                    return None;
                }
            } else if episode.outside_s >= sustained_s && episode.bins >= BINS_MIN {
                return self.begin(config, key, at, value, expected, activity);
            }
            return None;
        }
        if at.since(episode.began_at) >= config.adopt_after.0 && !calm && !self.is_known_incident() {
            return self.adopt(key, at, value, expected);
        }
        let episode = self.episode.as_mut()?;
        if episode.calm_s >= sustained_s {
            let detection = self.said.present.then(|| self.detection(key, at, value, expected, Presence::Cleared, &[]));
            self.said.cleared();
            self.episode = None;
            self.sketch.clear();
            return detection;
        }
        if episode.known {
            // Larger than it used to be: then it is news after all.
            let size = (episode.extreme - episode.level).abs();
            let side = usize::from(!episode.up);
            let covered = self.known[side].faded(at).covers(size);
            if outside && (!covered || self.is_known_incident()) {
                return self.begin(config, key, at, value, expected, activity);
            }
            return None;
        }
        let severity = severity(episode);
        self.said.due(at, severity).then(|| self.detection(key, at, value, expected, Presence::Present, activity))
    }

    fn end_unreported(&mut self, at: Timestamp, value: f64, passed_s: f64, config: &DetectConfig) {
        self.episode = None;
        self.sketch.clear();
        self.baseline.learn(at, value, passed_s, self.floor, config.warm_up.0, &mut self.sketch);
    }

    /// The departure has lasted: report it, or recognise it.
    fn begin(
        &mut self,
        config: &DetectConfig,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        expected: Expected,
        activity: &[Activity],
    ) -> Option<Detection> {
        let incident = self.is_known_incident();
        let episode = self.episode.as_mut()?;
        let size = (episode.extreme - episode.level).abs();
        let known = &mut self.known[usize::from(!episode.up)];
        let covered = known.faded(at).covers(size) && !incident;
        if !episode.known || !covered {
            known.add(size, at);
        }
        episode.known = covered;
        if covered || !config.anomalies {
            episode.known = true;
            return None;
        }
        let severity = severity(episode);
        self.said.present(at, severity);
        Some(self.detection(key, at, value, expected, Presence::Present, activity))
    }

    fn adopt(&mut self, key: &SeriesKey, at: Timestamp, value: f64, expected: Expected) -> Option<Detection> {
        let mut detection = self.said.present.then(|| self.detection(key, at, value, expected, Presence::Cleared, &[]));
        if let (Some(detection), Some(episode)) = (&mut detection, &self.episode) {
            let minutes = at.since(episode.began_at).as_secs() / 60;
            detection.title = format!(
                "{key} has stayed near {} for {minutes} minutes; that is taken as its new normal",
                number(value)
            );
            detection.evidence.push(Evidence::new("series.adopted", true));
        }
        self.baseline.adopt(&self.sketch);
        self.said.cleared();
        self.episode = None;
        self.sketch.clear();
        detection
    }

    /// For a finding whose series has gone silent.
    pub(super) fn silent(&mut self, key: &SeriesKey, at: Timestamp) -> Option<Detection> {
        let expected = self.baseline.expected(self.floor)?;
        let value = self.episode.as_ref()?.extreme;
        self.said.silent().then(|| {
            let mut detection = self.detection(key, at, value, expected, Presence::Inconclusive, &[]);
            detection.title = format!("{key} gives no samples any more");
            detection
        })
    }

    fn detection(
        &self,
        key: &SeriesKey,
        at: Timestamp,
        value: f64,
        expected: Expected,
        presence: Presence,
        activity: &[Activity],
    ) -> Detection {
        let began_at = self.episode.as_ref().map_or(at, |it| it.began_at);
        let lasted = at.since(began_at);
        let score = self.episode.as_ref().map_or(0.0, Episode::score);
        let context = activity.iter().rev().find(|it| it.at <= at && began_at.since(it.at) <= ACTIVITY_REACH);
        let unit = if key.kind == MetricKind::Counter { " per second" } else { "" };
        let title = match presence {
            Presence::Cleared => format!("{key} is back at {}{unit}", number(value)),
            _ => format!(
                "{key} is {}{unit}, expected about {}, for {} s",
                number(value),
                number(expected.level),
                lasted.as_secs()
            ),
        };
        let history = self.baseline.history(at);
        let mut evidence = vec![
            Evidence::new("series.key", key.to_string()),
            Evidence::new("series.value", value),
            Evidence::new("series.expected", expected.level),
            Evidence::new("series.scale", expected.scale),
            Evidence::new("series.deviations", score),
            Evidence::new("series.lasted_s", lasted.as_secs()),
            Evidence::new("series.history_s", history.as_secs()),
        ];
        if let Some(episode) = &self.episode {
            evidence.push(Evidence::new("series.extreme", episode.extreme));
            evidence.push(Evidence::new("series.oddness", episode.odd));
            if !episode.reason.is_empty() {
                evidence.push(Evidence::new("series.reason", episode.reason.as_str()));
            }
        }
        if self.is_known_incident() {
            evidence.push(Evidence::new("series.known_incident", true));
        }
        if let Some(context) = context {
            evidence.push(Evidence::new("context.activity", context.what.as_str()));
        }
        let odd = self.episode.as_ref().filter(|_| self.odd.seen() >= CALIBRATED_AFTER).map(|it| it.odd);
        Detection {
            kind: KIND.to_owned(),
            class: Class::Reliability,
            target: series_target(key),
            discriminator: String::new(),
            presence,
            title,
            severity: self.episode.as_ref().map_or(Severity::Low, severity),
            confidence: confidence::of_departure(score, odd, lasted, history, context.is_some()),
            method: Method { name: METHOD.to_owned(), version: VERSION },
            evidence,
            began_at,
            cause: None,
        }
    }
}

/// Modest on purpose: less of something is seldom trouble, and even much more is only worth a look this week.
fn severity(episode: &Episode) -> Severity {
    if !episode.up {
        Severity::Informational
    } else if episode.score() >= 20.0 {
        Severity::Medium
    } else {
        Severity::Low
    }
}
