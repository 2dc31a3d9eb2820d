//! What the methods have learnt, saved and taken up again.

use serde::{Deserialize, Serialize};

use super::super::activity::Activities;
use super::super::config::DetectConfig;
use super::super::disk::Mount;
use super::super::groups::Groups;
use super::super::late::{REFUSED_MAX, Refused};
use super::super::series::Watched;
use super::super::telemetry::{Clock, Sources};
use super::super::together::Together;
use super::{Detectors, MOUNTS_MAX, SERIES_MAX};
use crate::model::{SeriesId, Timestamp};

/// Raised whenever a saved state no longer means the same: an older one is dropped and everything learnt anew.
const STATE_VERSION: u32 = 3;

/// As saved; see [`STATE_VERSION`].
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    series: Vec<Watched>,
    mounts: Vec<Mount>,
    #[serde(default)]
    groups: Groups,
    #[serde(default)]
    together: Together,
    activity: Activities,
    #[serde(default)]
    sources: Sources,
    #[serde(default)]
    clock: Clock,
    #[serde(default)]
    uptime: Option<SeriesId>,
    swept_at: Timestamp,
    /// Those that wait: nobody announces their numbers again.
    #[serde(default)]
    refused: Vec<(SeriesId, Refused)>,
}

impl Detectors {
    /// Everything learnt, for [`Detectors::restore`].
    pub fn save(&self) -> serde_json::Value {
        let saved = Saved {
            version: STATE_VERSION,
            series: self.series.clone(),
            mounts: self.mounts.clone(),
            groups: self.groups.clone(),
            together: self.together.clone(),
            activity: self.activity.clone(),
            sources: self.sources.clone(),
            clock: self.clock.clone(),
            uptime: self.uptime,
            swept_at: self.swept_at,
            refused: self.refused.iter().map(|(id, it)| (*id, it.clone())).collect(),
        };
        serde_json::to_value(saved).unwrap_or(serde_json::Value::Null)
    }

    /// As it was saved, under the configuration of now. What can't be understood (another version, damage) gives a fresh start.
    pub fn restore(config: &DetectConfig, saved: &serde_json::Value) -> Self {
        let mut fresh = Self::new(config);
        if saved.get("version").and_then(serde_json::Value::as_u64) != Some(u64::from(STATE_VERSION)) {
            return fresh;
        }
        let Ok(saved) = Saved::deserialize(saved) else { return fresh };
        if saved.series.len() > SERIES_MAX || saved.mounts.len() > MOUNTS_MAX {
            return fresh;
        }
        fresh.mounts = saved.mounts;
        fresh.groups = saved.groups;
        fresh.groups.configure(config);
        fresh.together = Some(saved.together).filter(Together::fits).unwrap_or_default();
        fresh.activity = saved.activity;
        fresh.sources = saved.sources;
        fresh.clock = saved.clock;
        fresh.uptime = saved.uptime;
        fresh.swept_at = saved.swept_at;
        fresh.refused = saved.refused.into_iter().take(REFUSED_MAX).collect();
        for watched in saved.series {
            fresh.by_id.insert(watched.id, fresh.series.len());
            fresh.series.push(watched);
        }
        for slot in 0..fresh.series.len() {
            fresh.apply_config(slot);
        }
        fresh.find_divisors();
        fresh
    }
}
