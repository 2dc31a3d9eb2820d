//! The engine against a made-up host: fake clock, units that crash on cue, an actuator with a journal, and faults.
//!
//! The simulated actuator keeps the real one's promise: a request id is carried out at most once, for ever. Everything runs
//! in one thread in a fixed order, so a seed names a history exactly; a failing test prints it.

mod episodes;
mod files;
mod inventory;
mod labels;
mod learning;
mod scenarios;
mod silence;
mod unheard;
mod versions;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_core::detect::DetectConfig;
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{
    Action, Attributes, Class, Confidence, Detection, Effect, Evidence, IdSource, Method, MetricKind, Mode, Presence,
    Remediation, RemediationId, RemediationState, Risk, SampleBatch, SeriesKey, Severity, Step, Timestamp, Undo,
    UnitState, VerificationVerdict,
};
use holdfast_core::policy::{Policy, PolicyFile};
use holdfast_plugin_host::{CheckReport, PluginVerdict, Proposal};

use super::{ActGrant, Command, Engine, EngineConfig, Moment, Parts, PluginView};
use crate::act::{ActError, Outcome, Performed};
use crate::event_loop::{Event, Proposed};
use crate::request::{Answer, Call, Caller, Request, Role};
use crate::status::PluginStatus;
use crate::store::{
    AuditRow, Blobs, Integrity, PluginStateWrite, RemediationFilter, StateDb, StateReader, TelemetryDb,
    TelemetryOptions, load_or_create_audit_key, verify_chain,
};

const START: i64 = 1_800_000_000;

struct Granted {
    /// Why plugins say nothing any more.
    silent: Arc<Mutex<Option<String>>>,
    /// What is wanted kept from the start on.
    unkept: Arc<Mutex<Vec<PluginStateWrite>>>,
}

impl PluginView for Granted {
    fn grant(&self, plugin: &str) -> Option<ActGrant> {
        (plugin == "unit-medic").then(|| ActGrant {
            mode: Mode::Auto,
            actions: vec!["restart_unit".into(), "reset_failed_unit".into()],
            units: vec!["*".into()],
            paths: vec![],
        })
    }
    fn checks_of_path(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn take_state(&self) -> Vec<PluginStateWrite> {
        std::mem::take(&mut *self.unkept.lock().unwrap())
    }
    fn silent(&self, _: &str) -> Option<String> {
        self.silent.lock().unwrap().clone()
    }
    fn statuses(&self) -> Vec<PluginStatus> {
        vec![PluginStatus {
            id: "unit-medic".into(),
            version: "0.1.0".into(),
            digest: "0".repeat(64),
            roles: vec!["check".into()],
            state: "ready".into(),
            reason: None,
            mode: Mode::Auto,
            calls: 0,
            failures: 0,
            last_error: None,
            last_cost_us: None,
            memory_peak_bytes: None,
            last_memory_bytes: None,
            last_returned_bytes: None,
            last_host_calls: None,
            cost_us: 0,
            returned_bytes: 0,
            host_calls: 0,
            host_calls_denied: 0,
            quarantines: 0,
            quarantined_until: None,
            update_refused: None,
        }]
    }
}

/// What the made-up host does when it is asked to restart a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    /// It works.
    Heals,
    /// The unit fails again at once.
    FailsAgain,
    /// The actuator does it, and its answer is lost.
    AnswerLost,
    /// The actuator refuses.
    Refused,
}

struct World {
    units: BTreeMap<String, UnitState>,
    /// Content and mode by path.
    files: BTreeMap<String, (String, u32)>,
    journal: HashMap<String, Result<Performed, ActError>>,
    restarts: u32,
    restart: Restart,
    runs: u32,
}

/// The engine and its host.
struct Sim {
    dir: tempfile::TempDir,
    policy: String,
    ceiling: Mode,
    four_eyes: bool,
    detect: DetectConfig,
    /// Samples that one proof of a tuning replays.
    samples_max: u64,
    /// Who asks.
    caller: Caller,
    seed: u64,
    engine: Option<Engine>,
    telemetry: Option<TelemetryDb>,
    now: Moment,
    world: World,
    events: VecDeque<Event>,
    /// What is measured of the CPU each second; `None`: nothing.
    cpu: Option<f64>,
    /// Whether the agent that runs knows the series.
    told: bool,
    /// Why plugins say nothing any more.
    silent: Arc<Mutex<Option<String>>>,
    /// What plugins want kept.
    unkept: Arc<Mutex<Vec<PluginStateWrite>>>,
    /// What checks evaluate in the place of their rule, and find nothing.
    evaluated: Option<Vec<String>>,
    /// Commands carried out so far; the agent is killed before the one with this number.
    commands: u32,
    kill_at: Option<u32>,
    killed: bool,
}

