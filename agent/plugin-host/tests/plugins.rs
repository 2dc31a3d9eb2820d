//! The plugins of this repository as they are shipped, in the real host, over real files and described facts.
//!
//! What they decide is tested beside them; here it is that they load, get what their example grants give, and that what they answer is
//! accepted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside of test functions")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_core::model::{
    Action, Attributes, Change, ChangeId, Class, Confidence, Detection, Evidence, Finding, FindingId, FindingState,
    Method, RunId, SeededIds, Severity, Target, Timestamp, UnitState,
};
use holdfast_plugin_host::{
    Effective, Grant, HostOptions, Limits, Manifest, MetricQuery, Plugin, PluginHost, ProcessFacts, ProcessQuery, Run,
    SeriesFacts, World, WorldError,
};

const NOW: Timestamp = Timestamp::from_secs(1_900_000_000);

/// A described host over a real directory.
#[derive(Default)]
struct Host {
    root: PathBuf,
    units: Vec<UnitState>,
    processes: Vec<ProcessFacts>,
    series: Vec<SeriesFacts>,
    changes: Vec<Change>,
    state: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl World for Host {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn root(&self) -> PathBuf {
        self.root.clone()
    }
    fn unit(&self, name: &str, _: Duration) -> Result<Option<UnitState>, WorldError> {
        Ok(self.units.iter().find(|unit| unit.name == name).cloned())
    }
    fn units(&self, _: Duration) -> Result<Vec<UnitState>, WorldError> {
        Ok(self.units.clone())
    }
    fn processes(&self, query: &ProcessQuery<'_>, _: Duration) -> Result<Vec<ProcessFacts>, WorldError> {
        Ok(self.processes.iter().filter(|it| (query.named)(&it.name)).cloned().collect())
    }
    fn metrics(&self, query: &MetricQuery, _: Duration) -> Result<Vec<SeriesFacts>, WorldError> {
        let fits = |series: &SeriesFacts| {
            series.metric == query.metric
                && query.attributes.iter().all(|(key, value)| series.attributes.get(key) == Some(value))
        };
        Ok(self.series.iter().filter(|series| fits(series)).cloned().collect())
    }
    fn changes(
        &self,
        kinds: &[String],
        _: Timestamp,
        _: Timestamp,
        _: usize,
        _: Duration,
    ) -> Result<Vec<Change>, WorldError> {
        Ok(self.changes.iter().filter(|change| kinds.contains(&change.kind)).cloned().collect())
    }
    fn state(&self, _: &str) -> Result<BTreeMap<String, Vec<u8>>, WorldError> {
        Ok(self.state.lock().unwrap().clone())
    }
}

/// A plugin as it is built, with the grant that it recommends.
fn plugin(id: &str) -> Plugin {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read =
        |path: &str| fs::read(top.join(path)).unwrap_or_else(|e| panic!("{path}: {e}; run `cargo xtask guests`"));
    let grant = String::from_utf8(read(&format!("plugins/{id}/grant.example.toml"))).unwrap();
    let host = PluginHost::new(HostOptions { limits: Limits::default() }).unwrap();
    let plugin = host.load(&read(&format!("target/plugins/{id}.wasm")), None).unwrap();
    plugin.granted(Some(Grant::parse(&grant).unwrap())).unwrap()
}

fn run() -> Run {
    Run { id: RunId::new(NOW, &mut SeededIds(1)), host_id: "test-host".to_owned(), at: NOW }
}

fn finding(kind: &str, target: Target, evidence: Vec<Evidence>) -> Finding {
    Finding {
        id: FindingId::new(NOW, &mut SeededIds(2)),
        fingerprint: String::new(),
        kind: kind.to_owned(),
        class: Class::Reliability,
        target,
        title: "a problem".to_owned(),
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        method: Method { name: "test".to_owned(), version: 1 },
        evidence,
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

#[test]
fn unit_medic_clears_the_start_limit_of_a_unit_that_systemd_gave_up_on() {
    let invocation = "0abb971159134ba88081a826858153e6".to_owned();
    let unit = UnitState {
        name: "web-1.service".into(),
        load_state: "loaded".into(),
        active_state: "failed".into(),
        sub_state: "failed".into(),
        result: "signal".into(),
        restart: "on-failure".into(),
        n_restarts: 3,
        invocation_id: Some(invocation.clone()),
        ..UnitState::default()
    };
    let world: Arc<dyn World> = Arc::new(Host { units: vec![unit], ..Host::default() });
    let medic = plugin("unit-medic");
    let call = medic.propose(&run(), &world, &finding("unit.failed", Target::unit("web-1.service"), vec![]));
    let proposal = call.result.unwrap().expect("a plan");
    let actions: Vec<Action> = proposal.steps.into_iter().map(|step| step.action).collect();
    let unit = "web-1.service".to_owned();
    let reset = Action::ResetFailedUnit { unit: unit.clone(), only_if_invocation: Some(invocation.clone()) };
    let restart =
        Action::RestartUnit { unit, only_if_invocation: Some(invocation), only_if_active_state: "inactive".to_owned() };
    assert_eq!(actions, [reset, restart]);
    let call = medic.propose(&run(), &world, &finding("unit.failed", Target::unit("ssh.service"), vec![]));
    assert!(call.result.unwrap_err().to_string().contains("ssh.service"), "not granted");
}

#[test]
fn runner_reclaim_names_exactly_what_lies_there_and_spares_what_was_altered_just_now() {
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes, age_h) in
        [("old/a", 600_000, 90), ("old/b/c", 400_000, 80), ("young/a", 10, 70), ("live/a", 9, 1)]
    {
        let path = dir.path().join("home/runner/_work").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![0; bytes]).unwrap();
        let at = NOW.minus(Duration::from_secs(age_h * 3600)).ns() as u64;
        let at = std::time::UNIX_EPOCH + Duration::from_nanos(at);
        fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    }
    let series = |metric: &str, state: Option<&str>, value: f64| {
        let mut attributes = Attributes::new();
        attributes.insert("system.filesystem.mountpoint".into(), "/home".into());
        attributes.extend(state.map(|state| ("system.filesystem.state".to_owned(), state.to_owned())));
        SeriesFacts { metric: metric.to_owned(), attributes, points: vec![(NOW, value)], truncated: false }
    };
    let host = Host {
        root: dir.path().to_owned(),
        series: vec![
            series("system.filesystem.limit", None, 4e6),
            series("system.filesystem.usage", Some("free"), 1e5),
            series("system.filesystem.usage", Some("used"), 3.9e6),
        ],
        ..Host::default()
    };
    let world: Arc<dyn World> = Arc::new(host);
    let finding = finding("disk.full", Target::filesystem("/home"), vec![]);
    let call = plugin("runner-reclaim").propose(&run(), &world, &finding);
    let said = format!("{:?}", call.log);
    let proposal = call.result.unwrap().unwrap_or_else(|| panic!("a plan: {said}"));
    let [step] = proposal.steps.as_slice() else { panic!("{:?}", proposal.steps) };
    let Action::ReclaimPaths { root, entries } = &step.action else { panic!("{:?}", step.action) };
    assert_eq!(root, "/home/runner/_work");
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.path.as_str(), entry.files, entry.bytes), ("/home/runner/_work/old", 2, 1_000_000));
    assert_eq!(entry.newest_change, NOW.minus(Duration::from_hours(80)));
    assert!(proposal.evidence.iter().any(|e| e.name == "reclaim.kept" && e.value.to_string().contains("live")));
}

