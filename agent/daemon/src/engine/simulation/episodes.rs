//! Troubles that come and go, and what becomes of their incidents.

use holdfast_core::model::{FindingState, Incident, IncidentState};

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