fn unit(name: &str, active_state: &str, run: u32) -> UnitState {
    UnitState {
        name: name.into(),
        load_state: "loaded".into(),
        active_state: active_state.into(),
        sub_state: if active_state == "failed" { "failed" } else { "running" }.into(),
        result: if active_state == "failed" { "signal" } else { "success" }.into(),
        invocation_id: Some(format!("{run:032x}")),
        restart: "no".into(),
        ..UnitState::default()
    }
}

impl Sim {
    fn new(policy: &str, ceiling: Mode) -> Self {
        let mut sim = Self {
            dir: tempfile::tempdir().unwrap(),
            policy: policy.into(),
            ceiling,
            four_eyes: false,
            detect: DetectConfig::default(),
            samples_max: crate::data::REPLAYED_MAX,
            caller: Caller { name: "alice (uid 1000)".into(), uid: 1_000, role: Role::Admin },
            seed: 1,
            engine: None,
            telemetry: None,
            now: Moment { wall: Timestamp::from_secs(START), mono: Duration::from_secs(100) },
            world: World {
                units: BTreeMap::new(),
                files: BTreeMap::new(),
                journal: HashMap::new(),
                restarts: 0,
                restart: Restart::Heals,
                runs: 1,
            },
            events: VecDeque::new(),
            cpu: None,
            told: false,
            silent: Arc::default(),
            unkept: Arc::default(),
            evaluated: None,
            commands: 0,
            kill_at: None,
            killed: false,
        };
        sim.boot();
        sim
    }

    /// Starts the agent on the directory as it lies there.
    fn boot(&mut self) {
        let key = load_or_create_audit_key(self.dir.path()).unwrap();
        let state = StateDb::open(self.dir.path(), key).unwrap();
        let telemetry = TelemetryDb::open(self.dir.path(), TelemetryOptions::default()).unwrap();
        let (policy, problems) = Policy::load(&[PolicyFile { name: "sim.toml".into(), text: self.policy.clone() }]);
        assert!(problems.iter().all(|it| it.level != holdfast_core::policy::Level::Error), "{problems:?}");
        self.seed += 1;
        self.told = false;
        let parts = Parts {
            state,
            telemetry: telemetry.clone(),
            blobs: Blobs::open(self.dir.path(), u64::MAX).unwrap(),
            plugins: Arc::new(Granted { silent: Arc::clone(&self.silent), unkept: Arc::clone(&self.unkept) }),
            policy,
            policy_files: vec!["sim.toml".into()],
            ids: Box::new(SeededIds(self.seed)),
        };
        let config = EngineConfig {
            host: "sim".into(),
            environment: Some("staging".into()),
            ceiling: self.ceiling,
            four_eyes: self.four_eyes,
            redactor: Arc::new(holdfast_core::redact::Redactor::standard()),
            detect: self.detect.clone(),
            content_bytes_max: 1 << 20,
            cpus: 2,
            retention: Duration::from_secs(1),
            records: Duration::from_hours(400 * 24),
            size_max_bytes: 1,
        };
        let mut engine = Engine::new(config, parts, self.now).unwrap();
        let commands = engine.begin(self.now);
        self.engine = Some(engine);
        self.telemetry = Some(telemetry);
        self.carry_out(commands);
        let told: Vec<UnitState> = self.world.units.values().cloned().collect();
        for it in told {
            self.events.push_back(Event::Unit(it, self.now.wall));
        }
        self.drain();
    }

    /// Ends the agent as SIGKILL does: nothing is told, nothing is flushed.
    fn kill(&mut self) {
        self.killed = true;
        self.engine = None;
        self.events.clear();
        if let Some(telemetry) = self.telemetry.take() {
            let _ = telemetry.close();
        }
    }

    fn set_unit(&mut self, name: &str, active_state: &str) {
        if active_state == "active" {
            self.world.runs += 1;
        }
        let state = unit(name, active_state, self.world.runs);
        self.world.units.insert(name.into(), state.clone());
        self.events.push_back(Event::Unit(state, self.now.wall));
        self.drain();
    }

