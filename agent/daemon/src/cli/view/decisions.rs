//! `holdfast policy explain`, and the reasons wherever a decision is shown.

use std::fmt::Write as _;

use holdfast_core::model::{Decision, Incident, Reason, Verdict};

use super::super::ink::{Ink, bold, dim, flat, paint};
use super::super::out::Look;
use super::super::when::{dated, relative};
use super::words::{fact, section};

pub(super) fn verdict(verdict: Verdict) -> String {
    let ink = match verdict {
        Verdict::Allow => Ink::Green,
        Verdict::RequireApproval => Ink::Yellow,
        Verdict::Deny => Ink::Red,
    };
    paint(ink, &verdict.to_string())
}

/// The strictest reason's sentence.
pub(super) fn main_reason(it: &Decision) -> String {
    it.reasons.first().map_or_else(|| "no reason is recorded".to_owned(), |r| flat(&r.text))
}

pub(super) fn brief(out: &mut String, it: &Decision, look: Look) {
    let rule = it.rule.as_deref().unwrap_or("no rule");
    let _ = writeln!(
        out,
        "{}  {}  {} by {rule}: {}",
        it.id,
        relative(it.at, look.now),
        verdict(it.verdict),
        main_reason(it)
    );
}

fn reason(out: &mut String, it: &Reason) {
    let mark = match it.verdict {
        Verdict::Allow => paint(Ink::Green, "allow  "),
        Verdict::RequireApproval => paint(Ink::Yellow, "approve"),
        Verdict::Deny => paint(Ink::Red, "deny   "),
    };
    let _ = writeln!(out, "  {mark}  {}  {}", flat(&it.text), dim(&format!("{} ({})", it.code, it.origin)));
}

/// The reasons, strictest first, as they were recorded.
pub(super) fn reasons(out: &mut String, it: &Decision) {
    for one in &it.reasons {
        reason(out, one);
    }
    if it.reasons.is_empty() {
        let _ = writeln!(out, "  {}", dim("none recorded: silence denies"));
    }
}

/// Suspects that are shown beside a decision.
const SUSPECTS_SHOWN: usize = 3;

/// Decisions with all their reasons, newest first, and what is suspected of the trouble. `incident`: that of the newest.
pub(in super::super) fn explain(all: &[Decision], incident: Option<&Incident>, look: Look) -> String {
    if all.is_empty() {
        return "No decision was taken about it.\n".to_owned();
    }
    let mut out = String::new();
    for (index, it) in all.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let rule = it.rule.as_ref().map_or_else(|| "no rule matched".to_owned(), |r| format!("rule {r}"));
        let _ = writeln!(out, "{} {} in mode {}, {rule}", bold("Decision:"), verdict(it.verdict), it.mode);
        fact(&mut out, "decision", it.id.as_str());
        fact(&mut out, "taken", &dated(it.at, look.now));
        fact(&mut out, "finding", it.finding.as_str());
        if let Some(plan) = &it.plan {
            fact(&mut out, "plan digest", plan.as_str());
        }
        fact(&mut out, "policy digest", &it.policy_digest);
        let _ = writeln!(out, "reasons, strictest first:");
        reasons(&mut out, it);
    }
    if let Some(incident) = incident.filter(|it| !it.suspects.is_empty()) {
        section(&mut out, &format!("Suspects of {}", incident.id));
        super::incidents::suspects(&mut out, incident, SUSPECTS_SHOWN);
    }
    out
}
