//! Histories that the engine must live through.

use super::*;
use crate::store::{DecisionFilter, FindingFilter, IncidentFilter};

pub(super) const AUTO: &str = r#"
[[rule]]
name = "restart-crashed"
description = "Crashed units are restarted"
on = ["unit.failed"]
when = 'finding.confidence >= 0.9'
sustained = "1s"
plugin = "unit-medic"
mode = "auto"
[rule.guard]
cooldown = "1s"
budget = { runs = 3, per = "1h" }
max-risk = "medium"
[rule.verify]
within = "20s"
healthy = 'unit.active_state == "active"'
on-failure = "stop"
"#;

fn crashed(policy: &str, ceiling: Mode) -> Sim {
    let mut sim = Sim::new(policy, ceiling);
    sim.set_unit("web.service", "active");
    sim.run(2);
    sim.set_unit("web.service", "failed");
    sim
}

#[test]
fn a_crashed_unit_is_restarted_verified_and_its_incident_closed() {
    let mut sim = crashed(AUTO, Mode::Auto);
    sim.run(10);
    assert_eq!((sim.states(), sim.world.restarts), (vec![RemediationState::Succeeded], 1));
    let findings = sim.reader().findings(&FindingFilter::default()).unwrap();
    assert_eq!(findings.len(), 1);
    assert!(!findings[0].is_open(), "{findings:?}");
    let incidents = sim.reader().incidents(&IncidentFilter::default()).unwrap();
    assert!(incidents[0].outcome.as_deref().unwrap().starts_with("healed by rem_"), "{incidents:?}");
    sim.assert_chain();
}

#[test]
fn a_transient_failure_makes_no_plan() {
    let mut sim = crashed(AUTO, Mode::Auto);
    sim.set_unit("web.service", "active");
    sim.run(10);
    assert_eq!((sim.remediations().len(), sim.world.restarts), (0, 0));
}

#[test]
fn under_the_advise_ceiling_nothing_is_executed_and_the_plan_is_shown() {
    let mut sim = crashed(AUTO, Mode::Advise);
    sim.run(10);
    assert_eq!((sim.states(), sim.world.restarts), (vec![RemediationState::Proposed], 0));
    let id = sim.remediations()[0].id.clone();
    let refused = sim.ask(Request::Approve { remediation: id, note: "yes".into(), digest: None }).unwrap_err();
    assert_eq!(refused.kind, crate::request::RefusalKind::Denied);
    assert_eq!(sim.world.restarts, 0);
}

#[test]
fn under_the_approve_ceiling_it_waits_for_a_yes_to_this_very_plan() {
    let mut sim = crashed(AUTO, Mode::Approve);
    sim.run(5);
    let waiting = sim.remediations().remove(0);
    assert_eq!((waiting.state, sim.world.restarts), (RemediationState::AwaitingApproval, 0));
    let approve =
        |digest: Option<String>| Request::Approve { remediation: waiting.id.clone(), note: "ok".into(), digest };
    assert!(sim.ask(approve(Some("0".repeat(64)))).is_err(), "another plan's digest is no yes");
    sim.ask(approve(Some(waiting.plan.digest().to_string()))).unwrap();
    sim.run(10);
    assert_eq!((sim.states(), sim.world.restarts), (vec![RemediationState::Succeeded], 1));
}

#[test]
fn while_paused_nothing_starts_and_afterwards_it_does() {
    let mut sim = Sim::new(AUTO, Mode::Auto);
    sim.set_unit("web.service", "active");
    sim.ask(Request::Pause { reason: "maintenance".into() }).unwrap();
    sim.set_unit("web.service", "failed");
    sim.run(20);
    assert_eq!(sim.world.restarts, 0);
    let decisions = sim.reader().decisions(&DecisionFilter::default()).unwrap();
    assert!(decisions.iter().any(|it| it.reasons.iter().any(|r| r.code == "paused")), "{decisions:?}");
    sim.ask(Request::Resume { reason: "done".into() }).unwrap();
    sim.run(20);
    assert_eq!(sim.world.restarts, 1);
}

#[test]
fn a_pause_survives_a_restart_of_the_agent() {
    let mut sim = Sim::new(AUTO, Mode::Auto);
    sim.ask(Request::Pause { reason: "maintenance".into() }).unwrap();
    sim.kill();
    sim.boot();
    sim.set_unit("web.service", "failed");
    sim.run(10);
    assert_eq!(sim.world.restarts, 0);
}

#[test]
fn a_restart_that_does_not_help_is_tried_until_its_record_asks_for_a_person() {
    let mut sim = crashed(AUTO, Mode::Auto);
    sim.world.restart = Restart::FailsAgain;
    sim.run(200);
    assert_eq!(sim.world.restarts, 2, "two failures demote the rule: {:?}", sim.states());
    assert_eq!(sim.states().last(), Some(&RemediationState::AwaitingApproval));
    sim.assert_chain();
}

