//! All per-sample methods behind one door: which series goes to which method.
//!
//! A sample of a series that nobody watches costs one look into a table; a watched one an addition and a comparison or two, and
//! nothing is allocated unless something is said. Bounded: at most [`SERIES_MAX`] series and [`MOUNTS_MAX`] file systems.
//! State is kept by series key, so it survives the numbers that the store gives to series.

mod saved;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::activity::{ACTIVITY_REACH, Activities};
use super::anomaly::Anomaly;
use super::config::{DetectConfig, Threshold};
use super::disk::{self, Mount};
use super::groups::Groups;
use super::labels::Labels;
use super::late::Refused;
use super::series::Watched;
use super::silence::SILENT_AFTER;
use super::telemetry::{Clock, Sources, UPTIME};
use super::threshold::ThresholdState;
use super::together::Together;
use crate::model::{Change, Detection, Presence, SampleBatch, SeriesId, SeriesKey, Timestamp, has_all};

/// Series that are watched at once.
pub(super) const SERIES_MAX: usize = 2048;
/// File systems that are judged at once; the collector reports 128.
const MOUNTS_MAX: usize = 256;
/// How often silent series are looked for.
const SWEPT_EVERY: Duration = Duration::from_secs(30);
/// Beyond this nothing that is measured lies, and sums of squares stay finite.
const VALUE_MAX: f64 = 1e100;

/// Series compared with their past without being told to: what a person would look at first.
const STANDARD: [(&str, &[(&str, &str)]); 13] = [
    ("holdfast.cpu.utilization", &[]),
    ("system.cpu.utilization", &[("cpu.mode", "iowait")]),
    ("system.cpu.utilization", &[("cpu.mode", "steal")]),
    ("system.memory.utilization", &[("system.memory.state", "used")]),
    ("system.paging.utilization", &[("system.paging.state", "used")]),
    ("system.linux.pressure.stall_time", &[]),
    ("system.cpu.load_average.1m", &[]),
    ("system.disk.io_time", &[]),
    ("system.network.errors", &[]),
    ("system.network.packet.dropped", &[]),
    ("holdfast.app.error.ratio", &[]),
    ("holdfast.app.http.error.ratio", &[]),
    ("holdfast.app.latency.p95", &[]),
];

/// All per-sample methods.
#[derive(Debug, Clone)]
pub struct Detectors {
    pub(super) config: DetectConfig,
    pub(super) limits: Vec<Threshold>,
    pub(super) series: Vec<Watched>,
    pub(super) by_id: HashMap<SeriesId, usize>,
    pub(super) mounts: Vec<Mount>,
    pub(super) groups: Groups,
    pub(super) together: Together,
    /// Series that found no place, here or there.
    pub(super) refused: BTreeMap<SeriesId, Refused>,
    activity: Activities,
    sources: Sources,
    clock: Clock,
    uptime: Option<SeriesId>,
    pub(super) swept_at: Timestamp,
    /// What people confirmed: not saved here, for it lies in the labels.
    known: Labels,
    scratch: Vec<f64>,
    touched: Vec<usize>,
}

