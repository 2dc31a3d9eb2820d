//! What a plugin has found, when the plugin says nothing about it any more.

use holdfast_core::model::{Finding, FindingState, Value};

use super::scenarios::AUTO;
use super::*;
use crate::store::IncidentFilter;

impl Sim {
    fn checks(&mut self) {
        let (answer, _reply) = tokio::sync::oneshot::channel();
        self.call(Request::RunPlugin { plugin: "unit-medic".into() }, answer);
        self.run(2);
    }

    fn says(&self, why: Option<&str>) {
        *self.silent.lock().unwrap() = why.map(str::to_owned);
    }
}

fn found(policy: &str, ceiling: Mode) -> (Sim, Finding) {
    let mut sim = Sim::new(policy, ceiling);
    sim.set_unit("web.service", "active");
    sim.checks();
    let finding = sim.newest();
    assert_eq!((finding.kind.as_str(), finding.is_open()), ("unit.odd", true));
    (sim, finding)
}

#[track_caller]
fn has_ended(sim: &Sim, finding: &Finding, why: &str) {
    let ended = sim.findings().into_iter().find(|it| it.id == finding.id).unwrap();
    assert_eq!((ended.state, ended.resolved_at.is_some()), (FindingState::Resolved, true));
    let Some(Value::Text(said)) = ended.evidence("finding.ended") else { panic!("{ended:?}") };
    assert!(said.contains(why), "{said}");
    let entries = sim.reader().audit_about(&finding.id.to_string(), 10).unwrap();
    assert!(serde_json::to_string(&entries).unwrap().contains(why), "the record says why: {entries:?}");
    let incidents = sim.reader().incidents(&IncidentFilter::default()).unwrap();
    let incident = incidents.iter().find(|it| it.findings.contains(&finding.id)).unwrap();
    assert!(incident.outcome.as_deref().unwrap().contains(why), "{incident:?}");
}

#[test]
fn whom_the_last_crash_makes_a_suspect_is_kept_before_the_first_second_has_passed() {
    let mut sim = Sim::new("", Mode::Observe);
    sim.kill();
    let write = PluginStateWrite { plugin: ".health".into(), key: "unit-medic".into(), value: Some(vec![1]) };
    sim.unkept.lock().unwrap().push(write);
    sim.boot();
    // Not one tick later it crashes again.
    sim.kill();
    assert_eq!(sim.reader().plugin_state(".health").unwrap(), [("unit-medic".to_owned(), vec![1])].into());
}

#[test]
fn what_a_plugin_has_found_ends_with_the_plugin_and_says_so() {
    let (mut sim, finding) = found("", Mode::Observe);
    sim.run(5);
    assert!(sim.newest().is_open());
    sim.says(Some("plugin unit-medic has been removed"));
    sim.run(2);
    has_ended(&sim, &finding, "has been removed");
    // Also when it has gone while the agent was away, and what is found again is found anew.
    let (mut sim, finding) = found("", Mode::Observe);
    sim.kill();
    sim.says(Some("plugin unit-medic is switched off"));
    sim.boot();
    sim.run(2);
    has_ended(&sim, &finding, "is switched off");
    sim.says(None);
    sim.checks();
    assert!(sim.newest().is_open());
}

#[test]
fn a_plan_for_what_nobody_looks_at_any_more_waits_for_nobody() {
    let (mut sim, finding) = found(&AUTO.replace("unit.failed", "unit.*"), Mode::Approve);
    assert_eq!(sim.remediations()[0].state, RemediationState::AwaitingApproval);
    sim.says(Some("plugin unit-medic has no grant any more"));
    sim.run(2);
    let ended = sim.remediations().remove(0);
    assert_eq!(ended.state, RemediationState::Expired);
    has_ended(&sim, &finding, "has no grant any more");
}

#[test]
fn a_rule_that_no_report_names_any_more_was_dropped_and_one_that_is_left_out_for_a_while_was_not() {
    let (mut sim, finding) = found("", Mode::Observe);
    let other = |sim: &mut Sim| sim.evaluated = Some(vec!["unit.other".into()]);
    other(&mut sim);
    (0..9).for_each(|_| sim.checks());
    assert!(sim.newest().is_open());
    // Named in between, it is counted from the beginning.
    sim.evaluated = None;
    sim.checks();
    other(&mut sim);
    (0..9).for_each(|_| sim.checks());
    assert!(sim.newest().is_open());
    sim.checks();
    has_ended(&sim, &finding, "has named the rule unit.odd in none of its last 10 reports");
}
