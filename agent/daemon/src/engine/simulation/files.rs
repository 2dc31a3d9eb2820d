//! Watched files of the made-up host: what is drift, what explains it, what may be accepted.

use holdfast_core::model::{FileState, FindingState};
use sha2::{Digest, Sha256};

use super::*;
use crate::answers::BaselineAnswer;
use crate::event_loop::FileFound;
use crate::request::DeployStart;
use crate::store::FindingFilter;

const CONF: &str = "/etc/app/app.conf";

impl Sim {
    fn found(&self, path: &str, first: bool) -> FileFound {
        let file = self.world.files.get(path);
        let state = FileState {
            path: path.to_owned(),
            sha256: file.map(|(text, _)| holdfast_core::model::plan::hex(&Sha256::digest(text))),
            bytes: file.map_or(0, |(text, _)| text.len() as u64),
            mode: file.map_or(0, |(_, mode)| *mode),
            uid: 0,
            gid: 0,
            modified_at: file.map(|_| self.now.wall),
        };
        let content = file.map(|(text, _)| text.clone().into_bytes());
        FileFound { state, content, package: None, at: self.now.wall, first }
    }

    /// A file, or everything below a directory; what is not there is absent.
    pub(super) fn read(&self, path: &str) -> Vec<FileFound> {
        let start = format!("{}/", path.trim_end_matches('/'));
        let below: Vec<&String> = self.world.files.keys().filter(|it| it.starts_with(&start)).collect();
        if below.is_empty() {
            vec![self.found(path, false)]
        } else {
            below.iter().map(|it| self.found(it, false)).collect()
        }
    }

    /// Somebody writes a file, and the watch tells.
    pub(super) fn write(&mut self, path: &str, text: &str, mode: u32) {
        self.world.files.insert(path.to_owned(), (text.to_owned(), mode));
        let found = self.found(path, false);
        self.events.push_back(Event::File(Box::new(found)));
        self.drain();
        self.run(1);
    }

    /// The watch tells what lies there.
    pub(super) fn tell(&mut self, path: &str) {
        let found = self.found(path, false);
        self.events.push_back(Event::File(Box::new(found)));
        self.drain();
        self.run(1);
    }

    /// The watch begins with this file.
    pub(super) fn watched(&mut self, path: &str, text: &str) {
        self.world.files.insert(path.to_owned(), (text.to_owned(), 0o644));
        let found = self.found(path, true);
        self.events.push_back(Event::File(Box::new(found)));
        self.drain();
    }

    pub(super) fn deploy(&mut self, id: &str, release_dir: Option<&str>, paths: &[&str]) {
        self.deploy_of("app", id, release_dir, paths);
    }

    fn deploy_of(&mut self, service: &str, id: &str, release_dir: Option<&str>, paths: &[&str]) {
        let start = DeployStart {
            id: Some(id.parse().unwrap()),
            service: service.into(),
            version: "2".into(),
            environment: None,
            artifact: None,
            revision: None,
            release_dir: release_dir.map(str::to_owned),
            units: vec![],
            paths: paths.iter().map(|it| (*it).to_owned()).collect(),
        };
        self.ask(Request::DeployStart(start)).unwrap();
    }

    pub(super) fn finish(&mut self, id: &str) {
        self.ask(Request::DeployFinish { id: id.parse().unwrap(), succeeded: true }).unwrap();
    }

    /// Paths with an open drift.
    fn drifted(&self) -> Vec<String> {
        let all = self.reader().findings(&FindingFilter::default()).unwrap();
        let open = all.into_iter().filter(|it| it.kind == "file.drift" && it.state != FindingState::Resolved);
        open.map(|it| it.target.name).collect()
    }
}

fn host() -> Sim {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "a = 1\n");
    sim.run(1);
    sim
}

#[test]
fn an_edit_by_hand_drifts_and_its_reversal_does_not() {
    let mut sim = host();
    sim.write(CONF, "a = 2\n", 0o644);
    assert_eq!(sim.drifted(), [CONF]);
    sim.write(CONF, "a = 1\n", 0o644);
    assert!(sim.drifted().is_empty());
}

#[test]
fn a_deployment_that_begins_after_an_edit_does_not_explain_it() {
    let mut sim = host();
    sim.write(CONF, "a = 2\n", 0o644);
    sim.deploy("d1", None, &[CONF]);
    sim.write(CONF, "a = 2\n", 0o644);
    assert_eq!(sim.drifted(), [CONF], "the same content, told again while the deployment runs");
    sim.finish("d1");
    assert_eq!(sim.drifted(), [CONF]);
    let deployment = sim.reader().deployment(&"d1".parse().unwrap()).unwrap().unwrap();
    assert_eq!(deployment.environment, "staging", "the host's own, as nobody named one");
}