impl Detectors {
    /// Without any history.
    pub fn new(config: &DetectConfig) -> Self {
        Self {
            limits: config.thresholds(),
            config: config.clone(),
            series: Vec::new(),
            by_id: HashMap::new(),
            mounts: Vec::new(),
            groups: Groups::default(),
            together: Together::default(),
            refused: BTreeMap::new(),
            activity: Activities::default(),
            sources: Sources::default(),
            clock: Clock::default(),
            uptime: None,
            swept_at: Timestamp::default(),
            known: Labels::default(),
            scratch: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// All samples of one moment. `Present` at the transition and again at most once a minute while it lasts (or when its severity
    /// changes), `Cleared` once, `Inconclusive` once when a series with a finding goes silent.
    pub fn on_batch(&mut self, batch: &SampleBatch) -> Vec<Detection> {
        let mut out = Vec::new();
        let at = batch.at;
        self.together.step(at);
        for (id, key) in &batch.new_series {
            self.bind(*id, key, at);
        }
        self.sources.listened(at);
        self.take_up(batch);
        // Departures may last an hour before they are adopted; what preceded them is still their context.
        self.activity.forget(at, ACTIVITY_REACH + self.config.adopt_after.0);
        if let Some((_, uptime_s)) = batch.samples.iter().find(|(id, _)| Some(*id) == self.uptime) {
            self.activity.uptime(at, *uptime_s);
        }
        let activity = self.activity.all();
        let report = self.config.telemetry.report;
        let from_sources = report && self.sources.are_there();
        for (id, value) in &batch.samples {
            if from_sources {
                self.sources.heard(*id, at, *value);
            }
            if report && self.uptime == Some(*id) {
                out.extend(self.clock.step(at, *value));
            }
            let Some(&slot) = self.by_id.get(id) else { continue };
            if !value.is_finite() {
                // No value is a gap, never a number.
                if let Some(watched) = self.series.get_mut(slot) {
                    watched.gap();
                }
                continue;
            }
            let Some(watched) = self.series.get_mut(slot) else { continue };
            let raw = value.clamp(-VALUE_MAX, VALUE_MAX);
            let (before, taken) = (watched.last, watched.take(at, raw));
            self.groups.put(&watched.groups, watched.key.kind, before, at, raw);
            let Some(value) = taken else { continue };
            if watched.is_judged() {
                watched.recent.push(at, value);
            }
            if watched.standing.is_some_and(|it| !self.together.put(it, at, value)) {
                watched.standing = self.together.standing(&watched.key);
            }
            if let Some((mount, role)) = watched.mount
                && let Some(mount_state) = self.mounts.get_mut(mount)
                && mount_state.put(role, value)
            {
                self.touched.push(mount);
            }
            if let Some(anomaly) = &mut watched.anomaly {
                if report {
                    let told = watched.stillness.step(&watched.key, at, raw);
                    out.extend(told.detection);
                    if told.stuck {
                        anomaly.gap();
                        out.extend(anomaly.silent(&watched.key, at).into_iter().flatten());
                    }
                }
                if !(report && watched.stillness.is_stuck()) {
                    let said = anomaly.step(&self.config, &watched.key, (at, value, watched.step_s), activity);
                    out.extend(said.into_iter().flatten());
                }
            }
            if !watched.thresholds.is_empty() {
                judge_limits(&self.limits, &mut self.series, slot, at, value, &mut out);
            }
        }
        while let Some(mount) = self.touched.pop() {
            if let Some(mount) = self.mounts.get_mut(mount) {
                mount.step(&self.config.disk, at, &mut self.scratch, &mut out);
            }
        }
        self.groups.step(&self.config, at, &mut self.scratch, &mut out);
        if at.since(self.swept_at) >= SWEPT_EVERY || at < self.swept_at {
            self.swept_at = at;
            if report {
                self.sources.sweep(&self.config.telemetry, at, &mut out);
            }
            self.sweep(at, &mut out);
        }
        for said in &mut out {
            // The clock may have been set back in the middle: nothing begins in the future.
            said.began_at = said.began_at.min(at);
            self.tell_related(said);
        }
        out
    }

    /// Adds to a detection what its series was like lately, which other series of the same unit, or of the host, depart at this moment,
    /// and which units use more.
    pub fn tell_related(&self, detection: &mut Detection) {
        if detection.presence != Presence::Present {
            return;
        }
        let key = detection.evidence.iter().find(|it| it.name == "series.key").map(|it| it.value.to_string());
        let own = key.and_then(|key| self.series.iter().find(|it| it.key.to_string() == key));
        if let Some(own) = own {
            own.tell_course(detection);
        }
        self.together.tell(detection, own.and_then(|it| it.standing));
    }

    /// Something deliberate happened: for a while it is the likelier reason for a departure, and lowers confidence.
    /// Deployments, also those that run or failed, package runs and pipelines count; what the agent did itself counts too.
    pub fn note_activity(&mut self, what: &Change) {
        self.activity.change(what);
    }

    /// The agent itself was started: its own first looks at everything cost something, and what else was started with it does.
    /// That the host was booted is read off its uptime.
    pub fn note_start(&mut self, at: Timestamp) {
        self.activity.note(at, "the agent was started".to_owned());
    }

    /// From now on nothing that people confirmed is taken for normal. To be told again after every change of a label, and after
    /// [`Detectors::restore`].
    pub fn protect(&mut self, labels: &Labels) {
        self.known = labels.clone();
        for slot in 0..self.series.len() {
            self.apply_labels(slot);
        }
        for mount in &mut self.mounts {
            mount.protect(labels);
        }
    }

    fn apply_labels(&mut self, slot: usize) {
        let watched = &mut self.series[slot];
        if let Some(anomaly) = &mut watched.anomaly {
            anomaly.protect(&watched.key, &self.known);
        }
    }

    /// Goes on with what was learnt under other settings.
    pub fn reconfigure(&mut self, config: &DetectConfig) {
        (self.config, self.limits) = (config.clone(), config.thresholds());
        self.groups.configure(config);
        for slot in 0..self.series.len() {
            self.apply_config(slot);
        }
        self.find_divisors();
    }

    /// A series has a number now: watch it, if any method wants it.
    pub(super) fn bind(&mut self, id: SeriesId, key: &Arc<SeriesKey>, at: Timestamp) {
        self.by_id.remove(&id);
        self.refused.remove(&id);
        self.sources.bind(id, key, at);
        if key.metric == UPTIME {
            self.uptime = Some(id);
        } else if self.uptime == Some(id) {
            self.uptime = None;
        }
        if let Some(slot) = self.series.iter().position(|it| it.key == *key) {
            // The number that it had may have been given to another series.
            self.by_id.retain(|_, other| *other != slot);
            self.series[slot].id = id;
            self.by_id.insert(id, slot);
            return;
        }
        let wanted = self.wanted(key);
        if !wanted || self.series.len() >= SERIES_MAX {
            self.refuse(id, key, wanted, at);
            return;
        }
        let slot = self.series.len();
        self.series.push(Watched::new(id, key));
        self.by_id.insert(id, slot);
        self.apply_config(slot);
        self.find_divisors();
    }

    /// Whether the series is compared with its past.
    pub(super) fn compared(&self, key: &SeriesKey) -> bool {
        let standard = STANDARD.iter().any(|(metric, wanted)| {
            key.metric == *metric
                && !key.attributes.contains_key("cpu.logical_number")
                && has_all(&key.attributes, wanted.iter().copied())
        });
        self.config.anomalies
            && (standard
                || self.config.watch.iter().any(|it| it.metric == key.metric && has_all(&key.attributes, &it.where_)))
    }

    /// Gives a series the methods that the configuration wants for it, and takes away those that it doesn't want any more.
    pub(super) fn apply_config(&mut self, slot: usize) {
        let key = Arc::clone(&self.series[slot].key);
        let compared = self.compared(&key);
        let mount = disk::role(&key).filter(|(name, _)| !self.config.disk.ignore.iter().any(|it| it == name));
        let mount = mount.and_then(|(name, role)| self.mount(name).map(|mount| (mount, role)));
        let watched = &mut self.series[slot];
        match (&watched.anomaly, compared) {
            (None, true) => watched.anomaly = Some(Box::new(Anomaly::new(&key))),
            (Some(_), false) => watched.anomaly = None,
            _ => {}
        }
        if let Some(anomaly) = &mut watched.anomaly {
            anomaly.configure(&self.config, &key);
        }
        watched.mount = mount;
        watched.groups = self.groups.roles(&self.config, &key);
        watched.standing = self.together.standing(&key);
        self.apply_labels(slot);
        let watched = &mut self.series[slot];
        let limits = &self.limits;
        watched.thresholds.retain(|state| limits.iter().any(|it| it.name == state.name && concerns(it, &key)));
        for limit in limits.iter().filter(|it| concerns(it, &key)) {
            if watched.thresholds.iter().all(|state| state.name != limit.name) {
                watched.thresholds.push(ThresholdState::new(&limit.name));
            }
        }
    }

    fn mount(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.mounts.iter().position(|it| it.name == name) {
            return Some(at);
        }
        if self.mounts.len() >= MOUNTS_MAX {
            return None;
        }
        let mut mount = Mount::new(name);
        mount.protect(&self.known);
        self.mounts.push(mount);
        Some(self.mounts.len() - 1)
    }

    pub(super) fn find_divisors(&mut self) {
        for slot in 0..self.series.len() {
            let found: Vec<Option<usize>> = self.series[slot]
                .thresholds
                .iter()
                .map(|state| {
                    let rule = self.limits.iter().find(|it| it.name == state.name)?;
                    let of = rule.of.as_deref()?;
                    let own = &self.series[slot].key.attributes;
                    self.series.iter().position(|it| it.key.metric == of && has_all(own, &it.key.attributes))
                })
                .collect();
            self.series[slot].divisors = found;
        }
    }
}

/// Holds one value to the limits of its series.
fn judge_limits(
    limits: &[Threshold],
    series: &mut [Watched],
    slot: usize,
    at: Timestamp,
    value: f64,
    out: &mut Vec<Detection>,
) {
    // Taken out for a moment, so that the other series can be looked at for what to divide by; nothing is allocated.
    let mut states = std::mem::take(&mut series[slot].thresholds);
    for (index, state) in states.iter_mut().enumerate() {
        let Some(rule) = limits.iter().find(|rule| rule.name == state.name) else { continue };
        let mut value = value;
        if rule.of.is_some() {
            let divisor = series[slot].divisors.get(index).copied().flatten().and_then(|other| series[other].value);
            let Some((_, divisor)) = divisor.filter(|(then, it)| *it != 0.0 && at.since(*then) <= SILENT_AFTER) else {
                state.gap();
                continue;
            };
            value = (value / divisor).clamp(-VALUE_MAX, VALUE_MAX);
        }
        out.extend(state.step(rule, &series[slot].key, at, value));
    }
    series[slot].thresholds = states;
}

pub(super) fn concerns(limit: &Threshold, key: &SeriesKey) -> bool {
    limit.metric == key.metric && has_all(&key.attributes, &limit.where_)
}
