//! One fixture: a rule in mode `auto` with everything in its favour; each test changes one thing.

mod conditions;
mod decisions;
mod documents;
mod properties;
mod samples;

use super::*;
use crate::model::id::SeededIds;
use crate::model::*;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

pub(super) const RULE: &str = r#"
[[rule]]
name      = "restart-web"
on        = ["unit.failed"]
when      = 'finding.subject.unit.startsWith("web-")'
sustained = "5s"
plugin    = "unit-medic"
mode      = "auto"
checklist = ['!deployment.in_progress']
[rule.guard]
cooldown     = "2m"
budget       = { runs = 3, per = "1h" }
blast-radius = { units = 1 }
max-risk     = "medium"
[rule.verify]
within  = "30s"
healthy = 'unit.active_state == "active" && unit.restarts_since == 0'
"#;

pub(super) fn file(name: &str, text: &str) -> PolicyFile {
    PolicyFile { name: name.into(), text: text.into() }
}

#[track_caller]
pub(super) fn policy(text: &str) -> Policy {
    let (policy, found) = Policy::load(&[file("a.toml", text)]);
    assert!(found.is_empty(), "{}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    policy
}

pub(super) fn finding() -> Finding {
    let target = Target::unit("web-1.service");
    Finding {
        id: FindingId::new(NOW, &mut SeededIds(1)),
        fingerprint: format!("unit_failure|unit.failed|{target}|"),
        kind: "unit.failed".into(),
        class: Class::Reliability,
        target,
        title: "web-1.service failed".into(),
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        method: Method { name: "unit_failure".into(), version: 1 },
        evidence: vec![Evidence::new("unit.result", "signal"), Evidence::new("unit.n_restarts", 5_u32)],
        state: FindingState::New,
        count: 1,
        began_at: NOW.minus(Interval::secs(60).0),
        detected_at: NOW.minus(Interval::secs(60).0),
        last_seen_at: NOW,
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

pub(super) fn body(action: Action) -> PlanBody {
    let ids = &mut SeededIds(3);
    PlanBody {
        id: PlanId::new(NOW, ids),
        finding: finding().id,
        target: finding().target,
        proposed_by: "unit-medic 0.1.0".into(),
        plugin_digest: "0".repeat(64),
        run: RunId::new(NOW, ids),
        summary: "restart web-1.service".into(),
        confidence: Confidence::CERTAIN,
        steps: vec![Step {
            id: "1".into(),
            rationale: "it crashed".into(),
            side_effects: vec![],
            risk: action.minimum_risk(),
            undo: action.undo(),
            action,
            timeout_ms: 30_000,
        }],
        evidence: vec![],
        settle_ms: 1_000,
        made_at: NOW,
        expires_at: NOW.plus(Interval::secs(600).0),
    }
}

pub(super) fn restart() -> Action {
    Action::RestartUnit {
        unit: "web-1.service".into(),
        only_if_invocation: None,
        only_if_active_state: "failed".into(),
    }
}

pub(super) fn reclaim() -> Action {
    let entry = ReclaimEntry { path: "/srv/a".into(), files: 1, bytes: 1, newest_change: Timestamp::from_secs(1) };
    Action::ReclaimPaths { root: "/srv".into(), entries: vec![entry] }
}

pub(super) fn inputs() -> Inputs {
    Inputs {
        at: NOW,
        finding: finding(),
        plan: Some(Plan::seal(body(restart())).unwrap()),
        host: [("memory_available_ratio".to_owned(), Value::from(0.5))].into(),
        unit: Some(UnitState { name: "web-1.service".into(), active_state: "failed".into(), ..UnitState::default() }),
        deployments_running: vec![],
        ceiling: Mode::Auto,
        grant: Mode::Auto,
        paused: false,
        history: vec![],
        now_running: 0,
        given: Vec::new(),
    }
}

pub(super) fn run(ago_secs: u64, state: RemediationState) -> PastRun {
    PastRun {
        rule: "restart-web".into(),
        target: Target::unit("web-1.service"),
        started_at: NOW.minus(Interval::secs(ago_secs).0),
        state,
    }
}

pub(super) fn decided(policy: &Policy, inputs: Inputs) -> Decision {
    decide(policy, inputs, DecisionId::new(NOW, &mut SeededIds(9)))
}
