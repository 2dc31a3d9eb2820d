//! Deployments as their pipelines announce them: start, finish, and what lies in the release afterwards.

use std::time::Duration;

use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{
    Attributes, Change, ChangeId, Deployment, DeploymentId, DeploymentState, RunId, Target, Timestamp, full_unit_name,
};
use tokio::sync::oneshot;

use super::{Command, Engine, Moment};
use crate::event_loop::{FileFound, ReadFor};
use crate::request::{Answer, Caller, DeployStart, Refusal, RefusalKind};
use crate::store::{BaselineFile, Writes};
use crate::telemetry::Chain;

/// Nobody deploys into these.
const KERNEL: [&str; 4] = ["proc", "sys", "dev", "run"];
/// A deployment that nobody finished counts as running for so long.
const EXPIRES_AFTER: Duration = Duration::from_hours(24);
/// Deployments that are read at a start, the newest ones.
pub(super) const READ_MAX: usize = 10_000;
/// The environment that is meant where nobody names one.
const ENVIRONMENT: &str = "production";
/// The manifest of digests in a release directory, as `sha256sum` writes it.
const MANIFEST: &str = "SHA256SUMS";

impl Engine {
    pub(super) fn deploy_start(
        &mut self,
        caller: &Caller,
        start: DeployStart,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Answer {
        self.expire_deployments(now);
        self.forget_deployments(now);
        let id = match start.id {
            Some(id) => id,
            None => RunId::new(now.wall, self.ids.as_mut()).as_str().replacen("run_", "dep_", 1).parse().map_err(
                |error: holdfast_core::model::id::DeploymentIdError| {
                    Refusal::new(RefusalKind::Failed, error.to_string())
                },
            )?,
        };
        let known = self.deployments.contains_key(&id) || self.reader.deployment(&id).is_ok_and(|it| it.is_some());
        if known {
            return Err(Refusal::new(RefusalKind::Conflict, format!("deployment {id} was started before"))
                .hint("give each deployment its own --id, for example SERVICE-VERSION-BUILDNUMBER"));
        }
        for path in start.paths.iter().chain(&start.release_dir) {
            if let Some(why) = too_wide(path) {
                return Err(Refusal::new(RefusalKind::Usage, format!("`{path}` {why}"))
                    .hint("a deployment names what it alters, such as /srv/web or /etc/app/app.conf"));
            }
        }
        let deployment = Deployment {
            id: id.clone(),
            service: start.service,
            version: start.version,
            environment: start
                .environment
                .or_else(|| self.config.environment.clone())
                .unwrap_or_else(|| ENVIRONMENT.to_owned()),
            artifact: start.artifact,
            revision: start.revision,
            actor: caller.name.clone(),
            release_dir: start.release_dir,
            units: start.units.iter().map(|it| full_unit_name(it)).collect(),
            paths: start.paths,
            state: DeploymentState::Running,
            started_at: now.wall,
            finished_at: None,
        };
        let audit = vec![Self::draft(now, AuditKind::Deployment, &caller.name, &id, serde_json::json!(deployment))];
        self.record(Writes { deployments: vec![deployment.clone()], audit, ..Writes::default() })?;
        self.deployment_change("deployment.started", &deployment, Attributes::new(), now);
        if let Some(dir) = &deployment.release_dir {
            out.push(Command::Watch(dir.clone()));
        }
        self.deployments.insert(id, deployment.clone());
        Ok(serde_json::json!(deployment))
    }

    pub(super) fn deploy_finish(
        &mut self,
        caller: &Caller,
        (id, succeeded): (&DeploymentId, bool),
        answer: oneshot::Sender<Answer>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        self.expire_deployments(now);
        let refusal = match self.deployments.get(id).map(|it| it.state) {
            Some(DeploymentState::Running) => None,
            Some(_) => Some(Refusal::new(RefusalKind::Conflict, format!("deployment {id} has ended already"))),
            None => Some(
                Refusal::new(RefusalKind::NotFound, format!("no deployment {id} is known"))
                    .hint("`holdfast deploy list` shows them; `holdfast deploy start` begins one"),
            ),
        };
        if let Some(refusal) = refusal {
            return crate::event_loop::refuse(answer, refusal);
        }
        let Some(deployment) = self.deployments.get(id).cloned() else { return };
        if let Some(dir) = deployment.release_dir.clone().filter(|_| succeeded) {
            let purpose = ReadFor::Release { deployment: id.clone(), answer };
            out.push(Command::Read { paths: vec![dir], after_ms: 0, purpose });
        } else {
            out.extend(deployment.release_dir.clone().map(Command::Unwatch));
            let reply = self.end_deployment(deployment, &caller.name, succeeded, Vec::new(), now);
            let _ = answer.send(reply);
        }
    }

    /// The files of a release were read: their contents are kept, so that any of them can be put back.
    pub(super) fn release_recorded(
        &mut self,
        id: &DeploymentId,
        found: Vec<FileFound>,
        answer: oneshot::Sender<Answer>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let Some(deployment) = self.deployments.get(id).cloned() else { return };
        if let [only] = found.as_slice()
            && only.state.sha256.is_none()
            && deployment.release_dir.as_ref() == Some(&only.state.path)
        {
            let message = format!("the release directory {} does not exist", only.state.path);
            let refusal = Refusal::new(RefusalKind::NotFound, message)
                .hint("create it and finish again, or finish with --failed");
            return crate::event_loop::refuse(answer, refusal);
        }
        let why = format!("released by deployment {id}");
        let kept: Result<Vec<BaselineFile>, _> =
            found.iter().map(|file| self.accept(file, &deployment.actor, &why, now)).collect();
        let (actor, deployment_dir) = (deployment.actor.clone(), deployment.release_dir.clone());
        let reply = match kept {
            Ok(files) => self.end_deployment(deployment, &actor, true, files, now),
            Err(error) => Err(Refusal::new(
                RefusalKind::Failed,
                format!("the release of deployment {id} could not be kept: {}", Chain(&error)),
            )),
        };
        if reply.is_ok() {
            // An older release in the same place may have been removed, and its watch ended, while this one ran.
            out.extend(deployment_dir.map(Command::Watch));
            for file in found {
                self.on_file(file, now, out);
            }
        }
        let _ = answer.send(reply);
    }

    fn end_deployment(
        &mut self,
        mut deployment: Deployment,
        actor: &str,
        succeeded: bool,
        files: Vec<BaselineFile>,
        now: Moment,
    ) -> Answer {
        deployment.state = if succeeded { DeploymentState::Succeeded } else { DeploymentState::Failed };
        deployment.finished_at = Some(now.wall);
        let mut attributes = Attributes::new();
        let manifest = deployment.release_dir.as_ref().map(|dir| format!("{}/{MANIFEST}", dir.trim_end_matches('/')));
        let manifest_sha256 =
            manifest.and_then(|path| files.iter().find(|it| it.state.path == path)?.state.sha256.clone());
        if let Some(dir) = &deployment.release_dir {
            attributes.insert("release_dir".into(), dir.clone());
        }
        if let Some(digest) = &manifest_sha256 {
            attributes.insert("manifest_sha256".into(), digest.clone());
        }
        // What an older release of the same service recorded at the same place is no longer expected there.
        let gone: Vec<String> = match &deployment.release_dir {
            Some(dir) if succeeded => {
                let start = format!("{}/", dir.trim_end_matches('/'));
                let fresh: std::collections::HashSet<&str> = files.iter().map(|it| it.state.path.as_str()).collect();
                let old =
                    self.baselines.keys().filter(|path| path.starts_with(&start) && !fresh.contains(path.as_str()));
                old.cloned().collect()
            }
            _ => Vec::new(),
        };
        let body = serde_json::json!({
            "state": deployment.state, "files": files.len(), "manifest_sha256": manifest_sha256,
            "bytes": files.iter().map(|it| it.state.bytes).sum::<u64>(),
        });
        let audit = vec![Self::draft(now, AuditKind::Deployment, actor, &deployment.id, body)];
        self.record(Writes {
            deployments: vec![deployment.clone()],
            baselines: files.clone(),
            baselines_removed: gone.clone(),
            audit,
            ..Writes::default()
        })?;
        for path in gone {
            self.baselines.remove(&path);
        }
        let count = files.len();
        self.baselines.extend(files.into_iter().map(|it| (it.state.path.clone(), it)));
        let first = !self.deployments.values().any(|it| {
            it.service == deployment.service && it.state == DeploymentState::Succeeded && it.id != deployment.id
        });
        let kind = match (succeeded, first) {
            (false, _) => "deployment.failed",
            (true, true) => "service.deployed",
            (true, false) => "service.upgraded",
        };
        self.deployment_change(kind, &deployment, attributes, now);
        self.deployments.insert(deployment.id.clone(), deployment.clone());
        let mut reply = serde_json::json!(deployment);
        reply["recorded_files"] = count.into();
        reply["manifest_sha256"] = serde_json::json!(manifest_sha256);
        Ok(reply)
    }

    fn deployment_change(&mut self, kind: &str, deployment: &Deployment, mut attributes: Attributes, now: Moment) {
        attributes.insert("service.name".into(), deployment.service.clone());
        attributes.insert("service.version".into(), deployment.version.clone());
        attributes.insert("deployment.environment.name".into(), deployment.environment.clone());
        // What ranking suspects goes by: a deployment that touches a finding's target is nearer than any other change.
        attributes.insert("deployment.units".into(), deployment.units.join(" "));
        attributes.insert("deployment.paths".into(), deployment.paths.join(" "));
        if let Some(dir) = &deployment.release_dir {
            attributes.insert("deployment.release_dir".into(), dir.clone());
        }
        for (name, value) in [("artifact", &deployment.artifact), ("vcs.revision", &deployment.revision)] {
            if let Some(value) = value {
                attributes.insert(name.into(), value.clone());
            }
        }
        let id = ChangeId::new(now.wall, self.ids.as_mut());
        let verb = kind.rsplit('.').next().unwrap_or(kind);
        let summary = format!(
            "{} {} was {verb} in {} (deployment {})",
            deployment.service, deployment.version, deployment.environment, deployment.id
        );
        let change = Change {
            id,
            at: now.wall,
            kind: kind.to_owned(),
            target: Target::new("service", &deployment.service),
            actor: Some(deployment.actor.clone()),
            summary,
            attributes,
            deployment: Some(deployment.id.clone()),
            cause: None,
        };
        self.on_change(change, now);
    }

    /// Deployments that ran at or after this moment; the others explain nothing that altered since.
    pub(super) fn deployments_since(&self, at: Timestamp) -> Vec<Deployment> {
        let ran =
            |it: &&Deployment| it.state == DeploymentState::Running || it.finished_at.unwrap_or(it.started_at) >= at;
        self.deployments.values().filter(ran).cloned().collect()
    }

    /// What was started and never finished stops explaining changes.
    pub(super) fn expire_deployments(&mut self, now: Moment) {
        let late: Vec<Deployment> = self
            .deployments
            .values()
            .filter(|it| it.state == DeploymentState::Running && now.wall.since(it.started_at) > EXPIRES_AFTER)
            .cloned()
            .collect();
        for mut deployment in late {
            deployment.state = DeploymentState::Expired;
            deployment.finished_at = Some(deployment.started_at.plus(EXPIRES_AFTER));
            let body = serde_json::json!({ "state": deployment.state });
            let audit = vec![Self::draft(now, AuditKind::Deployment, super::AGENT, &deployment.id, body)];
            self.deployments.insert(deployment.id.clone(), deployment.clone());
            self.ledger.soon(Writes { deployments: vec![deployment], audit, ..Writes::default() }, now);
        }
    }
}

/// Why a path is more than one deployment may claim; `None`: it is not.
fn too_wide(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if !path.starts_with('/') || parts.iter().any(|part| matches!(*part, ".." | ".")) {
        Some("is not an absolute path without `..`")
    } else if path.contains(['*', '?', '[']) {
        Some("is a pattern; paths are names, and a directory stands for all in it")
    } else if parts.first().is_some_and(|first| KERNEL.contains(first)) {
        Some("belongs to the kernel or to the running system")
    } else if parts.len() < 2 {
        Some("is too wide: it would explain any change below it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, fine: bool) {
        assert_eq!(too_wide(path).is_none(), fine, "{path}: {:?}", too_wide(path));
    }

    #[test]
    fn a_deployment_may_not_claim_the_whole_machine() {
        for path in
            ["/", "//", "/etc", "/srv/", "/proc/1", "/sys/x", "/dev/shm/a", "/srv/../etc/x", "srv/web", "/srv/*"]
        {
            check(path, false);
        }
        for path in ["/srv/web", "/etc/app/app.conf", "/home/ci/release", "/procedures/a"] {
            check(path, true);
        }
    }
}
