//! Failed units.

use crate::detect::unit_failure;
use crate::model::{Presence, Severity, Timestamp, UnitState};

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn web(active_state: &str, result: &str) -> UnitState {
    UnitState {
        name: "web.service".to_owned(),
        active_state: active_state.to_owned(),
        result: result.to_owned(),
        unit_file_state: "enabled".to_owned(),
        n_restarts: 5,
        since: Some(Timestamp::from_secs(990)),
        ..UnitState::default()
    }
}

#[track_caller]
fn check(active_state: &str, expected: Presence) {
    assert_eq!(unit_failure(&web(active_state, ""), NOW, None).presence, expected, "{active_state}");
}

#[test]
fn only_the_manager_says_that_a_unit_failed() {
    check("failed", Presence::Present);
    check("active", Presence::Cleared);
    check("inactive", Presence::Cleared);
    check("activating", Presence::Inconclusive);
    check("deactivating", Presence::Inconclusive);
    check("reloading", Presence::Inconclusive);
    check("something-new", Presence::Inconclusive);
}

#[test]
fn the_title_says_why_and_after_how_many_restarts() {
    let said = unit_failure(&web("failed", "start-limit-hit"), NOW, None);
    assert_eq!(said.title, "web.service failed: it was restarted too often, systemd gave up (after 5 restarts)");
    assert_eq!((said.severity, said.confidence.get()), (Severity::High, 1.0));
    assert_eq!(said.began_at, Timestamp::from_secs(990));
    for name in ["unit.active_state", "unit.result", "unit.n_restarts", "unit.restart"] {
        assert!(said.evidence.iter().any(|it| it.name == name), "{name}");
    }
}

#[test]
fn failure_and_recovery_have_one_fingerprint() {
    let of = |state: &str| unit_failure(&web(state, ""), NOW, None).fingerprint();
    assert_eq!(of("failed"), of("active"));
}
