//! Carrying out a plan, step by step: intent durable, then the actuator, then the outcome durable.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::effects;
use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{
    Finding, FindingState, Mode, Remediation, RemediationId, RemediationState, StepState, Verdict,
};
use holdfast_core::policy;

use super::rules::{is_temporary, past_run, strictest, summary_of};
use super::{AGENT, Command, Engine, Moment, Running};
use crate::act::{ActError, Performed};
use crate::store::Writes;
use crate::telemetry::Event as _;
use crate::telemetry::events::StepFailed;

/// Pause before a step whose intent could not be written is tried again.
const STALL: Duration = Duration::from_secs(5);
/// The actuator is asked so often what became of a request before a person is.
const OUTCOME_TRIES_MAX: u32 = 8;

/// By this name the actuator carries out a step at most once, for ever.
pub(super) fn request_id(remediation: &Remediation, step: usize, verb: &str) -> String {
    let name = remediation.steps.get(step).map_or("", |it| it.step.as_str());
    format!("{}/{step}.{}/{verb}", remediation.id, name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
}

impl Engine {
    /// Begins the oldest approved remediation when nothing else runs.
    pub(super) fn start_next(&mut self, now: Moment, out: &mut Vec<Command>) {
        if self.running.is_some() || self.stalled.is_some() {
            return;
        }
        let next = self.remediations.values().find(|it| it.state == RemediationState::Approved).map(|it| it.id.clone());
        if let Some(id) = next {
            self.start(&id, now, out);
        }
    }

    fn start(&mut self, id: &RemediationId, now: Moment, out: &mut Vec<Command>) {
        let Some(remediation) = self.remediations.get(id).cloned() else { return };
        let Some(finding) = self.lifecycle.get(&remediation.finding).filter(|it| it.is_open()).cloned() else {
            self.finish(id, RemediationState::Expired, "the finding is no longer open".into(), now);
            return;
        };
        // Decided again with what is true now: checklist, cooldown, pause, budget.
        let Some(decision) = self.decide_again(&remediation, &finding, now) else {
            self.finish(id, RemediationState::Denied, format!("rule {} is no longer in force", remediation.rule), now);
            return;
        };
        let mut remediation = Remediation { decision: decision.clone(), ..remediation };
        match decision.verdict {
            Verdict::Deny => {
                let again = is_temporary(&decision);
                self.remediations.insert(id.clone(), remediation);
                self.finish(id, RemediationState::Denied, strictest(&decision), now);
                if again {
                    self.pending.insert(finding.id, now.mono + STALL);
                }
                return;
            }
            Verdict::RequireApproval if remediation.approval.is_none() => {
                remediation.state = RemediationState::AwaitingApproval;
                remediation.updated_at = now.wall;
                self.remediations.insert(id.clone(), remediation.clone());
                self.ledger.soon(Writes { remediations: vec![remediation], ..Writes::default() }, now);
                return;
            }
            Verdict::Allow | Verdict::RequireApproval => {}
        }
        match policy::authorize(&remediation.plan, &decision, remediation.approval.as_ref(), now.wall) {
            Ok(authorized) => {
                self.remediations.insert(id.clone(), remediation);
                self.running = Some(Running { id: id.clone(), authorized: Arc::new(authorized) });
                self.step(id, 0, now, out);
            }
            Err(refused) => self.finish(id, RemediationState::Expired, refused.to_string(), now),
        }
    }

    /// The decision about an existing plan as of now, recorded when its verdict is another one; `None`: its rule is gone.
    pub(super) fn decide_again(
        &mut self,
        remediation: &Remediation,
        finding: &Finding,
        now: Moment,
    ) -> Option<holdfast_core::model::Decision> {
        let rule = self.policy.rule(&remediation.rule)?;
        let grant = self.plugins.grant(&rule.plugin).map_or(Mode::Observe, |it| it.mode);
        // The finding is as it was when the plan was made: in progress is no reason.
        let finding = Finding { state: FindingState::New, ..finding.clone() };
        let inputs = self.inputs(&finding, Some(&remediation.plan), grant, Vec::new(), now);
        let id = holdfast_core::model::DecisionId::new(now.wall, self.ids.as_mut());
        let decision = policy::decide(&self.policy, inputs, id);
        let audit = vec![Self::draft(now, AuditKind::Decision, AGENT, &decision.id, summary_of(&decision))];
        self.ledger.soon(Writes { decisions: vec![decision.clone()], audit, ..Writes::default() }, now);
        Some(decision)
    }

    /// Makes the intent durable and has the step carried out; when it cannot be made durable, nothing is done.
    pub(super) fn step(&mut self, id: &RemediationId, step: usize, now: Moment, out: &mut Vec<Command>) {
        let Some(mut remediation) = self.remediations.get(id).cloned() else { return };
        let Some(authorized) = self.running.as_ref().filter(|it| it.id == *id).map(|it| Arc::clone(&it.authorized))
        else {
            return;
        };
        let Some(planned) = remediation.plan.body().steps.get(step).cloned() else { return };
        remediation.state = RemediationState::Running;
        remediation.updated_at = now.wall;
        if let Some(record) = remediation.steps.get_mut(step) {
            record.state = StepState::Started;
            record.started_at = Some(now.wall);
        }
        let request_id = request_id(&remediation, step, "do");
        let body = serde_json::json!({
            "step": planned.id, "action": planned.action, "plan_digest": remediation.plan.digest(),
            "request_id": request_id, "authority": authorized.basis(), "rule": remediation.rule,
            "plugin": remediation.plan.body().proposed_by, "plugin_digest": remediation.plan.body().plugin_digest,
            "agent": env!("CARGO_PKG_VERSION"),
        });
        let actor = remediation.approval.as_ref().map_or(AGENT, |it| it.approver.as_str());
        let audit = vec![Self::draft(now, AuditKind::Intent, actor, id, body)];
        let text = format!("began: {}", planned.action.describe());
        let incidents = self.note(remediation.incident.as_ref(), ("step", id.as_str()), text, now);
        let writes = Writes { remediations: vec![remediation.clone()], incidents, audit, ..Writes::default() };
        if self.ledger.now(writes).is_err() {
            self.stalled = Some((id.clone(), now.mono + STALL));
            if step == 0 {
                // Still approved: it begins anew, decided anew, when the disk takes the intent.
                self.running = None;
            }
            return;
        }
        if step == 0 {
            self.own.begin(&remediation.plan, id);
            self.history.extend(past_run(&remediation));
        }
        tracing::info!(remediation_id = %id, step = planned.id, action = planned.action.verb(), "Step begun.");
        self.remediations.insert(id.clone(), remediation);
        out.push(Command::Perform { authorized, remediation: id.clone(), step, request_id });
    }

    /// Goes on with the steps of what runs.
    pub(super) fn resume_steps(&mut self, now: Moment, out: &mut Vec<Command>) {
        let Some(id) = self.running.as_ref().map(|it| it.id.clone()) else { return };
        let Some(remediation) = self.remediations.get(&id) else { return };
        match remediation.state {
            RemediationState::Undoing => self.undo_next(&id, now, out),
            _ => {
                if let Some(step) = remediation.steps.iter().position(|it| it.state == StepState::Pending) {
                    self.step(&id, step, now, out);
                }
            }
        }
    }

    /// Takes the actuator's answer to a step.
    pub(super) fn on_performed(
        &mut self,
        id: &RemediationId,
        step: usize,
        result: Result<Performed, ActError>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        if matches!(result, Err(ActError::NoAnswer { .. } | ActError::Protocol(_))) {
            self.ask_outcome(id, (step, false), 0, out);
            return;
        }
        self.step_ended(id, step, result, now, out);
    }

    /// Asks what became of a request that was not answered.
    pub(super) fn ask_outcome(
        &mut self,
        id: &RemediationId,
        (step, undo): (usize, bool),
        attempt: u32,
        out: &mut Vec<Command>,
    ) {
        let Some(remediation) = self.remediations.get(id) else { return };
        let request_id = request_id(remediation, step, if undo { "undo" } else { "do" });
        out.push(Command::AskOutcome { remediation: id.clone(), step, request_id, undo, attempt });
    }

    /// Whether the actuator was asked often enough.
    pub(super) fn gives_up(attempt: u32) -> bool {
        attempt >= OUTCOME_TRIES_MAX
    }

    /// Records how a step ended, and goes on.
    pub(super) fn step_ended(
        &mut self,
        id: &RemediationId,
        step: usize,
        result: Result<Performed, ActError>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let Some(mut remediation) = self.remediations.get(id).cloned() else { return };
        let Some(record) = remediation.steps.get_mut(step).filter(|it| it.state == StepState::Started) else { return };
        record.finished_at = Some(now.wall);
        let elapsed = record.started_at.map(|at| now.wall.since(at)).unwrap_or_default();
        let planned = remediation.plan.body().steps.get(step);
        let done = match &result {
            Ok(performed) => {
                record.state = StepState::Done;
                record.effects.clone_from(&performed.effects);
                record.undo_token.clone_from(&performed.undo_token);
                // What was executed is a subset of what was approved; anything else is for a person to look at.
                let beyond = planned.map(|it| effects::beyond(&it.action, &performed.effects)).unwrap_or_default();
                if !beyond.is_empty() {
                    record.state = StepState::Failed;
                    record.message =
                        Some(format!("the actuator reports effects beyond the plan: {}", beyond.join("; ")));
                    tracing::error!(remediation_id = %id, step = record.step, "Effects beyond the plan.");
                }
                beyond.is_empty()
            }
            Err(error) => {
                record.state = StepState::Failed;
                record.message = Some(error.to_string());
                if let ActError::Failed { effects, undo_token, .. } = error {
                    record.effects.clone_from(effects);
                    record.undo_token.clone_from(undo_token);
                }
                StepFailed { remediation: id.as_str(), step: &record.step, elapsed, error }.emit();
                false
            }
        };
        let record = record.clone();
        remediation.updated_at = now.wall;
        let last = step + 1 >= remediation.steps.len();
        if done && last {
            remediation.state = RemediationState::Verifying;
        }
        let body = serde_json::json!({
            "step": record.step, "state": record.state, "effects": record.effects, "message": record.message,
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), "undo_kept": record.undo_token.is_some(),
        });
        let audit = vec![Self::draft(now, AuditKind::Outcome, AGENT, id, body)];
        let text = match &record.message {
            None => format!("done in {} ms: {} effects", elapsed.as_millis(), record.effects.len()),
            Some(message) => format!("failed: {message}"),
        };
        let incidents = self.note(remediation.incident.as_ref(), ("step", id.as_str()), text, now);
        self.remediations.insert(id.clone(), remediation.clone());
        self.ledger.soon(Writes { remediations: vec![remediation], incidents, audit, ..Writes::default() }, now);
        match (done, last) {
            (true, false) => self.step(id, step + 1, now, out),
            (true, true) => self.begin_watching(id, now, out),
            (false, _) => {
                let why = record.message.unwrap_or_default();
                self.failed(id, &format!("step {} failed: {why}", record.step), true, now, out);
            }
        }
    }

    /// A remediation that did not help: what can be taken back is, when that is wanted.
    pub(super) fn failed(&mut self, id: &RemediationId, why: &str, undo: bool, now: Moment, out: &mut Vec<Command>) {
        let Some(remediation) = self.remediations.get_mut(id) else { return };
        remediation.outcome = Some(why.to_owned());
        if undo && super::undo::next(remediation).is_some() {
            self.undo_next(id, now, out);
        } else {
            self.finish(id, RemediationState::Failed, why.to_owned(), now);
        }
    }

    /// The end of a remediation, recorded; the next one may begin.
    pub(super) fn finish(&mut self, id: &RemediationId, state: RemediationState, outcome: String, now: Moment) {
        let Some(mut remediation) = self.remediations.remove(id) else { return };
        if !remediation.state.may_become(state) {
            tracing::error!(remediation_id = %id, from = %remediation.state, to = %state, "Forbidden move of a remediation.");
        }
        remediation.state = state;
        remediation.updated_at = now.wall;
        remediation.outcome = Some(outcome.clone());
        if let Some(started) = past_run(&remediation) {
            self.history.retain(|it| it.started_at != started.started_at || it.rule != started.rule);
            self.history.push(started);
            let excess = self.history.len().saturating_sub(super::HISTORY_MAX);
            self.history.drain(..excess);
        }
        if self.running.as_ref().is_some_and(|it| it.id == *id) {
            self.running = None;
        }
        self.stalled.take_if(|(stalled, _)| stalled == id);
        self.plugin_says.remove(id);
        self.outcome_asked.remove(id);
        self.own.end(id, now.mono);
        let body = serde_json::json!({ "state": state, "outcome": outcome, "verification": remediation.verification });
        let audit = vec![Self::draft(now, AuditKind::Remediation, AGENT, id, body)];
        tracing::info!(remediation_id = %id, state = %state, outcome, "Remediation ended.");
        let incident = remediation.incident.clone();
        let incidents = self.note(incident.as_ref(), ("remediation", id.as_str()), format!("{state}: {outcome}"), now);
        // The problem may still be there: it counts again, but the same attempt is not repeated by itself.
        let findings = self.set_finding_state(&remediation.finding, FindingState::New).into_iter().collect();
        self.retry_after(&remediation, now);
        let healed = (state == RemediationState::Succeeded).then(|| format!("healed by {id}: {outcome}"));
        self.ledger
            .soon(Writes { remediations: vec![remediation], incidents, findings, audit, ..Writes::default() }, now);
        if let Some(incident) = incident {
            self.close_incident(&incident, healed, now);
        }
    }

    /// A failed attempt is followed by another only where the rule names a cooldown; its budget bounds how often.
    fn retry_after(&mut self, remediation: &Remediation, now: Moment) {
        if !matches!(remediation.state, RemediationState::Failed | RemediationState::Undone) {
            return;
        }
        let cooldown = self.policy.rule(&remediation.rule).and_then(|rule| rule.guard.cooldown);
        if let Some(cooldown) = cooldown {
            self.pending.insert(remediation.finding.clone(), now.mono + cooldown.0);
        }
    }
}
