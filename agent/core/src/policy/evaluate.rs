//! Evaluation: which rule matches, what it allows now, and every reason for that.
//!
//! Reasons only ever tighten. The verdict is the strictest of them, the mode the least of the ceiling, the rule's mode, the grant,
//! what the track record has earned, and what confidence and risk allow.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::guardrail::runs_within;
use super::inputs::{Inputs, PastRun};
use super::reasons::Reasons;
use super::rule::{Policy, Rule};
use crate::model::{
    Action, Decision, DecisionId, Finding, FindingState, Mode, Plan, RemediationState, Risk, Timestamp,
};

/// Below this, a finding or a plan is advice.
const CONFIDENCE_MIN: f64 = 0.5;

/// The first rule, in order of documents and lines, whose `on` and `when` match. A finding that descends from the agent's own
/// action matches none. A `when` that cannot be told does not match; [`decide`] then lets nothing run without a person.
pub fn first_match<'p>(policy: &'p Policy, inputs: &Inputs) -> Option<&'p Rule> {
    matching(policy, &inputs.finding, &Facts::new(inputs)).0
}

/// The rule, and the rules before it whose `when` could not be told.
fn matching<'p>(policy: &'p Policy, finding: &Finding, facts: &Facts) -> (Option<&'p Rule>, Vec<(&'p Rule, String)>) {
    let mut untold = Vec::new();
    if finding.cause.is_some() {
        return (None, untold);
    }
    for rule in policy.rules.iter().filter(|rule| rule.kinds.matches(&finding.kind)) {
        match rule.when.as_ref().map(|when| when.holds(facts)) {
            None | Some(Ok(true)) => return (Some(rule), untold),
            Some(Ok(false)) => {}
            Some(Err(error)) => untold.push((rule, error)),
        }
    }
    (None, untold)
}

/// Not before this moment is a plan asked for: what goes away on its own needs no remedy.
pub fn sustained_at(rule: &Rule, finding: &Finding) -> Timestamp {
    rule.sustained.map_or(finding.began_at, |sustained| finding.began_at.plus(sustained.0))
}

/// Whether the rule's own success probe holds; `None`: it states none, and the measure that raised the finding is all there is.
pub fn is_healthy(rule: &Rule, inputs: &Inputs) -> Option<Result<bool, String>> {
    rule.verify.healthy.as_ref().map(|healthy| healthy.holds(&Facts::new(inputs)))
}

/// Decides. Pure: the same policy and inputs give the same verdict, mode and reasons, whenever and wherever.
///
/// Called when a finding matches (no plan yet), when a plan has come, right before acting, and by a replay.
pub fn decide(policy: &Policy, inputs: Inputs, id: DecisionId) -> Decision {
    let mut reasons = Reasons::default();
    let (stored, inputs) = match inputs.canonical() {
        Ok(both) => both,
        Err((inputs, error)) => {
            reasons.deny(
                "inputs",
                "agent",
                format!("the inputs cannot be stored, so this could not be replayed: {error}"),
            );
            (serde_json::Value::Null, *inputs)
        }
    };
    for reason in &inputs.given {
        reasons.given(reason);
    }
    let facts = Facts::new(&inputs);
    let (rule, untold) = matching(policy, &inputs.finding, &facts);
    if let Some((origin, what)) = &policy.broken {
        reasons.cap(
            "policy_errors",
            Mode::Advise,
            origin,
            format!("the policy has an error and lets nothing run: {what}"),
        );
    }
    for (rule, error) in untold {
        let text = format!("rule {} comes first and may be the one: {error}", rule.name);
        reasons.cap("when_error", Mode::Approve, &rule.origin, text);
    }
    about_the_host(&inputs, &mut reasons);
    about_the_finding(&inputs.finding, rule, &mut reasons);
    if let Some(rule) = rule {
        reasons.cap("rule_mode", rule.mode, &rule.origin, mode_text(rule));
        let plugin = format!("grant of plugin {}", rule.plugin);
        reasons.cap_if_it_binds("grant", inputs.grant, &plugin, format!("the plugin is granted {}", inputs.grant));
        about_the_record(rule, &inputs, &mut reasons);
        about_the_moment(rule, &inputs, &facts, &mut reasons);
    }
    if let Some(plan) = &inputs.plan {
        about_the_plan(rule, plan, &inputs, &mut reasons);
    }
    for guardrail in &policy.guardrails {
        guardrail.apply(&inputs, &facts, &mut reasons);
    }
    let (verdict, mode, reasons) = reasons.finish();
    Decision {
        id,
        at: inputs.at,
        finding: inputs.finding.id,
        plan: inputs.plan.as_ref().map(|plan| plan.digest().clone()),
        rule: rule.map(|rule| rule.name.clone()),
        // Without a rule nobody asked for anything.
        mode: if rule.is_some() { mode } else { Mode::Observe },
        verdict,
        reasons,
        policy_digest: policy.digest.clone(),
        inputs: stored,
    }
}

