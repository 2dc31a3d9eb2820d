//! After a restart: what was under way is finished, taken back or reported. No step is ever repeated.
//!
//! The actuator carries out a request id at most once, for ever, and remembers how it ended; so the first thing after a
//! crash is to ask it. What nobody can tell is left to a person, never guessed.

use std::sync::Arc;

use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{Plan, RemediationId, RemediationState, StepState};
use holdfast_core::policy::{self, Authorized, PastRun};

use super::rules::past_run;
use super::{AGENT, Command, Engine, Moment, Running};
use crate::act::{ActError, Outcome};
use crate::store::Writes;

impl Engine {
    /// Takes up what was under way.
    pub(super) fn recover(&mut self, now: Moment, out: &mut Vec<Command>) {
        let under_way: Vec<RemediationId> = self
            .remediations
            .values()
            .filter(|it| {
                matches!(it.state, RemediationState::Running | RemediationState::Undoing | RemediationState::Verifying)
            })
            .map(|it| it.id.clone())
            .collect();
        for id in under_way {
            let Some(remediation) = self.remediations.get(&id).cloned() else { continue };
            self.own.begin(&remediation.plan, &id);
            tracing::warn!(remediation_id = %id, state = %remediation.state, "Taking up a remediation after a restart.");
            match remediation.state {
                RemediationState::Verifying => self.begin_watching(&id, now, out),
                RemediationState::Undoing => {
                    let next = super::undo::next(&remediation).map(|(step, _)| step);
                    match next {
                        Some(step) => self.ask_outcome(&id, (step, true), 0, out),
                        None => self.undo_next(&id, now, out),
                    }
                }
                _ => match remediation.steps.iter().position(|it| it.state == StepState::Started) {
                    Some(step) => self.ask_outcome(&id, (step, false), 0, out),
                    None => self.go_on(&id, now, out),
                },
            }
        }
    }

    /// Steps that were not begun before the crash run only on an authority that still holds.
    fn go_on(&mut self, id: &RemediationId, now: Moment, out: &mut Vec<Command>) {
        let Some(remediation) = self.remediations.get(id).cloned() else { return };
        let Some(step) = remediation.steps.iter().position(|it| it.state == StepState::Pending) else {
            return self.begin_watching_after_crash(id, now, out);
        };
        match self.fresh_authority(id, now) {
            Ok(authorized) => {
                self.running = Some(Running { id: id.clone(), authorized: Arc::new(authorized) });
                self.step(id, step, now, out);
            }
            Err(why) => self.failed(id, &format!("interrupted by a restart: {why}"), true, now, out),
        }
    }

    /// An authority from a decision of now: what was permitted before the restart need not be any more.
    fn fresh_authority(&mut self, id: &RemediationId, now: Moment) -> Result<Authorized<Plan>, String> {
        let gone = || "it is no longer known".to_owned();
        let remediation = self.remediations.get(id).cloned().ok_or_else(gone)?;
        let finding = self.finding(&remediation.finding).ok_or_else(gone)?;
        // The run itself is no reason against itself.
        let own = past_run(&remediation);
        let is_own =
            |it: &PastRun| own.as_ref().is_some_and(|own| own.rule == it.rule && own.started_at == it.started_at);
        self.history.retain(|it| !is_own(it));
        let decision = self.decide_again(&remediation, &finding, now);
        self.history.extend(own);
        let decision = decision.ok_or_else(|| format!("rule {} is no longer in force", remediation.rule))?;
        policy::authorize(&remediation.plan, &decision, remediation.approval.as_ref(), now.wall)
            .map_err(|refused| refused.to_string())
    }

    fn begin_watching_after_crash(&mut self, id: &RemediationId, now: Moment, out: &mut Vec<Command>) {
        if let Some(remediation) = self.remediations.get_mut(id) {
            remediation.state = RemediationState::Verifying;
            remediation.updated_at = now.wall;
            let document = remediation.clone();
            self.ledger.soon(Writes { remediations: vec![document], ..Writes::default() }, now);
        }
        self.begin_watching(id, now, out);
    }

    /// Takes the actuator's word on an earlier request.
    pub(super) fn on_outcome(
        &mut self,
        id: &RemediationId,
        (step, undo): (usize, bool),
        result: Result<Option<Outcome>, ActError>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let attempt = self.outcome_attempts(id);
        match result {
            Ok(Some(Outcome::Known(known))) if undo => self.undo_ended(id, step, known, now, out),
            Ok(Some(Outcome::Known(known))) => {
                self.rearm(id, now);
                self.step_ended(id, step, known, now, out);
            }
            Ok(None) if undo => self.undo_next(id, now, out),
            Ok(None) => self.begin_late(id, step, now, out),
            Ok(Some(Outcome::InFlight)) | Err(_) if !Self::gives_up(attempt) => {
                self.ask_outcome(id, (step, undo), attempt + 1, out);
            }
            Ok(Some(Outcome::InFlight | Outcome::Unknown)) | Err(_) => self.unknown(id, step, now),
        }
    }

    /// The intent is durable and the actuator never heard of it: carried out now, under the same name, if that is still
    /// permitted. The intent stands in the chain once.
    fn begin_late(&mut self, id: &RemediationId, step: usize, now: Moment, out: &mut Vec<Command>) {
        self.rearm(id, now);
        let authorized = self.running.as_ref().filter(|it| it.id == *id).map(|it| Arc::clone(&it.authorized));
        if let (Some(authorized), Some(remediation)) = (authorized, self.remediations.get(id)) {
            let request_id = super::perform::request_id(remediation, step, "do");
            out.push(Command::Perform { authorized, remediation: id.clone(), step, request_id });
        } else {
            let why = "interrupted by a restart before the step began, and it is not permitted any more";
            self.step_ended(id, step, Err(ActError::Usage(why.to_owned())), now, out);
        }
    }

    /// An authority for the steps that follow the one whose end was just learned; without one they fail.
    fn rearm(&mut self, id: &RemediationId, now: Moment) {
        if self.running.as_ref().is_some_and(|it| it.id == *id) {
            return;
        }
        if let Ok(authorized) = self.fresh_authority(id, now) {
            self.running = Some(Running { id: id.clone(), authorized: Arc::new(authorized) });
        }
    }

    fn outcome_attempts(&mut self, id: &RemediationId) -> u32 {
        let asked = self.outcome_asked.entry(id.clone()).or_default();
        *asked += 1;
        *asked - 1
    }

    /// Nobody can say whether the step was carried out: a person must look.
    fn unknown(&mut self, id: &RemediationId, step: usize, now: Moment) {
        let Some(remediation) = self.remediations.get_mut(id) else { return };
        let Some(record) = remediation.steps.get_mut(step) else { return };
        record.state = StepState::Unknown;
        record.message = Some("nobody can say whether it was carried out".to_owned());
        let body = serde_json::json!({ "step": record.step, "state": record.state, "message": record.message });
        let outcome = format!("step {} was begun and its end is unknown: a person must look at the host", record.step);
        let audit = vec![Self::draft(now, AuditKind::Outcome, AGENT, id, body)];
        self.ledger.soon(Writes { audit, ..Writes::default() }, now);
        self.finish(id, RemediationState::Failed, outcome, now);
    }
}
