//! From an open finding to a decision: which rule matches, when a plugin is asked, what policy says to its plan.
//!
//! Every opened finding ends in a plan or in a recorded reason why not.

use std::time::Duration;

use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{
    Decision, DecisionId, DeploymentState, Finding, FindingId, FindingState, Mode, Plan, Reason, Remediation,
    RemediationId, RemediationState, RunId, StepRecord, StepState, Verdict,
};
use holdfast_core::policy::{self, Inputs, PastRun};

use super::{AGENT, Command, Engine, Moment};
use crate::event_loop::Proposed;
use crate::store::Writes;

/// Pause before a finding that was denied for the time being is looked at again.
const AGAIN: Duration = Duration::from_secs(5);
/// Reasons that may go away by themselves.
const TEMPORARY: [&str; 6] = ["paused", "cooldown", "checklist", "checklist_error", "sustained", "plugin_failed"];
/// Reasons that say "propose, but don't act".
const ADVISORY: [&str; 5] = ["host_ceiling", "rule_mode", "grant", "low_confidence", "policy_errors"];
/// Runs that one decision is computed from.
const PAST_RUNS_MAX: usize = 200;

/// What policy remembers of a remediation; `None` when it never began.
pub(super) fn past_run(remediation: &Remediation) -> Option<PastRun> {
    let started_at = remediation.steps.iter().find_map(|step| step.started_at)?;
    let target = remediation.plan.body().target.clone();
    Some(PastRun { rule: remediation.rule.clone(), target, started_at, state: remediation.state })
}

impl Engine {
    /// Looks whether anything should be done about a finding, and if so asks for a plan.
    pub(super) fn consider(&mut self, id: &FindingId, now: Moment, out: &mut Vec<Command>) {
        let Some(finding) = self.lifecycle.get(id).filter(|it| it.state == FindingState::New).cloned() else { return };
        let busy = |it: &Remediation| it.finding == *id && !it.state.is_final();
        if self.asked.proposals.contains_key(id) || self.remediations.values().any(busy) {
            return;
        }
        let inputs = self.inputs(&finding, None, self.config.ceiling, Vec::new(), now);
        let Some(rule) = policy::first_match(&self.policy, &inputs).cloned() else {
            self.decide(inputs, now);
            return;
        };
        // What goes away by itself needs no decision.
        let sustained_at = policy::sustained_at(&rule, &finding);
        if now.wall < sustained_at {
            self.pending.insert(id.clone(), now.mono + sustained_at.since(now.wall));
            return;
        }
        let mut given = Vec::new();
        let grant = self.plugins.grant(&rule.plugin).map(|it| it.mode);
        if grant.is_none() && rule.mode > Mode::Observe {
            given.push(reason(
                "plugin_missing",
                &rule.origin,
                format!("plugin {} is not installed, not granted or in quarantine", rule.plugin),
            ));
        }
        let inputs = self.inputs(&finding, None, grant.unwrap_or(Mode::Observe), given, now);
        let decision = self.decide(inputs, now);
        if grant.is_none() || finding.cause.is_some() {
            return;
        }
        if is_temporary(&decision) {
            self.pending.insert(id.clone(), now.mono + AGAIN);
            return;
        }
        if decision.mode == Mode::Observe || blocked(&decision) {
            return;
        }
        let run = RunId::new(now.wall, self.ids.as_mut());
        self.asked.proposals.insert(id.clone(), rule.name.clone());
        out.push(Command::Propose { plugin: rule.plugin, rule: rule.name, run, finding: Box::new(finding) });
    }

    /// Everything that a decision about a finding is computed from.
    pub(super) fn inputs(
        &self,
        finding: &Finding,
        plan: Option<&Plan>,
        grant: Mode,
        given: Vec<Reason>,
        now: Moment,
    ) -> Inputs {
        let unit = (finding.target.kind == "unit").then(|| self.units.get(&finding.target.name).cloned()).flatten();
        let running = |it: &&holdfast_core::model::Deployment| it.state == DeploymentState::Running;
        let mut history: Vec<PastRun> = self.history.iter().rev().take(PAST_RUNS_MAX).cloned().collect();
        history.reverse();
        Inputs {
            at: now.wall,
            finding: finding.clone(),
            plan: plan.cloned(),
            host: self.facts.for_policy(now.mono),
            unit,
            deployments_running: self.deployments.values().filter(running).map(|it| it.id.clone()).collect(),
            ceiling: self.config.ceiling,
            grant,
            paused: self.paused.is_some(),
            history,
            now_running: u32::from(self.running.is_some()),
            given,
        }
    }