fn mode_text(rule: &Rule) -> String {
    let name = &rule.name;
    match rule.mode {
        Mode::Observe => format!("rule {name} only records"),
        Mode::Advise => format!("rule {name} proposes and runs nothing"),
        Mode::Approve => format!("rule {name} asks a person"),
        Mode::Auto => format!("rule {name} runs on its own"),
    }
}

fn about_the_host(inputs: &Inputs, reasons: &mut Reasons) {
    let text = format!("this host goes no further than {}", inputs.ceiling);
    reasons.cap_if_it_binds("host_ceiling", inputs.ceiling, "agent.mode-ceiling", text);
    if inputs.paused {
        reasons.deny("paused", "pause", "the agent is paused, and nothing starts until somebody resumes it");
    }
}

fn about_the_finding(finding: &Finding, rule: Option<&Rule>, reasons: &mut Reasons) {
    if let Some(cause) = &finding.cause {
        reasons.deny(
            "own_effect",
            "agent",
            format!("the finding descends from the agent's own {cause}, and no rule matches that"),
        );
    } else if rule.is_none() {
        reasons.deny("no_rule", "policy", format!("no rule matches {}", finding.kind));
    }
    match finding.state {
        FindingState::New | FindingState::InProgress => {}
        FindingState::Suppressed => reasons.deny("finding_closed", "finding", "a person said that it is no problem"),
        FindingState::Resolved => reasons.deny("finding_closed", "finding", "the problem is gone already"),
    }
    if finding.confidence.get() < CONFIDENCE_MIN {
        let text = format!("the finding's confidence is {:.2}, less than {CONFIDENCE_MIN}", finding.confidence.get());
        reasons.cap("low_confidence", Mode::Advise, "agent", text);
    }
}

/// Cooldown, budget, and what the track record has earned.
fn about_the_record(rule: &Rule, inputs: &Inputs, reasons: &mut Reasons) {
    let mut runs: Vec<&PastRun> = inputs.history.iter().filter(|run| run.rule == rule.name && run.acted()).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.started_at));
    if let Some(cooldown) = rule.guard.cooldown
        && let Some(last) = runs.iter().find(|run| run.target == inputs.finding.target)
        && inputs.at.since(last.started_at) < cooldown.0
    {
        let until = last.started_at.plus(cooldown.0);
        let text = format!(
            "the last run on {} began at {}, and {cooldown} must pass, until {until}",
            last.target, last.started_at
        );
        reasons.deny("cooldown", &rule.origin, text);
    }
    let budget = rule.guard.budget;
    let used = runs_within(budget, inputs.at, runs.iter().copied());
    if used >= budget.runs {
        let text =
            format!("{used} of {} runs within {} are used up: from here on it asks a person", budget.runs, budget.per);
        reasons.cap("budget_exhausted", Mode::Approve, &rule.origin, text);
    }
    let failures = runs
        .iter()
        .filter(|run| run.state.is_final())
        .take_while(|run| matches!(run.state, RemediationState::Failed | RemediationState::Undone))
        .count();
    let limit = rule.autonomy.demote_after_failures;
    if failures >= limit as usize {
        let text = format!(
            "the last {failures} runs failed or were undone, and {limit} are enough to ask a person until one succeeds"
        );
        reasons.cap("demoted", Mode::Approve, &rule.origin, text);
    }
    if let Some(promotion) = rule.autonomy.suggest_promotion_after
        && rule.mode < Mode::Auto
    {
        let recent: Vec<_> = runs
            .iter()
            .filter(|run| inputs.at.since(run.started_at) < promotion.over.0 && run.state.is_final())
            .collect();
        if recent.len() >= promotion.successes as usize
            && recent.iter().all(|run| run.state == RemediationState::Succeeded)
        {
            let text =
                format!("all {} runs within {} succeeded: its mode could be raised", recent.len(), promotion.over);
            reasons.note("promotion", &rule.origin, text);
        }
    }
}

