//! What people and programs ask for. The role is checked here once more: the API is not the only way in.

use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{
    Approval, FindingId, FindingState, ItemName, Remediation, RemediationId, RemediationState, RunId, Timestamp,
};

use super::rules::strictest;
use super::{Command, Engine, Moment, WantedTuning};
use crate::answers::{self, PauseAnswer, StepRecorded};
use crate::event_loop::{ReadFor, Reloaded, refuse};
use crate::request::{Answer, Call, Caller, Refusal, RefusalKind, Request, StepMeasurement};
use crate::status::Paused;
use crate::store::{PurgeFilter, Writes};
use crate::telemetry::Chain;

/// An approval counts at most this long where no rule says otherwise.
const APPROVAL_LIFE: std::time::Duration = std::time::Duration::from_hours(1);

impl Engine {
    pub(super) fn on_call(&mut self, call: Call, now: Moment, out: &mut Vec<Command>) {
        let Call { caller, request, answer } = call;
        let wanted = request.required_role();
        if caller.role < wanted {
            let message = format!("{} may not {}: it takes the role {wanted}", caller.name, request.describe());
            return refuse(
                answer,
                Refusal::new(RefusalKind::Denied, message).hint("roles are given in [access] of the configuration"),
            );
        }
        let reply = match request {
            Request::Status => Ok(serde_json::json!(self.status(now))),
            Request::Approve { remediation, note, digest } => {
                self.approve(&caller, (&remediation, digest), note, now, out)
            }
            Request::Reject { remediation, note } => self.reject(&caller, &remediation, &note, now),
            Request::Undo { remediation, note } => self.undo(&caller, &remediation, &note, now, out),
            Request::Label { finding, label, note } => match label.parse() {
                Ok(says) => self.label(&caller, (&finding, Some(says)), &note, now, out),
                Err(why) => Err(Refusal::new(RefusalKind::Usage, why)),
            },
            Request::Unlabel { finding, note } => self.label(&caller, (&finding, None), &note, now, out),
            Request::TuneApply { tuning, reason, proof } => {
                let wanted = WantedTuning { tuning, by: caller.name, reason, proof, reverted_to: None };
                return self.tune(wanted, answer, out);
            }
            Request::TuneRevert { to, reason } => return self.revert_tuning(&caller, to, reason, answer, out),
            Request::Pause { reason } => self.pause(&caller, reason, now),
            Request::Resume { reason } => self.resume(&caller, &reason, now),
            Request::DeployStart(start) => self.deploy_start(&caller, start, now, out),
            Request::RecordStep(step) => self.record_step(step, now),
            Request::DeployFinish { id, succeeded } => {
                return self.deploy_finish(&caller, (&id, succeeded), answer, now, out);
            }
            Request::Simulate { remediation } => match self.any_remediation(&remediation) {
                Ok(found) => {
                    let steps = &found.plan.body().steps;
                    let actions = steps.iter().map(|step| (step.id.clone(), step.action.clone())).collect();
                    let digest = found.plan.digest().clone();
                    return out.push(Command::Simulate { remediation, digest, actions, answer });
                }
                Err(refusal) => Err(refusal),
            },
            Request::BaselineCapture { paths } => {
                let Ok(answer) = Self::absolute(&paths, answer) else { return };
                let reason = "captured".to_owned();
                return self.read_for(
                    paths,
                    ReadFor::Accept { by: caller.name, reason, known_only: false, answer },
                    out,
                );
            }
            Request::BaselineAccept { paths, reason } if paths.iter().any(|it| it.parse::<ItemName>().is_ok()) => {
                self.accept_items(&paths, &caller.name, &reason, now, out)
            }
            Request::BaselineAccept { paths, reason } => {
                let Ok(answer) = Self::absolute(&paths, answer) else { return };
                if paths.is_empty() || reason.trim().is_empty() {
                    let refusal = Refusal::new(RefusalKind::Usage, "accepting a baseline needs paths and a reason");
                    return refuse(answer, refusal);
                }
                return self.read_for(
                    paths,
                    ReadFor::Accept { by: caller.name, reason, known_only: true, answer },
                    out,
                );
            }
            Request::BaselineRestore { version, reason } => self.restore_baseline(&caller, version, &reason, now, out),
            Request::RunPlugin { plugin } => {
                let known = self.plugins.statuses().into_iter().find(|it| it.id == plugin);
                let refusal = match known {
                    None => Refusal::new(RefusalKind::NotFound, format!("no plugin `{plugin}` is installed"))
                        .hint("`holdfast plugin list` shows those that are"),
                    Some(it) if !it.roles.iter().any(|role| role == "check") => {
                        Refusal::new(RefusalKind::Usage, format!("plugin `{plugin}` has no check to run"))
                    }
                    Some(_) => return self.check(&plugin, Some((answer, caller.name)), now, out),
                };
                return refuse(answer, refusal);
            }
            Request::LiftQuarantine { plugin, reason } => self.lift_quarantine(&caller, plugin, &reason, now),
            Request::ForgetPlugin { plugin, reason } => self.forget_plugin(&caller, plugin, &reason, now),
            Request::LookAtPlugins => {
                self.plugins.look_soon();
                Ok(serde_json::json!({}))
            }
            Request::Purge { where_, target, reason } => {
                return self.purge(&caller, PurgeFilter { where_, target }, &reason, answer, (now, out));
            }
            Request::Reload => return out.push(Command::Reload(Some(answer))),
        };
        let _ = answer.send(reply);
    }

