//! What can be turned by itself, and how far.

use std::collections::BTreeMap;

use super::super::config::{DetectConfig, Sensitivity, SeriesSettings};
use super::Tuning;
use crate::model::{Interval, SeriesKey};

/// How far a setting is turned. The first is how things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) lower: bool,
    pub(super) times: u32,
}

pub(super) const LEVELS: [Level; 6] = [
    Level { lower: false, times: 1 },
    Level { lower: false, times: 2 },
    Level { lower: false, times: 4 },
    Level { lower: false, times: 10 },
    Level { lower: true, times: 1 },
    Level { lower: true, times: 4 },
];

/// What can be turned by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// A series that is compared with its past.
    Series(SeriesKey),
    /// A limit, by its name.
    Limit(String),
    /// The horizon of file systems.
    Horizon,
}

impl Subject {
    /// Of a finding with this fingerprint: `METHOD|KIND|TARGET|DISCRIMINATOR`.
    pub(super) fn of(fingerprint: &str, about: Option<&str>, keys: &BTreeMap<String, SeriesKey>) -> Option<Self> {
        match fingerprint.split('|').nth(1)? {
            "metric.anomaly" => keys.get(about?).cloned().map(Self::Series),
            "metric.threshold" => Some(Self::Limit(fingerprint.rsplit('|').next()?.to_owned())),
            "disk.filling" => Some(Self::Horizon),
            _ => None,
        }
    }

    pub(super) fn concerns(&self, fingerprint: &str, about: Option<&str>) -> bool {
        let mut parts = fingerprint.split('|');
        match (self, parts.nth(1)) {
            (Self::Series(key), Some("metric.anomaly")) => about == Some(key.to_string().as_str()),
            (Self::Limit(name), Some("metric.threshold")) => fingerprint.rsplit('|').next() == Some(name),
            (Self::Horizon, Some("disk.filling")) => true,
            _ => false,
        }
    }

    pub(super) fn turned(&self, level: Level, base: &DetectConfig) -> Tuning {
        let longer = |it: Interval| Interval(it.0.saturating_mul(level.times));
        let mut tuning = Tuning::default();
        match self {
            _ if level == LEVELS[0] => {}
            Self::Series(key) => {
                let (deviations, sustained) = base.of_series(key);
                let all = [Sensitivity::High, Sensitivity::Medium, Sensitivity::Low];
                let now = all.into_iter().find(|it| it.deviations() == deviations).unwrap_or(base.sensitivity);
                tuning.series.push(SeriesSettings {
                    metric: key.metric.clone(),
                    where_: key.attributes.clone(),
                    sensitivity: level.lower.then(|| now.lower()),
                    sustained: (level.times > 1).then(|| longer(sustained)),
                });
            }
            Self::Limit(name) => {
                if let Some(limit) = base.thresholds().into_iter().find(|it| it.name == *name && level.times > 1) {
                    tuning.threshold.insert(name.clone(), longer(limit.sustained));
                }
            }
            Self::Horizon => {
                if level.times > 1 {
                    tuning.disk_horizon = Some(Interval(base.disk.horizon.0 / level.times));
                }
            }
        }
        tuning
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Series(key) => key.to_string(),
            Self::Limit(name) => format!("limit {name}"),
            Self::Horizon => "horizon of file systems".to_owned(),
        }
    }
}
