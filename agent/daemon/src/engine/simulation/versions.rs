//! Versions of what is accepted: every alteration is one, and an earlier one can be accepted again.

use holdfast_core::model::{Finding, FindingState, ItemKind};

use super::*;
use crate::request::RefusalKind;
use crate::store::{BaselineVersion, FindingFilter, together};

const CONF: &str = "/etc/app/app.conf";

impl Sim {
    fn versions(&self) -> Vec<BaselineVersion> {
        self.reader().baseline_versions(0, 1_000).unwrap()
    }

    fn accepted_digest(&self, path: &str) -> Option<String> {
        self.reader().baseline(path).unwrap().and_then(|it| it.state.sha256)
    }

    fn restore(&mut self, version: u64) -> Answer {
        self.ask(Request::BaselineRestore { version, reason: "the old one was right".into() })
    }

    fn drift(&self) -> Vec<Finding> {
        let mut all = self.reader().findings(&FindingFilter::default()).unwrap();
        all.retain(|it| it.kind == "file.drift" && it.state != FindingState::Resolved);
        all
    }

    fn accept(&mut self, path: &str) {
        self.ask(Request::BaselineAccept { paths: vec![path.into()], reason: "agreed".into() }).unwrap();
        self.run(1);
    }
}

#[test]
fn first_sight_and_every_acceptance_are_versions_with_actor_and_reason() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "port = 80\n");
    sim.write(CONF, "port = 81\n", 0o644);
    sim.accept(CONF);
    let all = sim.versions();
    let told: Vec<(u64, &str, &str)> = all.iter().map(|it| (it.number, it.by.as_str(), it.reason.as_str())).collect();
    assert_eq!(told, [(1, "agent", "first seen"), (2, "alice (uid 1000)", "agreed")]);
    assert!(all[0].entries[0].before.is_none() && all[1].entries[0].before.is_some());
    // Accepting the same again alters nothing.
    sim.accept(CONF);
    assert_eq!(sim.versions().len(), 2);
}

#[test]
fn what_is_kept_no_more_is_not_gone_back_to() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "port = 80\n");
    for port in 81..84 {
        sim.write(CONF, &format!("port = {port}\n"), 0o644);
        sim.accept(CONF);
    }
    let now = sim.accepted_digest(CONF);
    let engine = sim.engine.as_mut().unwrap();
    engine.ledger.expire(Timestamp::default(), 2, &crate::store::Sent::default()).unwrap();
    assert_eq!(sim.versions().first().unwrap().number, 3);
    let refusal = sim.restore(1).unwrap_err();
    assert!(refusal.kind == RefusalKind::NotFound && refusal.message.contains("the oldest is 2"), "{refusal:?}");
    assert_eq!(sim.accepted_digest(CONF), now, "nothing was altered");
    sim.restore(2).unwrap();
    assert_ne!(sim.accepted_digest(CONF), now);
}

#[test]
fn what_a_deployment_recorded_is_a_version_and_what_an_older_release_left_too() {
    let mut sim = Sim::new("", Mode::Advise);
    for (id, name) in [("app-1", "/srv/app/old"), ("app-2", "/srv/app/new")] {
        sim.world.files.clear();
        sim.world.files.insert(name.into(), ("x".into(), 0o755));
        sim.deploy(id, Some("/srv/app"), &[]);
        sim.finish(id);
        sim.run(2);
    }
    let subjects: Vec<Vec<String>> =
        sim.versions().into_iter().map(|it| it.entries.into_iter().map(|entry| entry.subject).collect()).collect();
    assert_eq!(subjects, [vec!["/srv/app/old"], vec!["/srv/app/new", "/srv/app/old"]]);
    // As long as the deployment explains what it did, the agent accepts that again at once.
    sim.run(400);
    sim.restore(1).unwrap();
    sim.run(5);
    assert!(sim.accepted_digest("/srv/app/old").is_some() && sim.accepted_digest("/srv/app/new").is_none());
}

#[test]
fn what_was_said_of_a_release_ends_when_nothing_is_expected_there_any_more_and_the_answer_says_so() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "port = 80\n");
    sim.world.files.insert("/srv/app/r1/bin".into(), ("x".into(), 0o755));
    sim.world.files.insert("/srv/app/r1/css".into(), ("x".into(), 0o644));
    sim.deploy("app-1", Some("/srv/app/r1"), &[]);
    sim.finish("app-1");
    sim.run(400);
    sim.world.files.remove("/srv/app/r1/css");
    sim.tell("/srv/app/r1/css");
    sim.write("/srv/app/r1/bin", "other", 0o755);
    assert_eq!(sim.drift().len(), 2);
    let answer = sim.restore(1).unwrap();
    sim.run(5);
    assert_eq!((answer["subjects"].as_array().unwrap().len(), answer["ends"].as_array().unwrap().len()), (0, 2));
    assert!(sim.drift().is_empty(), "{:?}", sim.drift());
}

#[test]
fn a_file_that_appeared_can_be_accepted() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "port = 80\n");
    sim.write("/etc/app/conf.d/own.conf", "b = 1\n", 0o644);
    assert_eq!(sim.drift().len(), 1);
    sim.accept("/etc/app/conf.d/own.conf");
    assert!(sim.drift().is_empty() && sim.accepted_digest("/etc/app/conf.d/own.conf").is_some());
}

