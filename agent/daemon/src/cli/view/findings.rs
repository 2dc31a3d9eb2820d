//! `holdfast findings`.

use std::fmt::Write as _;

use holdfast_core::model::{Class, Finding};

use super::super::ink::{bold, dim};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{dated, percent, relative};
use super::words::{evidence, fact, finding_state, remediation_state, section, severity};
use crate::api::wire::{FindingDocument, FindingsDocument};

pub(in super::super) fn list(it: &FindingsDocument, look: Look) -> String {
    if it.findings.is_empty() {
        return "No findings.\n".to_owned();
    }
    let mut table = Table::new(&["ID", "STATE", "SEVERITY", ">CONFIDENCE", "DETECTED", "KIND", "TITLE"]);
    for one in &it.findings {
        table.row(vec![
            one.id.to_string(),
            finding_state(one.state),
            severity(one.severity),
            percent(one.confidence.get()),
            relative(one.detected_at, look.now),
            one.kind.clone(),
            one.title.clone(),
        ]);
    }
    table.render(look.columns)
}

pub(in super::super) fn show(it: &FindingDocument, look: Look) -> String {
    let mut out = String::new();
    one(&mut out, &it.finding, look);
    super::labels::of(&mut out, it, look);
    if !it.remediations.is_empty() {
        section(&mut out, "Remediations");
        for one in &it.remediations {
            let outcome = one.outcome.as_ref().map(|o| format!(" ({o})")).unwrap_or_default();
            let _ = writeln!(out, "{}  {}  {}{outcome}", one.id, remediation_state(one.state), one.plan.body().summary);
        }
    } else if !it.decisions.is_empty() {
        section(&mut out, "Decisions");
    }
    if it.remediations.is_empty() {
        for one in it.decisions.iter().take(5) {
            super::decisions::brief(&mut out, one, look);
        }
    }
    out
}

pub(super) fn one(out: &mut String, it: &Finding, look: Look) {
    let _ = writeln!(out, "{}", bold(&it.title));
    fact(out, "finding", it.id.as_str());
    fact(out, "state", &finding_state(it.state));
    fact(out, "severity", &severity(it.severity));
    fact(out, "confidence", &percent(it.confidence.get()));
    let class = match it.class {
        Class::Reliability => "reliability",
        Class::Security => "security",
        Class::Compliance => "compliance",
    };
    fact(out, "kind", &format!("{} ({class})", it.kind));
    fact(out, "target", &it.target.to_string());
    fact(out, "began", &dated(it.began_at, look.now));
    fact(out, "detected", &dated(it.detected_at, look.now));
    let often = if it.count == 1 { "once".to_owned() } else { format!("{} times", it.count) };
    fact(out, "last seen", &format!("{}, {often}", dated(it.last_seen_at, look.now)));
    if let Some(at) = it.resolved_at {
        fact(out, "resolved", &dated(at, look.now));
    }
    fact(out, "method", &format!("{} version {}", it.method.name, it.method.version));
    if let Some(incident) = &it.incident {
        fact(out, "incident", incident.as_str());
    }
    if let Some(cause) = &it.cause {
        fact(out, "cause", &format!("the agent's own {cause}; no rule acts on it"));
    }
    if let Some(label) = &it.label {
        fact(out, "label", label);
    }
    section(out, "Evidence");
    if it.evidence.is_empty() {
        let _ = writeln!(out, "{}", dim("none"));
    }
    evidence(out, &it.evidence, 0);
}
