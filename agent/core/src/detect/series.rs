//! One watched series: its last sample, its rate where it is a counter, and the methods that watch it.
//!
//! A counter that fell began again: that sample gives no rate. Samples further apart than usual have a gap between them, and a
//! clock that was set back is one too; what was counted in time then starts anew.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::anomaly::Anomaly;
use super::disk::Role;
use super::groups::GroupRole;
use super::recent::Recent;
use super::shape;
use super::telemetry::Stillness;
use super::threshold::ThresholdState;
use super::together::Standing;
use crate::model::{COURSE, Detection, Evidence, MetricKind, SeriesId, SeriesKey, Timestamp};

/// Samples further apart than this, or than four of the series' own steps, have a gap between them.
const GAP_MIN: Duration = Duration::from_secs(15);

/// Kinds of findings about the level of one series.
const LEVEL_KINDS: [&str; 2] = ["metric.anomaly", "metric.threshold"];

/// One watched series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) id: SeriesId,
    #[serde(with = "shared")]
    pub(super) key: Arc<SeriesKey>,
    /// Last sample: when, and as measured.
    pub(super) last: Option<(Timestamp, f64)>,
    /// Usual seconds between two samples.
    pub(super) step_s: f64,
    /// Last value or rate, and when it was known.
    pub(super) value: Option<(Timestamp, f64)>,
    pub(super) anomaly: Option<Box<Anomaly>>,
    /// What it was like lately, of those that a finding may be about.
    #[serde(default)]
    pub(super) recent: Recent,
    /// How it moves, of those that are compared with their past.
    #[serde(default)]
    pub(super) stillness: Stillness,
    pub(super) thresholds: Vec<ThresholdState>,
    /// Divisor of each threshold, where it has one: its place among the series.
    pub(super) divisors: Vec<Option<usize>>,
    pub(super) mount: Option<(usize, Role)>,
    /// Of the configuration.
    #[serde(skip)]
    pub(super) groups: Vec<GroupRole>,
    /// Where it stands among the series that come together; made anew with the configuration.
    #[serde(skip)]
    pub(super) standing: Option<Standing>,
}

impl Watched {
    pub(super) fn new(id: SeriesId, key: &Arc<SeriesKey>) -> Self {
        Self {
            id,
            key: Arc::clone(key),
            last: None,
            step_s: 0.0,
            value: None,
            anomaly: None,
            recent: Recent::default(),
            stillness: Stillness::default(),
            thresholds: Vec::new(),
            divisors: Vec::new(),
            mount: None,
            groups: Vec::new(),
            standing: None,
        }
    }

    /// Takes in a measured value: the value to judge, or for a counter its rate. `None` when there is none yet: the first sample
    /// of a counter, the first after it began again, the first after a gap.
    pub(super) fn take(&mut self, at: Timestamp, raw: f64) -> Option<f64> {
        let last = self.last.replace((at, raw));
        let Some((last_at, last_raw)) = last else {
            return (self.key.kind == MetricKind::Gauge).then(|| self.known(at, raw));
        };
        if at <= last_at {
            // The clock was set back, or the moment came twice: what was counted in time is void.
            self.gap_keeping_last();
            return (self.key.kind == MetricKind::Gauge && at < last_at).then(|| self.known(at, raw));
        }
        let step_s = at.since(last_at).as_secs_f64();
        if step_s > GAP_MIN.as_secs_f64().max(self.step_s * 4.0) && self.step_s > 0.0 {
            self.gap_keeping_last();
            // Slowly: a series may come more slowly from now on.
            self.step_s *= 1.5;
            return (self.key.kind == MetricKind::Gauge).then(|| self.known(at, raw));
        }
        self.step_s = if self.step_s == 0.0 { step_s } else { self.step_s + 0.1 * (step_s - self.step_s) };
        match self.key.kind {
            MetricKind::Gauge => Some(self.known(at, raw)),
            // Less than before: it began again at zero, and nobody knows when.
            MetricKind::Counter if raw < last_raw => None,
            MetricKind::Counter => Some(self.known(at, (raw - last_raw) / step_s)),
        }
    }

    /// Whether a finding may be about it alone.
    pub(super) fn is_judged(&self) -> bool {
        self.anomaly.is_some() || !self.thresholds.is_empty()
    }

    /// Adds what it was like lately to a detection about its level, and what that looks like.
    pub(super) fn tell_course(&self, detection: &mut Detection) {
        let Some(course) = self.recent.course().filter(|_| LEVEL_KINDS.contains(&detection.kind.as_str())) else {
            return;
        };
        shape::tell(detection, &course, self.last.map_or(detection.began_at, |it| it.0));
        detection.evidence.push(Evidence::new(COURSE, course.to_string()));
    }

    fn known(&mut self, at: Timestamp, value: f64) -> f64 {
        self.value = Some((at, value));
        value
    }

    pub(super) fn gap(&mut self) {
        if self.key.kind == MetricKind::Counter {
            self.last = None;
        }
        self.gap_keeping_last();
    }

    fn gap_keeping_last(&mut self) {
        if let Some(anomaly) = &mut self.anomaly {
            anomaly.gap();
        }
        for state in &mut self.thresholds {
            state.gap();
        }
    }
}

/// A shared key is written as the key.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::model::SeriesKey;

    pub(in super::super) fn serialize<S: Serializer>(key: &Arc<SeriesKey>, serializer: S) -> Result<S::Ok, S::Error> {
        SeriesKey::serialize(key, serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<SeriesKey>, D::Error> {
        SeriesKey::deserialize(deserializer).map(Arc::new)
    }
}