/// Sustained, and the checklist.
fn about_the_moment(rule: &Rule, inputs: &Inputs, facts: &Facts, reasons: &mut Reasons) {
    let from = sustained_at(rule, &inputs.finding);
    if inputs.at < from
        && let Some(sustained) = rule.sustained
    {
        let text = format!("it began at {} and must last {sustained}, until {from}", inputs.finding.began_at);
        reasons.deny("sustained", &rule.origin, text);
    }
    for item in &rule.checklist {
        match item.holds(facts) {
            Ok(true) => {}
            Ok(false) => reasons.deny("checklist", &rule.origin, format!("`{}` does not hold", item.source())),
            Err(error) => reasons.deny("checklist_error", &rule.origin, error),
        }
    }
}

fn about_the_plan(rule: Option<&Rule>, plan: &Plan, inputs: &Inputs, reasons: &mut Reasons) {
    let body = plan.body();
    if body.finding != inputs.finding.id {
        reasons.deny("plan_finding", "agent", format!("the plan is for {}, not for this finding", body.finding));
    }
    if body.expires_at <= inputs.at {
        reasons.deny("plan_expired", "plan", format!("the plan was good until {}", body.expires_at));
    }
    if body.confidence.get() < CONFIDENCE_MIN {
        let text = format!("the plan's confidence is {:.2}, less than {CONFIDENCE_MIN}", body.confidence.get());
        reasons.cap("low_confidence", Mode::Advise, "agent", text);
    }
    if !plan.is_reversible() {
        reasons.cap(
            "irreversible",
            Mode::Approve,
            "agent",
            "a step of the plan cannot be taken back: a person must say yes",
        );
    }
    if plan.risk() == Risk::High {
        reasons.cap("high_risk", Mode::Approve, "agent", "the plan's risk is high: a person must say yes");
    }
    let Some(rule) = rule else { return };
    if body.proposed_by.split(' ').next() != Some(rule.plugin.as_str()) {
        let text = format!("the rule asks {}, and the plan is by {}", rule.plugin, body.proposed_by);
        reasons.deny("plan_plugin", &rule.origin, text);
    }
    if let Some(max) = rule.guard.max_risk
        && plan.risk() > max
    {
        reasons.deny("max_risk", &rule.origin, format!("the plan's risk is {}, more than {max}", plan.risk()));
    }
    let (units, paths) = touched(plan);
    for (what, count, max) in
        [("units", units, rule.guard.blast_radius.units), ("paths", paths, rule.guard.blast_radius.paths)]
    {
        if let Some(max) = max
            && count > max as usize
        {
            reasons.deny("blast_radius", &rule.origin, format!("the plan touches {count} {what}, more than {max}"));
        }
    }
}

/// Distinct units and distinct paths.
fn touched(plan: &Plan) -> (usize, usize) {
    let (mut units, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for step in &plan.body().steps {
        match &step.action {
            Action::RestartUnit { unit, .. } | Action::ResetFailedUnit { unit, .. } => {
                units.insert(unit);
            }
            Action::RestoreFile { path, .. } | Action::QuarantinePath { path, .. } => {
                paths.insert(path);
            }
            Action::ReclaimPaths { entries, .. } => paths.extend(entries.iter().map(|entry| &entry.path)),
        }
    }
    (units.len(), paths.len())
}
