//! From a proposal to a sealed plan: values that the agent knows better are resolved, then everything is checked.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{Action, Finding, Plan, PlanBody, PlanId, Reason, RunId};
use holdfast_core::plan_check;

use super::rules::reason;
use super::{ActGrant, Engine, Moment};
use crate::event_loop::Proposed;

/// No plan counts longer than this.
const LIFE_MAX: Duration = Duration::from_hours(24);

impl Engine {
    /// A sealed plan and what is wrong with it; an error when it cannot even be sealed.
    pub(super) fn make_plan(
        &mut self,
        finding: &Finding,
        proposed: Proposed,
        run: &RunId,
        grant: Option<&ActGrant>,
        now: Moment,
    ) -> Result<(Plan, Vec<Reason>), String> {
        let Proposed { mut proposal, plugin, digest } = proposed;
        let origin = plugin.clone();
        let mut given = Vec::new();
        let redactor = Arc::clone(&self.config.redactor);
        redactor.line(&mut proposal.summary);
        redactor.evidence(&mut proposal.evidence);
        proposal.steps.iter_mut().for_each(|step| redactor.step(step));
        for step in &mut proposal.steps {
            if let Action::RestoreFile { path, sha256, mode, uid, gid, bytes, .. } = &mut step.action {
                // The agent's own record of the file says more than a plugin can see now.
                if let Some(known) =
                    self.baselines.get(path.as_str()).filter(|it| it.state.sha256.as_ref() == Some(sha256))
                {
                    (*mode, *uid, *gid, *bytes) =
                        (known.state.mode, known.state.uid, known.state.gid, known.state.bytes);
                }
                match self.blobs.get(sha256) {
                    Ok(Some(_)) => {}
                    Ok(None) => given.push(reason(
                        "content_missing",
                        &origin,
                        format!(
                            "the content sha256:{sha256} of {path} is not kept on this host, so it cannot be restored"
                        ),
                    )),
                    Err(error) => given.push(reason(
                        "content_missing",
                        &origin,
                        format!("the kept content of {path} cannot be used: {}", crate::telemetry::Chain(&error)),
                    )),
                }
            }
        }
        let body = PlanBody {
            id: PlanId::new(now.wall, self.ids.as_mut()),
            finding: finding.id.clone(),
            target: proposal.target,
            proposed_by: plugin,
            plugin_digest: digest,
            run: run.clone(),
            summary: proposal.summary,
            confidence: proposal.confidence,
            steps: proposal.steps,
            evidence: proposal.evidence,
            settle_ms: proposal.settle_ms,
            made_at: now.wall,
            expires_at: proposal.expires_at.min(now.wall.plus(LIFE_MAX)),
        };
        let nothing = ActGrant {
            mode: holdfast_core::model::Mode::Observe,
            actions: Vec::new(),
            units: Vec::new(),
            paths: Vec::new(),
        };
        let grant = grant.unwrap_or(&nothing);
        let facts = plan_check::PlanFacts {
            finding,
            actions: &grant.actions,
            units: &grant.units,
            paths: &grant.paths,
            now: now.wall,
        };
        for problem in plan_check::check(&body, &facts) {
            given.push(reason("plan_problem", &origin, problem));
        }
        let plan = Plan::seal(body).map_err(|error| format!("the plan cannot be sealed: {error}"))?;
        Ok((plan, given))
    }
}
