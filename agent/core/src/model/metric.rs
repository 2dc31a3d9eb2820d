//! What is measured: metrics, series and samples. Names follow the OpenTelemetry semantic conventions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Key-value pairs that distinguish the series of one metric.
pub type Attributes = BTreeMap<String, String>;

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
        f.write_str(&self.metric)?;
        if !self.attributes.is_empty() {
            let inner: Vec<String> = self.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
            write!(f, "{{{}}}", inner.join(","))?;
        }
        Ok(())
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
