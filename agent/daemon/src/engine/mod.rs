//! The engine: from what was seen to what is done about it, as a state machine.
//!
//! It takes events and gives commands; it waits for nothing, reads no clock and touches the world only through the ledger
//! (durable state) and the telemetry store's queue. So a simulation with a fake clock drives the very code that runs in
//! production. **Nothing acts without an `Authorized<Plan>`, and none is carried out before its intent is durable.**

mod baselines;
mod calls;
mod command;
mod deployments;
mod facts;
mod files;
mod findings;
mod history;
mod incidents;
mod inventory;
mod labels;
mod ledger;
mod own_effects;
mod perform;
mod plan;
mod plugins;
mod purge;
mod receivers;
mod records;
mod recover;
mod releases;
mod reports;
mod rules;
mod status;
mod tuning;
mod undo;
mod unheard;
mod units;
mod verification;

#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::detect::labels::Labels;
use holdfast_core::detect::lifecycle::Lifecycle;
use holdfast_core::detect::{DetectConfig, Detectors, Restarts};
use holdfast_core::model::audit::{AuditKind, Draft};
use holdfast_core::model::{
    Change, Deployment, DeploymentId, DeploymentState, Detection, Finding, FindingId, IdSource, Incident, IncidentId,
    Mode, Plan, Remediation, RemediationId, RunId, Timestamp, UnitState,
};
use holdfast_core::policy::{Authorized, PastRun, Policy};
use holdfast_core::redact::Redactor;

use crate::collect::CollectorReport;
use crate::event_loop::Event;
use crate::status::{Paused, PluginChange, PluginStatus};
use crate::store::{
    BaselineFile, Blobs, ChangeFilter, DeploymentFilter, FindingFilter, IncidentFilter, PluginStateWrite,
    RemediationFilter, StateDb, StateReader, StoreError, TelemetryDb, Writes,
};
use ledger::Ledger;

pub use command::{Command, WantedTuning};

/// Changes remembered for ranking suspects.
const CHANGES_MAX: usize = 2_000;
/// Changes older than this are no suspects.
const CHANGES_KEPT: Duration = Duration::from_hours(2);
/// Runs remembered for cooldowns and budgets.
const HISTORY_MAX: usize = 2_000;
/// Runs older than this count for nothing.
const HISTORY_KEPT: Duration = Duration::from_hours(30 * 24);
/// The actor of what the agent does on its own.
pub(crate) const AGENT: &str = "agent";

/// One moment on both clocks: wall for labels, mono for waiting.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Wall clock.
    pub wall: Timestamp,
    /// Since some fixed moment in this process.
    pub mono: Duration,
}

/// How far a plugin's proposals may go, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActGrant {
    /// At most this mode.
    pub mode: Mode,
    /// Verbs.
    pub actions: Vec<String>,
    /// Globs of units.
    pub units: Vec<String>,
    /// Globs of paths.
    pub paths: Vec<String>,
}

/// What the engine asks about plugins without calling them.
pub trait PluginView: Send + Sync {
    /// What the operator granted; `None`: no such plugin, or not granted.
    fn grant(&self, plugin: &str) -> Option<ActGrant>;
    /// Checks whose granted roots hold this path.
    fn checks_of_path(&self, path: &str) -> Vec<String>;
    /// Checks that want to run when something of this kind has changed or was found.
    fn checks_of_kind(&self, _kind: &str) -> Vec<String> {
        Vec::new()
    }
    /// Ends a plugin's quarantine. Answers whether it had one; `None`: no such plugin.
    fn lift(&self, _plugin: &str) -> Option<bool> {
        None
    }
    /// What is to be removed from the store when nothing is to be kept of a plugin that has gone.
    fn forget(&self, _plugin: &str) -> Vec<PluginStateWrite> {
        Vec::new()
    }
    /// Has files looked at without waiting for the next look by the clock.
    fn look_soon(&self) {}
    /// What was added, replaced, switched or removed since the last call.
    fn take_changes(&self) -> Vec<PluginChange> {
        Vec::new()
    }
    /// For `status`.
    fn statuses(&self) -> Vec<PluginStatus>;
    /// What plugins want kept since the last call.
    fn take_state(&self) -> Vec<PluginStateWrite> {
        Vec::new()
    }
    /// Whether plugins are benched.
    fn detections(&self, _at: Timestamp) -> Vec<Detection> {
        Vec::new()
    }
    /// Why nobody says any more what this plugin has found; `None`: it may still say so.
    fn silent(&self, _plugin: &str) -> Option<String> {
        None
    }
    /// How the receivers stand, for `status`.
    fn receivers(&self) -> Vec<crate::status::ReceiverStatus> {
        Vec::new()
    }
    /// How the exporters stand, for `status`.
    fn exports(&self) -> Vec<serde_json::Value> {
        Vec::new()
    }
}