    /// Writes now, or says why nothing was done.
    pub(super) fn record(&mut self, writes: Writes) -> Result<(), Refusal> {
        self.ledger.now(writes).map_err(|error| {
            let refusal = Refusal::new(
                RefusalKind::Failed,
                format!("nothing was done, because it cannot be recorded: {}", Chain(&error)),
            );
            match error.hint() {
                Some(hint) => refusal.hint(hint),
                None => refusal,
            }
        })
    }

    fn any_remediation(&self, id: &RemediationId) -> Result<Remediation, Refusal> {
        if let Some(known) = self.remediations.get(id) {
            return Ok(known.clone());
        }
        match self.reader.remediation(id) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Refusal::new(RefusalKind::NotFound, format!("no remediation {id} is known"))
                .hint("`holdfast remediations list` shows them")),
            Err(error) => Err(Refusal::new(RefusalKind::Failed, Chain(&error).to_string())),
        }
    }

    fn approve(
        &mut self,
        caller: &Caller,
        (id, digest): (&RemediationId, Option<String>),
        note: String,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Answer {
        let mut remediation = self.any_remediation(id)?;
        match remediation.state {
            RemediationState::AwaitingApproval => {}
            RemediationState::Proposed => {
                return Err(Refusal::new(
                    RefusalKind::Denied,
                    format!("{id} is advice, not up for approval: {}", strictest(&remediation.decision)),
                )
                .hint("raise the rule's mode and [agent] mode-ceiling to `approve`, then reload"));
            }
            RemediationState::Expired => {
                let why = remediation.outcome.unwrap_or_default();
                return Err(Refusal::new(RefusalKind::Approval, format!("{id} has expired: {why}")));
            }
            other => {
                return Err(Refusal::new(
                    RefusalKind::Conflict,
                    format!("{id} is {other} and waits for nobody's approval"),
                ));
            }
        }
        if self.config.four_eyes && remediation.requested_by.as_deref() == Some(caller.name.as_str()) {
            let message = format!(
                "{} asked for the check that led to {id}, and four-eyes is on: another person has to say yes",
                caller.name
            );
            return Err(Refusal::new(RefusalKind::Denied, message)
                .hint("ask another approver; [access] four-eyes in the configuration turns this off"));
        }
        if digest.is_some_and(|seen| seen != remediation.plan.digest().as_str()) {
            return Err(Refusal::new(RefusalKind::Conflict, format!("{id} has another plan than the one you saw"))
                .hint(format!("look again: holdfast remediations show {id}")));
        }
        if self.paused.is_some() {
            return Err(Refusal::new(RefusalKind::Denied, "the agent is paused, so nothing may start")
                .hint("`holdfast resume --reason …` ends the pause"));
        }
        let life = self.policy.rule(&remediation.rule).map_or(APPROVAL_LIFE, |rule| rule.approval_expires.0);
        remediation.approval = Some(Approval {
            approver: caller.name.clone(),
            plan: remediation.plan.digest().clone(),
            at: now.wall,
            expires_at: now.wall.plus(life).min(remediation.plan.body().expires_at),
            note: note.clone(),
        });
        remediation.state = RemediationState::Approved;
        remediation.updated_at = now.wall;
        let body = serde_json::json!({ "yes": true, "plan_digest": remediation.plan.digest(), "note": note });
        let audit = vec![Self::draft(now, AuditKind::Approval, &caller.name, id, body)];
        self.record(Writes { remediations: vec![remediation.clone()], audit, ..Writes::default() })?;
        self.remediations.insert(id.clone(), remediation.clone());
        let text = format!("approved by {}", caller.name);
        let incidents = self.note(remediation.incident.as_ref(), ("approval", id.as_str()), text, now);
        self.ledger.soon(Writes { incidents, ..Writes::default() }, now);
        self.start_next(now, out);
        let current = self.any_remediation(id)?;
        match current.state {
            RemediationState::Denied => Err(Refusal::new(
                RefusalKind::Denied,
                format!("approved, but policy denies it now: {}", strictest(&current.decision)),
            )),
            RemediationState::Expired => Err(Refusal::new(RefusalKind::Approval, current.outcome.unwrap_or_default())),
            _ => Ok(serde_json::json!(current)),
        }
    }

    fn reject(&mut self, caller: &Caller, id: &RemediationId, note: &str, now: Moment) -> Answer {
        let remediation = self.any_remediation(id)?;
        if !remediation.state.may_become(RemediationState::Rejected) {
            return Err(Refusal::new(
                RefusalKind::Conflict,
                format!("{id} is {} and cannot be rejected any more", remediation.state),
            ));
        }
        let body = serde_json::json!({ "yes": false, "plan_digest": remediation.plan.digest(), "note": note });
        self.record(Writes {
            audit: vec![Self::draft(now, AuditKind::Approval, &caller.name, id, body)],
            ..Writes::default()
        })?;
        self.finish(id, RemediationState::Rejected, format!("rejected by {}: {note}", caller.name), now);
        Ok(serde_json::json!(self.any_remediation(id)?))
    }

    fn undo(&mut self, caller: &Caller, id: &RemediationId, note: &str, now: Moment, out: &mut Vec<Command>) -> Answer {
        let mut remediation = self.any_remediation(id)?;
        if !remediation.state.may_become(RemediationState::Undoing) {
            return Err(Refusal::new(
                RefusalKind::Conflict,
                format!("{id} is {}: there is nothing to take back now", remediation.state),
            ));
        }
        if super::undo::next(&remediation).is_none() {
            return Err(Refusal::new(RefusalKind::Conflict, format!("nothing that {id} did can be taken back"))
                .hint(format!("`holdfast remediations show {id}` lists each step and how it is undone")));
        }
        if self.paused.is_some() {
            return Err(Refusal::new(RefusalKind::Denied, "the agent is paused, so nothing may start")
                .hint("`holdfast resume --reason …` ends the pause"));
        }
        remediation.state = RemediationState::Undoing;
        remediation.outcome = Some(format!("taken back by {}: {note}", caller.name));
        let body = serde_json::json!({ "asked_by": caller.name, "note": note });
        let audit = vec![Self::draft(now, AuditKind::Undo, &caller.name, id, body)];
        self.record(Writes { remediations: vec![remediation.clone()], audit, ..Writes::default() })?;
        self.own.begin(&remediation.plan, id);
        self.remediations.insert(id.clone(), remediation);
        self.undo_next(id, now, out);
        Ok(serde_json::json!(self.any_remediation(id)?))
    }

    fn pause(&mut self, caller: &Caller, reason: String, now: Moment) -> Answer {
        // Pausing again gives another reason; both stand in the audit chain.
        let paused = Paused { by: caller.name.clone(), at: now.wall, reason };
        let value = serde_json::json!(paused);
        let audit = vec![Self::draft(
            now,
            AuditKind::Pause,
            &caller.name,
            "agent",
            serde_json::json!({ "paused": true, "reason": paused.reason }),
        )];
        self.record(Writes { settings: vec![("paused".to_owned(), value)], audit, ..Writes::default() })?;
        self.paused = Some(paused.clone());
        tracing::warn!(by = paused.by, reason = paused.reason, "Paused: no action starts.");
        Ok(serde_json::json!(PauseAnswer { changed: true, paused: Some(paused) }))
    }

    fn resume(&mut self, caller: &Caller, reason: &str, now: Moment) -> Answer {
        if self.paused.is_none() {
            return Ok(serde_json::json!(PauseAnswer { changed: false, paused: None }));
        }
        let audit = vec![Self::draft(
            now,
            AuditKind::Pause,
            &caller.name,
            "agent",
            serde_json::json!({ "paused": false, "reason": reason }),
        )];
        self.record(Writes {
            settings: vec![("paused".to_owned(), serde_json::Value::Null)],
            audit,
            ..Writes::default()
        })?;
        self.paused = None;
        tracing::info!(by = caller.name, reason, "Resumed.");
        self.consider_all(now);
        Ok(serde_json::json!(PauseAnswer { changed: true, paused: None }))
    }

    /// What was held up, or is judged by other rules now, is looked at again.
    fn consider_all(&mut self, now: Moment) {
        let open: Vec<FindingId> =
            self.lifecycle.open().filter(|it| it.state == FindingState::New).map(|it| it.id.clone()).collect();
        for id in open {
            self.pending.insert(id, now.mono);
        }
    }

    fn record_step(&mut self, mut step: StepMeasurement, now: Moment) -> Answer {
        let sane = |value: f64| value.is_finite() && value >= 0.0;
        if step.step.is_empty() || step.step.len() > 200 || !sane(step.duration_s) || !sane(step.cpu_s) {
            return Err(Refusal::new(
                RefusalKind::Usage,
                "a step needs a name of 1 to 200 characters and finite measurements",
            ));
        }
        let run = step.run.get_or_insert_with(|| RunId::new(now.wall, self.ids.as_mut())).clone();
        self.record(Writes { step_runs: vec![step], ..Writes::default() })?;
        Ok(serde_json::json!(StepRecorded { run }))
    }

    /// Another policy is in force, or a mistake in it kept the old one.
    pub(super) fn on_reloaded(
        &mut self,
        reloaded: Reloaded,
        answer: Option<tokio::sync::oneshot::Sender<Answer>>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let Reloaded { policy, policy_files, problems, warnings } = reloaded;
        let reply = if let Some(policy) = policy {
            let body =
                serde_json::json!({ "digest": policy.digest(), "files": policy_files, "rules": policy.rules().len() });
            let audit = vec![Self::draft(now, AuditKind::PolicyLoaded, super::AGENT, "policy", body.clone())];
            self.ledger.soon(Writes { audit, ..Writes::default() }, now);
            tracing::info!(digest = policy.digest(), rules = policy.rules().len(), "Policy loaded.");
            self.policy = policy;
            self.policy_files = policy_files;
            self.decided.clear();
            self.consider_all(now);
            self.start_next(now, out);
            self.close_unheard(true, now, out);
            Ok(serde_json::json!(answers::Reloaded {
                policy_digest: self.policy.digest().to_owned(),
                problems: warnings
            }))
        } else {
            let text = problems.join("\n");
            tracing::error!(problems = text, "Reload failed; what was in force stays in force.");
            Err(Refusal::new(RefusalKind::Usage, text).hint(
                "what was in force stays in force; `holdfast policy check` and `holdfast config check` show the places",
            ))
        };
        if let Some(answer) = answer {
            let _ = answer.send(reply);
        }
    }

    /// Time since the start, for labels.
    pub(super) fn started_at(&self) -> Timestamp {
        self.started.wall
    }
}
