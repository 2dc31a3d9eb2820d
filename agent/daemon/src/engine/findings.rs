//! From detections to findings and incidents.

use std::time::Duration;

use holdfast_core::correlate;
use holdfast_core::detect::labels::Seen;
use holdfast_core::detect::lifecycle::FindingEvent;
use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{
    Detection, Evidence, Finding, FindingId, FindingState, Label, Presence, RunId, Severity, Target,
};
use holdfast_plugin_host::CheckReport;
use tokio::sync::oneshot;

use super::{AGENT, Command, Engine, Moment};
use crate::answers::{PluginAnswer, Skipped};
use crate::request::{Answer, Refusal, RefusalKind};
use crate::store::{StoreEvent, Writes};

/// A subscribed check runs so long after the first of what it is run for, and so once in this time at most.
const SUBSCRIBED_QUIET: Duration = Duration::from_secs(5);

impl Engine {
    /// Takes what a method says about a target. That a target without a finding is well, as most of what is said every
    /// second, costs one look.
    pub(super) fn observe(&mut self, mut detection: Detection, now: Moment, out: &mut Vec<Command>) {
        let before = self.lifecycle.by_fingerprint(&detection.fingerprint()).cloned();
        if before.is_none() && detection.presence != Presence::Present {
            return;
        }
        self.config.redactor.detection(&mut detection);
        let ruling = self.labels.rule(&Seen::detection(&detection, &detection.fingerprint()));
        ruling.tell(&mut detection.evidence);
        let detection = &detection;
        match self.lifecycle.observe(detection, now.wall, self.ids.as_mut()) {
            None => {}
            // What the agent left there is its own doing; what somebody else put there since is not.
            Some(FindingEvent::Updated(finding)) if is_another_content(before.as_ref(), detection) => {
                let finding = Finding { cause: None, ..finding };
                self.lifecycle.replace(finding.clone());
                let id = finding.id.clone();
                self.ledger.soon(Writes { findings: vec![finding], ..Writes::default() }, now);
                self.consider(&id, now, out);
            }
            Some(FindingEvent::Opened(finding)) if ruling.suppresses() => self.suppressed(finding, &ruling, now),
            Some(FindingEvent::Opened(mut finding)) => {
                let earlier = Self::earlier_incident(before.as_ref(), &finding, now);
                finding.incident = finding.incident.or(earlier);
                self.opened(finding, now, out);
            }
            Some(FindingEvent::Updated(finding)) if Self::is_ruled_otherwise(&finding, &ruling) => {
                self.ruled_otherwise(finding, &ruling, now, out);
            }
            Some(FindingEvent::Updated(finding)) => {
                self.ledger.soon(Writes { findings: vec![finding], ..Writes::default() }, now);
            }
            Some(FindingEvent::Resolved(finding)) => self.resolved(finding, None, now, out),
        }
    }

    pub(super) fn opened(&mut self, mut finding: Finding, now: Moment, out: &mut Vec<Command>) {
        let homes = self.homes(&finding, now);
        let siblings: Vec<Finding> = self.lifecycle.open().filter(|it| it.id != finding.id).cloned().collect();
        let changes: Vec<_> = self.changes.iter().cloned().collect();
        let mut incident = correlate::correlate(&finding, &homes, &siblings, &changes, now.wall, self.ids.as_mut());
        finding.incident = Some(incident.id.clone());
        self.lifecycle.replace(finding.clone());
        let mut audit = vec![Self::draft(
            now,
            AuditKind::Finding,
            AGENT,
            &finding.id,
            serde_json::json!({
                "state": "new", "kind": finding.kind, "target": finding.target.to_string(), "title": finding.title,
                "severity": finding.severity, "confidence": finding.confidence, "method": finding.method,
                "incident": incident.id, "cause": finding.cause,
            }),
        )];
        if !self.incidents.contains_key(&incident.id) {
            if incident.reopened == 0 {
                self.history_of_changes.opened(&incident);
            }
            let body = serde_json::json!({ "state": "open", "title": incident.title, "reopened": incident.reopened });
            audit.push(Self::draft(now, AuditKind::Incident, AGENT, &incident.id, body));
        }
        self.tell_history(&mut incident);
        tracing::warn!(
            finding_id = %finding.id, incident_id = %incident.id, kind = finding.kind, target_name = %finding.target,
            severity = %finding.severity, title = finding.title, "Finding opened."
        );
        self.incidents.insert(incident.id.clone(), incident.clone());
        self.run_subscribed(&finding.kind, Some(&finding.method.name), now);
        let id = finding.id.clone();
        if let Some(by) = self.asked.by.clone() {
            self.asked.findings.insert(id.clone(), by);
        }
        self.ledger
            .soon(Writes { findings: vec![finding], incidents: vec![incident], audit, ..Writes::default() }, now);
        self.consider(&id, now, out);
    }

