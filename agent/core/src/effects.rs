//! Is what really changed a subset of what was approved?
//!
//! The actuator is trusted to refuse; this is the second pair of eyes on what it reports. An effect on anything that the
//! action does not name, or larger than it says, is beyond the plan.

use crate::model::{Action, Effect};

/// The effects beyond the action, each in one sentence; empty: all of them were approved.
pub fn beyond(action: &Action, effects: &[Effect]) -> Vec<String> {
    effects.iter().filter(|effect| !within(action, effect)).map(sentence).collect()
}

fn sentence(effect: &Effect) -> String {
    format!("{} of {} ({} bytes)", effect.kind, effect.subject, effect.bytes)
}

fn within(action: &Action, effect: &Effect) -> bool {
    match action {
        Action::RestartUnit { unit, .. } => effect.kind == "unit.restarted" && effect.subject == *unit,
        Action::ResetFailedUnit { unit, .. } => effect.kind == "unit.failed_state_reset" && effect.subject == *unit,
        Action::RestoreFile { path, bytes, .. } => {
            effect.kind == "file.restored" && effect.subject == *path && (*bytes == 0 || effect.bytes <= *bytes)
        }
        Action::QuarantinePath { path, .. } => effect.kind == "file.quarantined" && effect.subject == *path,
        Action::ReclaimPaths { entries, .. } => {
            effect.kind == "path.removed"
                && entries.iter().any(|entry| entry.path == effect.subject && effect.bytes <= entry.bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReclaimEntry, Timestamp};

    fn effect(kind: &str, subject: &str, bytes: u64) -> Effect {
        Effect { kind: kind.into(), subject: subject.into(), bytes, detail: String::new() }
    }

    #[track_caller]
    fn check(action: &Action, effect: &Effect, expected: bool) {
        assert_eq!(beyond(action, std::slice::from_ref(effect)).is_empty(), expected, "{effect:?}");
    }

    #[test]
    fn only_what_the_action_names_is_within_it() {
        let restart = Action::RestartUnit {
            unit: "a.service".into(),
            only_if_invocation: None,
            only_if_active_state: "failed".into(),
        };
        check(&restart, &effect("unit.restarted", "a.service", 0), true);
        check(&restart, &effect("unit.restarted", "b.service", 0), false);
        check(&restart, &effect("path.removed", "a.service", 0), false);
        let entry = ReclaimEntry { path: "/w/a".into(), files: 1, bytes: 10, newest_change: Timestamp::from_secs(1) };
        let reclaim = Action::ReclaimPaths { root: "/w".into(), entries: vec![entry] };
        check(&reclaim, &effect("path.removed", "/w/a", 10), true);
        check(&reclaim, &effect("path.removed", "/w/a", 11), false);
        check(&reclaim, &effect("path.removed", "/w/b", 1), false);
    }
}
