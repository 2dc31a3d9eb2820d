//! `metric.anomaly`: a series departs from its baseline, and stays away.
//!
//! A departure counts in time: bins outside add to it, bins inside take twice as much away, so a spike of five seconds reaches
//! nothing, whatever its height. It is over when the series has been well inside for as long as it had to be outside. What stays
//! for an hour is taken as the new normal. What comes again and again (an hourly job, a nightly one) is reported a few times and then known,
//! until it is larger or some days have passed. An anomaly alone is no trouble: severity is modest, and recent deployments and
//! package runs lower the confidence.
//!
//! Whether a departure that has lasted is said is decided by how odd its values are ([`Odd`]), once the series is known well enough: it has to be
//! news, or odder than a stated score. Until then every departure that lasts is said. The bench measures this very path; docs/detection.md has what it is worth.

mod episode;
mod report;
mod spread;

use serde::{Deserialize, Serialize};

use super::activity::Activity;
use super::baseline::{BIN, Baseline, Bin, Expected, Floor, Sketch};
use super::config::DetectConfig;
use super::known::Known;
use super::labels::Labels;
use super::odd::Odd;
use super::said::{Said, number, series_target};
use crate::model::{Detection, Evidence, Presence, SeriesKey, Timestamp};
use episode::{Decides, Episode};
use spread::Spread;

const KIND: &str = "metric.anomaly";
pub(super) const METHOD: &str = "baseline_robust";
const VERSION: u32 = 4;
const SPREAD_KIND: &str = "metric.spread";
pub(super) const SPREAD_METHOD: &str = "baseline_spread";
const SPREAD_VERSION: u32 = 1;
/// Every hour has come once: an alarm is one from then on.
const DAY_S: f64 = 86_400.0;
/// Bins after which the oddness of a series is calibrated: its members know it by then.
const KNOWN_AFTER: u64 = 720;
/// Inside for good begins at this part of the reporting limit.
const CALM_PART: f64 = 0.6;

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
    /// How much it varies from one value to the next.
    #[serde(default)]
    spread: Spread,
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
            known: Default::default(),
            said: Said::default(),
            spread: Spread::default(),
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
        self.spread.protected =
            labels.protected(&format!("{SPREAD_METHOD}|{SPREAD_KIND}|{}|", series_target(key)), key);
    }

    /// Whether the episode under way is as large as an incident that a person has confirmed.
    fn is_known_incident(&self) -> bool {
        self.episode.as_ref().is_some_and(|it| it.reaches(&self.protected))
    }

    /// Samples are missing: a departure that isn't reported yet is counted anew.
    pub(super) fn gap(&mut self) {
        self.bin = Bin::default();
        self.last_bin_at = None;
        self.spread.gap();
        if let Some(episode) = &mut self.episode {
            if self.said.present || episode.known {
                episode.calm_s = 0.0;
            } else {
                self.episode = None;
                self.sketch.clear();
            }
        }
    }

    /// Whether a finding about it stands.
    pub(super) fn is_told(&self) -> bool {
        self.said.present || self.spread.said.present
    }

    /// One sample (a rate, for counters). `step_s`: seconds from one to the next, usually. What there is to say of its level, and of its spread.
    pub(super) fn step(
        &mut self,
        config: &DetectConfig,
        key: &SeriesKey,
        (at, value, step_s): (Timestamp, f64, f64),
        activity: &[Activity],
    ) -> [Option<Detection>; 2] {
        let Some(mean) = self.bin.push(at, value, step_s) else { return [None, None] };
        let bin_s = BIN.as_secs_f64();
        let since_last_s = self.last_bin_at.map_or(bin_s, |last| at.since(last).as_secs_f64());
        self.last_bin_at = Some(at);
        let said = self.bin_done(config, key, at, mean, since_last_s, activity);
        [said, self.vary(config, key, at, mean, activity)]
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
        let decides = self.decides(at);
        let Settings { limit, sustained_s } = self.settings;
        let outside = score.abs() > limit;
        let Some(episode) = &mut self.episode else {
            if outside {
                self.sketch.clear();
                self.sketch.push(value);
                // The bin that ended now began one bin ago.
                let episode = Episode::new(at.minus(BIN), passed_s, (value, score), expected, oddness);
                let opens = episode.opens(sustained_s, decides, &self.protected);
                self.episode = Some(episode);
                if opens {
                    return self.begin(config, key, at, value, expected, activity);
                }
            } else {
                self.baseline.learn(at, value, passed_s, self.floor, config.warm_up.0, &mut self.sketch);
            }
            return None;
        };
        episode.hear(oddness);
        self.sketch.push(value);
        let outside = outside && (score > 0.0) == episode.up;
        if outside {
            episode.add(passed_s, (value, score), expected);
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
            } else if episode.opens(sustained_s, decides, &self.protected) {
                return self.begin(config, key, at, value, expected, activity);
            }
            // Not odd enough to be said, but it stays: without this the baseline would wait for the old level for good.
            if !episode.has_lasted(sustained_s) {
                return None;
            }
        }
        let stays = at.since(episode.began_at) >= config.adopt_after.0 && !calm;
        if stays && !self.is_known_incident() {
            return self.adopt(key, at, value, expected);
        }
        if !standing {
            return None;
        }
        let episode = self.episode.as_mut()?;
        if episode.calm_s >= sustained_s {
            let detection = self.said.present.then(|| self.detection(key, at, value, expected, Presence::Cleared, &[]));
            self.over();
            return detection;
        }
        if episode.known {
            // Larger than it used to be: then it is news after all.
            let covered =
                self.known[usize::from(!episode.up)].covers(episode.size(), episode.began_at, at, episode.is_news());
            if outside && (!covered || self.is_known_incident()) {
                return self.begin(config, key, at, value, expected, activity);
            }
            return None;
        }
        let severity = episode.severity();
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
        let (size, began_at) = (episode.size(), episode.began_at);
        let known = &mut self.known[usize::from(!episode.up)];
        let covered = known.covers(size, began_at, at, episode.is_news()) && !incident;
        if !episode.known || !covered {
            known.add(size, at);
        }
        episode.known = covered;
        if covered || !config.anomalies {
            episode.known = true;
            return None;
        }
        let severity = episode.severity();
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
        self.over();
        self.spread.anew();
        detection
    }

    /// The departure is over. If it was said, or known, what comes at this time of day is remembered by its whole size.
    fn over(&mut self) {
        if let Some(episode) = self.episode.take().filter(|it| self.said.present || it.known) {
            self.known[usize::from(!episode.up)].came(episode.size(), episode.began_at);
        }
        self.said.cleared();
        self.sketch.clear();
    }

    /// How far oddness is known well enough to decide.
    fn decides(&self, at: Timestamp) -> Decides {
        if self.baseline.history(at).as_secs_f64() < DAY_S {
            Decides::Not
        } else if self.odd.seen() < KNOWN_AFTER {
            Decides::Alarms
        } else {
            Decides::All
        }
    }

    /// For findings whose series has gone silent.
    pub(super) fn silent(&mut self, key: &SeriesKey, at: Timestamp) -> [Option<Detection>; 2] {
        [self.silent_level(key, at), self.silent_spread(key, at)]
    }

    fn silent_level(&mut self, key: &SeriesKey, at: Timestamp) -> Option<Detection> {
        let expected = self.baseline.expected(self.floor)?;
        let value = self.episode.as_ref()?.extreme;
        self.said.silent().then(|| {
            let mut detection = self.detection(key, at, value, expected, Presence::Inconclusive, &[]);
            detection.title = format!("{key} gives no samples any more");
            detection
        })
    }
}
