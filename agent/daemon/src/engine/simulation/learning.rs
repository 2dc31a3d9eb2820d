//! Samples of labelled findings are kept, and detection is tuned only as far as none of them is lost.

use holdfast_core::detect::labels::Labels;
use holdfast_core::detect::tuning::Tuning;
use holdfast_core::model::{FindingId, FindingState, Interval, Says};

use super::*;
use crate::request::RefusalKind;

/// A host that was busy for so long after a quiet time, and is quiet again.
fn busy(seconds: u32) -> (Sim, FindingId) {
    let mut sim = Sim::new("", Mode::Advise);
    sim.cpu = Some(0.1);
    sim.run(640);
    sim.cpu = Some(0.9);
    sim.run(seconds);
    let id = sim.newest().id;
    (sim, id)
}

fn quiet_again(sim: &mut Sim) {
    sim.cpu = Some(0.1);
    sim.run(60);
    assert_eq!(sim.newest().state, FindingState::Resolved);
}

fn sustained(seconds: u64) -> Tuning {
    Tuning { sustained: Some(Interval::secs(seconds)), ..Tuning::default() }
}

fn apply(sim: &mut Sim, tuning: Tuning) -> Answer {
    sim.ask(Request::TuneApply { tuning, reason: "too nervous".into(), proof: None })
}

#[test]
fn the_samples_of_a_labelled_finding_are_kept_and_show_it_again() {
    let (mut sim, id) = busy(80);
    sim.label(&id, Says::FalsePositive).unwrap();
    let early = sim.reader().episode(&id).unwrap().unwrap();
    quiet_again(&mut sim);
    let episode = sim.reader().episode(&id).unwrap().unwrap();
    // Labelled while it stood: when it is over, all of it is kept.
    assert!(episode.samples() > early.samples() && episode.ended_at > early.ended_at);
    let found = episode.replay(&episode.detect, &Labels::default());
    assert!(found.found && found.stretches.len() == 1, "{:?}", found.stretches);
    let patient = sustained(600).apply(&episode.detect);
    assert!(!episode.replay(&patient, &Labels::default()).found);
    let head = sim.reader().episodes().unwrap().remove(0);
    assert_eq!(
        (head.says, head.series.as_slice()),
        (Says::FalsePositive, &["holdfast.cpu.utilization".to_owned()][..])
    );
    sim.label(&id, Says::TruePositive).unwrap();
    assert_eq!(sim.reader().episodes().unwrap()[0].says, Says::TruePositive);
    sim.unlabel(&id).unwrap();
    assert!(sim.reader().episodes().unwrap().is_empty());
}

#[test]
fn a_finding_without_samples_is_labelled_all_the_same_and_nothing_is_kept() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.set_unit("web.service", "failed");
    let id = sim.newest().id;
    sim.label(&id, Says::TruePositive).unwrap();
    assert!(sim.reader().label(&id).unwrap().is_some());
    assert!(sim.reader().episodes().unwrap().is_empty());
}

#[test]
fn settings_that_lose_a_known_incident_are_refused_and_others_come_into_force_for_good() {
    let (mut sim, id) = busy(100);
    sim.label(&id, Says::TruePositive).unwrap();
    quiet_again(&mut sim);
    let refused = apply(&mut sim, sustained(600)).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Conflict);
    assert!(refused.message.contains(id.as_str()), "{refused:?}");
    assert!(sim.reader().tunings().unwrap().is_empty());
    apply(&mut sim, sustained(60)).unwrap();
    sim.kill();
    sim.boot();
    let status: crate::status::StatusDocument = serde_json::from_value(sim.ask(Request::Status).unwrap()).unwrap();
    let tuning = status.tuning.unwrap();
    assert_eq!((tuning.number, tuning.entries["detect.sustained"].as_str()), (1, "1m"));
    // What lasts 45 seconds was a finding before.
    sim.run(640);
    let before = sim.findings().len();
    sim.cpu = Some(0.9);
    sim.run(45);
    sim.cpu = Some(0.1);
    sim.run(60);
    assert_eq!(sim.findings().len(), before);
    sim.ask(Request::TuneRevert { to: None, reason: "a mistake".into() }).unwrap();
    sim.cpu = Some(0.9);
    sim.run(45);
    assert_eq!(sim.findings().len(), before + 1);
    let said = sim.reader().audit_about("detection", 10).unwrap();
    let bodies: Vec<_> = said.iter().map(|it| (it.body["before"].clone(), it.body["after"].clone())).collect();
    let (none, some) = (serde_json::json!({}), serde_json::json!({ "sustained": "1m" }));
    assert_eq!(bodies, [(none.clone(), some.clone()), (some, none)]);
    sim.assert_chain();
}

#[test]
fn what_cannot_be_tuned_or_taken_back_is_refused() {
    let mut sim = Sim::new("", Mode::Advise);
    let kind = |answer: Answer| answer.unwrap_err().kind;
    let none = Request::TuneRevert { to: None, reason: "x".into() };
    assert_eq!(kind(sim.ask(none)), RefusalKind::Conflict);
    let silent = Request::TuneApply { tuning: sustained(60), reason: " ".into(), proof: None };
    assert_eq!(kind(sim.ask(silent)), RefusalKind::Usage);
    let unknown = Tuning { threshold: [("none".to_owned(), Interval::secs(5))].into(), ..Tuning::default() };
    assert_eq!(kind(apply(&mut sim, unknown)), RefusalKind::Usage);
    assert_eq!(kind(apply(&mut sim, Tuning::default())), RefusalKind::Conflict);
    apply(&mut sim, sustained(60)).unwrap();
    let to_none = Request::TuneRevert { to: Some(7), reason: "x".into() };
    assert_eq!(kind(sim.ask(to_none)), RefusalKind::NotFound);
    sim.ask(Request::TuneRevert { to: Some(0), reason: "x".into() }).unwrap();
    let versions = sim.reader().tunings().unwrap();
    assert_eq!(versions.iter().map(|it| (it.number, it.reverted_to)).collect::<Vec<_>>(), [(1, None), (2, Some(0))]);
    assert!(versions[1].tuning.is_empty());
}

#[test]
fn an_incident_that_was_not_replayed_is_said_in_the_answer_and_on_record() {
    let (mut sim, id) = busy(100);
    sim.label(&id, Says::TruePositive).unwrap();
    quiet_again(&mut sim);
    sim.samples_max = 10;
    let applied: crate::answers::TuningVersion =
        serde_json::from_value(apply(&mut sim, sustained(600)).unwrap()).unwrap();
    assert_eq!(applied.not_replayed, 1);
    assert_eq!(sim.reader().tunings().unwrap()[0].not_replayed, 1);
    assert_eq!(sim.reader().audit_about("detection", 10).unwrap()[0].body["not_replayed"], 1);
}

#[test]
fn what_departs_just_after_the_agent_was_started_names_that() {
    let mut sim = Sim::new("", Mode::Advise);
    sim.cpu = Some(0.1);
    sim.run(1000);
    sim.kill();
    sim.boot();
    sim.run(60);
    sim.cpu = Some(0.9);
    sim.run(80);
    let named = sim.newest().evidence("context.activity").map(ToString::to_string);
    assert_eq!(named.as_deref(), Some("the agent was started"));
}
