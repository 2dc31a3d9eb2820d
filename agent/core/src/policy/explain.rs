//! A decision for people: what it is, which rule and guardrail made it so, and why.

use std::fmt::Write as _;

use super::reasons::bounded;
use crate::model::{Decision, Reason, Verdict};

/// Lines for a terminal: the outcome first, then what stood in the way, then the rest.
pub fn explain(decision: &Decision) -> String {
    let mut out = String::new();
    let outcome = match decision.verdict {
        Verdict::Allow => "may run on its own",
        Verdict::RequireApproval => "may run after a person's yes",
        Verdict::Deny => "may not run",
    };
    let what = decision.plan.as_ref().map_or_else(
        || "no plan yet".to_owned(),
        |digest| format!("plan sha256:{}", digest.as_str().get(..12).unwrap_or_default()),
    );
    let _ = writeln!(out, "{}: {what} for {} {outcome}", decision.verdict, decision.finding);
    match &decision.rule {
        Some(rule) => {
            let _ = writeln!(
                out,
                "rule {rule}, effective mode {}, decided at {} ({})",
                decision.mode, decision.at, decision.id
            );
        }
        None => {
            let _ = writeln!(out, "no rule, decided at {} ({})", decision.at, decision.id);
        }
    }
    let (bind, rest): (Vec<_>, Vec<_>) = decision.reasons.iter().partition(|reason| reason.verdict == decision.verdict);
    let heading =
        if decision.verdict == Verdict::Allow { "because" } else { "because, each of these alone being enough" };
    section(&mut out, heading, &bind);
    section(&mut out, "besides", &rest);
    let _ = writeln!(out, "policy sha256:{}", decision.policy_digest.get(..12).unwrap_or(&decision.policy_digest));
    out
}

fn section(out: &mut String, heading: &str, reasons: &[&Reason]) {
    if reasons.is_empty() {
        return;
    }
    let _ = writeln!(out, "{heading}:");
    for reason in reasons {
        let text = bounded(reason.text.clone(), 500);
        let _ = writeln!(
            out,
            "  {:<17} {} [{}] ({})",
            reason.verdict,
            text,
            reason.code,
            bounded(reason.origin.clone(), 200)
        );
    }
}