    /// `ended`: why nobody measures it any more; `None`: its measure says that it is gone.
    pub(super) fn resolved(&mut self, finding: Finding, ended: Option<&str>, now: Moment, out: &mut Vec<Command>) {
        // Labelled while it stood: now all of it can be kept.
        if let Some(label) = self.labels.get(&finding.id).cloned() {
            self.keep_episode(Label { ended_at: now.wall, ..label }, out);
        }
        let target = finding.target.to_string();
        let mut body = serde_json::json!({ "state": "resolved", "target": target, "count": finding.count });
        if let Some(why) = ended {
            body["ended"] = why.into();
        }
        let audit = vec![Self::draft(now, AuditKind::Finding, AGENT, &finding.id, body)];
        tracing::info!(finding_id = %finding.id, kind = finding.kind, target_name = target, ended, "Finding resolved.");
        self.pending.remove(&finding.id);
        self.decided.remove(&finding.id);
        self.asked.findings.remove(&finding.id);
        let id = finding.id.clone();
        let incident = finding.incident.clone();
        self.ledger.soon(Writes { findings: vec![finding], audit, ..Writes::default() }, now);
        self.withdraw(&id, ended.unwrap_or("the finding was resolved before anything was done"), now);
        if let Some(incident) = incident {
            self.close_incident(&incident, None, now);
        }
    }

    /// A finding, open or not.
    pub(super) fn finding(&self, id: &FindingId) -> Option<Finding> {
        self.lifecycle.get(id).cloned().or_else(|| self.reader.finding(id).ok().flatten())
    }

    /// Alters a finding's state in memory and gives the document to be written.
    pub(super) fn set_finding_state(&mut self, id: &FindingId, state: FindingState) -> Option<Finding> {
        let mut finding = self.lifecycle.get(id).cloned()?;
        if !finding.is_open() || finding.state == state {
            return None;
        }
        finding.state = state;
        self.lifecycle.replace(finding.clone());
        Some(finding)
    }

    /// A failing collector is a finding about the agent, never its end.
    pub(super) fn observe_collectors(&mut self, now: Moment, out: &mut Vec<Command>) {
        let failing: Vec<String> = self.collectors.iter().filter(|c| c.failing).map(|c| c.name.clone()).collect();
        if failing == self.collectors_failing {
            return;
        }
        let before = std::mem::replace(&mut self.collectors_failing, failing);
        let names: std::collections::BTreeSet<String> =
            before.into_iter().chain(self.collectors_failing.clone()).collect();
        for name in names {
            let error = self.collectors.iter().find(|c| c.name == name && c.failing).map(|c| c.last_error.clone());
            let evidence =
                error.clone().flatten().map(|e| vec![Evidence::new("collector.error", e)]).unwrap_or_default();
            let detection = about_agent(
                ("agent.collector_failed", "collector_failure"),
                Target::new("collector", &name),
                (error.is_some(), format!("Collector {name} fails")),
                evidence,
                now,
            );
            self.observe(detection, now, out);
        }
    }

    /// What the store of samples says of itself.
    pub(super) fn observe_store(&mut self, now: Moment, out: &mut Vec<Command>) {
        for event in self.telemetry.take_events() {
            let (present, title, evidence) = match event {
                StoreEvent::CorruptSetAside { path, why } => (
                    true,
                    "The telemetry database was damaged and set aside".to_owned(),
                    vec![
                        Evidence::new("store.set_aside", path.display().to_string()),
                        Evidence::new("store.error", why),
                    ],
                ),
                StoreEvent::WritingFails { why } => {
                    (true, "Telemetry cannot be written".to_owned(), vec![Evidence::new("store.error", why)])
                }
                StoreEvent::WritingWorks { lost } => {
                    (false, "Telemetry is written again".to_owned(), vec![Evidence::new("store.lost", lost)])
                }
            };
            let kind = ("agent.store_failed", "store_failure");
            let detection = about_agent(kind, Target::new("store", "telemetry.db"), (present, title), evidence, now);
            self.observe(detection, now, out);
        }
    }

