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
/// While others wait for a place, it is forgotten after this time.
pub(super) const GIVES_WAY_AFTER: Duration = Duration::from_hours(1);

impl Detectors {
    /// Series that have gone silent: what hangs on them is inconclusive; the long silent ones are forgotten.
    pub(super) fn sweep(&mut self, at: Timestamp, out: &mut Vec<Detection>) {
        let mut forget = self.groups.sweep(at, out);
        let kept = if self.is_short() { GIVES_WAY_AFTER } else { FORGOTTEN_AFTER };
        for watched in &mut self.series {
            let Some((last, _)) = watched.last else { continue };
            let quiet = at.since(last);
            if quiet <= patience(watched, SILENT_AFTER) {
                continue;
            }
            let key = &watched.key;
            if let Some(anomaly) = &mut watched.anomaly {
                out.extend(anomaly.silent(key, at).into_iter().flatten());
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
            forget |= quiet > kept && !standing(watched, &self.mounts);
        }
        if forget {
            self.forget_silent(at, kept);
        }
    }

    fn forget_silent(&mut self, at: Timestamp, kept: Duration) {
        let mounts = std::mem::take(&mut self.mounts);
        let gone = |it: &mut Watched| {
            it.last.is_some_and(|(last, _)| at.since(last) > patience(it, kept)) && !standing(it, &mounts)
        };
        let gone: Vec<Watched> = self.series.extract_if(.., gone).collect();
        for it in gone {
            // It may come back, and nobody would say so.
            let heard_at = it.last.map_or(at, |(last, _)| last);
            self.refuse(it.id, &it.key, true, heard_at);
        }
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

/// What comes slowly is waited for: ten of its own steps, or so long.
fn patience(watched: &Watched, least: Duration) -> Duration {
    least.max(Duration::from_secs_f64((watched.step_s * 10.0).clamp(0.0, 1e6)))
}

fn standing(watched: &Watched, mounts: &[Mount]) -> bool {
    watched.anomaly.as_ref().is_some_and(|it| it.is_told())
        || watched.stillness.is_stuck()
        || watched.thresholds.iter().any(|it| it.said.present)
        || watched.mount.and_then(|(mount, _)| mounts.get(mount)).is_some_and(Mount::standing)
}