#[test]
fn without_a_cooldown_in_the_rule_an_attempt_that_failed_is_not_repeated() {
    let once = AUTO.replace("cooldown = \"1s\"\n", "");
    let mut sim = crashed(&once, Mode::Auto);
    sim.world.restart = Restart::FailsAgain;
    sim.run(200);
    assert_eq!((sim.world.restarts, sim.states()), (1, vec![RemediationState::Failed]));
}

#[test]
fn a_lost_answer_is_asked_for_and_the_step_is_not_repeated() {
    let mut sim = crashed(AUTO, Mode::Auto);
    sim.world.restart = Restart::AnswerLost;
    sim.run(15);
    assert_eq!((sim.states(), sim.world.restarts), (vec![RemediationState::Succeeded], 1));
}

#[test]
fn what_root_did_not_list_is_refused_and_said() {
    let once = AUTO.replace("cooldown = \"1s\"\n", "");
    let mut sim = crashed(&once, Mode::Auto);
    sim.world.restart = Restart::Refused;
    sim.run(15);
    let all = sim.remediations();
    assert_eq!(all[0].state, RemediationState::Failed);
    assert!(all[0].outcome.as_deref().unwrap().contains("not listed"), "{:?}", all[0].outcome);
}

#[test]
fn killed_before_any_command_the_agent_finishes_or_reports_and_repeats_nothing() {
    let mut ended = Vec::new();
    for at in 1..40 {
        let mut sim = Sim::new(AUTO, Mode::Auto);
        sim.set_unit("web.service", "active");
        sim.run(2);
        sim.kill_at = Some(sim.commands + at);
        sim.set_unit("web.service", "failed");
        sim.run(6);
        if !sim.killed {
            break;
        }
        sim.kill_at = None;
        sim.boot();
        sim.run(40);
        assert_eq!(sim.world.restarts, 1, "killed at command {at}: {:?}", sim.states());
        assert!(sim.states().iter().all(|it| it.is_final()), "killed at command {at}: {:?}", sim.states());
        sim.assert_chain();
        ended.push(sim.states());
    }
    assert!(ended.len() >= 2, "the history has at least a proposal and a step: {ended:?}");
}

#[test]
fn a_step_that_was_not_begun_before_the_crash_is_not_begun_under_a_lower_ceiling() {
    let mut sim = Sim::new(AUTO, Mode::Auto);
    sim.set_unit("web.service", "active");
    // The first command asks for a plan, the second has the step carried out.
    sim.kill_at = Some(sim.commands + 2);
    sim.set_unit("web.service", "failed");
    sim.run(3);
    assert!(sim.killed);
    sim.kill_at = None;
    sim.ceiling = Mode::Advise;
    sim.boot();
    sim.run(10);
    assert_eq!(sim.world.restarts, 0, "{:?}", sim.states());
    assert_eq!(sim.states().first(), Some(&RemediationState::Failed));
}

#[test]
fn killed_while_it_watches_the_agent_still_knows_that_the_symptom_went() {
    let mut sim = crashed(AUTO, Mode::Auto);
    for _ in 0..20 {
        if sim.states() == [RemediationState::Verifying] {
            break;
        }
        sim.quarter();
    }
    assert_eq!(sim.states(), [RemediationState::Verifying]);
    sim.kill();
    sim.boot();
    sim.run(15);
    assert_eq!((sim.states(), sim.world.restarts), (vec![RemediationState::Succeeded], 1));
}

#[test]
fn random_histories_keep_the_invariants() {
    for seed in 0..12_u64 {
        let dice = Mutex::new(SeededIds(seed));
        let mut sim = Sim::new(AUTO, Mode::Auto);
        sim.set_unit("web.service", "active");
        for _ in 0..40 {
            match draw(&dice) % 8 {
                0 => sim.set_unit("web.service", "failed"),
                1 => sim.set_unit("web.service", "active"),
                2 => sim.set_unit("db.service", "failed"),
                3 => sim.world.restart = Restart::FailsAgain,
                4 => sim.world.restart = Restart::AnswerLost,
                5 => sim.world.restart = Restart::Heals,
                6 => {
                    sim.kill();
                    sim.boot();
                }
                _ => {}
            }
            sim.run(u32::from(draw(&dice) % 6));
        }
        sim.world.restart = Restart::Heals;
        sim.run(60);
        let executed = sim.world.journal.values().filter(|it| it.is_ok()).count() as u32;
        assert_eq!(executed, sim.world.restarts, "seed {seed}: a request was carried out twice");
        assert!(
            sim.remediations().iter().filter(|it| !it.state.is_final()).count() <= 2,
            "seed {seed}: {:?}",
            sim.states()
        );
        sim.assert_chain();
    }
}

