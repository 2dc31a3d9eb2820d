//! A check's report, checked, in the words of the core.

use std::collections::BTreeSet;

use holdfast_core::model::{Class, Detection, Evidence, Finding, Method, Presence, Severity};

use crate::bindings::{check, types};
use crate::grant::Effective;
use crate::guest::{confidence, error, evidence, line, lines, target, text, to_evidence, word};
use crate::limits::{FINDINGS_MAX, RULES_MAX};
use crate::plugin::Run;

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckReport {
    /// Problems that are there. `method` is `plugin:<id>`, `kind` the finding's rule, `discriminator` its id.
    pub detections: Vec<Detection>,
    /// Rules that were really evaluated: what they did not report is gone.
    pub evaluated: Vec<String>,
    /// Rules that could not run, and why: neither passed nor failed.
    pub skipped: Vec<(String, String)>,
}

pub(crate) fn report(effective: &Effective, run: &Run, report: &check::Report) -> Result<CheckReport, String> {
    if report.findings.len() > FINDINGS_MAX {
        return Err(format!("{} findings; {FINDINGS_MAX} are allowed", report.findings.len()));
    }
    if report.evaluated.len() + report.skipped.len() > RULES_MAX {
        return Err(format!("more than {RULES_MAX} rules"));
    }
    let evaluated =
        report.evaluated.iter().map(|rule| word("an evaluated rule", rule)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    let mut detections = Vec::with_capacity(report.findings.len());
    for finding in &report.findings {
        let detection = detection(effective, run, finding)?;
        // A finding of a rule that did not run could never be closed again.
        if !evaluated.contains(&detection.kind) {
            return Err(format!(
                "finding `{}` has rule `{}`, which is not among the evaluated ones",
                finding.id, finding.rule
            ));
        }
        if !seen.insert(detection.fingerprint()) {
            return Err(format!("two findings have the same rule, subject and id `{}`", detection.discriminator));
        }
        detections.push(detection);
    }
    let skipped = report
        .skipped
        .iter()
        .map(|(rule, why)| {
            let (kind, text) = error(why);
            Ok((word("a skipped rule", rule)?, format!("{kind}: {text}")))
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(CheckReport { detections, evaluated, skipped })
}

fn detection(effective: &Effective, run: &Run, finding: &types::Finding) -> Result<Detection, String> {
    let id = word("a finding's id", &finding.id)?;
    let name = |field: &str| format!("finding `{id}`: {field}");
    let mut proof = evidence(&name("evidence"), &finding.evidence)?;
    for (key, side) in [("expected", &finding.expected), ("observed", &finding.observed)] {
        if let Some(side) = side {
            proof.push(Evidence::new(key, text(&name(key), side)?));
        }
    }
    let references = lines(&name("references"), &finding.references)?;
    if !references.is_empty() {
        proof.push(Evidence::new("references", references));
    }
    Ok(Detection {
        kind: word(&name("rule"), &finding.rule)?,
        class: class(&finding.rule),
        target: target(&name("subject"), &finding.subject)?,
        presence: Presence::Present,
        title: line(&name("title"), &finding.title)?,
        severity: severity(finding.severity),
        confidence: confidence(&name("confidence"), finding.confidence)?,
        method: Method { name: format!("plugin:{}", effective.manifest.id), version: effective.manifest.major() },
        evidence: proof,
        began_at: run.at,
        cause: None,
        discriminator: id,
    })
}

/// The promise that a rule touches goes by the first part of its name; what says neither is about reliability.
fn class(rule: &str) -> Class {
    match rule.split('.').next().unwrap_or_default() {
        "release" | "security" | "integrity" | "login" | "port" | "user" => Class::Security,
        "compliance" | "baseline" => Class::Compliance,
        _ => Class::Reliability,
    }
}

fn severity(severity: types::Severity) -> Severity {
    match severity {
        types::Severity::Info => Severity::Informational,
        types::Severity::Low => Severity::Low,
        types::Severity::Medium => Severity::Medium,
        types::Severity::High => Severity::High,
        types::Severity::Critical => Severity::Critical,
    }
}

/// A finding of the core on its way to a guest.
pub(crate) fn to_finding(finding: &Finding) -> types::Finding {
    let said = |name: &str| match finding.evidence(name) {
        Some(holdfast_core::model::Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    types::Finding {
        id: finding.id.to_string(),
        rule: finding.kind.clone(),
        title: finding.title.clone(),
        severity: match finding.severity {
            Severity::Informational => types::Severity::Info,
            Severity::Low => types::Severity::Low,
            Severity::Medium => types::Severity::Medium,
            Severity::High => types::Severity::High,
            Severity::Critical => types::Severity::Critical,
        },
        confidence: finding.confidence.get(),
        subject: types::Subject { kind: finding.target.kind.clone(), name: finding.target.name.clone() },
        expected: said("expected"),
        observed: said("observed"),
        evidence: to_evidence(&finding.evidence),
        references: Vec::new(),
    }
}
