//! Troubles that come and go, and what becomes of their incidents.

use holdfast_core::model::{FindingState, Incident, IncidentState, ItemKind};

use super::*;
use crate::store::IncidentFilter;

impl Sim {
    pub(super) fn incidents(&self) -> Vec<Incident> {
        self.reader().incidents(&IncidentFilter::default()).unwrap()
    }
}

#[test]
fn a_unit_that_fails_and_recovers_a_hundred_times_is_one_finding_and_one_incident() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.set_unit("web.service", "active");
    for n in 0..100 {
        sim.set_unit("web.service", "failed");
        sim.run(2);
        sim.set_unit("web.service", "active");
        sim.run(2);
        if n == 50 {
            sim.kill();
            sim.boot();
        }
    }
    let (findings, incidents) = (sim.findings(), sim.incidents());
    assert_eq!((findings.len(), incidents.len()), (1, 1), "{incidents:#?}");
    assert_eq!((findings[0].count, findings[0].state), (100, FindingState::Resolved));
    let incident = &incidents[0];
    assert_eq!((incident.state, incident.reopened), (IncidentState::Resolved, 99));
    assert!(incident.timeline.iter().any(|it| it.text.starts_with("Opened again (99)")), "{:?}", incident.timeline);
    assert!(incident.timeline.len() <= 200);
    let told = sim.reader().audit_about(incident.id.as_str(), 1_000).unwrap();
    let opened = told.iter().filter(|it| it.body["state"] == "open").count();
    assert_eq!((opened, told.len()), (100, 200), "each opening and each end is on record");
    sim.assert_chain();
}

#[test]
fn what_comes_back_within_the_hour_is_the_same_incident_and_later_another() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.set_unit("web.service", "active");
    for (calm_s, findings, incidents) in [(1, 1, 1), (1_200, 2, 1), (3_500, 3, 1), (3_700, 4, 2)] {
        sim.run(calm_s);
        sim.set_unit("web.service", "failed");
        sim.run(2);
        assert_eq!((sim.findings().len(), sim.incidents().len()), (findings, incidents), "after {calm_s} s");
        sim.set_unit("web.service", "active");
        sim.run(1);
    }
    assert!(sim.incidents().iter().all(|it| it.state == IncidentState::Resolved));
    assert_eq!(sim.incidents().iter().map(|it| it.findings.len()).collect::<Vec<_>>(), [1, 3]);
}

fn unit_files(sim: &mut Sim, value: &str) {
    sim.look_at(ItemKind::UnitFile, super::inventory::items(&[("web.service", value)]));
}

#[test]
fn an_edited_unit_file_that_is_noticed_two_minutes_after_the_unit_failed_is_suspected_first() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.set_unit("web.service", "active");
    unit_files(&mut sim, "local file aaaa");
    sim.run(10);
    // Edited now.
    sim.run(2);
    sim.set_unit("web.service", "failed");
    assert_eq!(sim.incidents()[0].suspects, []);
    unit_files(&mut sim, "local file bbbb");
    unit_files(&mut sim, "local file bbbb");
    let incidents = sim.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    assert_eq!(incidents[0].findings.len(), 2, "the drift is of it");
    let first = &incidents[0].suspects[0];
    assert_eq!((first.target.kind.as_str(), first.target.name.as_str()), ("unit_file", "web.service"));
    assert!(incidents[0].timeline.iter().any(|it| it.kind == "change"), "{:?}", incidents[0].timeline);
}

#[test]
fn what_was_known_of_a_kind_of_change_is_told_with_its_suspect_after_a_restart_too() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.set_unit("web.service", "active");
    for _ in 0..2 {
        sim.package("web");
        sim.set_unit("web.service", "failed");
        sim.set_unit("web.service", "active");
        sim.run(4_000);
    }
    sim.package("web");
    sim.events.push_back(Event::Shutdown);
    sim.drain();
    sim.kill();
    sim.boot();
    sim.set_unit("web.service", "failed");
    let incident = sim.incidents().remove(0);
    let told: Vec<String> =
        incident.suspects[0].evidence.iter().map(|it| format!("{}: {}", it.name, it.value)).collect();
    let wanted = "suspect.kind_history: of 3 changes of this kind on this host, 3 were suspected first of an incident";
    assert!(told.iter().any(|it| it == wanted), "{told:?}");
}

#[test]
fn a_unit_that_crashes_every_ten_seconds_and_never_fails_is_found_and_left_to_systemd() {
    let mut sim = Sim::new(super::scenarios::AUTO, Mode::Auto);
    let told = |sim: &mut Sim, active_state: &str, n_restarts: u32| {
        sim.world.runs += 1;
        let state =
            UnitState { n_restarts, restart: "always".into(), ..unit("web.service", active_state, sim.world.runs) };
        sim.world.units.insert("web.service".into(), state.clone());
        sim.events.push_back(Event::Unit(state, sim.now.wall));
        sim.drain();
        sim.run(5);
    };
    for n in 0..30 {
        told(&mut sim, "active", n);
        told(&mut sim, "activating", n + 1);
    }
    told(&mut sim, "active", 31);
    let found = sim.newest();
    assert_eq!((found.kind.as_str(), found.state), ("unit.restarting", FindingState::New));
    assert_eq!((sim.findings().len(), sim.incidents().len()), (1, 1));
    assert_eq!((sim.world.restarts, sim.remediations().len()), (0, 0), "no rule is for it");
    // Nothing is told any more: it runs.
    sim.run(700);
    assert_eq!(sim.newest().state, FindingState::Resolved);
}