    /// Has the checks run, a little later and once for many, that want to when something of this kind comes about. What a plugin has
    /// found itself is no news to it.
    pub(super) fn run_subscribed(&mut self, kind: &str, found_by: Option<&str>, now: Moment) {
        for plugin in self.plugins.checks_of_kind(kind) {
            if found_by.and_then(|method| method.strip_prefix("plugin:")) != Some(&plugin) {
                self.checks_due.entry(plugin).or_insert(now.mono + SUBSCRIBED_QUIET);
            }
        }
    }

    /// Asks a plugin for its check; a person who asks gets the answer, and is remembered for what it finds.
    pub(super) fn check(
        &mut self,
        plugin: &str,
        asked: Option<(oneshot::Sender<Answer>, String)>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let run = RunId::new(now.wall, self.ids.as_mut());
        let answer = asked.map(|(answer, by)| {
            self.asked.checks.insert(run.clone(), by);
            answer
        });
        out.push(Command::Check { plugin: plugin.to_owned(), run, answer });
    }

    /// Takes a check's report: what it found, and that what it no longer finds is gone.
    pub(super) fn on_checked(
        &mut self,
        (plugin, run, elapsed): (&str, RunId, Duration),
        result: Result<CheckReport, String>,
        answer: Option<oneshot::Sender<Answer>>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        self.asked.by = self.asked.checks.remove(&run);
        let reply = match result {
            Ok(report) => {
                let skipped = report.skipped.iter().cloned();
                let reply = serde_json::json!(PluginAnswer {
                    plugin: plugin.to_owned(),
                    run,
                    detections: report.detections.clone(),
                    evaluated: report.evaluated.clone(),
                    skipped: skipped.map(|(subject, reason)| Skipped { subject, reason }).collect(),
                    elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
                });
                self.take_report(plugin, report, now, out);
                Ok(reply)
            }
            Err(why) => Err(Refusal::new(RefusalKind::Failed, format!("the check of plugin {plugin} failed: {why}"))
                .hint("`holdfast plugin list` shows its state and last error")),
        };
        self.asked.by = None;
        if let Some(answer) = answer {
            let _ = answer.send(reply);
        }
    }
}

/// Whether a finding that descends from the agent's own action now rests on a content that the agent did not put there.
fn is_another_content(before: Option<&Finding>, detection: &Detection) -> bool {
    let Some(before) = before.filter(|it| it.cause.is_some() && detection.cause.is_none()) else { return false };
    let now = detection.evidence.iter().find(|it| it.name == "file.sha256").map(|it| &it.value);
    now.is_some() && before.evidence("file.sha256") != now
}

/// The detection that would confirm a finding: same fingerprint.
pub(super) fn detection_of(finding: &Finding, now: Moment) -> Detection {
    let start = format!("{}|{}|{}|", finding.method.name, finding.kind, finding.target);
    Detection {
        kind: finding.kind.clone(),
        class: finding.class,
        target: finding.target.clone(),
        discriminator: finding.fingerprint.strip_prefix(&start).unwrap_or_default().to_owned(),
        presence: Presence::Present,
        title: finding.title.clone(),
        severity: finding.severity,
        confidence: finding.confidence,
        method: finding.method.clone(),
        evidence: finding.evidence.clone(),
        began_at: now.wall,
        cause: None,
    }
}

/// What the agent says of a part of itself.
pub(super) fn about_agent(
    (kind, method): (&str, &str),
    target: Target,
    (present, title): (bool, String),
    evidence: Vec<Evidence>,
    now: Moment,
) -> Detection {
    let presence = if present { Presence::Present } else { Presence::Cleared };
    Detection::certain((kind, method), target, Severity::Medium, (presence, title), evidence, now.wall)
}
