//! From detections to findings.

use proptest::prelude::*;

use super::*;
use crate::detect::lifecycle::{FindingEvent, Lifecycle};
use crate::detect::unit_failure;
use crate::model::{FindingState, Severity, UnitState};

struct Story {
    lifecycle: Lifecycle,
    ids: SeededIds,
    at: Timestamp,
}

fn detection(active_state: &str, at: Timestamp) -> Detection {
    let unit = UnitState {
        name: "web.service".to_owned(),
        active_state: active_state.to_owned(),
        since: Some(at),
        ..UnitState::default()
    };
    unit_failure(&unit, at, None)
}

impl Story {
    fn new() -> Self {
        Self { lifecycle: Lifecycle::default(), ids: SeededIds(3), at: Timestamp::from_secs(START_S) }
    }

    fn says(&mut self, active_state: &str, after_s: u64) -> Option<FindingEvent> {
        self.at = self.at.plus(std::time::Duration::from_secs(after_s));
        self.lifecycle.observe(&detection(active_state, self.at), self.at, &mut self.ids)
    }
}

#[test]
fn a_hundred_detections_are_one_finding_with_a_count() {
    let mut story = Story::new();
    assert!(matches!(story.says("failed", 0), Some(FindingEvent::Opened(_))));
    let written = (1..100).filter_map(|_| story.says("failed", 1)).count();
    assert_eq!(written, 1, "one durable write a minute");
    let open: Vec<_> = story.lifecycle.open().collect();
    assert_eq!((open.len(), open[0].count), (1, 100));
}

#[test]
fn a_new_severity_is_written_at_once() {
    let mut story = Story::new();
    story.says("failed", 0);
    let mut worse = detection("failed", story.at);
    worse.severity = Severity::Critical;
    assert!(
        matches!(story.lifecycle.observe(&worse, story.at, &mut story.ids), Some(FindingEvent::Updated(it)) if it.severity == Severity::Critical)
    );
}

#[test]
fn inconclusive_opens_and_resolves_nothing() {
    let mut story = Story::new();
    assert_eq!(story.says("activating", 1), None);
    story.says("failed", 1);
    assert_eq!(story.says("activating", 1), None);
    let open = story.lifecycle.open().next().unwrap().id.clone();
    assert_eq!(story.lifecycle.latest_presence(&open).map(|(presence, _)| presence), Some(Presence::Inconclusive));
}

#[test]
fn cleared_resolves_once_and_the_word_is_kept_for_verification() {
    let mut story = Story::new();
    story.says("failed", 0);
    let Some(FindingEvent::Resolved(resolved)) = story.says("active", 5) else { panic!() };
    assert_eq!(resolved.resolved_at, Some(story.at));
    assert_eq!(story.says("active", 5), None);
    assert_eq!(story.lifecycle.latest_presence(&resolved.id), Some((Presence::Cleared, story.at)));
    assert_eq!(story.lifecycle.open().count(), 0);
}

#[test]
fn coming_back_soon_is_flapping_and_later_a_new_finding() {
    let mut story = Story::new();
    let Some(FindingEvent::Opened(first)) = story.says("failed", 0) else { panic!() };
    for flaps in 1..=3_i64 {
        story.says("active", 10);
        let Some(FindingEvent::Opened(again)) = story.says("failed", 10) else { panic!() };
        assert_eq!(again.id, first.id);
        assert_eq!(again.evidence("finding.flaps"), Some(&Value::Integer(flaps)));
        assert_eq!(again.evidence.iter().filter(|it| it.name == "finding.flaps").count(), 1);
    }
    story.says("active", 10);
    let Some(FindingEvent::Opened(later)) = story.says("failed", 1_000) else { panic!() };
    assert_ne!(later.id, first.id);
    assert_eq!(story.lifecycle.by_fingerprint(&later.fingerprint).map(|it| &it.id), Some(&later.id));
}

#[test]
fn what_the_agent_brought_about_does_not_hide_in_an_older_finding() {
    let mut story = Story::new();
    let Some(FindingEvent::Opened(first)) = story.says("failed", 0) else { panic!() };
    story.says("active", 10);
    let mut own = detection("failed", story.at);
    own.cause = Some(crate::model::CauseId::new(story.at, &mut story.ids));
    let Some(FindingEvent::Opened(second)) = story.lifecycle.observe(&own, story.at, &mut story.ids) else { panic!() };
    assert!(second.id != first.id && second.cause.is_some());
}

#[test]
fn suppressed_stays_suppressed_until_it_is_gone() {
    let mut story = Story::new();
    let Some(FindingEvent::Opened(mut finding)) = story.says("failed", 0) else { panic!() };
    finding.state = FindingState::Suppressed;
    story.lifecycle.replace(finding.clone());
    story.says("failed", 100);
    assert_eq!(story.lifecycle.get(&finding.id).unwrap().state, FindingState::Suppressed);
    assert_eq!(story.lifecycle.open().count(), 0);
    assert!(matches!(story.says("active", 1), Some(FindingEvent::Resolved(_))));
}

#[test]
fn what_ends_because_nobody_looks_any_more_says_why_and_is_not_known_to_be_gone() {
    let mut story = Story::new();
    let Some(FindingEvent::Opened(finding)) = story.says("failed", 0) else { panic!() };
    let ended = story.lifecycle.end(&finding.id, "its plugin is gone", story.at).unwrap();
    assert_eq!((ended.state, ended.resolved_at), (FindingState::Resolved, Some(story.at)));
    assert_eq!(ended.evidence("finding.ended"), Some(&Value::Text("its plugin is gone".into())));
    assert_eq!(story.lifecycle.latest_presence(&finding.id), Some((Presence::Inconclusive, story.at)));
    assert_eq!((story.lifecycle.open().count(), story.lifecycle.end(&finding.id, "twice", story.at)), (0, None));
    // Said again soon after, it is the same one, and its end is no evidence of it any more.
    let Some(FindingEvent::Opened(again)) = story.says("failed", 10) else { panic!() };
    assert_eq!((&again.id, again.evidence("finding.ended")), (&finding.id, None));
}

#[test]
fn a_finding_taken_up_after_a_restart_is_the_same_one() {
    let mut story = Story::new();
    let Some(FindingEvent::Opened(finding)) = story.says("failed", 0) else { panic!() };
    story.lifecycle = Lifecycle::new(vec![finding.clone()]);
    assert_eq!(story.lifecycle.latest_presence(&finding.id), None);
    assert_eq!(story.says("failed", 1), None);
    assert!(matches!(story.says("active", 1), Some(FindingEvent::Resolved(it)) if it.id == finding.id));
}

proptest! {
    #[test]
    fn at_most_one_finding_is_open_for_a_fingerprint(steps in prop::collection::vec((0_usize..4, 0_u64..2_000), 1..60)) {
        let mut story = Story::new();
        for (state, after_s) in steps {
            let state = ["failed", "active", "activating", "inactive"][state];
            let before = story.lifecycle.open().count();
            let event = story.says(state, after_s);
            let open = story.lifecycle.open().count();
            prop_assert!(open <= 1);
            match event {
                Some(FindingEvent::Opened(_)) => prop_assert!(before == 0 && open == 1),
                Some(FindingEvent::Resolved(_)) => prop_assert!(before == 1 && open == 0),
                _ => prop_assert_eq!(before, open),
            }
            prop_assert_eq!(open == 1, story.lifecycle.open().next().is_some());
        }
    }
}
