//! The world of a case: what its file says, and nothing of this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_core::model::{Change, ChangeId, SeededIds, Target, Timestamp, UnitState, has_all};
use holdfast_plugin_host::{MetricQuery, ProcessFacts, ProcessQuery, SeriesFacts, StateWrite, World, WorldError};

use super::case::{ChangeGiven, Scene};
use crate::host::{Clock, SystemClock};

/// Facts of a case, as they stand now.
#[derive(Debug, Default)]
struct Facts {
    units: BTreeMap<String, UnitState>,
    processes: Vec<ProcessFacts>,
    series: Vec<SeriesFacts>,
    changes: Vec<Change>,
    state: BTreeMap<String, Vec<u8>>,
}

/// A [`World`] made of a scene; its clock stands still.
pub(super) struct Fixture {
    now: Timestamp,
    root: PathBuf,
    /// Deadlines are real ones.
    clock: SystemClock,
    facts: Mutex<Facts>,
}

/// `unit:web.service`
pub(super) fn target(text: &str) -> Result<Target, String> {
    match text.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(Target::new(kind, name)),
        _ => Err(format!("`{text}` is no target; write KIND:NAME, for example unit:web.service")),
    }
}

impl Fixture {
    pub(super) fn new(now: Timestamp, root: PathBuf) -> Self {
        Self { now, root, clock: SystemClock::new(), facts: Mutex::default() }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ago(&self, age: Option<holdfast_core::model::Interval>) -> Timestamp {
        self.now.minus(age.map_or(Duration::ZERO, |age| age.0))
    }

    /// Adds what a scene says; a unit or a process of the same name or number is replaced.
    pub(super) fn add(&self, scene: &Scene) -> Result<(), String> {
        let mut facts = self.facts();
        for unit in &scene.unit {
            if unit.name.is_empty() {
                return Err("world.unit: a unit has a name".to_owned());
            }
            let state = UnitState {
                name: unit.name.clone(),
                load_state: unit.load.clone(),
                active_state: unit.active.clone(),
                sub_state: unit.sub.clone(),
                result: unit.result.clone(),
                unit_file_state: unit.unit_file.clone(),
                n_restarts: unit.restarts,
                invocation_id: Some(unit.invocation_id.clone()).filter(|id| id != "none"),
                main_pid: unit.main_pid,
                restart: unit.restart_policy.clone(),
                since: unit.age.map(|age| self.now.minus(age.0)),
                fragment_path: unit.fragment_path.clone(),
            };
            facts.units.insert(unit.name.clone(), state);
        }
        for it in &scene.process {
            facts.processes.retain(|known| known.pid != it.pid);
            facts.processes.push(ProcessFacts {
                pid: it.pid,
                started: self.ago(it.age),
                ppid: it.ppid,
                uid: it.uid,
                name: it.name.clone(),
                cmdline: it.cmdline.clone(),
                exe: it.exe.clone(),
                exe_deleted: it.exe_deleted,
                resident_bytes: it.rss.map_or(0, |size| size.0),
                cpu_seconds: it.cpu_seconds,
                unit: it.unit.clone(),
            });
        }
        for it in &scene.metric {
            let mut points: Vec<(Timestamp, f64)> =
                it.points.iter().map(|point| (self.now.minus(point.age.0), point.value)).collect();
            points.extend(it.value.map(|value| (self.now, value)));
            points.sort_by_key(|(at, _)| *at);
            facts.series.retain(|known| known.metric != it.name || known.attributes != it.attributes);
            let (metric, attributes) = (it.name.clone(), it.attributes.clone());
            facts.series.push(SeriesFacts { metric, attributes, points, truncated: false });
        }
        for it in &scene.change {
            let change = self.change(it, facts.changes.len())?;
            facts.changes.push(change);
        }
        facts.changes.sort_by_key(|change| change.at);
        facts.state.extend(scene.state.iter().map(|(key, text)| (key.clone(), text.clone().into_bytes())));
        Ok(())
    }

    fn change(&self, it: &ChangeGiven, number: usize) -> Result<Change, String> {
        let at = self.ago(it.age);
        let deployment = it.deployment.as_deref().map(str::parse).transpose();
        Ok(Change {
            id: ChangeId::new(at, &mut SeededIds(number as u64)),
            at,
            kind: it.kind.clone(),
            target: target(&it.target).map_err(|why| format!("world.change: {why}"))?,
            actor: it.actor.clone(),
            summary: it.summary.clone(),
            attributes: it.attributes.clone(),
            deployment: deployment.map_err(|error| format!("world.change: {error}"))?,
            cause: None,
        })
    }

    /// What a call that ended well has kept.
    pub(super) fn keep(&self, writes: &[StateWrite]) {
        let mut facts = self.facts();
        for (key, value) in writes {
            match value {
                Some(value) => facts.state.insert(key.clone(), value.clone()),
                None => facts.state.remove(key),
            };
        }
    }
}

impl World for Fixture {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    fn unit(&self, name: &str, _: Duration) -> Result<Option<UnitState>, WorldError> {
        Ok(self.facts().units.get(name).cloned())
    }

    fn units(&self, _: Duration) -> Result<Vec<UnitState>, WorldError> {
        Ok(self.facts().units.values().cloned().collect())
    }

    fn processes(&self, query: &ProcessQuery<'_>, _: Duration) -> Result<Vec<ProcessFacts>, WorldError> {
        let mut all = self.facts().processes.clone();
        all.retain(|process| (query.named)(&process.name));
        if !query.cmdline {
            for process in &mut all {
                process.cmdline.clear();
            }
        }
        Ok(all)
    }

    /// A step's value is its last sample, as on a host.
    fn metrics(&self, query: &MetricQuery, _: Duration) -> Result<Vec<SeriesFacts>, WorldError> {
        let facts = self.facts();
        let wanted = |it: &&SeriesFacts| {
            it.metric == query.metric
                && has_all(&it.attributes, query.attributes.iter().map(|(name, value)| (name, value)))
        };
        let mut found = Vec::new();
        for series in facts.series.iter().filter(wanted) {
            let mut points: Vec<(Timestamp, f64)> =
                series.points.iter().filter(|(at, _)| (query.since..=query.until).contains(at)).copied().collect();
            if let Some(step) = query.step.and_then(|step| i64::try_from(step.as_nanos()).ok()).filter(|ns| *ns > 0) {
                let steps: BTreeMap<i64, f64> =
                    points.iter().map(|(at, value)| (at.ns().div_euclid(step) * step, *value)).collect();
                points = steps.into_iter().map(|(at, value)| (Timestamp::from_ns(at), value)).collect();
            }
            if !points.is_empty() {
                found.push(SeriesFacts { points, ..series.clone() });
            }
        }
        Ok(found)
    }

    fn changes(
        &self,
        kinds: &[String],
        since: Timestamp,
        until: Timestamp,
        limit: usize,
        _: Duration,
    ) -> Result<Vec<Change>, WorldError> {
        let fits = |kind: &str| {
            kinds.is_empty()
                || kinds.iter().any(|wanted| match wanted.strip_suffix('*') {
                    Some(start) => kind.starts_with(start),
                    None => kind == wanted,
                })
        };
        let facts = self.facts();
        let within = facts.changes.iter().filter(|it| (since..=until).contains(&it.at) && fits(&it.kind));
        let found: Vec<Change> = within.cloned().collect();
        Ok(found[found.len().saturating_sub(limit)..].to_vec())
    }

    fn state(&self, _: &str) -> Result<BTreeMap<String, Vec<u8>>, WorldError> {
        Ok(self.facts().state.clone())
    }
}
