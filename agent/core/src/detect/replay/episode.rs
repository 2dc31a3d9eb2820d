//! A labelled stretch of samples, kept so that any later detector can be held to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::config::DetectConfig;
use super::super::disk;
use super::super::labels::Labels;
use super::{Replay, Stretch, moments};
use crate::model::{Evidence, FindingId, Interval, Label, Says, SeriesKey, Target, Timestamp, Value};

/// Raised whenever an older reader would misunderstand a newer document.
const VERSION: u32 = 1;
/// What is said so long before or after the labelled time still belongs to it.
const SLACK: Duration = Duration::from_mins(2);

/// One series' samples: times as milliseconds, the first since the epoch and each further one since the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeSeries {
    /// The series.
    pub key: SeriesKey,
    /// Times in milliseconds, see above.
    pub times_ms: Vec<i64>,
    /// Values, one a time.
    pub values: Vec<f64>,
}

impl EpisodeSeries {
    /// From points in order of time.
    pub fn new(key: SeriesKey, points: &[(Timestamp, f64)]) -> Self {
        let (mut times_ms, mut before) = (Vec::with_capacity(points.len()), 0);
        for (at, _) in points {
            let ms = at.ns().div_euclid(1_000_000);
            times_ms.push(ms - before);
            before = ms;
        }
        Self { key, times_ms, values: points.iter().map(|(_, value)| *value).collect() }
    }

    /// Its points, oldest first.
    pub fn points(&self) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
        let mut now = 0_i64;
        self.times_ms.iter().zip(&self.values).map(move |(ms, value)| {
            now = now.saturating_add(*ms);
            (Timestamp::from_ms(now), *value)
        })
    }
}

/// See the module. As a line of a file of episodes: one JSON object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Episode {
    /// Version of the document.
    pub version: u32,
    /// The labelled finding.
    pub finding: FindingId,
    /// What a person said of it.
    pub says: Says,
    /// Why, in their words.
    #[serde(default)]
    pub note: String,
    /// The finding's kind.
    pub kind: String,
    /// About what.
    pub target: Target,
    /// See [`Detection::fingerprint`](crate::model::Detection::fingerprint).
    pub fingerprint: String,
    /// The series that it rests on, where it is about one.
    #[serde(default)]
    pub about: Option<String>,
    /// The finding's title.
    pub title: String,
    /// When the symptom began.
    pub began_at: Timestamp,
    /// When it was last confirmed, or when it was resolved.
    pub ended_at: Timestamp,
    /// The longest step that a sample stands for, where samples were made coarser for their age.
    #[serde(default)]
    pub resolution: Option<Interval>,
    /// The settings in force when it was kept.
    pub detect: DetectConfig,
    /// The samples, with a time of quiet before, from which the detectors learn.
    pub series: Vec<EpisodeSeries>,
}

/// Why a document is no episode.
#[derive(Debug, thiserror::Error)]
pub enum EpisodeError {
    /// It is not what an episode looks like.
    #[error("not an episode")]
    Malformed(#[source] serde_json::Error),
    /// It was written by a newer version.
    #[error("episode version {0} is newer than this version understands")]
    Newer(u32),
    /// A series has not as many values as times.
    #[error("series {0} has not one value for each time")]
    Uneven(String),
}

/// What a replay made of an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The labelled finding was said at its time.
    pub found: bool,
    /// Everything that was said.
    pub stretches: Vec<Stretch>,
}

impl Episode {
    /// Of a label; without samples yet.
    pub fn of(label: &Label, detect: &DetectConfig) -> Self {
        let about = label.evidence.iter().find(|it| it.name == "series.key").map(|it| it.value.to_string());
        Self {
            version: VERSION,
            finding: label.finding.clone(),
            says: label.says,
            note: label.note.clone(),
            kind: label.kind.clone(),
            target: label.target.clone(),
            fingerprint: label.fingerprint.clone(),
            about,
            title: label.title.clone(),
            began_at: label.began_at,
            ended_at: label.ended_at,
            resolution: None,
            detect: detect.clone(),
            series: Vec::new(),
        }
    }

    /// Reads one line of a file of episodes.
    pub fn parse(text: &str) -> Result<Self, EpisodeError> {
        let it: Self = serde_json::from_str(text).map_err(EpisodeError::Malformed)?;
        if it.version > VERSION {
            return Err(EpisodeError::Newer(it.version));
        }
        match it.series.iter().find(|one| one.times_ms.len() != one.values.len()) {
            Some(uneven) => Err(EpisodeError::Uneven(uneven.key.to_string())),
            None => Ok(it),
        }
    }

    /// Samples that it holds.
    pub fn samples(&self) -> usize {
        self.series.iter().map(|it| it.values.len()).sum()
    }

    /// Whether this stretch is the labelled finding, said at its time.
    pub fn is(&self, stretch: &Stretch) -> bool {
        stretch.fingerprint == self.fingerprint
            && stretch.series == self.about
            && stretch.touches(self.began_at.minus(SLACK), self.ended_at.plus(SLACK))
    }

    /// The detectors under these settings, fed with these samples alone.
    pub fn replay(&self, config: &DetectConfig, labels: &Labels) -> Found {
        let mut replay = Replay::new(config, labels);
        for (at, samples) in moments(&self.series) {
            replay.tell(at, samples);
        }
        let stretches = replay.stretches().to_vec();
        Found { found: stretches.iter().any(|it| self.is(it)), stretches }
    }
}

/// Whether a finding rests on this series: it names it, or divides by it, or the series is of its file system.
pub fn rests_on(finding: &Label, config: &DetectConfig, key: &SeriesKey) -> bool {
    let text = |name: &str| match finding.evidence.iter().find(|it| it.name == name) {
        Some(Evidence { value: Value::Text(text), .. }) => Some(text.as_str()),
        _ => None,
    };
    if text("series.key").is_some_and(|name| key.to_string() == name) {
        return true;
    }
    if finding.kind.starts_with("disk.") {
        return disk::role(key).is_some_and(|(mount, _)| mount == finding.target.name);
    }
    let divisor = text("threshold.name")
        .and_then(|name| config.thresholds().into_iter().find(|it| it.name == name).and_then(|it| it.of));
    divisor.is_some_and(|metric| metric == key.metric)
}
