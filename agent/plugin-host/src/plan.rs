//! A plugin's plan, checked, in the words of the core: every step an action of the closed vocabulary that both sides granted.
//!
//! The plugin's word on risk can only raise the action's own. Undo is the action's; guards are arguments of the action.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_core::model::{
    Action, Confidence, Evidence, PlanBody, Risk, Step, StepRecord, StepState, Target, Timestamp, Undo,
    VerificationVerdict,
};

use crate::action::{action, capability};
use crate::bindings::{remediator, types};
use crate::call::PluginVerdict;
use crate::capability::{Ask, permit};
use crate::grant::Effective;
use crate::guest::{confidence, evidence, line, lines, one_line, target, to_evidence, word};
use crate::limits::LINE_BYTES_MAX;
use crate::limits::plan::{self as most, EXPIRY_HOURS_MAX, PLAN_BYTES_MAX, STEPS_MAX, TIMEOUT_MS_MAX};
use crate::plugin::Run;

/// A plan older than this is not worth approving.
const LIFE_MAX: Duration = Duration::from_hours(EXPIRY_HOURS_MAX);
/// What the agent adds to a plan, in bytes: ids, digests, moments.
const ADDED_BYTES_MAX: usize = 4 * 1024;

/// What a plugin proposes; the agent makes a plan of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// One line for people.
    pub summary: String,
    /// About what.
    pub target: Target,
    /// How sure the plugin is that this cures the finding.
    pub confidence: Confidence,
    /// In order.
    pub steps: Vec<Step>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// After the last step, wait this long before verifying.
    pub settle_ms: u32,
    /// After this it may not start any more.
    pub expires_at: Timestamp,
}

pub(crate) fn proposal(effective: &Effective, run: &Run, plan: &remediator::Plan) -> Result<Proposal, String> {
    if plan.steps.is_empty() || plan.steps.len() > STEPS_MAX {
        return Err(format!("the plan has {} steps; 1 to {STEPS_MAX} are allowed", plan.steps.len()));
    }
    if plan.settle_ms > TIMEOUT_MS_MAX {
        return Err(format!("the plan's settle-ms is {}; at most {TIMEOUT_MS_MAX}", plan.settle_ms));
    }
    let expires_at = i64::try_from(plan.expires).map_or(Timestamp::from_ns(i64::MAX), Timestamp::from_ns);
    if expires_at <= run.at || expires_at > run.at.plus(LIFE_MAX) {
        return Err(format!("the plan expires at {expires_at}; it must be within a day after {}", run.at));
    }
    let mut ids = BTreeSet::new();
    let mut steps = Vec::with_capacity(plan.steps.len());
    for wire in &plan.steps {
        let step = step(effective, wire)?;
        if !ids.insert(step.id.clone()) {
            return Err(format!("two steps are called `{}`", step.id));
        }
        steps.push(step);
    }
    let proposal = Proposal {
        summary: short("the plan's summary", &plan.summary)?,
        target: target("the plan's subject", &plan.subject)?,
        confidence: confidence("the plan's confidence", plan.confidence)?,
        steps,
        evidence: evidence("the plan's evidence", &plan.evidence)?,
        settle_ms: plan.settle_ms,
        expires_at,
    };
    let bytes = [serde_json::to_vec(&proposal.steps), serde_json::to_vec(&proposal.evidence)];
    let bytes: usize = bytes.into_iter().flatten().map(|json| json.len()).sum();
    if bytes + ADDED_BYTES_MAX > PLAN_BYTES_MAX {
        let most = PLAN_BYTES_MAX - ADDED_BYTES_MAX;
        return Err(format!(
            "the plan's steps and evidence have {bytes} bytes; {most} are allowed: propose less at once"
        ));
    }
    Ok(proposal)
}

/// A line that a finished plan may have.
fn short(name: &str, text: &str) -> Result<String, String> {
    if text.len() > most::LINE_BYTES_MAX {
        return Err(format!("{name} has {} bytes; 1 to {} are allowed", text.len(), most::LINE_BYTES_MAX));
    }
    line(name, text)
}