#[test]
fn a_restore_alters_what_is_accepted_and_not_the_file() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "port = 80\n");
    let first = sim.accepted_digest(CONF);
    sim.write(CONF, "port = 81\n", 0o644);
    sim.accept(CONF);
    assert!(sim.drift().is_empty());
    sim.restore(1).unwrap();
    sim.run(5);
    assert_eq!(sim.accepted_digest(CONF), first);
    assert_eq!(sim.world.files[CONF].0, "port = 81\n");
    assert_eq!(sim.drift().len(), 1, "what is there now is drift again");
    // A restore is a version itself, and can be taken back like any other.
    sim.restore(2).unwrap();
    sim.run(5);
    assert!(sim.drift().is_empty());
    let said = sim.reader().audit_about("baseline", 10).unwrap();
    assert_eq!(said.iter().map(|it| it.body["restored"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(sim.versions().len(), 4);
    sim.kill();
    sim.boot();
    assert_ne!(sim.accepted_digest(CONF), first);
    sim.assert_chain();
}

#[test]
fn what_is_no_version_or_no_change_is_refused() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.watched(CONF, "port = 80\n");
    assert_eq!(sim.restore(7).unwrap_err().kind, RefusalKind::NotFound);
    assert_eq!(sim.restore(1).unwrap_err().kind, RefusalKind::Conflict);
    let silent = Request::BaselineRestore { version: 0, reason: " ".into() };
    assert_eq!(sim.ask(silent).unwrap_err().kind, RefusalKind::Usage);
    sim.restore(0).unwrap();
    assert_eq!(sim.accepted_digest(CONF), None, "before the first version nothing was accepted");
}

#[test]
fn in_random_histories_every_version_can_be_accepted_again() {
    for seed in 0..6_u64 {
        let dice = Mutex::new(SeededIds(seed));
        let paths = ["/etc/app/a", "/etc/app/b", "/etc/app/c"];
        let mut sim = Sim::new("", Mode::Advise);
        for path in paths {
            sim.watched(path, "0\n");
        }
        let state = |sim: &Sim| paths.map(|path| sim.accepted_digest(path));
        let mut was = vec![(sim.versions().len() as u64, state(&sim))];
        for step in 0..25 {
            let path = paths[usize::from(draw(&dice) % 3)];
            match draw(&dice) % 4 {
                0 | 1 => {
                    sim.write(path, &format!("{step}\n"), 0o644);
                    sim.accept(path);
                }
                2 => {
                    let (version, then) = was[usize::from(draw(&dice)) % was.len()].clone();
                    if sim.restore(version).is_ok() {
                        assert_eq!(state(&sim), then, "seed {seed}, step {step}: version {version}");
                    }
                }
                _ => {
                    sim.kill();
                    sim.boot();
                }
            }
            was.push((sim.versions().len() as u64, state(&sim)));
        }
        for (version, then) in was {
            let since = sim.reader().baseline_versions(version, 1_000).unwrap();
            let altered = together(&since);
            for (path, then) in paths.iter().zip(&then) {
                let before = altered.get(*path).map(|(before, _)| before.clone());
                let sha256 = match before {
                    Some(before) => before.and_then(|it| it["state"]["sha256"].as_str().map(str::to_owned)),
                    None => sim.accepted_digest(path),
                };
                assert_eq!(sha256, *then, "seed {seed}: {path} at version {version}");
            }
        }
        sim.assert_chain();
    }
}

#[test]
fn what_is_restored_just_after_a_deployment_or_while_it_runs_stays_restored() {
    for ends in [false, true] {
        let mut sim = Sim::new("", Mode::Advise);
        sim.watched(CONF, "port = 80\n");
        let old = sim.accepted_digest(CONF);
        sim.look_at(ItemKind::Package, super::inventory::items(&[("app:amd64", "1")]));
        let version = sim.reader().baseline_version().unwrap();
        sim.deploy("app-2", None, &[CONF, "/var/lib/dpkg/status"]);
        sim.write(CONF, "port = 81\n", 0o644);
        sim.look_at(ItemKind::Package, super::inventory::items(&[("app:amd64", "2")]));
        assert_ne!(sim.accepted_digest(CONF), old, "the deployment explains it");
        if ends {
            sim.finish("app-2");
        }
        sim.run(1);
        sim.restore(version).unwrap();
        sim.run(5);
        sim.look_at(ItemKind::Package, super::inventory::items(&[("app:amd64", "2")]));
        assert_eq!(sim.accepted_digest(CONF), old, "ends: {ends}");
        assert_eq!(sim.reader().accepted_items(ItemKind::Package).unwrap().unwrap()["app:amd64"], "1");
        assert_eq!(sim.drift().len(), 1);
        assert_eq!(sim.drifted_items("package.drift"), ["app:amd64"]);
        if !ends {
            // Another content is another matter, and the deployment still runs.
            sim.write(CONF, "port = 82\n", 0o644);
            assert_eq!(sim.drift().len(), 1, "what drifted is accepted by a person only");
        }
    }
}
