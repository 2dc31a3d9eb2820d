//! What a person says about a finding, and what becomes of the next one.

use holdfast_core::detect::labels::{Labels, Seen};
use holdfast_core::model::{Finding, FindingId, FindingState, Says};

use super::scenarios::AUTO;
use super::*;
use crate::store::{FindingFilter, IncidentFilter};

const NO_RULES: &str = "";

impl Sim {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut all = self.reader().findings(&FindingFilter::default()).unwrap();
        all.reverse();
        all
    }

    pub(super) fn newest(&self) -> Finding {
        self.findings().pop().unwrap()
    }

    pub(super) fn label(&mut self, id: &FindingId, says: Says) -> Answer {
        self.ask(Request::Label { finding: id.clone(), label: says.to_string(), note: "as planned".into() })
    }

    pub(super) fn unlabel(&mut self, id: &FindingId) -> Answer {
        self.ask(Request::Unlabel { finding: id.clone(), note: "a mistake".into() })
    }

    /// It fails, in this way.
    fn fails(&mut self, result: &str) {
        let state = UnitState { result: result.into(), ..unit("web.service", "failed", self.world.runs) };
        self.world.units.insert("web.service".into(), state.clone());
        self.events.push_back(Event::Unit(state, self.now.wall));
        self.drain();
    }

    /// Runs again, for so long that the next failure is another finding.
    fn recovers(&mut self) {
        self.set_unit("web.service", "active");
        self.run(700);
    }

    /// Every standing finding is as the stored labels say.
    fn assert_ruled(&self, what: &str) {
        let labels = Labels::new(self.reader().labels().unwrap());
        for it in self.findings() {
            let suppresses = labels.rule(&Seen::finding(&it)).suppresses();
            match it.state {
                FindingState::New => assert!(!suppresses, "{what}: {it:?}"),
                FindingState::Suppressed => assert!(suppresses, "{what}: {it:?}"),
                FindingState::InProgress | FindingState::Resolved => {}
            }
            assert_eq!(it.label, labels.get(&it.id).map(|it| it.says.to_string()), "{what}");
        }
    }
}

fn failed(policy: &str) -> Sim {
    let mut sim = Sim::new(policy, Mode::Auto);
    sim.set_unit("web.service", "active");
    sim.fails("exit-code");
    sim
}

#[test]
fn after_a_false_positive_the_next_one_like_it_is_suppressed_and_nothing_is_done_about_it() {
    let mut sim = failed(NO_RULES);
    let first = sim.newest().id;
    sim.label(&first, Says::FalsePositive).unwrap();
    assert_eq!(sim.newest().state, FindingState::Suppressed);
    assert!(sim.reader().incidents(&IncidentFilter { open_only: true, ..Default::default() }).unwrap().is_empty());
    sim.recovers();
    assert_eq!(sim.newest().state, FindingState::Resolved);
    sim.policy = AUTO.into();
    sim.kill();
    sim.boot();
    sim.fails("exit-code");
    sim.run(20);
    let second = sim.newest();
    assert_ne!(second.id, first);
    assert_eq!((second.state, second.incident.clone()), (FindingState::Suppressed, None));
    assert_eq!((sim.world.restarts, sim.remediations().len()), (0, 0));
    let why = second.evidence("label.why").unwrap().to_string();
    assert!(why.contains(first.as_str()), "{why}");
    let label = sim.reader().label(&first).unwrap().unwrap();
    assert_eq!((label.applied, label.note.as_str(), label.by.as_str()), (1, "as planned", "alice (uid 1000)"));
    sim.assert_ruled("suppressed");
    sim.assert_chain();
}

#[test]
fn a_label_taken_back_makes_it_a_finding_at_once_and_the_rule_is_asked() {
    let mut sim = failed(NO_RULES);
    let first = sim.newest().id;
    sim.label(&first, Says::FalsePositive).unwrap();
    sim.recovers();
    sim.policy = AUTO.into();
    sim.kill();
    sim.boot();
    sim.fails("exit-code");
    sim.run(5);
    assert_eq!(sim.world.restarts, 0);
    sim.unlabel(&first).unwrap();
    sim.run(10);
    assert_eq!((sim.states(), sim.world.restarts), (vec![RemediationState::Succeeded], 1));
    assert!(sim.newest().incident.is_some());
    sim.assert_ruled("unlabelled");
    let refused = sim.unlabel(&first).unwrap_err();
    assert_eq!(refused.kind, crate::request::RefusalKind::Conflict);
    let said = sim.reader().audit_about(first.as_str(), 100).unwrap();
    let words: Vec<_> =
        said.iter().filter_map(|it| Some((it.body.get("label")?.clone(), it.body["before"].clone()))).collect();
    assert_eq!(
        serde_json::json!(words),
        serde_json::json!([["false-positive", null], [null, "false-positive"]]),
        "{said:?}"
    );
}