#[test]
fn release_verify_finds_what_was_altered_restores_it_and_is_content_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let release = dir.path().join("srv/shop/releases/7");
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/release-verify/tables/modified");
    for file in ["SHA256SUMS", "README.txt", "bin/shop", "conf/shop.toml"] {
        fs::create_dir_all(release.join(file).parent().unwrap()).unwrap();
        fs::copy(case.join("release").join(file), release.join(file)).unwrap();
    }
    let recorded = fs::read_to_string(case.join("recorded")).unwrap().trim().to_owned();
    let mut attributes = Attributes::new();
    attributes.insert("release_dir".into(), "/srv/shop/releases/7".into());
    attributes.insert("manifest_sha256".into(), recorded);
    let change = Change {
        id: ChangeId::new(NOW, &mut SeededIds(3)),
        at: NOW,
        kind: "service.deployed".into(),
        target: Target::new("service", "shop"),
        actor: None,
        summary: "shop 7 was deployed".into(),
        attributes,
        deployment: None,
        cause: None,
    };
    let host = Arc::new(Host { root: dir.path().to_owned(), changes: vec![change], ..Host::default() });
    let world: Arc<dyn World> = Arc::clone(&host) as Arc<dyn World>;
    let verify = plugin("release-verify");
    let check = || {
        let call = verify.check(&run(), &world);
        let report = call.result.unwrap();
        for (key, value) in call.state {
            match value {
                Some(value) => drop(host.state.lock().unwrap().insert(key, value)),
                None => drop(host.state.lock().unwrap().remove(&key)),
            }
        }
        report
    };
    let report = check();
    let [Detection { kind, target, evidence, .. }] = report.detections.as_slice() else { panic!("{report:?}") };
    assert_eq!((kind.as_str(), target), ("release.tampered", &Target::file("/srv/shop/releases/7/conf/shop.toml")));
    assert!(report.evaluated.iter().any(|rule| rule == "release.tampered") && report.skipped.is_empty(), "{report:?}");

    let finding = finding(kind, target.clone(), evidence.clone());
    let proposal = verify.propose(&run(), &world, &finding).result.unwrap().expect("a plan");
    let [step] = proposal.steps.as_slice() else { panic!("{:?}", proposal.steps) };
    let Action::RestoreFile { path, only_if_sha256: Some(_), .. } = &step.action else { panic!("{:?}", step.action) };
    assert_eq!(path, "/srv/shop/releases/7/conf/shop.toml");

    // The release cannot be read for a while: nobody saw that the problem is gone.
    let away = dir.path().join("srv/shop/releases/away");
    fs::rename(&release, &away).unwrap();
    let report = check();
    assert_eq!(report.detections.len(), 1, "{report:?}");
    assert!(report.skipped.iter().any(|(_, why)| why.contains("/srv/shop/releases/7")), "{report:?}");
    fs::rename(&away, &release).unwrap();

    let good = case.parent().unwrap().join("untouched/release/conf/shop.toml");
    fs::copy(good, release.join("conf/shop.toml")).unwrap();
    let report = check();
    assert!(report.detections.is_empty() && report.skipped.is_empty(), "{report:?}");
    assert!(verify.propose(&run(), &world, &finding).result.unwrap().is_none(), "nothing to restore any more");
}

