//! Methods that look at several series of one moment together: objectives and resources.

use serde::{Deserialize, Serialize};

use super::config::DetectConfig;
use super::exhaust::{self, Resource};
use super::silence::{FORGOTTEN_AFTER, SILENT_AFTER};
use super::slo::{self, Slo};
use crate::model::{Detection, MetricKind, SeriesKey, Timestamp};

/// Resources that are judged at once: one for each file system, and a few of the host.
const RESOURCES_MAX: usize = 300;

/// What a series is to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupRole {
    Slo(usize, slo::Role),
    Resource(usize, exhaust::Role),
}

/// All objectives and resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Groups {
    #[serde(default)]
    slos: Vec<Slo>,
    #[serde(default)]
    resources: Vec<Resource>,
}

/// Whether a group wants a series.
pub(super) fn wanted(config: &DetectConfig, key: &SeriesKey) -> bool {
    config.slo.iter().any(|it| slo::role(it, key).is_some())
        || exhaust::role(key).is_some_and(|(name, _)| !config.exhaustion.ignores(&name))
}

impl Groups {
    /// Lets go of what the configuration doesn't name any more.
    pub(super) fn configure(&mut self, config: &DetectConfig) {
        self.slos.retain(|it| config.slo.iter().any(|own| own.name == it.name));
        self.resources.retain(|it| !config.exhaustion.ignores(&it.name));
    }

    /// What a series is to the groups; they are made where they are not there yet.
    pub(super) fn roles(&mut self, config: &DetectConfig, key: &SeriesKey) -> Vec<GroupRole> {
        let mut roles = Vec::new();
        for objective in &config.slo {
            let Some(role) = slo::role(objective, key) else { continue };
            let at = self.slos.iter().position(|it| it.name == objective.name).unwrap_or_else(|| {
                self.slos.push(Slo::new(&objective.name));
                self.slos.len() - 1
            });
            roles.push(GroupRole::Slo(at, role));
        }
        if let Some((name, role)) = exhaust::role(key).filter(|(name, _)| !config.exhaustion.ignores(name)) {
            let known = self.resources.iter().position(|it| it.name == name);
            let at = known.unwrap_or(self.resources.len());
            if at < RESOURCES_MAX {
                if known.is_none() {
                    self.resources.push(Resource::new(&name));
                }
                roles.push(GroupRole::Resource(at, role));
            }
        }
        roles
    }

    /// One sample.
    pub(super) fn put(
        &mut self,
        roles: &[GroupRole],
        kind: MetricKind,
        before: Option<(Timestamp, f64)>,
        at: Timestamp,
        raw: f64,
    ) {
        for role in roles {
            match role {
                GroupRole::Slo(index, role) => {
                    if let Some(slo) = self.slos.get_mut(*index) {
                        slo.put(*role, kind, before, at, raw);
                    }
                }
                GroupRole::Resource(index, role) => {
                    if let Some(resource) = self.resources.get_mut(*index) {
                        resource.put(*role, raw);
                    }
                }
            }
        }
    }

    /// All samples of one moment are in.
    pub(super) fn step(
        &mut self,
        config: &DetectConfig,
        at: Timestamp,
        scratch: &mut Vec<f64>,
        out: &mut Vec<Detection>,
    ) {
        for slo in &mut self.slos {
            if let Some(objective) = config.slo.iter().find(|it| it.name == slo.name) {
                slo.step(objective, at, out);
            }
        }
        for resource in &mut self.resources {
            resource.step(&config.exhaustion, at, scratch, out);
        }
    }

    /// When a resource was measured last.
    pub(super) fn heard(&self, name: &str) -> Option<Timestamp> {
        self.resources.iter().find(|it| it.name == name)?.at
    }

    /// Resources that are not measured any more: what hangs on them is inconclusive. Whether some were forgotten, and places moved.
    pub(super) fn sweep(&mut self, at: Timestamp, out: &mut Vec<Detection>) -> bool {
        let before = self.resources.len();
        for resource in &mut self.resources {
            if resource.at.is_some_and(|last| at.since(last) > SILENT_AFTER) {
                out.extend(resource.silent(at));
            }
        }
        let kept = |it: &Resource| it.said.present || it.at.is_none_or(|last| at.since(last) <= FORGOTTEN_AFTER);
        self.resources.retain(kept);
        self.resources.len() != before
    }
}
