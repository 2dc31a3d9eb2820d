//! With the built guests, real stores and a clock that is told.

use std::path::{Path, PathBuf};

use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{
    Action, Change, ChangeId, Class, Confidence, Evidence, FindingId, FindingState, Method, MetricKind, Mode, Presence,
    RunId, SampleBatch, SeriesKey, Severity, Target, Timestamp, UnitState,
};
use holdfast_plugin_host::{MetricQuery, WorldError, WorldErrorKind};

use super::*;
use crate::host::{FakeClock, FsRoot};
use crate::store::{StateDb, TelemetryDb, TelemetryOptions, Writes, load_or_create_audit_key};

mod hangs;
mod replaced;
mod roles;
mod twice;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

struct OneUnit;

impl UnitSource for OneUnit {
    fn unit(&self, name: &str, _: Duration) -> Result<Option<UnitState>, WorldError> {
        Ok(self.units(Duration::ZERO)?.into_iter().find(|unit| unit.name == name))
    }
    fn units(&self, _: Duration) -> Result<Vec<UnitState>, WorldError> {
        Ok(vec![UnitState {
            name: "web.service".into(),
            load_state: "loaded".into(),
            active_state: "failed".into(),
            sub_state: "failed".into(),
            result: "start-limit-hit".into(),
            n_restarts: 2,
            invocation_id: Some("a".repeat(32)),
            restart: "on-failure".into(),
            ..UnitState::default()
        }])
    }
}