/// What does not change while the agent runs.
pub struct EngineConfig {
    /// `host.name`.
    pub host: String,
    /// `deployment.environment.name` of this host.
    pub environment: Option<String>,
    /// No rule goes further than this.
    pub ceiling: Mode,
    /// A person may not approve what they asked for.
    pub four_eyes: bool,
    /// What is taken out of findings, changes and plans before anything is made of them.
    pub redactor: Arc<Redactor>,
    /// Detection, as the configuration says; a tuning comes over it.
    pub detect: DetectConfig,
    /// Contents up to so many bytes are kept for restoring.
    pub content_bytes_max: u64,
    /// Logical CPUs.
    pub cpus: usize,
    /// Retention of samples, for `status`.
    pub retention: Duration,
    /// Closed findings and what belongs to them are kept for this long.
    pub records: Duration,
    /// Size cap of the sample store, for `status`.
    pub size_max_bytes: u64,
}

/// What was asked of a plugin and has not come back.
#[derive(Debug, Default)]
struct Asked {
    proposals: HashMap<FindingId, String>,
    /// Checks that a person asked for, and who.
    checks: HashMap<RunId, String>,
    /// Who asked for the check whose report is being taken.
    by: Option<String>,
    /// Findings that a person's check opened, and who; until they are resolved.
    findings: HashMap<FindingId, String>,
}

/// A remediation whose steps run.
#[derive(Debug)]
struct Running {
    id: RemediationId,
    authorized: Arc<Authorized<Plan>>,
}

/// See the module.
pub struct Engine {
    config: EngineConfig,
    ids: Box<dyn IdSource>,
    ledger: Ledger,
    reader: StateReader,
    telemetry: TelemetryDb,
    blobs: Blobs,
    plugins: Arc<dyn PluginView>,
    policy: Policy,
    policy_files: Vec<String>,
    detectors: Detectors,
    lifecycle: Lifecycle,
    /// What people said about findings.
    labels: Labels,
    /// Settings over those of the configuration.
    tuning: tuning::Tunings,
    incidents: BTreeMap<IncidentId, Incident>,
    remediations: BTreeMap<RemediationId, Remediation>,
    running: Option<Running>,
    /// An approved remediation whose first or next step could not be begun; tried again at this time.
    stalled: Option<(RemediationId, Duration)>,
    /// When to look at a finding again: sustained, or denied for the time being.
    pending: BTreeMap<FindingId, Duration>,
    asked: Asked,
    /// Verdict and codes of the last decision about a finding: the same again is not recorded again.
    decided: HashMap<FindingId, String>,
    plugin_says: HashMap<RemediationId, verification::PluginSays>,
    /// How often the actuator was asked what became of a request.
    outcome_asked: HashMap<RemediationId, u32>,
    history: Vec<PastRun>,
    units: BTreeMap<String, UnitState>,
    units_problem: Option<String>,
    /// How often systemd restarted each unit by itself of late.
    restarts: BTreeMap<String, Restarts>,
    deployments: BTreeMap<DeploymentId, Deployment>,
    /// Superseded releases that are being looked at.
    releases_asked: releases::Asked,
    baselines: BTreeMap<String, BaselineFile>,
    /// What the host is made of besides files: accepted, and as last seen.
    inventory: inventory::Known,
    /// Files of a package whose content did not fit it: looked at once more before judging.
    second_look: HashMap<String, u32>,
    /// Files whose content a person refused by restoring what was accepted earlier: its digest or `absent`, once it was read.
    refused: HashMap<String, Option<String>>,
    changes: VecDeque<Change>,
    history_of_changes: history::History,
    facts: facts::HostFacts,
    own: own_effects::OwnEffects,
    paused: Option<Paused>,
    collectors: Vec<CollectorReport>,
    collectors_failing: Vec<String>,
    receivers: receivers::Receivers,
    unsaid: reports::Unsaid,
    started: Moment,
    checks_due: BTreeMap<String, Duration>,
    detectors_saved: Duration,
    /// When old records are looked for.
    records_due: Duration,
    /// When findings that nobody speaks of were looked for last.
    unheard_at: Duration,
}

