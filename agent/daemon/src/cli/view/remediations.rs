//! `holdfast remediations` and `simulate`.

use std::fmt::Write as _;

use holdfast_core::model::unit::human_bytes;
use holdfast_core::model::{
    Action, Effect, Remediation, RemediationState, Step, StepRecord, StepState, Undo, VerificationVerdict,
};

use super::super::ink::{Ink, bold, dim, flat, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{dated, percent, relative, span, stamp};
use super::words::{evidence, fact, remediation_state, section};
use crate::answers::Simulation;
use crate::api::wire::{RemediationDocument, RemediationsDocument};

pub(in super::super) fn list(it: &RemediationsDocument, look: Look) -> String {
    if it.remediations.is_empty() {
        return "No remediations.\n".to_owned();
    }
    let mut table = Table::new(&["ID", "STATE", "CREATED", "RISK", "RULE", "PLAN"]);
    for one in &it.remediations {
        table.row(vec![
            one.id.to_string(),
            remediation_state(one.state),
            relative(one.created_at, look.now),
            one.plan.risk().to_string(),
            one.rule.clone(),
            one.plan.body().summary.clone(),
        ]);
    }
    table.render(look.columns)
}

pub(in super::super) fn show(it: &RemediationDocument, look: Look) -> String {
    let mut out = String::new();
    one(&mut out, &it.remediation, look);
    if let Some(finding) = &it.finding {
        section(&mut out, "Finding");
        super::findings::one(&mut out, finding, look);
    }
    out
}

pub(in super::super) fn alone(it: &Remediation, look: Look) -> String {
    let mut out = String::new();
    one(&mut out, it, look);
    out
}

fn one(out: &mut String, it: &Remediation, look: Look) {
    let plan = it.plan.body();
    let _ = writeln!(out, "{}", bold(&flat(&plan.summary)));
    fact(out, "remediation", it.id.as_str());
    fact(out, "state", &remediation_state(it.state));
    if let Some(outcome) = &it.outcome {
        fact(out, "outcome", outcome);
    }
    fact(out, "finding", it.finding.as_str());
    if let Some(incident) = &it.incident {
        fact(out, "incident", incident.as_str());
    }
    fact(out, "target", &plan.target.to_string());
    fact(out, "proposed", &format!("{} by {} (run {})", dated(it.created_at, look.now), plan.proposed_by, plan.run));
    fact(out, "expires", &dated(plan.expires_at, look.now));
    let reversible = if it.plan.is_reversible() { "can be undone or repeated" } else { "cannot be undone" };
    fact(out, "risk", &format!("{}, {reversible}", it.plan.risk()));
    fact(out, "confidence", &percent(plan.confidence.get()));
    fact(out, "plan digest", it.plan.digest().as_str());
    section(out, "Decision");
    let _ = writeln!(
        out,
        "{} in mode {} by rule {}  {}",
        super::decisions::verdict(it.decision.verdict),
        it.decision.mode,
        it.rule,
        dim(it.decision.id.as_str())
    );
    super::decisions::reasons(out, &it.decision);
    if let Some(approval) = &it.approval {
        section(out, "Approval");
        let note = if approval.note.is_empty() { String::new() } else { format!(": {}", flat(&approval.note)) };
        let _ = writeln!(
            out,
            "by {} {}, counts until {}{note}",
            approval.approver,
            dated(approval.at, look.now),
            stamp(approval.expires_at)
        );
        if approval.plan != *it.plan.digest() {
            let _ = writeln!(out, "{}", paint(Ink::Red, &format!("it is for another plan: {}", approval.plan)));
        }
    }
    section(out, "Steps");
    for (index, step) in plan.steps.iter().enumerate() {
        let record = it.steps.iter().find(|r| r.step == step.id);
        one_step(out, index + 1, step, record);
    }
    if let Some(verification) = &it.verification {
        section(out, "Verification");
        let verdict = match verification.verdict {
            VerificationVerdict::Healed => paint(Ink::Green, "healed"),
            VerificationVerdict::NotHealed => paint(Ink::Red, "not healed"),
            VerificationVerdict::Inconclusive => paint(Ink::Yellow, "inconclusive"),
        };
        let _ = writeln!(out, "{verdict} {}: {}", dim(&stamp(verification.at)), flat(&verification.text));
        evidence(out, &verification.evidence, 2);
    }
    if !plan.evidence.is_empty() {
        section(out, "What the plan rests on");
        evidence(out, &plan.evidence, 0);
    }
    if it.state == RemediationState::AwaitingApproval {
        section(out, "What to do");
        let short = it.plan.digest().as_str().get(..12).unwrap_or_default();
        let _ = writeln!(out, "see what would change:  holdfast simulate {}", it.id);
        let _ = writeln!(out, "say yes to this plan:   holdfast approve {} --digest {short} --note \"…\"", it.id);
        let _ = writeln!(out, "say no:                 holdfast reject {} --note \"…\"", it.id);
    }
}

fn one_step(out: &mut String, number: usize, step: &Step, record: Option<&StepRecord>) {
    let state = match record.map_or(StepState::Pending, |r| r.state) {
        StepState::Pending => dim("pending"),
        StepState::Started => paint(Ink::Cyan, "started"),
        StepState::Done => paint(Ink::Green, "done"),
        StepState::Failed => paint(Ink::Red, "failed"),
        StepState::Undone => paint(Ink::Yellow, "undone"),
        StepState::Unknown => paint(Ink::Red, "unknown: needs a person"),
    };
    let _ = writeln!(out, "{number}. {}  {state}", bold(&flat(&step.action.describe())));
    let _ = writeln!(out, "   why: {}", flat(&step.rationale));
    for guard in guards(&step.action) {
        let _ = writeln!(out, "   only if {guard}");
    }
    for effect in &step.side_effects {
        let _ = writeln!(out, "   side effect: {}", flat(effect));
    }
    let undo = match step.undo {
        Undo::Kept => "the former state is kept and can be put back",
        Undo::NothingToUndo => "there is nothing to put back",
        Undo::Impossible => "impossible",
    };
    let _ = writeln!(out, "   risk {}, undo: {undo}", step.risk);
    let Some(record) = record else { return };
    if let (Some(start), Some(end)) = (record.started_at, record.finished_at) {
        let _ = writeln!(out, "   {} to {} ({})", stamp(start), stamp(end), span(end.since(start)));
    }
    if let Some(message) = &record.message {
        let _ = writeln!(out, "   {}", flat(message));
    }
    effects(out, &record.effects, "   effect: ");
}

fn guards(action: &Action) -> Vec<String> {
    let invocation = |id: &Option<String>| match id {
        Some(id) => format!("it has not been started since (invocation {id})"),
        None => "it has not been started since".to_owned(),
    };
    match action {
        Action::RestartUnit { only_if_invocation, only_if_active_state, .. } => {
            vec![format!("it is {only_if_active_state}"), invocation(only_if_invocation)]
        }
        Action::ResetFailedUnit { only_if_invocation, .. } => vec![invocation(only_if_invocation)],
        Action::RestoreFile { only_if_sha256: Some(sha), .. } | Action::QuarantinePath { only_if_sha256: sha, .. } => {
            vec![format!("what lies there is still sha256:{sha}")]
        }
        Action::RestoreFile { only_if_sha256: None, .. } => vec!["nothing lies there".to_owned()],
        Action::ReclaimPaths { entries, .. } => entries
            .iter()
            .map(|e| {
                format!(
                    "{} is not altered after {} ({} in {} files)",
                    flat(&e.path),
                    stamp(e.newest_change),
                    human_bytes(e.bytes),
                    e.files
                )
            })
            .collect(),
    }
}

fn effects(out: &mut String, all: &[Effect], lead: &str) {
    for it in all {
        let bytes =
            if it.bytes > 0 { format!(" {} bytes ({})", it.bytes, human_bytes(it.bytes)) } else { String::new() };
        let detail = if it.detail.is_empty() { String::new() } else { format!("  {}", dim(&flat(&it.detail))) };
        let _ = writeln!(out, "{lead}{} {}{bytes}{detail}", it.kind, flat(&it.subject));
    }
}

pub(in super::super) fn simulation(it: &Simulation, _: Look) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} {}", bold("This would change, as things are now:"), dim("(nothing was written)"));
    for (index, step) in it.steps.iter().enumerate() {
        let _ = writeln!(out, "{}. {}", index + 1, bold(&flat(&step.action)));
        if let Some(why) = &step.refused {
            let _ = writeln!(out, "   {}", paint(Ink::Red, &format!("would be refused: {}", flat(why))));
        }
        effects(&mut out, &step.effects, "   ");
        if step.effects.is_empty() && step.refused.is_none() {
            let _ = writeln!(out, "   {}", dim("no effect"));
        }
    }
    let total: u64 = it.steps.iter().flat_map(|s| &s.effects).map(|e| e.bytes).sum();
    let count = it.steps.iter().map(|s| s.effects.len()).sum::<usize>();
    let _ = writeln!(out, "{count} effects, {total} bytes ({})", human_bytes(total));
    let _ = writeln!(out, "plan digest {}", it.digest);
    out
}