#[test]
fn an_edit_within_a_deployment_that_declares_the_path_is_explained() {
    let mut sim = host();
    sim.deploy("d1", None, &[CONF]);
    sim.write(CONF, "a = 3\n", 0o644);
    sim.finish("d1");
    sim.run(1);
    assert!(sim.drifted().is_empty());
    sim.write(CONF, "a = 4\n", 0o644);
    sim.run(60);
    sim.write(CONF, "a = 5\n", 0o644);
    assert_eq!(sim.drifted(), [CONF], "long after the deployment");
}

#[test]
fn a_file_that_appears_in_a_watched_place_is_a_finding() {
    let mut sim = host();
    sim.write("/etc/app/conf.d/own.conf", "b = 1\n", 0o644);
    assert_eq!(sim.drifted(), ["/etc/app/conf.d/own.conf"]);
}

#[test]
fn capturing_a_baseline_leaves_out_what_drifted_and_what_was_released_and_says_so() {
    let mut sim = host();
    sim.world.files.insert("/srv/app/r1/bin".into(), ("x".into(), 0o755));
    sim.deploy("d1", Some("/srv/app/r1"), &[]);
    sim.finish("d1");
    sim.write(CONF, "a = 2\n", 0o644);
    let paths = vec![CONF.to_owned(), "/srv/app/r1/bin".to_owned(), "/etc/app/new".to_owned()];
    sim.world.files.insert("/etc/app/new".into(), ("n".into(), 0o644));
    let answer = sim.ask(Request::BaselineCapture { paths }).unwrap();
    let answer: BaselineAnswer = serde_json::from_value(answer).unwrap();
    assert_eq!(answer.accepted, ["/etc/app/new"]);
    let skipped: Vec<&str> = answer.skipped.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(skipped, [CONF, "/srv/app/r1/bin"]);
    assert_eq!(sim.drifted(), [CONF], "capturing is no way to bless an edit");
    sim.ask(Request::BaselineAccept { paths: vec![CONF.to_owned()], reason: "reviewed".into() }).unwrap();
    sim.run(1);
    assert!(sim.drifted().is_empty());
}

#[test]
fn a_mode_of_a_release_file_that_is_altered_long_after_its_deployment_is_a_finding() {
    let mut sim = host();
    sim.world.files.insert("/srv/app/r1/bin".into(), ("x".into(), 0o755));
    sim.deploy("d1", Some("/srv/app/r1"), &[]);
    sim.finish("d1");
    sim.run(60);
    sim.write("/srv/app/r1/bin", "x", 0o4755);
    assert_eq!(sim.drifted(), ["/srv/app/r1/bin"]);
}

/// Two releases, the second in use.
fn superseded() -> Sim {
    let mut sim = host();
    for (id, dir) in [("d1", "/srv/app/r1"), ("d2", "/srv/app/r2")] {
        for file in ["bin", "lib", "share/doc"] {
            sim.world.files.insert(format!("{dir}/{file}"), (format!("{id} {file}"), 0o644));
        }
        sim.deploy(id, Some(dir), &[]);
        sim.finish(id);
        sim.run(1);
    }
    // So long that neither deployment explains what alters.
    sim.run(60);
    sim
}

impl Sim {
    fn remove(&mut self, paths: &[&str]) {
        for path in paths {
            self.world.files.remove(*path);
        }
        for path in paths {
            self.tell(path);
        }
        self.run(5);
    }

    fn kept_below(&self, dir: &str) -> usize {
        self.reader().baselines().unwrap().iter().filter(|it| it.state.path.starts_with(dir)).count()
    }
}

#[test]
fn a_superseded_release_may_be_removed_as_a_whole_and_nothing_is_expected_there_any_more() {
    let mut sim = superseded();
    sim.remove(&["/srv/app/r1/bin", "/srv/app/r1/lib", "/srv/app/r1/share/doc"]);
    assert!(sim.drifted().is_empty(), "{:?}", sim.drifted());
    assert_eq!((sim.kept_below("/srv/app/r1/"), sim.kept_below("/srv/app/r2/")), (0, 3));
    sim.telemetry.as_ref().unwrap().flush().unwrap();
    let all = sim.telemetry.as_ref().unwrap().reader().changes(&crate::store::ChangeFilter::default()).unwrap();
    let told: Vec<&str> = all.iter().filter(|it| it.target.kind == "file").map(|it| it.kind.as_str()).collect();
    assert_eq!(told, ["release.removed"]);

    sim.remove(&["/srv/app/r2/bin", "/srv/app/r2/lib", "/srv/app/r2/share/doc"]);
    assert_eq!(sim.drifted().len(), 3, "that one is in use");
}