/// Directories of the root that a plugin asks for whole, and why it has to.
const WHOLE: [(&str, &str); 2] = [
    ("package-verify", "/usr"),  // packages put their files there, and each of them is looked at
    ("listener-watch", "/proc"), // descriptors of every process, to name whose a socket is; given to nobody who does not say so
];

#[test]
fn no_plugin_of_this_repository_asks_for_the_whole_file_system_and_its_sample_grant_gives_no_more() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(folder.join("plugin.toml")) else { continue };
        let manifest = Manifest::parse(&text).unwrap();
        let grant = Grant::parse(&fs::read_to_string(folder.join("grant.example.toml")).unwrap()).unwrap();
        let (wants, proposes) = manifest.asked();
        let given = Effective::new(manifest.clone(), grant, "").unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for root in wants.files.iter().chain(&given.wants.files).chain(&given.grant.read.files) {
            let named = WHOLE.iter().any(|(plugin, whole)| *plugin == manifest.id && whole == root);
            let parts = root.split('/').filter(|part| !part.is_empty()).count();
            assert!(parts >= 2 || named, "{} asks for {root}, or its sample grant gives it", manifest.id);
        }
        for pattern in proposes.paths.iter().chain(&given.grant.propose.paths) {
            let plain = pattern.split(['*', '?', '[', '{']).next().unwrap_or_default();
            assert!(plain.split('/').filter(|part| !part.is_empty()).count() >= 2, "{}: {pattern}", manifest.id);
        }
        count += 1;
    }
    assert_eq!(count, 8, "every plugin is looked at");
}