struct Host {
    dir: tempfile::TempDir,
    clock: Arc<FakeClock>,
    state: StateDb,
    telemetry: TelemetryDb,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["data", "plugins", "plugins.d", "root/srv/app", "root/proc"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let data = dir.path().join("data");
        let key = load_or_create_audit_key(&data).unwrap();
        let options = TelemetryOptions { opened_at: NOW, ..TelemetryOptions::default() };
        Self {
            clock: Arc::new(FakeClock::at(NOW)),
            state: StateDb::open(&data, key).unwrap(),
            telemetry: TelemetryDb::open(&data, options).unwrap(),
            dir,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    #[track_caller]
    fn install(&self, guest: &str, grant: Option<&str>) {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(guest);
        let name = built.file_stem().unwrap().to_str().unwrap().to_owned();
        let component = std::fs::read(&built)
            .unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", built.display()));
        std::fs::write(self.path(&format!("plugins/{name}.wasm")), component).unwrap();
        if let Some(grant) = grant {
            std::fs::write(self.path(&format!("plugins.d/{name}.toml")), grant).unwrap();
        }
    }

    fn sources(&self) -> Sources {
        Sources {
            state: self.state.reader(),
            telemetry: self.telemetry.reader(),
            fs: FsRoot::new(self.path("root")),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            units: Arc::new(OneUnit),
            host_id: "test-host".into(),
        }
    }

    fn load(&self) -> (Plugins, Vec<PluginProblem>) {
        Plugins::load(&self.options(), self.sources()).unwrap()
    }

    fn options(&self) -> PluginsOptions {
        PluginsOptions {
            compiler: Compiler::Here,
            ..PluginsOptions::new(
                vec![self.path("plugins"), self.path("no such dir")],
                self.path("plugins.d"),
                Arc::new(Trust::new(&[], &[], true).unwrap()),
            )
        }
    }

    /// What plugins want kept becomes durable, as the engine does it.
    fn keep(&mut self, plugins: &Plugins) {
        self.state.commit(Writes { plugin_state: plugins.take_state(), ..Writes::default() }).unwrap();
    }
}

fn run() -> RunId {
    RunId::new(NOW, &mut SeededIds(1))
}

fn unit_failed() -> holdfast_core::model::Finding {
    holdfast_core::model::Finding {
        id: FindingId::new(NOW, &mut SeededIds(2)),
        fingerprint: "f".into(),
        kind: "unit.failed".into(),
        class: Class::Reliability,
        target: Target::unit("web.service"),
        title: "web.service has failed".into(),
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        method: Method { name: "unit_failure".into(), version: 1 },
        evidence: vec![],
        state: FindingState::New,
        count: 1,
        began_at: NOW,
        detected_at: NOW,
        last_seen_at: NOW,
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

const GRANT: &str = "[read]\nfiles = [\"/srv/app\"]\n[settings]\ndeed = ";

#[tokio::test]
async fn what_is_refused_costs_itself_and_says_why() {
    let host = Host::new();
    host.install("guests/hostile.wasm", None);
    std::fs::write(host.path("plugins/broken.wasm"), b"\0asm\x0d\0\x01\0\xff\xff").unwrap();
    std::fs::write(host.path("plugins.d/typo.toml"), "").unwrap();
    let (plugins, problems) = host.load();
    let states: Vec<(String, String)> = plugins.list().into_iter().map(|it| (it.id, it.state)).collect();
    let state = |id: &str, state: &str| (id.to_owned(), state.to_owned());
    assert_eq!(states, [state("broken", "refused"), state("hostile", "not_granted")]);
    let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(text.contains("broken.wasm: ") && text.contains("typo.toml: it is a grant for a plugin"), "{text}");
    let error = plugins.check("hostile", run(), NOW).await.unwrap_err();
    assert!(matches!(error, PluginError::NotGranted(_)), "{error}");
    assert!(matches!(plugins.check("nobody", run(), NOW).await, Err(PluginError::Unknown(_))));
    assert!(matches!(plugins.check("broken", run(), NOW).await, Err(PluginError::Refused { .. })));
    assert_eq!(plugins.grant("hostile"), None);
}

#[tokio::test]
async fn a_bad_grant_refuses_its_plugin_with_the_files_name() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some("[read]\nfils = []\n"));
    let (plugins, problems) = host.load();
    assert_eq!(plugins.list()[0].state, "refused");
    let text = problems[0].to_string();
    assert!(text.contains("plugins.d/hostile.toml") && text.contains("unknown field `fils`"), "{text}");
}

#[tokio::test]
async fn three_failures_in_a_row_quarantine_it_and_ten_minutes_later_it_is_tried_again() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"panic\"\n")));
    let (plugins, problems) = host.load();
    assert_eq!(problems, []);
    for _ in 0..3 {
        let error = plugins.check("hostile", run(), NOW).await.unwrap_err();
        assert!(matches!(error, PluginError::Call { .. }), "{error}");
    }
    let error = plugins.check("hostile", run(), NOW).await.unwrap_err();
    assert!(matches!(error, PluginError::Quarantined { .. }), "{error}");
    let status = &plugins.list()[0];
    assert_eq!((status.state.as_str(), status.calls, status.failures), ("quarantined", 3, 3));
    assert!(status.reason.as_deref().unwrap().contains("made of cheese"), "{status:?}");
    assert_eq!(plugins.detections(NOW)[0].presence, Presence::Present);
    host.clock.advance(Duration::from_mins(10));
    assert_eq!(plugins.detections(NOW)[0].presence, Presence::Cleared);
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::Call { .. })));
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::Quarantined { .. })));
}