#[test]
fn a_file_that_is_missing_from_a_superseded_release_drifts_until_the_rest_is_gone_too() {
    let mut sim = superseded();
    sim.remove(&["/srv/app/r1/lib"]);
    assert_eq!(sim.drifted(), ["/srv/app/r1/lib"]);
    sim.remove(&["/srv/app/r1/bin", "/srv/app/r1/share/doc"]);
    assert!(sim.drifted().is_empty(), "{:?}", sim.drifted());
    assert_eq!(sim.kept_below("/srv/app/r1/"), 0);
}

#[test]
fn a_release_that_is_in_use_or_in_the_making_is_never_cleaned_away() {
    let old = ["/srv/app/r1/bin", "/srv/app/r1/lib", "/srv/app/r1/share/doc"];
    // Somebody goes back to the old place.
    let mut sim = superseded();
    sim.deploy("d3", Some("/srv/app/r1/"), &[]);
    sim.remove(&old);
    assert_eq!(sim.kept_below("/srv/app/r1/"), 3, "what is deployed there now replaces it");
    // Another service's release lies below.
    let mut sim = superseded();
    sim.world.files.insert("/srv/app/r1/plugin/so".into(), ("x".into(), 0o644));
    sim.deploy_of("other", "p1", Some("/srv/app/r1/plugin"), &[]);
    sim.finish("p1");
    sim.run(60);
    sim.remove(&[&old[..], &["/srv/app/r1/plugin/so"]].concat());
    assert_eq!(sim.drifted().len(), 4, "{:?}", sim.drifted());
}

#[test]
fn a_superseded_release_that_was_removed_while_nobody_watched_is_noticed_within_the_hour() {
    let mut sim = superseded();
    sim.kill();
    for file in ["bin", "lib", "share/doc"] {
        sim.world.files.remove(&format!("/srv/app/r1/{file}"));
    }
    sim.boot();
    sim.run(2);
    assert_eq!(sim.kept_below("/srv/app/r1/"), 3);
    sim.engine.as_mut().unwrap().records_due = Duration::ZERO;
    sim.run(5);
    assert!(sim.drifted().is_empty(), "{:?}", sim.drifted());
    assert_eq!(sim.kept_below("/srv/app/r1/"), 0);
}

#[test]
fn a_secret_in_a_watched_file_is_in_no_database_and_no_finding() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "port = 1\ndb_password = first-hunter2\n");
    sim.run(1);
    sim.write(CONF, "port = 2\ndb_password = second-hunter2\n", 0o644);
    let finding = sim.reader().findings(&FindingFilter::default()).unwrap().remove(0);
    let diff = finding.evidence("file.diff").unwrap().to_string();
    assert_eq!(finding.evidence("file.sha256").unwrap().to_string().len(), 64, "a digest is no secret: {finding:?}");
    assert!(diff.contains("+port = 2") && diff.contains("db_password = [redacted]"), "{diff}");
    sim.run(2);
    sim.kill();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(sim.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        looked_at += 1;
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|it| it == b"hunter2"), "{}", path.display());
    }
    assert!(looked_at >= 3, "the databases are there");
}

#[test]
fn a_service_that_was_deployed_two_months_ago_is_upgraded_by_the_next_after_a_restart_too() {
    let mut sim = host();
    sim.deploy("app-1", None, &["/srv/app"]);
    sim.finish("app-1");
    let month = Duration::from_hours(24 * 31);
    sim.now = Moment { wall: sim.now.wall.plus(month * 2), mono: sim.now.mono + month * 2 };
    sim.kill();
    sim.boot();
    sim.run(1);
    sim.deploy("app-2", None, &["/srv/app"]);
    sim.finish("app-2");
    let telemetry = sim.telemetry.as_ref().unwrap();
    telemetry.flush().unwrap();
    let changes = telemetry.reader().changes(&crate::store::ChangeFilter::default()).unwrap();
    let mut kinds: Vec<&str> =
        changes.iter().map(|it| it.kind.as_str()).filter(|it| it.starts_with("service.")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["service.deployed", "service.upgraded"]);
}