/// What the engine is made of.
pub struct Parts {
    /// Durable state; the engine becomes its only writer.
    pub state: StateDb,
    /// Samples and changes.
    pub telemetry: TelemetryDb,
    /// Contents of accepted files.
    pub blobs: Blobs,
    /// Plugins.
    pub plugins: Arc<dyn PluginView>,
    /// Policy in force.
    pub policy: Policy,
    /// Names of its files.
    pub policy_files: Vec<String>,
    /// Random bytes for ids.
    pub ids: Box<dyn IdSource>,
}

impl Engine {
    /// Takes up where the stored state ends.
    pub fn new(mut config: EngineConfig, parts: Parts, now: Moment) -> Result<Self, StoreError> {
        let Parts { state, telemetry, blobs, plugins, policy, policy_files, ids } = parts;
        let ledger = Ledger::new(state);
        let reader = ledger.reader();
        let mut open = recently_resolved(&reader, now.wall)?;
        open.extend(reader.findings(&FindingFilter { open_only: true, limit: 100_000, ..FindingFilter::default() })?);
        open.extend(reader.findings(&FindingFilter {
            suppressed_only: true,
            limit: 100_000,
            ..FindingFilter::default()
        })?);
        let labels = Labels::new(reader.labels()?);
        let incidents =
            reader.incidents(&IncidentFilter { open_only: true, limit: 100_000, ..IncidentFilter::default() })?;
        let since = Some(now.wall.minus(HISTORY_KEPT));
        let past =
            reader.remediations(&RemediationFilter { since, limit: HISTORY_MAX, ..RemediationFilter::default() })?;
        let unfinished = reader.remediations(&RemediationFilter {
            open_only: true,
            limit: 100_000,
            ..RemediationFilter::default()
        })?;
        let deployments =
            reader.deployments(&DeploymentFilter { limit: deployments::READ_MAX, ..DeploymentFilter::default() })?;
        let baselines: BTreeMap<String, BaselineFile> =
            reader.baselines()?.into_iter().map(|it| (it.state.path.clone(), it)).collect();
        let changes = telemetry
            .reader()
            .changes(&ChangeFilter {
                since: Some(now.wall.minus(CHANGES_KEPT)),
                limit: CHANGES_MAX,
                ..ChangeFilter::default()
            })
            .unwrap_or_default();
        let paused = reader.setting("paused")?.and_then(|value| serde_json::from_value(value).ok());
        let tuning = tuning::Tunings::load(&reader, &config.detect)?;
        config.detect = tuning.in_force();
        let mut detectors = match reader.setting("detectors")? {
            Some(saved) => Detectors::restore(&config.detect, &saved),
            None => Detectors::new(&config.detect),
        };
        detectors.protect(&labels);
        Ok(Self {
            ids,
            plugins,
            policy,
            policy_files,
            detectors,
            lifecycle: Lifecycle::new(open),
            tuning,
            labels,
            incidents: incidents.into_iter().map(|it| (it.id.clone(), it)).collect(),
            history: past.iter().filter_map(rules::past_run).collect(),
            remediations: unfinished.into_iter().map(|it| (it.id.clone(), it)).collect(),
            running: None,
            stalled: None,
            pending: BTreeMap::new(),
            asked: Asked::default(),
            decided: HashMap::new(),
            plugin_says: HashMap::new(),
            outcome_asked: HashMap::new(),
            units: BTreeMap::new(),
            units_problem: None,
            restarts: BTreeMap::new(),
            deployments: releases::remembered(deployments, now.wall, |dir| {
                releases::a_file_below(&baselines, dir).is_some()
            }),
            releases_asked: releases::Asked::new(),
            baselines,
            inventory: inventory::Known::load(&reader)?,
            second_look: HashMap::new(),
            refused: HashMap::new(),
            changes: changes.into(),
            history_of_changes: history::History::load(reader.setting(history::SETTING)?),
            facts: facts::HostFacts::new(config.cpus),
            own: own_effects::OwnEffects::default(),
            paused,
            collectors: Vec::new(),
            collectors_failing: Vec::new(),
            receivers: receivers::Receivers::default(),
            unsaid: reports::Unsaid::default(),
            started: now,
            checks_due: BTreeMap::new(),
            detectors_saved: now.mono,
            records_due: now.mono + records::LOOK_EVERY,
            unheard_at: now.mono,
            ledger,
            reader,
            telemetry,
            blobs,
            config,
        })
    }

