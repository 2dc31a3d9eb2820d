//! Series that have gone silent: what hangs on them is inconclusive, and the long silent ones are forgotten.

use std::time::Duration;

use super::detectors::Detectors;
use super::disk::{self, Mount, Role};
use super::series::Watched;
use crate::model::{Detection, Timestamp};

/// A series is silent after so long without a sample, or ten of its own steps.
pub(super) const SILENT_AFTER: Duration = Duration::from_mins(3);
/// A silent series is forgotten after this time, unless a finding hangs on it.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

impl Detectors {
    /// Series that have gone silent: what hangs on them is inconclusive; the long silent ones are forgotten.
    pub(super) fn sweep(&mut self, at: Timestamp, out: &mut Vec<Detection>) {
        let mut forget = self.groups.sweep(at, out);
        for watched in &mut self.series {
            let Some((last, _)) = watched.last else { continue };
            let quiet = at.since(last);
            if quiet <= SILENT_AFTER.max(Duration::from_secs_f64((watched.step_s * 10.0).clamp(0.0, 1e6))) {
                continue;
            }
            let key = &watched.key;
            if let Some(anomaly) = &mut watched.anomaly {
                out.extend(anomaly.silent(key, at));
            }
            for state in &mut watched.thresholds {
                if let Some(rule) = self.limits.iter().find(|rule| rule.name == state.name) {
                    out.extend(state.silent(rule, key, at));
                }
            }
            if let Some((mount, Role::Free)) = watched.mount
                && let Some(mount) = self.mounts.get_mut(mount)
            {
                mount.silent(at, out);
            }
            forget |= quiet > FORGOTTEN_AFTER && !standing(watched, &self.mounts);
        }
        if forget {
            self.forget_silent(at);
        }
    }

    fn forget_silent(&mut self, at: Timestamp) {
        let mounts = std::mem::take(&mut self.mounts);
        self.series
            .retain(|it| it.last.is_none_or(|(last, _)| at.since(last) <= FORGOTTEN_AFTER) || standing(it, &mounts));
        let used =
            |name: &str| self.series.iter().any(|it| disk::role(&it.key).is_some_and(|(mount, _)| mount == name));
        self.mounts = mounts.into_iter().filter(|mount| used(&mount.name)).collect();
        self.together.forget(at);
        self.by_id = self.series.iter().enumerate().map(|(slot, it)| (it.id, slot)).collect();
        for slot in 0..self.series.len() {
            self.apply_config(slot);
        }
        self.find_divisors();
    }
}

fn standing(watched: &Watched, mounts: &[Mount]) -> bool {
    watched.anomaly.as_ref().is_some_and(|it| it.said.present)
        || watched.stillness.is_stuck()
        || watched.thresholds.iter().any(|it| it.said.present)
        || watched.mount.and_then(|(mount, _)| mounts.get(mount)).is_some_and(Mount::standing)
}
