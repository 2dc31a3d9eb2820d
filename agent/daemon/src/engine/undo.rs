//! Taking back what was done, last step first.

use std::time::Duration;

use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{Remediation, RemediationId, RemediationState, StepState};

use super::perform::request_id;
use super::{AGENT, Command, Engine, Moment};
use crate::act::{ActError, Performed};
use crate::store::Writes;

const STALL: Duration = Duration::from_secs(5);

/// The step that is taken back next: the last one that was done (or failed halfway) and kept its former state.
pub(super) fn next(remediation: &Remediation) -> Option<(usize, String)> {
    remediation.steps.iter().enumerate().rev().find_map(|(index, step)| {
        let undoable = matches!(step.state, StepState::Done | StepState::Failed);
        step.undo_token.clone().filter(|_| undoable).map(|token| (index, token))
    })
}

impl Engine {
    /// Takes the next step back, or ends.
    pub(super) fn undo_next(&mut self, id: &RemediationId, now: Moment, out: &mut Vec<Command>) {
        let Some(mut remediation) = self.remediations.get(id).cloned() else { return };
        let Some((step, token)) = next(&remediation) else {
            let why = remediation.outcome.clone().unwrap_or_default();
            self.finish(id, RemediationState::Undone, format!("taken back: {why}"), now);
            return;
        };
        remediation.state = RemediationState::Undoing;
        remediation.updated_at = now.wall;
        let request_id = request_id(&remediation, step, "undo");
        let record = &remediation.steps[step];
        let body = serde_json::json!({ "step": record.step, "request_id": request_id, "intent": "undo" });
        let audit = vec![Self::draft(now, AuditKind::Undo, AGENT, id, body)];
        let writes = Writes { remediations: vec![remediation.clone()], audit, ..Writes::default() };
        if self.ledger.now(writes).is_err() {
            self.stalled = Some((id.clone(), now.mono + STALL));
            return;
        }
        self.remediations.insert(id.clone(), remediation);
        out.push(Command::Undo { remediation: id.clone(), step, request_id, token });
    }

    /// Takes the actuator's answer to an undo.
    pub(super) fn on_undone(
        &mut self,
        id: &RemediationId,
        step: usize,
        result: Result<Performed, ActError>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        if matches!(result, Err(ActError::NoAnswer { .. } | ActError::Protocol(_))) {
            self.ask_outcome(id, (step, true), 0, out);
            return;
        }
        self.undo_ended(id, step, result, now, out);
    }

    /// Records how an undo ended, and goes on with the next.
    pub(super) fn undo_ended(
        &mut self,
        id: &RemediationId,
        step: usize,
        result: Result<Performed, ActError>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let Some(mut remediation) = self.remediations.get(id).cloned() else { return };
        let Some(record) = remediation.steps.get_mut(step) else { return };
        let failure = match result {
            Ok(performed) => {
                record.state = StepState::Undone;
                record.undo_token = None;
                record.effects.extend(performed.effects);
                None
            }
            Err(error) => {
                record.message = Some(format!("not taken back: {error}"));
                record.undo_token = None;
                Some(error.to_string())
            }
        };
        let body = serde_json::json!({ "step": record.step, "state": record.state, "failure": failure });
        remediation.updated_at = now.wall;
        let audit = vec![Self::draft(now, AuditKind::Undo, AGENT, id, body)];
        self.remediations.insert(id.clone(), remediation.clone());
        self.ledger.soon(Writes { remediations: vec![remediation], audit, ..Writes::default() }, now);
        match failure {
            None => self.undo_next(id, now, out),
            Some(why) => {
                self.finish(
                    id,
                    RemediationState::Failed,
                    format!("could not be taken back, a person must look: {why}"),
                    now,
                );
            }
        }
    }
}
