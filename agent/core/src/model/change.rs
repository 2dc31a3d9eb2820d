//! Something deliberately altered around the machine, and the deployments that alter it.

use serde::{Deserialize, Serialize};

use super::id::{CauseId, ChangeId, DeploymentId};
use super::metric::Attributes;
use super::target::Target;
use super::time::Timestamp;
use super::unit_name::{full_unit_name, template_of};

/// Attribute of a change that was noticed by looking now and then: the last look that did not see it, so it happened after that and not
/// after [`Change::at`].
pub const NOT_BEFORE: &str = "change.not_before";

/// One change: subject and past-tense predicate, as CDEvents names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// This change.
    pub id: ChangeId,
    /// When it happened (not when it was noticed).
    pub at: Timestamp,
    /// `service.deployed`, `service.upgraded`, `service.rolledback`, `package.installed`, `package.upgraded`, `package.removed`,
    /// `file.modified`, `file.created`, `file.deleted`, `unit.started`, `unit.stopped`, `unit.failed`, `unit.restarted`,
    /// `flag.changed`, `pipeline_run.finished`.
    pub kind: String,
    /// What was altered.
    pub target: Target,
    /// Who did it, where that is known.
    pub actor: Option<String>,
    /// One line for people.
    pub summary: String,
    /// Versions, digests, ids.
    pub attributes: Attributes,
    /// The deployment that it belongs to.
    pub deployment: Option<DeploymentId>,
    /// Set when the agent's own remediation made it; such a change matches no rule.
    pub cause: Option<CauseId>,
}

impl Change {
    /// The earliest that it may have happened: [`Change::at`], unless it was noticed late.
    pub fn earliest(&self) -> Timestamp {
        let earliest = self.attributes.get(NOT_BEFORE).and_then(|it| it.parse().ok());
        earliest.map_or(self.at, |it: Timestamp| it.min(self.at))
    }
}

/// How a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Started, not finished.
    Running,
    /// Finished, as its pipeline said.
    Succeeded,
    /// Finished badly, as its pipeline said.
    Failed,
    /// Started and never finished within its time limit.
    Expired,
}

/// One rollout of a service version to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The pipeline's own id.
    pub id: DeploymentId,
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// `sha256:…` of what was deployed.
    pub artifact: Option<String>,
    /// VCS revision.
    pub revision: Option<String>,
    /// Who started it.
    pub actor: String,
    /// Where the release lies; its files are recorded at the finish.
    pub release_dir: Option<String>,
    /// Units that run the service.
    pub units: Vec<String>,
    /// Paths that the deployment may alter; changes there, while it runs, are explained by it.
    pub paths: Vec<String>,
    /// State.
    pub state: DeploymentState,
    /// Start.
    pub started_at: Timestamp,
    /// End, when it has ended.
    pub finished_at: Option<Timestamp>,
}

impl Deployment {
    /// Whether the deployment was under way at that moment.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.started_at <= at && self.finished_at.is_none_or(|end| at <= end)
    }

    /// Whether it named this unit, with or without its type, or the template that the unit is an instance of.
    pub fn names_unit(&self, unit: &str) -> bool {
        let template = template_of(unit);
        self.units.iter().map(|it| full_unit_name(it)).any(|it| it == unit || Some(&it) == template.as_ref())
    }

    /// Whether it declared that it alters this path (itself or below one of its directories).
    pub fn declares_path(&self, path: &str) -> bool {
        self.paths
            .iter()
            .chain(self.release_dir.iter())
            .any(|p| path == p || path.strip_prefix(p.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_names_units_as_people_write_them() {
        let deployment = Deployment {
            id: "a".parse().unwrap(),
            service: String::new(),
            version: String::new(),
            environment: String::new(),
            artifact: None,
            revision: None,
            actor: String::new(),
            release_dir: None,
            units: vec!["web".into(), "php8.2-fpm".into(), "job@.service".into(), "x.socket".into()],
            paths: vec![],
            state: DeploymentState::Running,
            started_at: Timestamp::from_secs(0),
            finished_at: None,
        };
        for unit in ["web.service", "php8.2-fpm.service", "job@1.service", "job@.service", "x.socket"] {
            assert!(deployment.names_unit(unit), "{unit}");
        }
        for unit in ["web.socket", "x.service", "job.service", "web@1.service"] {
            assert!(!deployment.names_unit(unit), "{unit}");
        }
    }
}