    /// Decides, and records the decision unless it is the same as the last one about this finding.
    pub(super) fn decide(&mut self, inputs: Inputs, now: Moment) -> Decision {
        let id = DecisionId::new(now.wall, self.ids.as_mut());
        let decision = policy::decide(&self.policy, inputs, id);
        let mut print = format!("{:?}|{}|{:?}", decision.verdict, decision.mode, decision.rule);
        for reason in &decision.reasons {
            print.push('|');
            print.push_str(&reason.code);
        }
        if self.decided.get(&decision.finding) == Some(&print) && decision.plan.is_none() {
            return decision;
        }
        self.decided.insert(decision.finding.clone(), print);
        let audit = vec![Self::draft(now, AuditKind::Decision, AGENT, &decision.id, summary_of(&decision))];
        self.ledger.soon(Writes { decisions: vec![decision.clone()], audit, ..Writes::default() }, now);
        decision
    }

    /// Takes a plugin's answer.
    pub(super) fn on_proposed(
        &mut self,
        id: &FindingId,
        rule: &str,
        run: &RunId,
        result: Result<Option<Proposed>, String>,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        self.asked.proposals.remove(id);
        let Some(finding) = self.lifecycle.get(id).filter(|it| it.state == FindingState::New).cloned() else { return };
        let Some(rule) = self.policy.rule(rule).cloned() else { return };
        let grant = self.plugins.grant(&rule.plugin);
        let mode = grant.as_ref().map_or(Mode::Observe, |it| it.mode);
        let (plan, given) = match result {
            Ok(Some(proposed)) => match self.make_plan(&finding, proposed, run, grant.as_ref(), now) {
                Ok((plan, given)) => (Some(plan), given),
                Err(why) => (None, vec![reason("plan_unusable", &rule.origin, why)]),
            },
            Ok(None) => {
                let text = format!("plugin {} has nothing to propose", rule.plugin);
                (None, vec![reason("no_plan", &rule.origin, text)])
            }
            Err(why) => {
                self.pending.insert(id.clone(), now.mono + Duration::from_mins(1));
                (None, vec![reason("plugin_failed", &rule.origin, format!("plugin {} failed: {why}", rule.plugin))])
            }
        };
        let inputs = self.inputs(&finding, plan.as_ref(), mode, given, now);
        let decision = self.decide(inputs, now);
        let Some(plan) = plan else { return };
        let state = match decision.verdict {
            Verdict::Allow => RemediationState::Approved,
            Verdict::RequireApproval => RemediationState::AwaitingApproval,
            Verdict::Deny if is_temporary(&decision) => {
                self.pending.insert(id.clone(), now.mono + AGAIN);
                return;
            }
            Verdict::Deny if decision.mode == Mode::Advise && !blocked(&decision) => RemediationState::Proposed,
            Verdict::Deny => RemediationState::Denied,
        };
        self.propose(finding, &rule.name, plan, state, decision, now);
        self.start_next(now, out);
    }