    /// The first thing: says in the audit chain that the agent runs, and takes up what was under way.
    pub fn begin(&mut self, now: Moment) -> Vec<Command> {
        let body = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "policy": self.policy.digest(),
            "ceiling": self.config.ceiling,
            "plugins": self.plugins.statuses().iter().map(|p| serde_json::json!([p.id, p.digest])).collect::<Vec<_>>(),
        });
        let draft = Self::draft(now, AuditKind::AgentStarted, AGENT, "agent", body);
        self.ledger.soon(Writes { audit: vec![draft], ..Writes::default() }, now);
        // Whose call was under way when the agent ended is durable before anybody is called again: the mark of it is gone by now.
        self.record_plugins(now);
        self.detectors.note_start(now.wall);
        let mut out = Vec::new();
        let released = |it: &Deployment| it.release_dir.clone().filter(|_| it.state == DeploymentState::Succeeded);
        for dir in self.deployments.values().filter_map(released) {
            out.push(Command::Watch(dir));
        }
        self.recover(now, &mut out);
        self.close_ended_incidents(now);
        let open: Vec<FindingId> = self.lifecycle.open().map(|it| it.id.clone()).collect();
        for id in open {
            // Not at once: what is still there will be seen again within seconds, what is gone will be resolved.
            self.pending.insert(id, now.mono + Duration::from_secs(5));
        }
        out
    }

    /// Takes one event.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Command> {
        let mut out = Vec::new();
        match event {
            Event::Tick(batch, collectors) => self.on_tick(&batch, collectors, now, &mut out),
            Event::Unit(unit, at) => self.on_unit(unit, at, now, &mut out),
            Event::NoUnits(why) => self.units_problem = Some(why),
            Event::File(found) => self.on_file(*found, now, &mut out),
            Event::Inventory(found, at) => self.on_inventory(*found, at, now, &mut out),
            Event::Files(found, purpose) => self.on_files(found, purpose, now, &mut out),
            Event::Left { dir, nothing } => self.on_left(&dir, nothing, now, &mut out),
            Event::Change(change) => {
                self.on_change(change, now);
            }
            Event::Told { change, taken } => {
                // Who told may have gone meanwhile.
                let _ = taken.send(self.on_change(change, now));
            }
            Event::Call(call) => self.on_call(call, now, &mut out),
            Event::CheckDue(plugin) => self.check(&plugin, None, now, &mut out),
            Event::Proposed { finding, rule, run, result } => {
                self.on_proposed(&finding, &rule, &run, result, now, &mut out);
            }
            Event::Checked { plugin, run, elapsed, result, answer } => {
                self.on_checked((&plugin, run, elapsed), result, answer, now, &mut out);
            }
            Event::Verified { remediation, result } => self.on_plugin_verdict(&remediation, result),
            Event::Performed { remediation, step, result } => {
                self.on_performed(&remediation, step, result, now, &mut out);
            }
            Event::Undone { remediation, step, result } => self.on_undone(&remediation, step, result, now, &mut out),
            Event::Outcome { remediation, step, undo, result } => {
                self.on_outcome(&remediation, (step, undo), result, now, &mut out);
            }
            Event::Episode { label, result } => self.on_episode(&label, result, now),
            Event::Purged { by, result, answer } => self.on_purged(&by, result, answer, now),
            Event::TuningProved { wanted, replayed, answer } => {
                self.on_tuning_proved(*wanted, replayed, answer, now);
                self.close_unheard(true, now, &mut out);
            }
            Event::ReloadAsked => out.push(Command::Reload(None)),
            Event::Reloaded(reloaded, answer) => self.on_reloaded(reloaded, answer, now, &mut out),
            Event::Shutdown => self.on_shutdown(now),
        }
        out
    }

    /// When [`Engine::on_timer`] has something to do.
    pub fn next_timer(&self) -> Option<Duration> {
        let verifying = self.remediations.values().any(verification::is_watching).then_some(Duration::ZERO);
        self.pending
            .values()
            .chain(self.checks_due.values())
            .copied()
            .chain(self.stalled.as_ref().map(|(_, at)| *at))
            .chain(self.ledger.retry_at())
            .chain(verifying)
            .min()
    }

    /// Does what has become due.
    pub fn on_timer(&mut self, now: Moment) -> Vec<Command> {
        let mut out = Vec::new();
        if self.ledger.retry_at().is_some_and(|at| at <= now.mono) {
            self.ledger.retry(now);
        }
        let due: Vec<FindingId> =
            self.pending.iter().filter(|(_, at)| **at <= now.mono).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.pending.remove(&id);
            self.consider(&id, now, &mut out);
        }
        let checks: Vec<String> =
            self.checks_due.iter().filter(|(_, at)| **at <= now.mono).map(|(id, _)| id.clone()).collect();
        for plugin in checks {
            self.checks_due.remove(&plugin);
            self.check(&plugin, None, now, &mut out);
        }
        self.watch_results(now, &mut out);
        self.expire(now);
        if self.stalled.as_ref().is_some_and(|(_, at)| *at <= now.mono) {
            self.stalled = None;
            self.resume_steps(now, &mut out);
        }
        self.start_next(now, &mut out);
        out
    }

    fn on_tick(
        &mut self,
        batch: &Arc<holdfast_core::model::SampleBatch>,
        collectors: Vec<CollectorReport>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        self.telemetry.write_batch(Arc::clone(batch));
        self.facts.take(batch, now.mono);
        for detection in self.detectors.on_batch(batch) {
            self.observe(detection, now, out);
        }
        self.collectors = collectors;
        self.observe_collectors(now, out);
        self.observe_receivers(now, out);
        self.observe_store(now, out);
        self.observe_plugins(now, out);
        // Accepted contents are referred to in what waits for the disk only.
        self.blobs.hold(self.ledger.failing().is_some());
        self.expire_records(now, out);
        self.settle_restarts(now, out);
        self.close_unheard(false, now, out);
        if now.mono.saturating_sub(self.detectors_saved) >= Duration::from_mins(5) {
            self.save_detectors(now);
        }
    }

    fn save_detectors(&mut self, now: Moment) {
        self.detectors_saved = now.mono;
        let settings = vec![
            ("detectors".to_owned(), self.detectors.save()),
            (history::SETTING.to_owned(), serde_json::json!(self.history_of_changes)),
        ];
        self.ledger.soon(Writes { settings, ..Writes::default() }, now);
    }

    /// Whether the store has taken it, to be written soon. What is told twice counts once.
    fn on_change(&mut self, mut change: Change, now: Moment) -> bool {
        self.config.redactor.change(&mut change);
        self.detectors.note_activity(&change);
        // What is told late has its place among the earlier ones.
        let place = self.changes.partition_point(|it| it.at <= change.at);
        let beside = self.changes.range(..place).rev().take_while(|it| it.at == change.at);
        if beside.into_iter().any(|it| it.id == change.id) {
            return self.telemetry.write_change(change);
        }
        while self.changes.len() >= CHANGES_MAX
            || self.changes.front().is_some_and(|old| now.wall.since(old.at) > CHANGES_KEPT)
        {
            self.changes.pop_front();
        }
        let place = self.changes.partition_point(|it| it.at <= change.at);
        self.changes.insert(place, change.clone());
        self.history_of_changes.told(&change);
        self.reconsider(&change, now);
        self.run_subscribed(&change.kind, None, now);
        self.telemetry.write_change(change)
    }

    fn on_shutdown(&mut self, now: Moment) {
        self.save_detectors(now);
        self.record_plugins(now);
        let draft = Self::draft(now, AuditKind::AgentStopped, AGENT, "agent", serde_json::json!({}));
        self.ledger.soon(Writes { audit: vec![draft], ..Writes::default() }, now);
        self.ledger.anchor();
    }

    fn draft(now: Moment, kind: AuditKind, actor: &str, subject: impl ToString, body: serde_json::Value) -> Draft {
        Draft { at: now.wall, kind, actor: actor.to_owned(), subject: subject.to_string(), body }
    }
}

/// Findings that were resolved so shortly before the start that coming back is flapping; the oldest first.
fn recently_resolved(reader: &StateReader, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
    let since = Some(now.minus(Duration::from_hours(24)));
    let mut all = reader.findings(&FindingFilter { since, ..FindingFilter::default() })?;
    all.retain(|it| it.resolved_at.is_some_and(|at| now.since(at) <= holdfast_core::correlate::COMES_BACK_WITHIN));
    all.reverse();
    Ok(all)
}
