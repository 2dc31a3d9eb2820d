//! Watching after the last step: is the symptom gone, by the measure that raised it?

use std::time::Duration;

use holdfast_core::detect::lifecycle::ENDED;
use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{
    Mode, Presence, Remediation, RemediationId, RemediationState, RunId, Severity, Verification, VerificationVerdict,
};
use holdfast_core::policy::{self, OnFailure};
use holdfast_core::verify::{self, VerifyFacts};
use holdfast_plugin_host::PluginVerdict;

use super::{AGENT, Command, Engine, Moment};
use crate::store::Writes;

/// Watched for so long where no rule says otherwise.
const WITHIN_DEFAULT: Duration = Duration::from_mins(1);

/// What the plugin says about its own plan.
#[derive(Debug)]
pub(super) enum PluginSays {
    /// Asked, no answer yet; not waited for longer than the rule watches.
    Asked,
    /// It sees no reason against.
    NoObjection,
    /// It says that the problem is still there.
    NotHealed(String),
}

/// Whether this one is being watched.
pub(super) fn is_watching(remediation: &Remediation) -> bool {
    remediation.state == RemediationState::Verifying
}

fn name_of(plugin: &str) -> &str {
    plugin.split(' ').next().unwrap_or(plugin)
}

impl Engine {
    /// The steps are done: from now on the symptom is watched.
    pub(super) fn begin_watching(&mut self, id: &RemediationId, now: Moment, out: &mut Vec<Command>) {
        let Some(remediation) = self.remediations.get(id) else { return };
        let Some(finding) = self.lifecycle.get(&remediation.finding).cloned() else { return };
        // A check that raised the finding is run again; whatever else raised it speaks up by itself.
        if let Some(plugin) = finding.method.name.strip_prefix("plugin:") {
            self.checks_due.insert(plugin.to_owned(), now.mono);
        }
        if finding.target.kind == "file" {
            let purpose = crate::event_loop::ReadFor::Look;
            out.push(Command::Read { paths: vec![finding.target.name], after_ms: 0, purpose });
        }
    }

    /// Looks at everything that is being watched.
    pub(super) fn watch_results(&mut self, now: Moment, out: &mut Vec<Command>) {
        let watched: Vec<RemediationId> =
            self.remediations.values().filter(|it| is_watching(it)).map(|it| it.id.clone()).collect();
        for id in watched {
            self.watch_result(&id, now, out);
        }
    }

    fn watch_result(&mut self, id: &RemediationId, now: Moment, out: &mut Vec<Command>) {
        let Some(remediation) = self.remediations.get(id).cloned() else { return };
        let target = remediation.plan.body().target.clone();
        if target.kind == "unit" {
            self.look_at_unit(&target.name, now, out);
        }
        let Some(finding) = self.finding(&remediation.finding) else { return };
        let rule = self.policy.rule(&remediation.rule).cloned();
        let (within, on_failure) =
            rule.as_ref().map_or((WITHIN_DEFAULT, OnFailure::Stop), |it| (it.verify.within.0, it.verify.on_failure));
        let last = remediation.steps.iter().filter_map(|it| it.finished_at).max().unwrap_or(remediation.updated_at);
        let began = remediation.steps.iter().filter_map(|it| it.started_at).min().unwrap_or(last);
        // What was seen between the first step and its answer was seen after the act: the signal can overtake the answer.
        let presence = self
            .lifecycle
            .latest_presence(&finding.id)
            // What was said before a restart of the agent is remembered by the finding itself.
            .or_else(|| {
                finding.resolved_at.filter(|_| finding.evidence(ENDED).is_none()).map(|at| (Presence::Cleared, at))
            })
            .filter(|(_, at)| *at >= began)
            .map(|(presence, at)| (presence, at.max(last)));
        let inputs = self.inputs(&finding, Some(&remediation.plan), Mode::Auto, Vec::new(), now);
        let facts = VerifyFacts {
            now: now.wall,
            done_at: last,
            settle_ms: remediation.plan.body().settle_ms,
            within,
            presence,
            healthy: rule.as_ref().and_then(|rule| policy::is_healthy(rule, &inputs)),
        };
        let Some(mut verification) = verify::judge(&facts) else { return };
        if verification.verdict == VerificationVerdict::Healed {
            match self.plugin_says.get(id) {
                None => {
                    self.plugin_says.insert(id.clone(), PluginSays::Asked);
                    self.ask_plugin(&remediation, finding, now, out);
                    return;
                }
                Some(PluginSays::Asked) if now.wall.since(last) <= within + Duration::from_secs(5) => return,
                Some(PluginSays::Asked | PluginSays::NoObjection) => {}
                Some(PluginSays::NotHealed(why)) => {
                    verification.verdict = VerificationVerdict::NotHealed;
                    verification.text = format!("{} says: {why}", remediation.plan.body().proposed_by);
                }
            }
        }
        self.verified(id, verification, on_failure, now, out);
    }

    fn ask_plugin(
        &mut self,
        remediation: &Remediation,
        finding: holdfast_core::model::Finding,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        out.push(Command::AskPlugin {
            plugin: name_of(&remediation.plan.body().proposed_by).to_owned(),
            run: RunId::new(now.wall, self.ids.as_mut()),
            remediation: remediation.id.clone(),
            finding: Box::new(finding),
            plan: Box::new(remediation.plan.body().clone()),
            steps: remediation.steps.clone(),
        });
    }

    /// Takes what the plugin says; a plugin that cannot say has no objection.
    pub(super) fn on_plugin_verdict(&mut self, id: &RemediationId, result: Result<PluginVerdict, String>) {
        let says = match result {
            Ok(PluginVerdict { verdict: VerificationVerdict::NotHealed, text }) => PluginSays::NotHealed(text),
            Ok(_) | Err(_) => PluginSays::NoObjection,
        };
        if self.plugin_says.contains_key(id) {
            self.plugin_says.insert(id.clone(), says);
        }
    }

    fn verified(
        &mut self,
        id: &RemediationId,
        verification: Verification,
        on_failure: OnFailure,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let Some(remediation) = self.remediations.get_mut(id) else { return };
        remediation.verification = Some(verification.clone());
        remediation.updated_at = now.wall;
        let document = remediation.clone();
        let body = serde_json::json!({ "verdict": verification.verdict, "text": verification.text });
        let audit = vec![Self::draft(now, AuditKind::Verification, AGENT, id, body)];
        let text = verification.text.clone();
        let incidents = self.note(document.incident.as_ref(), ("verification", id.as_str()), text.clone(), now);
        let finding = document.finding.clone();
        self.ledger.soon(Writes { remediations: vec![document], incidents, audit, ..Writes::default() }, now);
        match (verification.verdict, on_failure) {
            (VerificationVerdict::Healed, _) => self.finish(id, RemediationState::Succeeded, text, now),
            (_, OnFailure::Undo) => self.failed(id, &text, true, now, out),
            (_, OnFailure::Stop) => self.failed(id, &text, false, now, out),
            (_, OnFailure::Escalate) => {
                if let Some(mut raised) = self.lifecycle.get(&finding).cloned() {
                    raised.severity = raised.severity.max(Severity::High);
                    self.lifecycle.replace(raised.clone());
                    self.ledger.soon(Writes { findings: vec![raised], ..Writes::default() }, now);
                }
                self.failed(id, &text, false, now, out);
            }
        }
    }
}
