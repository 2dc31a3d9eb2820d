//! Settings over those of the configuration: which there are, what they turn the configuration into, and how two of them differ.
//!
//! A tuning is small and typed, so that it can be shown, recorded, proved on the past ([`Study`]) and taken back. It
//! is applied on a person's word only. Names of entries are those of the configuration.

mod study;
mod subject;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::{DetectConfig, Sensitivity, SeriesSettings};
use crate::model::{Interval, series_name};

pub use study::{Judged, Known, Offer, Proof, Proposal, Study, Tally};

/// Entries of one tuning.
pub const ENTRIES_MAX: usize = 200;

/// Settings over those of the configuration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tuning {
    /// In place of `detect.sensitivity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// In place of `detect.sustained`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sustained: Option<Interval>,
    /// In place of `detect.disk.horizon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_horizon: Option<Interval>,
    /// In place of the `sustained` of limits, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub threshold: BTreeMap<String, Interval>,
    /// Settings of single series.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<SeriesSettings>,
}

/// One entry that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `detect.sustained`, `detect.threshold.cpu-busy.sustained`, `detect.series.system.disk.io_time{system.device=vda}.sustained`.
    pub key: String,
    /// Before; `None`: as for all others.
    pub before: Option<String>,
    /// After.
    pub after: Option<String>,
}

impl Tuning {
    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The configuration with these settings in force.
    pub fn apply(&self, base: &DetectConfig) -> DetectConfig {
        let mut config = base.clone();
        config.sensitivity = self.sensitivity.unwrap_or(config.sensitivity);
        config.sustained = self.sustained.unwrap_or(config.sustained);
        config.disk.horizon = self.disk_horizon.unwrap_or(config.disk.horizon);
        for limit in base.thresholds() {
            if let Some(sustained) = self.threshold.get(&limit.name) {
                config.threshold.retain(|it| it.name != limit.name);
                config.threshold.push(super::Threshold { sustained: *sustained, ..limit });
            }
        }
        // The last entry that fits a series counts, as in the configuration.
        config.series.extend(self.series.iter().cloned());
        config
    }

    /// Every entry, by its key.
    pub fn entries(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut entry = |key: String, value: Option<String>| drop(value.map(|value| all.insert(key, value)));
        entry("detect.sensitivity".to_owned(), self.sensitivity.map(|it| it.as_str().to_owned()));
        entry("detect.sustained".to_owned(), self.sustained.map(|it| it.to_string()));
        entry("detect.disk.horizon".to_owned(), self.disk_horizon.map(|it| it.to_string()));
        for (name, sustained) in &self.threshold {
            entry(format!("detect.threshold.{name}.sustained"), Some(sustained.to_string()));
        }
        for one in &self.series {
            let name = series_name(&one.metric, &one.where_);
            entry(format!("detect.series.{name}.sensitivity"), one.sensitivity.map(|it| it.as_str().to_owned()));
            entry(format!("detect.series.{name}.sustained"), one.sustained.map(|it| it.to_string()));
        }
        all
    }

    /// What is not as in `before`.
    pub fn differences(&self, before: &Self) -> Vec<Difference> {
        let (old, new) = (before.entries(), self.entries());
        let keys: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        keys.into_iter()
            .filter(|key| old.get(*key) != new.get(*key))
            .map(|key| Difference { key: key.clone(), before: old.get(key).cloned(), after: new.get(key).cloned() })
            .collect()
    }

    /// This, with the other's entries in place of its own of the same name.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.sensitivity = other.sensitivity.or(all.sensitivity);
        all.sustained = other.sustained.or(all.sustained);
        all.disk_horizon = other.disk_horizon.or(all.disk_horizon);
        all.threshold.extend(other.threshold.clone());
        for one in &other.series {
            let same = |it: &&mut SeriesSettings| it.metric == one.metric && it.where_ == one.where_;
            match all.series.iter_mut().find(same) {
                Some(known) => {
                    known.sensitivity = one.sensitivity.or(known.sensitivity);
                    known.sustained = one.sustained.or(known.sustained);
                }
                None => all.series.push(one.clone()),
            }
        }
        all
    }

    /// What can't be meant as written; each a sentence.
    pub fn problems(&self, base: &DetectConfig) -> Vec<String> {
        let mut problems = Vec::new();
        let known: Vec<String> = base.thresholds().into_iter().map(|it| it.name).collect();
        for name in self.threshold.keys().filter(|name| !known.contains(name)) {
            problems.push(format!("there is no limit named `{name}`"));
        }
        if self.entries().len() > ENTRIES_MAX {
            problems.push(format!("a tuning has at most {ENTRIES_MAX} entries"));
        }
        problems.extend(self.apply(base).problems());
        problems
    }
}