fn step(effective: &Effective, wire: &remediator::Step) -> Result<Step, String> {
    let id = word("a step's id", &wire.id)?;
    if !most::is_step_id(&id) {
        return Err(format!(
            "a step's id is `{id}`; 1 to {} of A-Z a-z 0-9 - _ . are allowed",
            most::STEP_ID_BYTES_MAX
        ));
    }
    let inside = |problem: String| format!("step `{id}`: {problem}");
    let action = action(&wire.capability, &wire.args).map_err(inside)?;
    permit(effective, Ask::Propose(&action)).map_err(inside)?;
    if !wire.preconditions.is_empty() {
        return Err(inside(
            "preconditions are reserved and not read; what must still be so is an argument of the capability"
                .to_owned(),
        ));
    }
    let undo = undo(&action, &wire.capability, &wire.undo).map_err(inside)?;
    if wire.side_effects.len() > most::SIDE_EFFECTS_MAX {
        let (found, most) = (wire.side_effects.len(), most::SIDE_EFFECTS_MAX);
        return Err(inside(format!("its side-effects have {found} entries; {most} are allowed")));
    }
    wire.side_effects.iter().try_for_each(|it| short("a side effect", it).map(drop)).map_err(inside)?;
    if !(1..=TIMEOUT_MS_MAX).contains(&wire.timeout_ms) {
        return Err(inside(format!("timeout-ms is {}; 1 to {TIMEOUT_MS_MAX} are allowed", wire.timeout_ms)));
    }
    Ok(Step {
        risk: risk(wire.risk).max(action.minimum_risk()),
        undo,
        rationale: line("its rationale", &wire.rationale).map_err(inside)?,
        side_effects: lines("its side-effects", &wire.side_effects).map_err(inside)?,
        timeout_ms: wire.timeout_ms,
        action,
        id: id.clone(),
    })
}

/// How it is taken back: the agent's own word, and the plugin's where that is the stricter one. Another way than the agent's is none,
/// whether it leads round in a circle or to another step: who could rely on it would be wrong.
fn undo(action: &Action, capability: &str, wire: &remediator::Undo) -> Result<Undo, String> {
    if !wire.capability.is_empty() || !wire.args.is_empty() {
        return Err(format!(
            "its undo names `{}`; the agent takes back what it did from what it kept, so leave the undo's capability and args empty",
            one_line(&wire.capability, 64)
        ));
    }
    match (wire.reversible, action.undo()) {
        (true, Undo::Impossible) => Err(format!("it claims to be reversible, which {capability} never is")),
        (true, undo) => Ok(undo),
        (false, _) => Ok(Undo::Impossible),
    }
}

fn risk(risk: remediator::Risk) -> Risk {
    match risk {
        remediator::Risk::None => Risk::None,
        remediator::Risk::Low => Risk::Low,
        remediator::Risk::Medium => Risk::Medium,
        remediator::Risk::High => Risk::High,
    }
}

/// A plan of the core on its way to a guest.
pub(crate) fn to_plan(body: &PlanBody) -> remediator::Plan {
    let step = |step: &Step| {
        let (name, args) = capability(&step.action);
        remediator::Step {
            id: step.id.clone(),
            capability: name.to_owned(),
            args,
            rationale: step.rationale.clone(),
            side_effects: step.side_effects.clone(),
            risk: match step.risk {
                Risk::None => remediator::Risk::None,
                Risk::Low => remediator::Risk::Low,
                Risk::Medium => remediator::Risk::Medium,
                Risk::High => remediator::Risk::High,
            },
            preconditions: Vec::new(),
            undo: remediator::Undo {
                reversible: step.undo != Undo::Impossible,
                capability: String::new(),
                args: Vec::new(),
            },
            timeout_ms: step.timeout_ms,
        }
    };
    remediator::Plan {
        summary: body.summary.clone(),
        subject: types::Subject { kind: body.target.kind.clone(), name: body.target.name.clone() },
        confidence: body.confidence.get(),
        steps: body.steps.iter().map(step).collect(),
        evidence: to_evidence(&body.evidence),
        settle_ms: body.settle_ms,
        expires: u64::try_from(body.expires_at.ns()).unwrap_or(0),
    }
}

/// What became of the steps, on its way to a guest.
pub(crate) fn to_outcomes(records: &[StepRecord]) -> Vec<remediator::Outcome> {
    let outcome = |record: &StepRecord| remediator::Outcome {
        step: record.step.clone(),
        state: match record.state {
            StepState::Pending => remediator::StepState::Skipped,
            StepState::Done => remediator::StepState::Done,
            StepState::Undone => remediator::StepState::Undone,
            // Whether it was executed is unknown: not done, as far as anyone may rely on it.
            StepState::Started | StepState::Unknown | StepState::Failed => remediator::StepState::Failed,
        },
        message: record.message.clone().unwrap_or_default(),
        facts: record
            .effects
            .iter()
            .map(|effect| types::Evidence {
                name: effect.kind.clone(),
                value: types::Value::Text(format!("{} {}", effect.subject, effect.detail)),
            })
            .collect(),
    };
    records.iter().map(outcome).collect()
}

/// A plugin's verdict, cut.
pub(crate) fn verdict(verdict: &remediator::Verdict) -> PluginVerdict {
    let (verdict, text) = match verdict {
        remediator::Verdict::Healed(text) => (VerificationVerdict::Healed, text),
        remediator::Verdict::NotHealed(text) => (VerificationVerdict::NotHealed, text),
        remediator::Verdict::Unsure(text) => (VerificationVerdict::Inconclusive, text),
    };
    PluginVerdict { verdict, text: one_line(text, LINE_BYTES_MAX) }
}
