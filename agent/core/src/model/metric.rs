//! What is measured: metrics, series and samples. Names follow the OpenTelemetry semantic conventions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Key-value pairs that distinguish the series of one metric.
pub type Attributes = BTreeMap<String, String>;

/// Whether each of `wanted` is among the attributes, with that value; nothing wanted fits all.
pub fn has_all<K: AsRef<str>, V: AsRef<str>>(
    attributes: &Attributes,
    wanted: impl IntoIterator<Item = (K, V)>,
) -> bool {
    wanted.into_iter().all(|(name, value)| attributes.get(name.as_ref()).is_some_and(|it| it == value.as_ref()))
}

/// A metric and what distinguishes one of its series, as printed: `system.disk.io{device=sda}`.
pub fn series_name(metric: &str, attributes: &Attributes) -> String {
    if attributes.is_empty() {
        return metric.to_owned();
    }
    let inner: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{metric}{{{}}}", inner.join(","))
}

/// How the numbers of a metric behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// A level that goes up and down.
    Gauge,
    /// A cumulative sum that only grows, and starts again at zero after a restart.
    Counter,
}

/// One metric with one set of attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesKey {
    /// OpenTelemetry name where one exists: `system.memory.utilization`.
    pub metric: String,
    /// UCUM unit: `1`, `By`, `s`, `{process}`.
    pub unit: String,
    /// Gauge or counter.
    pub kind: MetricKind,
    /// What distinguishes this series: `{"device": "sda"}`.
    pub attributes: Attributes,
}

impl std::fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&series_name(&self.metric, &self.attributes))
    }
}

/// A series' number in the local store; never leaves this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeriesId(pub u32);

/// All samples of one moment, as collectors hand them to the store and to detection.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleBatch {
    /// Wall time of the reading, the same for every sample.
    pub at: Timestamp,
    /// Series seen for the first time since the agent started, before their first sample.
    pub new_series: Vec<(SeriesId, Arc<SeriesKey>)>,
    /// Finite values only; a missing reading has no sample.
    pub samples: Vec<(SeriesId, f64)>,
}