#[test]
fn another_way_to_fail_is_a_finding_again() {
    let mut sim = failed(NO_RULES);
    let first = sim.newest().id;
    sim.label(&first, Says::FalsePositive).unwrap();
    sim.fails("oom-kill");
    let standing = sim.newest();
    assert_eq!((standing.id.clone(), standing.state), (first, FindingState::New));
    assert!(standing.evidence("label.why").unwrap().to_string().contains("unit.result is another"), "{standing:?}");
    assert!(standing.incident.is_some());
    sim.fails("exit-code");
    assert_eq!(sim.newest().state, FindingState::Suppressed);
    sim.assert_ruled("it changes");
}

#[test]
fn a_suppressed_finding_is_still_known_after_a_restart_and_is_resolved_when_it_is_gone() {
    let mut sim = failed(NO_RULES);
    let first = sim.newest().id;
    sim.label(&first, Says::FalsePositive).unwrap();
    sim.kill();
    sim.boot();
    sim.run(5);
    assert_eq!(sim.findings().len(), 1, "it was told again, and is the same");
    sim.set_unit("web.service", "active");
    assert_eq!(sim.newest().state, FindingState::Resolved);
    // Back within ten minutes: the same finding, opened again, and still no problem.
    sim.run(5);
    sim.fails("exit-code");
    assert_eq!((sim.newest().id, sim.newest().state), (first, FindingState::Suppressed));
}

#[test]
fn a_known_incident_is_never_suppressed() {
    let mut sim = failed(NO_RULES);
    let first = sim.newest().id;
    sim.label(&first, Says::TruePositive).unwrap();
    sim.recovers();
    sim.fails("exit-code");
    let second = sim.newest();
    assert_ne!(second.id, first);
    sim.label(&second.id, Says::FalsePositive).unwrap();
    let standing = sim.newest();
    assert_eq!(standing.state, FindingState::New);
    let why = standing.evidence("label.why").unwrap().to_string();
    assert!(why.contains(first.as_str()) && why.contains("true-positive"), "{why}");
    // Only when the older word is taken back.
    sim.unlabel(&first).unwrap();
    assert_eq!(sim.newest().state, FindingState::Suppressed);
    sim.assert_ruled("protected");
}

#[test]
fn what_is_no_label_is_refused_and_changes_nothing() {
    let mut sim = failed(NO_RULES);
    let id = sim.newest().id;
    let refused = sim.ask(Request::Label { finding: id, label: "maybe".into(), note: String::new() }).unwrap_err();
    assert_eq!(refused.kind, crate::request::RefusalKind::Usage);
    assert!(sim.reader().labels().unwrap().is_empty());
    assert_eq!(sim.newest().label, None);
}

#[test]
fn in_random_histories_every_finding_stands_as_the_labels_say() {
    for seed in 0..10_u64 {
        let dice = Mutex::new(SeededIds(seed));
        let mut sim = failed(NO_RULES);
        for step in 0..60 {
            let any = |sim: &Sim| {
                let all = sim.findings();
                all[usize::from(draw(&dice)) % all.len()].id.clone()
            };
            match draw(&dice) % 8 {
                0 | 1 => sim.fails(["exit-code", "oom-kill", "signal"][usize::from(draw(&dice) % 3)]),
                2 => sim.set_unit("web.service", "active"),
                3 => sim.recovers(),
                4 => drop(sim.label(&any(&sim), Says::FalsePositive)),
                5 => drop(sim.label(&any(&sim), Says::TruePositive)),
                6 => drop(sim.unlabel(&any(&sim))),
                _ => {
                    sim.kill();
                    sim.boot();
                }
            }
            sim.assert_ruled(&format!("seed {seed}, step {step}"));
        }
        sim.assert_chain();
    }
}