    /// Time goes on.
    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds * 4 {
            self.quarter();
        }
    }

    /// A quarter of a second; each whole one brings a tick.
    fn quarter(&mut self) {
        let by = Duration::from_millis(250);
        self.now = Moment { wall: self.now.wall.plus(by), mono: self.now.mono + by };
        if self.now.mono.subsec_millis() == 0 {
            let batch = self.batch();
            self.events.push_back(Event::Tick(Arc::new(batch), vec![]));
        }
        let now = self.now;
        if let Some(engine) = self.engine.as_mut() {
            let commands = engine.on_timer(now);
            self.carry_out(commands);
        }
        self.drain();
    }

    /// What is measured now, with a little noise.
    fn batch(&mut self) -> SampleBatch {
        let mut batch = SampleBatch { at: self.now.wall, new_series: vec![], samples: vec![] };
        let (Some(cpu), Some(telemetry)) = (self.cpu, &self.telemetry) else { return batch };
        let key = SeriesKey {
            metric: "holdfast.cpu.utilization".into(),
            unit: "1".into(),
            kind: MetricKind::Gauge,
            attributes: Attributes::new(),
        };
        let (id, _) = telemetry.registry().intern(&key);
        if !std::mem::replace(&mut self.told, true) {
            batch.new_series.push((id, Arc::new(key)));
        }
        let second = self.now.mono.as_secs();
        batch.samples.push((id, cpu + (second * 7_919 % 100) as f64 / 2_000.0));
        // The store's queue holds some minutes: a simulation is faster than that.
        if second.is_multiple_of(100) {
            telemetry.flush().unwrap();
        }
        batch
    }

    fn drain(&mut self) {
        while let Some(event) = self.events.pop_front() {
            let now = self.now;
            let Some(engine) = self.engine.as_mut() else { return };
            let mut commands = engine.handle(event, now);
            commands.extend(engine.on_timer(now));
            self.carry_out(commands);
        }
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.commands += 1;
            if self.kill_at == Some(self.commands) {
                self.kill();
                return;
            }
            if let Some(event) = self.answer(command) {
                self.events.push_back(event);
            }
        }
    }

    fn answer(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Propose { rule, run, finding, .. } => {
                let state = self.world.units.get(&finding.target.name)?.clone();
                let result = Ok(Some(self.proposal(&state)));
                Some(Event::Proposed { finding: finding.id, rule, run, result })
            }
            Command::AskPlugin { remediation, .. } => {
                let verdict = PluginVerdict { verdict: VerificationVerdict::Healed, text: "it runs".into() };
                Some(Event::Verified { remediation, result: Ok(verdict) })
            }
            Command::Perform { authorized, remediation, step, request_id } => {
                let action = authorized.plan().body().steps[step].action.clone();
                self.assert_intent_is_durable(&remediation, &request_id);
                let result = self.actuator(&request_id, &action);
                Some(Event::Performed { remediation, step, result })
            }
            Command::AskOutcome { remediation, step, request_id, undo, .. } => {
                let known = self.world.journal.get(&request_id).cloned().map(Outcome::Known);
                Some(Event::Outcome { remediation, step, undo, result: Ok(known) })
            }
            Command::KeepEpisode { label, detect } => {
                let telemetry = self.telemetry.as_ref()?;
                telemetry.flush().unwrap();
                let episode = telemetry.reader().episode(&label, &detect, self.now.wall).unwrap();
                Some(Event::Episode { label, result: Ok(Box::new(episode)) })
            }
            Command::ProveTuning { wanted, before, after, answer } => {
                let replayed = crate::data::replayed(&self.reader(), (&before, &after), self.samples_max);
                let replayed = replayed.map_err(|it| it.to_string());
                Some(Event::TuningProved { wanted, replayed, answer })
            }
            Command::Purge { by, filter, answer } => {
                let forgotten = crate::data::forget(self.telemetry.as_ref()?, &self.reader(), filter);
                Some(Event::Purged { by, result: forgotten.map_err(|it| it.to_string()), answer })
            }
            Command::Simulate { answer, .. } => {
                let _ = answer.send(Ok(serde_json::json!({})));
                None
            }
            Command::Read { paths, purpose, .. } => {
                let found = paths.iter().flat_map(|path| self.read(path)).collect();
                Some(Event::Files(found, purpose))
            }
            Command::LookWhatIsLeft(dir) => {
                let nothing = self.read(&dir).iter().all(|it| it.state.sha256.is_none());
                Some(Event::Left { dir, nothing })
            }
            Command::Check { plugin, run, answer } => {
                // A check that finds the made-up host's unit wanting.
                let method = Method { name: format!("plugin:{plugin}"), version: 0 };
                let detection = Detection {
                    kind: "unit.odd".into(),
                    class: Class::Reliability,
                    target: holdfast_core::model::Target::unit("web.service"),
                    discriminator: String::new(),
                    presence: Presence::Present,
                    title: "web.service is odd".into(),
                    severity: Severity::High,
                    confidence: Confidence::CERTAIN,
                    method,
                    evidence: vec![],
                    began_at: self.now.wall,
                    cause: None,
                };
                let rule = detection.kind.clone();
                let detections = if self.evaluated.is_some() { vec![] } else { vec![detection] };
                let evaluated = self.evaluated.clone().unwrap_or_else(|| vec![rule]);
                let report = CheckReport { detections, evaluated, skipped: vec![] };
                Some(Event::Checked { plugin, run, elapsed: Duration::ZERO, result: Ok(report), answer })
            }
            Command::Undo { .. } | Command::Watch(_) | Command::Unwatch(_) | Command::Reload(_) => None,
        }
    }

    fn proposal(&self, state: &UnitState) -> Proposed {
        let action = Action::RestartUnit {
            unit: state.name.clone(),
            only_if_invocation: state.invocation_id.clone(),
            only_if_active_state: state.active_state.clone(),
        };
        let step = Step {
            id: "restart".into(),
            rationale: "it crashed".into(),
            side_effects: vec![],
            risk: Risk::Low,
            undo: Undo::NothingToUndo,
            timeout_ms: 5_000,
            action,
        };
        let proposal = Proposal {
            summary: format!("restart {}", state.name),
            target: holdfast_core::model::Target::unit(&state.name),
            confidence: Confidence::CERTAIN,
            steps: vec![step],
            evidence: vec![Evidence::new("unit.result", state.result.clone())],
            settle_ms: 1_000,
            expires_at: self.now.wall.plus(Duration::from_mins(30)),
        };
        Proposed { proposal, plugin: "unit-medic 0.1.0".into(), digest: "0".repeat(64) }
    }

    fn actuator(&mut self, request_id: &str, action: &Action) -> Result<Performed, ActError> {
        if let Some(known) = self.world.journal.get(request_id) {
            return known.clone();
        }
        let Action::RestartUnit { unit: name, only_if_invocation, .. } = action else { panic!("{action:?}") };
        assert_eq!(self.world.units[name].invocation_id, *only_if_invocation, "the guard held");
        let refused =
            ActError::Refused { code: holdfast_actuator::protocol::Code::NotAllowed, reason: "not listed".into() };
        let result = match self.world.restart {
            Restart::Refused => Err(refused),
            Restart::Heals | Restart::FailsAgain | Restart::AnswerLost => {
                self.world.restarts += 1;
                let effect =
                    Effect { kind: "unit.restarted".into(), subject: name.clone(), bytes: 0, detail: String::new() };
                Ok(Performed { effects: vec![effect], undo_token: None })
            }
        };
        self.world.journal.insert(request_id.to_owned(), result.clone());
        if result.is_ok() {
            self.world.runs += 1;
            let after = if self.world.restart == Restart::FailsAgain { "failed" } else { "active" };
            let state = unit(name, after, self.world.runs);
            self.world.units.insert(name.clone(), state.clone());
            self.events.push_back(Event::Unit(state, self.now.wall));
        }
        if self.world.restart == Restart::AnswerLost {
            return Err(ActError::NoAnswer { request_id: request_id.to_owned(), why: "cut off".into() });
        }
        result
    }

    /// The invariant that everything rests on: what is carried out was written down before.
    fn assert_intent_is_durable(&self, remediation: &RemediationId, request_id: &str) {
        let entries = self.reader().audit_about(remediation.as_str(), 1_000).unwrap();
        let named = entries.iter().any(|it| it.body["request_id"] == request_id);
        assert!(named, "no durable intent for {request_id}");
    }

    fn reader(&self) -> StateReader {
        StateReader::open(self.dir.path()).unwrap()
    }

    fn remediations(&self) -> Vec<Remediation> {
        let mut all = self.reader().remediations(&RemediationFilter::default()).unwrap();
        all.reverse();
        all
    }

    fn states(&self) -> Vec<RemediationState> {
        self.remediations().iter().map(|it| it.state).collect()
    }

    fn ask(&mut self, request: Request) -> Answer {
        let (answer, mut reply) = tokio::sync::oneshot::channel();
        self.call(request, answer);
        reply.try_recv().expect("answered at once")
    }

    fn call(&mut self, request: Request, answer: tokio::sync::oneshot::Sender<Answer>) {
        self.events.push_back(Event::Call(Call { caller: self.caller.clone(), request, answer }));
        self.drain();
    }

    /// The chain is whole, and every decision is explained.
    fn assert_chain(&self) {
        let key = load_or_create_audit_key(self.dir.path()).unwrap();
        let report = verify_chain(&self.reader(), &key, &[]).unwrap();
        assert_eq!(report.integrity, Integrity::Intact);
        assert!(self.reader().audit_rows(0, 100_000).unwrap().iter().all(|row| matches!(row, AuditRow::Entry(_))));
    }
}

/// Bytes for random histories.
fn draw(ids: &Mutex<SeededIds>) -> u8 {
    ids.lock().unwrap().random()[0]
}
