//! `holdfast incidents`.

use std::fmt::Write as _;

use holdfast_core::model::Incident;

use super::super::ink::{bold, dim, flat};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{dated, percent, relative, span, stamp};
use super::words::{evidence, fact, finding_state, incident_state, remediation_state, section, severity};
use crate::api::wire::{IncidentDocument, IncidentsDocument};

pub(in super::super) fn list(it: &IncidentsDocument, look: Look) -> String {
    if it.incidents.is_empty() {
        return "No incidents.\n".to_owned();
    }
    let mut table = Table::new(&["ID", "STATE", "SEVERITY", "DETECTED", ">FINDINGS", ">SUSPECTS", "TITLE"]);
    for one in &it.incidents {
        table.row(vec![
            one.id.to_string(),
            incident_state(one.state),
            severity(one.severity),
            relative(one.opened_at(), look.now),
            one.findings.len().to_string(),
            one.suspects.len().to_string(),
            one.title.clone(),
        ]);
    }
    table.render(look.columns)
}

pub(in super::super) fn show(it: &IncidentDocument, look: Look) -> String {
    let mut out = String::new();
    let incident = &it.incident;
    let _ = writeln!(out, "{}", bold(&incident.title));
    fact(&mut out, "incident", incident.id.as_str());
    fact(&mut out, "state", &incident_state(incident.state));
    fact(&mut out, "severity", &severity(incident.severity));
    fact(&mut out, "confidence", &percent(incident.confidence.get()));
    fact(&mut out, "began", &dated(incident.began_at, look.now));
    let noticed = span(incident.detected_at.since(incident.began_at));
    fact(&mut out, "detected", &format!("{}, {noticed} after it began", stamp(incident.detected_at)));
    if let Some(at) = incident.reopened_at {
        let times = incident.reopened;
        fact(&mut out, "opened again", &format!("{times} times, the last time {}", dated(at, look.now)));
    }
    if let Some(at) = incident.resolved_at {
        fact(&mut out, "resolved", &format!("{}, after {}", stamp(at), span(at.since(incident.began_at))));
    }
    if let Some(outcome) = &incident.outcome {
        fact(&mut out, "outcome", outcome);
    }
    section(&mut out, "Findings");
    for one in &it.findings {
        let _ =
            writeln!(out, "{}  {}  {}  {}", one.id, finding_state(one.state), severity(one.severity), flat(&one.title));
    }
    section(&mut out, "Suspects");
    if incident.suspects.is_empty() {
        let _ = writeln!(out, "{}", dim("none: no change is close enough before it"));
    }
    suspects(&mut out, incident, usize::MAX);
    if !it.remediations.is_empty() {
        section(&mut out, "Remediations");
    }
    for one in &it.remediations {
        let _ = writeln!(out, "{}  {}  {}", one.id, remediation_state(one.state), flat(&one.plan.body().summary));
        let _ = writeln!(
            out,
            "   {} by rule {}: {}",
            one.decision.verdict,
            one.rule,
            super::decisions::main_reason(&one.decision)
        );
        if let Some(outcome) = &one.outcome {
            let _ = writeln!(out, "   {}", flat(outcome));
        }
    }
    section(&mut out, "Timeline");
    let mut table = Table::new(&["TIME", "AFTER", "KIND", "WHAT"]);
    for one in &incident.timeline {
        let after = match one.at.since(incident.began_at) {
            zero if zero.is_zero() => "-".to_owned(),
            after => span(after),
        };
        table.row(vec![stamp(one.at), after, one.kind.clone(), one.text.clone()]);
    }
    out.push_str(&table.render(look.columns));
    out
}

/// The first of the suspects, each with what it rests on.
pub(super) fn suspects(out: &mut String, incident: &Incident, most: usize) {
    for (index, one) in incident.suspects.iter().enumerate().take(most) {
        let before = match (incident.began_at.since(one.at), one.at.since(incident.began_at)) {
            (before, after) if after.is_zero() => format!("{} before it began", span(before)),
            (_, after) => format!("{} after it began", span(after)),
        };
        let _ = writeln!(
            out,
            "{}. {} {}  {}",
            index + 1,
            bold(&flat(&one.summary)),
            dim(&format!("score {:.2}", one.score)),
            before
        );
        let deployment = one.deployment.as_ref().map(|d| format!("  deployment {d}")).unwrap_or_default();
        let _ = writeln!(out, "   {}  {}{deployment}", one.kind, flat(&one.target.to_string()));
        evidence(out, &one.evidence, 3);
    }
}