#[tokio::test]
async fn state_is_seen_by_the_next_call_and_handed_over_to_be_kept() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"count runs\"\n")));
    let (plugins, _) = host.load();
    for count in ["1", "2"] {
        let report = plugins.check("hostile", run(), NOW).await.unwrap();
        assert!(report.detections[0].evidence.contains(&Evidence::new("observed", count)), "{report:?}");
    }
    let mut writes = plugins.take_state();
    writes.retain(|write| write.plugin == "hostile");
    let last = writes.last().unwrap();
    assert_eq!((writes.len(), last.key.as_str(), last.value.as_deref()), (2, "runs", Some(b"2".as_slice())));
    assert_eq!(plugins.take_state(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_unit_gets_a_plan_from_unit_medic() {
    let host = Host::new();
    let grant = "mode = \"auto\"\n[read]\nunits = [\"web.service\"]\n[propose]\n\
                 actions = [\"restart_unit\", \"reset_failed_unit\"]\nunits = [\"web.service\"]\n";
    host.install("plugins/unit-medic.wasm", Some(grant));
    let (plugins, problems) = host.load();
    assert_eq!(problems, []);
    let (proposal, ident) = plugins.propose("unit-medic", run(), unit_failed(), NOW).await.unwrap().unwrap();
    assert!(ident.name_version.starts_with("unit-medic "), "{ident:?}");
    let restart = proposal.steps.iter().find(|step| matches!(step.action, Action::RestartUnit { .. })).unwrap();
    let Action::RestartUnit { unit, only_if_invocation, .. } = &restart.action else { panic!("{restart:?}") };
    assert_eq!((unit.as_str(), only_if_invocation.as_deref()), ("web.service", Some("a".repeat(32).as_str())));
    assert_eq!(plugins.subscribers("unit.failed"), ["unit-medic"]);
    assert_eq!(plugins.list()[0].mode, Mode::Auto);
}

#[test]
fn the_world_answers_from_the_agents_own_stores() {
    let host = Host::new();
    let key = |device: &str| SeriesKey {
        metric: "system.disk.io".into(),
        unit: "By".into(),
        kind: MetricKind::Gauge,
        attributes: [("device".to_owned(), device.to_owned())].into(),
    };
    let ids: Vec<_> = ["a", "b"].iter().map(|device| host.telemetry.registry().intern(&key(device)).0).collect();
    for second in 0..10 {
        let at = NOW.plus(Duration::from_secs(second));
        let samples = ids.iter().map(|id| (*id, second as f64)).collect();
        host.telemetry.write_batch(Arc::new(SampleBatch { at, new_series: vec![], samples }));
    }
    let change = |second: u64, kind: &str| Change {
        id: ChangeId::new(NOW, &mut SeededIds(second)),
        at: NOW.plus(Duration::from_secs(second)),
        kind: kind.to_owned(),
        target: Target::file("/etc/app.conf"),
        actor: None,
        summary: "edited".into(),
        attributes: std::collections::BTreeMap::default(),
        deployment: None,
        cause: None,
    };
    for change in [change(1, "file.modified"), change(2, "package.upgraded"), change(3, "unit.failed")] {
        host.telemetry.write_change(change);
    }
    host.telemetry.flush().unwrap();
    let world = world::HostWorld::new(host.sources());
    let end = NOW.plus(Duration::from_secs(100));
    let query = MetricQuery {
        metric: "system.disk.io".into(),
        attributes: vec![],
        since: NOW,
        until: end,
        step: None,
        points_max: 8,
    };
    let found = world.metrics(&query, Duration::from_secs(1)).unwrap();
    assert_eq!(found.iter().map(|it| (it.points.len(), it.truncated)).collect::<Vec<_>>(), [(4, true), (4, true)]);
    let kinds = |kinds: &[&str], limit| {
        let wanted: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let found = world.changes(&wanted, NOW, end, limit, Duration::from_secs(1)).unwrap();
        found.into_iter().map(|it| it.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&["file.*", "unit.*"], 10), ["file.modified", "unit.failed"]);
    assert_eq!(kinds(&[], 2), ["package.upgraded", "unit.failed"]);
    assert_eq!(kinds(&[], 0), [""; 0]);
    // Without time nothing is read, whatever is asked.
    let late = [
        world.metrics(&query, Duration::ZERO).unwrap_err(),
        world.changes(&[], NOW, end, 10, Duration::ZERO).unwrap_err(),
        world.changes(&["unit.*".to_owned()], NOW, end, 10, Duration::ZERO).unwrap_err(),
    ];
    assert!(late.iter().all(|it| it.kind == WorldErrorKind::Timeout && it.text.contains("in time")), "{late:?}");
}
