//! When a deployment may have altered something.

use std::time::Duration;

use crate::model::{Deployment, DeploymentState, Timestamp};

/// From its start until its end and a little more; without an end while it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    from: Timestamp,
    until: Option<Timestamp>,
}

/// `None`: a deployment whose end nobody told explains nothing after its time limit.
pub(super) fn reach(deployment: &Deployment, grace: Duration) -> Option<Reach> {
    let until = match deployment.state {
        DeploymentState::Running => None,
        DeploymentState::Expired => return None,
        DeploymentState::Succeeded | DeploymentState::Failed => {
            Some(deployment.finished_at.unwrap_or(deployment.started_at).plus(grace))
        }
    };
    Some(Reach { from: deployment.started_at, until })
}

impl Reach {
    pub(super) fn holds(self, moment: Timestamp) -> bool {
        self.from <= moment && !self.is_over_by(moment)
    }

    pub(super) fn is_over_by(self, moment: Timestamp) -> bool {
        self.until.is_some_and(|end| moment > end)
    }
}
