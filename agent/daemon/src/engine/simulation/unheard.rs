//! Findings whose method lost its memory, or is not there any more.

use holdfast_core::detect::Threshold;
use holdfast_core::model::{Finding, FindingState, IncidentState, Interval, ItemKind};

use super::*;

fn busy_limit() -> Threshold {
    Threshold {
        name: "busy".into(),
        metric: "holdfast.cpu.utilization".into(),
        where_: Attributes::new(),
        of: None,
        above: Some(0.5),
        below: None,
        sustained: Interval::secs(30),
        severity: Severity::High,
    }
}

/// A host that was too busy when the agent was killed, before it saved what its methods had said.
fn killed_while_busy() -> (Sim, Finding) {
    let mut sim = Sim::new("", Mode::Advise);
    sim.kill();
    sim.detect.anomalies = false;
    sim.detect.threshold = vec![busy_limit()];
    sim.boot();
    sim.cpu = Some(0.1);
    sim.run(310);
    sim.cpu = Some(0.9);
    sim.run(60);
    let found = sim.newest();
    assert_eq!((found.method.name.as_str(), found.state), ("threshold", FindingState::New));
    sim.kill();
    (sim, found)
}

fn because(finding: &Finding) -> String {
    finding.evidence("finding.ended").map(ToString::to_string).unwrap_or_default()
}

#[test]
fn what_ended_while_the_agent_was_dead_is_closed_with_the_reason() {
    let (mut sim, found) = killed_while_busy();
    sim.cpu = Some(0.1);
    sim.boot();
    sim.run(600);
    assert_eq!(sim.newest().state, FindingState::New, "it is watched for a while first");
    sim.run(600);
    let closed = sim.newest();
    assert_eq!((closed.id.clone(), closed.state), (found.id, FindingState::Resolved));
    assert!(because(&closed).contains("nothing has said that it still stands"), "{closed:?}");
    let incident = sim.incidents().remove(0);
    assert_eq!((incident.state, incident.outcome), (IncidentState::Resolved, Some(because(&closed))));
    let entry = sim.reader().audit_about(closed.id.as_str(), 10).unwrap().pop().unwrap();
    assert_eq!(entry.body["ended"], because(&closed));
    sim.assert_chain();
}

#[test]
fn what_still_stands_after_a_kill_stays_the_same_finding() {
    let (mut sim, found) = killed_while_busy();
    sim.boot();
    sim.run(1_500);
    assert_eq!((sim.findings().len(), sim.newest().id, sim.newest().state), (1, found.id, FindingState::New));
}

#[test]
fn without_samples_nothing_is_closed_for_a_day() {
    let (mut sim, _) = killed_while_busy();
    sim.cpu = None;
    sim.boot();
    sim.run(1_500);
    assert_eq!(sim.newest().state, FindingState::New, "missing samples are no proof");
    sim.now.wall = sim.now.wall.plus(Duration::from_hours(24));
    sim.run(61);
    assert_eq!(
        (sim.newest().state, because(&sim.newest()).as_str()),
        (FindingState::Resolved, "nothing has measured it for a day")
    );
}

#[test]
fn what_the_configuration_does_not_ask_for_any_more_is_closed() {
    let (mut sim, _) = killed_while_busy();
    sim.detect.threshold.clear();
    sim.boot();
    sim.run(61);
    assert_eq!(sim.newest().state, FindingState::Resolved);
    assert!(because(&sim.newest()).contains("the configuration does not ask for it"), "{:?}", sim.newest());
}

#[test]
fn a_unit_that_is_gone_after_a_restart_ends_its_finding() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.set_unit("web.service", "failed");
    sim.set_unit("db.service", "active");
    sim.kill();
    sim.world.units.remove("web.service");
    sim.boot();
    sim.run(100);
    assert_eq!(sim.newest().state, FindingState::New, "units may be told late");
    sim.run(200);
    assert_eq!(
        (sim.newest().state, because(&sim.newest()).as_str()),
        (FindingState::Resolved, "systemd does not know the unit any more")
    );
}

#[test]
fn a_finding_of_a_plugin_that_is_gone_ends() {
    let mut sim = Sim::new("", Mode::Advise);
    for plugin in ["gone", "unit-medic"] {
        let (answer, _reply) = tokio::sync::oneshot::channel();
        sim.call(Request::RunPlugin { plugin: plugin.into() }, answer);
    }
    sim.run(1_000);
    let states: Vec<_> = sim.findings().into_iter().map(|it| (it.method.name.clone(), it.state)).collect();
    let open = |name: &str| states.contains(&(name.to_owned(), FindingState::New));
    assert!(!open("plugin:gone") && open("plugin:unit-medic"), "{states:?}");
}

#[test]
fn a_file_that_appeared_and_went_ends_its_finding_while_the_agent_looks_and_while_it_is_dead() {
    for dead in [false, true] {
        let mut sim = Sim::new("", Mode::Advise);
        sim.write("/etc/app/evil.conf", "x", 0o644);
        sim.run(5);
        assert_eq!((sim.newest().kind.as_str(), sim.newest().state), ("file.drift", FindingState::New));
        if dead {
            sim.kill();
            sim.world.files.clear();
            sim.boot();
            sim.run(200);
        } else {
            sim.world.files.clear();
            sim.tell("/etc/app/evil.conf");
        }
        assert_eq!(sim.newest().state, FindingState::Resolved, "dead: {dead}");
    }
}

#[test]
fn drift_of_what_is_not_looked_at_for_a_day_is_closed_and_not_before() {
    let mut sim = Sim::new("", Mode::Advise);
    for users in
        [&[("root", "uid=0")][..], &[("root", "uid=0"), ("eve", "uid=1001")], &[("root", "uid=0"), ("eve", "uid=1001")]]
    {
        sim.look_at(ItemKind::User, super::inventory::items(users));
    }
    sim.kill();
    sim.boot();
    sim.run(1_500);
    assert_eq!(sim.newest().state, FindingState::New);
    sim.now.wall = sim.now.wall.plus(Duration::from_hours(24));
    sim.run(61);
    assert_eq!(
        (sim.newest().state, because(&sim.newest()).as_str()),
        (FindingState::Resolved, "it has not been looked at for a day")
    );
}

#[test]
fn an_incident_whose_last_finding_ended_just_before_a_kill_ends_at_the_next_start() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.set_unit("web.service", "failed");
    sim.kill();
    sim.set_unit("web.service", "active");
    let ended = Finding { state: FindingState::Resolved, resolved_at: Some(sim.now.wall), ..sim.newest() };
    let key = load_or_create_audit_key(sim.dir.path()).unwrap();
    let mut state = StateDb::open(sim.dir.path(), key).unwrap();
    state.commit(crate::store::Writes { findings: vec![ended], ..Default::default() }).unwrap();
    drop(state);
    assert_eq!(sim.incidents()[0].state, IncidentState::Open);
    sim.boot();
    assert_eq!(sim.incidents()[0].state, IncidentState::Resolved);
}