    fn propose(
        &mut self,
        finding: Finding,
        rule: &str,
        plan: Plan,
        state: RemediationState,
        decision: Decision,
        now: Moment,
    ) {
        let steps = plan.body().steps.iter().map(|step| StepRecord {
            step: step.id.clone(),
            state: StepState::Pending,
            started_at: None,
            finished_at: None,
            effects: Vec::new(),
            undo_token: None,
            message: None,
        });
        let outcome = (state == RemediationState::Denied).then(|| strictest(&decision));
        let remediation = Remediation {
            id: RemediationId::new(now.wall, self.ids.as_mut()),
            finding: finding.id.clone(),
            incident: finding.incident.clone(),
            rule: rule.to_owned(),
            requested_by: self.asked.findings.get(&finding.id).cloned(),
            steps: steps.collect(),
            state,
            decision,
            approval: None,
            verification: None,
            created_at: now.wall,
            updated_at: now.wall,
            outcome,
            plan,
        };
        let body = remediation.plan.body();
        let facts = serde_json::json!({
            "plan": body.id, "digest": remediation.plan.digest(), "finding": finding.id, "rule": rule,
            "plugin": body.proposed_by, "plugin_digest": body.plugin_digest, "risk": remediation.plan.risk(),
            "steps": body.steps.iter().map(|s| s.action.describe()).collect::<Vec<_>>(), "state": state,
        });
        let audit = vec![Self::draft(now, AuditKind::Plan, AGENT, &remediation.id, facts)];
        tracing::info!(
            remediation_id = %remediation.id, finding_id = %finding.id, rule, state = %state, summary = body.summary,
            "Remediation proposed."
        );
        let line = format!("{} ({}, {state})", body.summary, body.proposed_by);
        let incidents = self.note(finding.incident.as_ref(), ("plan", remediation.id.as_str()), line, now);
        let busy = !state.is_final() && state != RemediationState::Proposed;
        let findings = if busy { self.set_finding_state(&finding.id, FindingState::InProgress) } else { None };
        if !state.is_final() {
            self.remediations.insert(remediation.id.clone(), remediation.clone());
        }
        let writes = Writes {
            remediations: vec![remediation],
            findings: findings.into_iter().collect(),
            incidents,
            audit,
            ..Writes::default()
        };
        self.ledger.soon(writes, now);
    }

    /// Ends what waits for a finding that is gone.
    pub(super) fn withdraw(&mut self, finding: &FindingId, why: &str, now: Moment) {
        let waiting: Vec<RemediationId> = self
            .remediations
            .values()
            .filter(|it| {
                it.finding == *finding
                    && matches!(
                        it.state,
                        RemediationState::Proposed | RemediationState::AwaitingApproval | RemediationState::Approved
                    )
            })
            .map(|it| it.id.clone())
            .collect();
        for id in waiting {
            self.finish(&id, RemediationState::Expired, why.to_owned(), now);
        }
    }

    /// Ends what nobody answered in time.
    pub(super) fn expire(&mut self, now: Moment) {
        let late: Vec<RemediationId> = self
            .remediations
            .values()
            .filter(|it| {
                matches!(
                    it.state,
                    RemediationState::AwaitingApproval | RemediationState::Proposed | RemediationState::Approved
                ) && now.wall > it.plan.body().expires_at
            })
            .map(|it| it.id.clone())
            .collect();
        for id in late {
            let finding = self.remediations.get(&id).map(|it| it.finding.clone());
            self.finish(&id, RemediationState::Expired, "the plan expired before it could run".to_owned(), now);
            // What is still wrong deserves a plan that fits the present.
            if let Some(finding) = finding {
                self.pending.insert(finding, now.mono + AGAIN);
            }
        }
    }
}

/// A reason that the agent itself brings; alone it denies.
pub(super) fn reason(code: &str, origin: &str, text: String) -> Reason {
    Reason { code: code.to_owned(), verdict: Verdict::Deny, origin: origin.to_owned(), text }
}

/// The text of the strictest reason.
pub(super) fn strictest(decision: &Decision) -> String {
    decision.reasons.iter().max_by_key(|it| it.verdict).map(|it| it.text.clone()).unwrap_or_default()
}

/// Whether what denies may go away by itself.
pub(super) fn is_temporary(decision: &Decision) -> bool {
    let mut denying = denying(decision).filter(|code| !ADVISORY.contains(code)).peekable();
    denying.peek().is_some() && denying.all(|code| TEMPORARY.contains(&code))
}

/// Whether something denies that is more than "propose only".
fn blocked(decision: &Decision) -> bool {
    denying(decision).any(|code| !ADVISORY.contains(&code))
}

fn denying(decision: &Decision) -> impl Iterator<Item = &str> {
    decision.reasons.iter().filter(|it| it.verdict == Verdict::Deny).map(|it| it.code.as_str())
}

/// What of a decision goes into the audit chain; the whole of it is in its document.
pub(super) fn summary_of(decision: &Decision) -> serde_json::Value {
    serde_json::json!({
        "finding": decision.finding, "plan": decision.plan, "rule": decision.rule, "mode": decision.mode,
        "verdict": decision.verdict, "policy": decision.policy_digest,
        "reasons": decision.reasons.iter().map(|r| serde_json::json!([r.code, r.text])).collect::<Vec<_>>(),
    })
}
