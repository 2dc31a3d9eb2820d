//! A small corpus of scripted hosts, through the one door that the agent uses.

mod contrasts;
mod corpus;
mod disk;
mod exhaustion;
mod incidents;
mod known_incidents;
mod lifecycle;
mod metrics;
mod places;
mod properties;
mod spread;
mod telemetry;
mod unit;
mod well_known;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{DetectConfig, Detectors};
use crate::model::{
    Attributes, Change, ChangeId, Detection, Evidence, MetricKind, Presence, SampleBatch, SeriesId, SeriesKey, Target,
    Timestamp, Value, id::SeededIds,
};

pub(super) const START_S: i64 = 1_760_004_000;

/// A host that is told second by second what it measures.
pub(super) struct Stage {
    pub(super) detectors: Detectors,
    pub(super) config: DetectConfig,
    known: BTreeMap<String, SeriesId>,
    pub(super) at: Timestamp,
    pub(super) said: Vec<(i64, Detection)>,
    noise: u64,
}

pub(super) fn key(metric: &str, unit: &str, kind: MetricKind, attributes: &[(&str, &str)]) -> SeriesKey {
    let attributes: Attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    SeriesKey { metric: metric.to_owned(), unit: unit.to_owned(), kind, attributes }
}

pub(super) fn cpu() -> SeriesKey {
    key("holdfast.cpu.utilization", "1", MetricKind::Gauge, &[])
}

impl Stage {
    pub(super) fn new(config: DetectConfig) -> Self {
        Self {
            detectors: Detectors::new(&config),
            config,
            known: BTreeMap::new(),
            at: Timestamp::from_secs(START_S),
            said: Vec::new(),
            noise: 1,
        }
    }

    /// One moment, then time passes.
    pub(super) fn tell(&mut self, samples: &[(&SeriesKey, f64)], then_s: u64) {
        let mut batch = SampleBatch { at: self.at, new_series: Vec::new(), samples: Vec::new() };
        for (key, value) in samples {
            let next = SeriesId(self.known.len() as u32 + 1);
            let name = key.to_string();
            let id = *self.known.entry(name).or_insert_with(|| {
                batch.new_series.push((next, Arc::new((*key).clone())));
                next
            });
            batch.samples.push((id, *value));
        }
        let second = self.second();
        self.said.extend(self.detectors.on_batch(&batch).into_iter().map(|it| (second, it)));
        self.at = self.at.plus(std::time::Duration::from_secs(then_s));
    }

    /// Second by second, what `value` says.
    pub(super) fn run(&mut self, key: &SeriesKey, seconds: i64, mut value: impl FnMut(i64, f64) -> f64) {
        for second in 0..seconds {
            let noise = self.noise();
            self.tell(&[(key, value(second, noise))], 1);
        }
    }

    /// About normal, standard deviation 1.
    pub(super) fn noise(&mut self) -> f64 {
        let mut sum = 0.0;
        for _ in 0..12 {
            self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (self.noise >> 11) as f64 / (1_u64 << 53) as f64;
        }
        sum - 6.0
    }

    pub(super) fn second(&self) -> i64 {
        (self.at.ns() / 1_000_000_000) - START_S
    }

    /// What was said of this kind: seconds and presence, without the repetitions.
    pub(super) fn turns(&self, kind: &str) -> Vec<(i64, Presence)> {
        let mut turns: Vec<(i64, Presence)> = Vec::new();
        for (second, it) in self.said.iter().filter(|(_, it)| it.kind == kind) {
            if turns.last().is_none_or(|(_, presence)| *presence != it.presence) {
                turns.push((*second, it.presence));
            }
        }
        turns
    }

    #[track_caller]
    pub(super) fn silent(&self) {
        let said: Vec<String> = self.said.iter().map(|(second, it)| format!("{second}: {}", it.title)).collect();
        assert!(said.is_empty(), "{said:#?}");
    }

    #[track_caller]
    pub(super) fn last(&self, kind: &str) -> &Detection {
        match self.said.iter().rev().find(|(_, it)| it.kind == kind) {
            Some((_, it)) => it,
            None => panic!("nothing was said of {kind}"),
        }
    }
}

#[track_caller]
pub(super) fn fact(evidence: &[Evidence], name: &str) -> f64 {
    match evidence.iter().find(|it| it.name == name).map(|it| &it.value) {
        Some(Value::Number(n)) => *n,
        Some(Value::Integer(n)) => *n as f64,
        other => panic!("{name}: {other:?}"),
    }
}

pub(super) fn change(kind: &str, target: Target, at: Timestamp) -> Change {
    Change {
        id: ChangeId::new(at, &mut SeededIds(at.ns().unsigned_abs())),
        at,
        kind: kind.to_owned(),
        target,
        actor: None,
        summary: format!("{kind} happened"),
        attributes: Attributes::new(),
        deployment: None,
        cause: None,
    }
}
