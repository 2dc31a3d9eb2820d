//! Incidents as the engine keeps them: the open ones in memory, a resolved one opened again when its trouble comes back.

use holdfast_core::correlate;
use holdfast_core::detect::lifecycle::ENDED;
use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{Change, Finding, Incident, IncidentId, RemediationState};

use super::{AGENT, Engine, Moment};
use crate::store::Writes;

impl Engine {
    /// The open incidents, and the one that this finding was in before, unless that ended long ago.
    pub(super) fn homes(&self, finding: &Finding, now: Moment) -> Vec<Incident> {
        let own = finding.incident.as_ref().filter(|id| !self.incidents.contains_key(*id));
        let lately = |it: &Incident| it.resolved_at.is_none_or(|at| now.wall.since(at) <= correlate::COMES_BACK_WITHIN);
        let own = own.and_then(|id| self.incident(id)).filter(lately);
        self.incidents.values().cloned().chain(own).collect()
    }

    /// An incident, open or not, as it was left; what still waits for the disk counts.
    fn incident(&self, id: &IncidentId) -> Option<Incident> {
        let waits = || self.ledger.waiting_incident(id).cloned();
        self.incidents.get(id).cloned().or_else(waits).or_else(|| self.reader.incident(id).ok().flatten())
    }

    /// The incident of the same trouble, when that ended not long ago: what comes and goes is one incident.
    pub(super) fn earlier_incident(before: Option<&Finding>, finding: &Finding, now: Moment) -> Option<IncidentId> {
        // Another cause is another story.
        let before = before.filter(|it| it.cause == finding.cause)?;
        let ended = before.resolved_at.filter(|at| now.wall.since(*at) <= correlate::COMES_BACK_WITHIN);
        ended.and_then(|_| before.incident.clone())
    }

    /// Closes an incident whose findings are all closed; a remediation that still watches keeps it open.
    pub(super) fn close_incident(&mut self, id: &IncidentId, outcome: Option<String>, now: Moment) {
        let busy = |it: &holdfast_core::model::Remediation| {
            it.incident.as_ref() == Some(id)
                && matches!(
                    it.state,
                    RemediationState::Running | RemediationState::Verifying | RemediationState::Undoing
                )
        };
        if self.remediations.values().any(busy) {
            return;
        }
        let Some(incident) = self.incidents.get(id) else { return };
        let findings: Vec<Finding> = incident.findings.iter().filter_map(|f| self.finding(f)).collect();
        // What nobody looks at any more is not known to have gone away.
        let unseen = findings.iter().find_map(|it| it.evidence(ENDED)).map(ToString::to_string);
        let outcome = outcome.or(unseen).or_else(|| Some("the symptoms went away".to_owned()));
        let Some(closed) = correlate::close(incident, &findings, now.wall, outcome) else { return };
        self.incidents.remove(id);
        let body = serde_json::json!({ "state": "resolved", "outcome": closed.outcome });
        let audit = vec![Self::draft(now, AuditKind::Incident, AGENT, id, body)];
        self.ledger.soon(Writes { incidents: vec![closed], audit, ..Writes::default() }, now);
    }

    /// After a start: a kill may have come between the end of the last finding and that of its incident.
    pub(super) fn close_ended_incidents(&mut self, now: Moment) {
        let open: Vec<IncidentId> = self.incidents.keys().cloned().collect();
        for id in open {
            self.close_incident(&id, None, now);
        }
    }

    /// Adds a line to an open incident's story and gives the document to be written.
    pub(super) fn note(
        &mut self,
        incident: Option<&IncidentId>,
        (kind, reference): (&str, &str),
        text: String,
        now: Moment,
    ) -> Vec<Incident> {
        let Some(incident) = incident.and_then(|id| self.incidents.get_mut(id)) else { return Vec::new() };
        correlate::note(incident, now.wall, kind, reference, text);
        vec![incident.clone()]
    }

    /// A change was told: where it may have come before an open incident, the suspects of that are ranked again. Logs of packages,
    /// pipelines and sweeps of files come late.
    pub(super) fn reconsider(&mut self, change: &Change, now: Moment) {
        if change.cause.is_some() || self.incidents.is_empty() {
            return;
        }
        let changes: &[Change] = self.changes.make_contiguous();
        let lifecycle = &self.lifecycle;
        let again = |incident: &Incident| {
            let findings: Vec<Finding> = incident.findings.iter().filter_map(|id| lifecycle.get(id)).cloned().collect();
            correlate::reconsider(incident, &findings, change, changes, now.wall)
        };
        let mut incidents: Vec<Incident> = self.incidents.values().filter_map(again).collect();
        for incident in &mut incidents {
            self.tell_history(incident);
            self.incidents.insert(incident.id.clone(), incident.clone());
        }
        if !incidents.is_empty() {
            self.ledger.soon(Writes { incidents, ..Writes::default() }, now);
        }
    }
}