#[test]
fn what_was_closed_long_ago_is_deleted_and_what_is_open_and_the_audit_chain_stay() {
    let mut sim = crashed("", Mode::Advise);
    sim.run(3);
    sim.set_unit("web.service", "active");
    sim.run(5);
    sim.set_unit("other.service", "active");
    sim.run(2);
    sim.set_unit("other.service", "failed");
    sim.run(3);
    let open = |sim: &Sim| sim.reader().findings(&FindingFilter { open_only: true, ..Default::default() }).unwrap();
    let (all, still) = (sim.reader().findings(&FindingFilter::default()).unwrap().len(), open(&sim));
    assert!(all > still.len() && !still.is_empty(), "{still:?}");
    let entries = sim.reader().audit_head().unwrap().seq;
    let engine = sim.engine.as_mut().unwrap();
    let later = Moment { wall: sim.now.wall.plus(Duration::from_hours(401 * 24)), ..sim.now };
    engine.expire_records(later, &mut Vec::new());
    assert_eq!(sim.reader().findings(&FindingFilter::default()).unwrap().len(), all, "not before it is due");
    let engine = sim.engine.as_mut().unwrap();
    engine.records_due = Duration::ZERO;
    engine.expire_records(later, &mut Vec::new());
    assert_eq!(sim.reader().findings(&FindingFilter::default()).unwrap(), still);
    assert_eq!(sim.reader().audit_head().unwrap().seq, entries);
    sim.assert_chain();
}

#[test]
fn purging_is_recorded_without_the_values_and_forgets_changes_in_memory_too() {
    let mut sim = crashed("", Mode::Advise);
    sim.run(2);
    let about = || crate::store::ChangeFilter { target: Some("unit:web.service".into()), ..Default::default() };
    let held = |sim: &Sim| sim.telemetry.as_ref().unwrap().reader().changes(&about()).unwrap().len();
    sim.telemetry.as_ref().unwrap().flush().unwrap();
    assert!(held(&sim) > 0);
    let empty = Request::Purge { where_: vec![], target: None, reason: "x".into() };
    assert!(sim.ask(empty).is_err(), "everything is no subject");
    let target = Some("unit:web.service".to_owned());
    let again = target.clone();
    sim.ask(Request::Purge { where_: vec![], target, reason: "request 17".into() }).unwrap();
    assert_eq!(held(&sim), 0);
    let nothing = sim.ask(Request::Purge { where_: vec![], target: again, reason: "request 17".into() }).unwrap();
    assert_eq!(nothing["changes"], 0);
    let entries = sim.reader().audit_about("telemetry", 10).unwrap();
    let text = serde_json::to_string(&entries).unwrap();
    assert!(text.contains("request 17") && !text.contains("web.service"), "{text}");
    let told: Vec<u64> = entries.iter().filter_map(|entry| entry.body["purged"]["changes"].as_u64()).collect();
    assert!(told.len() == 2 && told[0] > 0 && told[1] == 0, "what came of each is on record: {text}");
    assert!(sim.engine.as_ref().unwrap().changes.is_empty());
}

#[test]
fn with_four_eyes_nobody_approves_a_plan_that_their_own_check_led_to() {
    for four_eyes in [true, false] {
        let mut sim = Sim::new(&AUTO.replace("unit.failed", "unit.*"), Mode::Approve);
        sim.four_eyes = four_eyes;
        sim.kill();
        sim.boot();
        sim.set_unit("web.service", "active");
        let (answer, _reply) = tokio::sync::oneshot::channel();
        sim.call(Request::RunPlugin { plugin: "unit-medic".into() }, answer);
        sim.run(3);
        let waiting = sim.remediations().remove(0);
        assert_eq!(waiting.state, RemediationState::AwaitingApproval);
        assert_eq!(waiting.requested_by.as_deref(), Some("alice (uid 1000)"));
        let approve = |sim: &mut Sim| {
            sim.ask(Request::Approve { remediation: waiting.id.clone(), note: "ok".into(), digest: None })
        };
        let own = approve(&mut sim);
        assert_eq!(own.is_err(), four_eyes, "{own:?}");
        if let Err(refusal) = own {
            assert!(refusal.message.contains("another person"), "{refusal:?}");
            assert_eq!(sim.world.restarts, 0);
            sim.caller = Caller { name: "bob (uid 1001)".into(), uid: 1_001, role: Role::Approver };
            approve(&mut sim).unwrap();
        }
    }
}
