//! What people say about findings, and what follows for the next ones like them.
//!
//! The rule itself is pure (`holdfast_core::detect::labels`); here its rulings become states of findings, durably and on record. What a label
//! suppresses is still kept as a finding, in the state `suppressed`, so that nothing happens unseen; it opens no incident and no rule
//! is asked about it.

use holdfast_core::detect::labels::{LABELS_MAX, Ruling, Seen};
use holdfast_core::detect::replay::Episode;
use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{Finding, FindingId, FindingState, Label, Says};

use super::{AGENT, Command, Engine, Moment};
use crate::request::{Answer, Caller, Refusal, RefusalKind};
use crate::store::Writes;

impl Engine {
    /// Labels a finding; `None` takes its label back.
    pub(super) fn label(
        &mut self,
        caller: &Caller,
        (id, says): (&FindingId, Option<Says>),
        note: &str,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Answer {
        let Some(mut finding) = self.finding(id) else {
            return Err(Refusal::new(RefusalKind::NotFound, format!("no finding {id} is known"))
                .hint("`holdfast findings list` shows them"));
        };
        let mut note = note.to_owned();
        self.config.redactor.line(&mut note);
        let before = self.labels.get(id).cloned();
        let label = says.map(|says| Label::of(&finding, says, &caller.name, now.wall, &note));
        match &label {
            None if before.is_none() => {
                return Err(Refusal::new(RefusalKind::Conflict, format!("{id} has no label"))
                    .hint("`holdfast findings labels` shows those that there are"));
            }
            Some(_) if before.is_none() && self.labels.len() >= LABELS_MAX => {
                return Err(Refusal::new(RefusalKind::Conflict, format!("there are {LABELS_MAX} labels already"))
                    .hint("`holdfast findings unlabel ID` takes one back"));
            }
            Some(label) => drop(self.labels.put(label.clone())),
            None => drop(self.labels.take(id)),
        }
        let was = finding.state;
        finding.label = says.map(|it| it.to_string());
        let ruling = self.labels.rule(&Seen::finding(&finding));
        ruling.tell(&mut finding.evidence);
        // A person's word: what is no problem is not shown as one, and what was called none by mistake counts again.
        finding.state = match (ruling.suppresses(), was) {
            (true, FindingState::New | FindingState::InProgress) => FindingState::Suppressed,
            (false, FindingState::Suppressed) => FindingState::New,
            (_, state) => state,
        };
        let body = serde_json::json!({
            "label": says, "before": before.as_ref().map(|it| it.says), "note": note, "state": finding.state,
        });
        let audit = vec![Self::draft(now, AuditKind::Finding, &caller.name, id, body)];
        let labels = vec![(id.clone(), label.clone())];
        // What is labelled no more is no case of the corpus.
        let episodes = if label.is_none() { vec![(id.clone(), None)] } else { vec![] };
        if let Err(refusal) =
            self.record(Writes { findings: vec![finding.clone()], labels, episodes, audit, ..Writes::default() })
        {
            match before {
                Some(before) => drop(self.labels.put(before)),
                None => drop(self.labels.take(id)),
            }
            return Err(refusal);
        }
        self.detectors.protect(&self.labels);
        // A resolved one that is still remembered may be opened again.
        if self.lifecycle.get(id).is_some() {
            self.lifecycle.replace(finding.clone());
        }
        match (was, finding.state) {
            (FindingState::New | FindingState::InProgress, FindingState::Suppressed) => {
                let why = format!("labelled a false positive by {}", caller.name);
                self.closed_by_label(&finding, &why, now);
            }
            (FindingState::Suppressed, FindingState::New) => self.opened(finding.clone(), now, out),
            _ => {}
        }
        if let Some(label) = label {
            self.keep_episode(label, out);
        }
        // Another finding of this kind and subject may stand at the moment: what was said counts for it, too.
        if let Some(standing) = self.lifecycle.by_fingerprint(&finding.fingerprint).filter(|it| it.id != *id).cloned() {
            let ruling = self.labels.rule(&Seen::finding(&standing));
            if Self::is_ruled_otherwise(&standing, &ruling) {
                self.ruled_otherwise(standing, &ruling, now, out);
            }
        }
        Ok(serde_json::json!(self.finding(id).unwrap_or(finding)))
    }

    /// Has the samples gathered that a labelled finding rests on, where it rests on any.
    pub(super) fn keep_episode(&self, label: Label, out: &mut Vec<Command>) {
        let detect = Box::new(self.config.detect.clone());
        out.push(Command::KeepEpisode { label: Box::new(label), detect });
    }

    /// The samples of a labelled finding.
    pub(super) fn on_episode(&mut self, label: &Label, result: Result<Box<Episode>, String>, now: Moment) {
        match result {
            Err(error) => {
                tracing::warn!(finding_id = %label.finding, error, "Samples of a labelled finding are not kept.");
            }
            // Meanwhile the label may have been taken back, or another given.
            Ok(episode) if self.labels.get(&label.finding).is_some_and(|it| it.says == label.says) => {
                let kept = Some(episode).filter(|it| it.samples() > 0);
                let episodes = vec![(label.finding.clone(), kept)];
                self.ledger.soon(Writes { episodes, ..Writes::default() }, now);
            }
            Ok(_) => {}
        }
    }

    /// Kept, and shown to whoever asks; nothing else comes of it.
    pub(super) fn suppressed(&mut self, mut finding: Finding, ruling: &Ruling, now: Moment) {
        finding.state = FindingState::Suppressed;
        self.lifecycle.replace(finding.clone());
        let body = serde_json::json!({
            "state": finding.state, "kind": finding.kind, "target": finding.target.to_string(), "title": finding.title,
            "severity": finding.severity, "confidence": finding.confidence, "method": finding.method, "why": ruling.why(),
        });
        let audit = vec![Self::draft(now, AuditKind::Finding, AGENT, &finding.id, body)];
        tracing::info!(
            finding_id = %finding.id, kind = finding.kind, target_name = %finding.target, title = finding.title,
            why = ruling.why(), "Finding suppressed by a label."
        );
        let labels = self.count_applied(&finding, ruling, now);
        self.ledger.soon(Writes { findings: vec![finding], labels, audit, ..Writes::default() }, now);
    }

    fn count_applied(&mut self, finding: &Finding, ruling: &Ruling, now: Moment) -> Vec<(FindingId, Option<Label>)> {
        let Some(mut label) = ruling.label().and_then(|id| self.labels.get(id)).cloned() else { return Vec::new() };
        if label.finding == finding.id {
            return Vec::new();
        }
        label.applied += 1;
        label.applied_at = Some(now.wall);
        self.labels.put(label.clone());
        vec![(label.finding.clone(), Some(label))]
    }

    /// Whether what the labels say now is not what the finding's state says. What is being cured is left to its end.
    pub(super) fn is_ruled_otherwise(finding: &Finding, ruling: &Ruling) -> bool {
        match finding.state {
            FindingState::New => ruling.suppresses(),
            FindingState::Suppressed => !ruling.suppresses(),
            FindingState::InProgress | FindingState::Resolved => false,
        }
    }

    /// A finding that stands is no problem any more, or is one again.
    pub(super) fn ruled_otherwise(
        &mut self,
        mut finding: Finding,
        ruling: &Ruling,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        ruling.tell(&mut finding.evidence);
        if ruling.suppresses() {
            self.suppressed(finding.clone(), ruling, now);
            self.closed_by_label(&finding, &ruling.why(), now);
        } else {
            finding.state = FindingState::New;
            self.opened(finding, now, out);
        }
    }

    /// What was under way because of a finding ends with it.
    fn closed_by_label(&mut self, finding: &Finding, why: &str, now: Moment) {
        self.pending.remove(&finding.id);
        self.decided.remove(&finding.id);
        self.withdraw(&finding.id, "the finding was labelled a false positive", now);
        if let Some(incident) = finding.incident.clone() {
            self.close_incident(&incident, Some(why.to_owned()), now);
        }
    }
}
