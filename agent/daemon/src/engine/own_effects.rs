//! Which part of the world is being altered by the agent itself, so that its own consequences wake no rule.
//!
//! From the first step of a remediation until shortly after its end, whatever happens to what its steps act on descends from it.

use std::time::Duration;

use holdfast_core::model::{Action, CauseId, Plan, RemediationId, Target};

/// Consequences may show this long after the end.
const GRACE: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Own {
    target: Target,
    cause: CauseId,
    /// `None` while it goes on.
    until: Option<Duration>,
}

/// What the agent is altering.
#[derive(Debug, Default)]
pub(super) struct OwnEffects(Vec<Own>);

impl OwnEffects {
    pub(super) fn begin(&mut self, plan: &Plan, cause: &RemediationId) {
        self.0.retain(|own| own.cause != *cause);
        for step in &plan.body().steps {
            let target = match &step.action {
                Action::ReclaimPaths { root, .. } => Target::file(root),
                other => other.target(),
            };
            self.0.push(Own { target, cause: cause.clone(), until: None });
        }
    }

    pub(super) fn end(&mut self, cause: &RemediationId, now: Duration) {
        for own in self.0.iter_mut().filter(|own| own.cause == *cause) {
            own.until = Some(now + GRACE);
        }
    }

    /// Whose doing a change of this target is; `None`: not ours.
    pub(super) fn cause_of(&mut self, target: &Target, now: Duration) -> Option<CauseId> {
        self.0.retain(|own| own.until.is_none_or(|until| now <= until));
        self.0.iter().find(|own| covers(&own.target, target)).map(|own| own.cause.clone())
    }
}

fn covers(own: &Target, target: &Target) -> bool {
    own.kind == target.kind
        && (own.name == target.name
            || own.kind == "file" && target.name.strip_prefix(&own.name).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_covers_what_lies_in_it_and_nothing_beside_it() {
        let own = Target::file("/srv/work");
        assert!(covers(&own, &Target::file("/srv/work")));
        assert!(covers(&own, &Target::file("/srv/work/a")));
        assert!(!covers(&own, &Target::file("/srv/workshop")));
        assert!(!covers(&own, &Target::unit("/srv/work")));
    }
}
