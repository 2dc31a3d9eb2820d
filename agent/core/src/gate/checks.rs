//! The checks that look for something against the deployment: its end, incidents, tampering, breached thresholds.

use super::{GateInputs, GateVerdict, Outcome, Until, span};
use crate::model::incident::{TARGET_MATCH_EVIDENCE, UNRELATED};
use crate::model::{DeploymentState, Evidence, Finding, FindingState, Incident, IncidentState, Timestamp, Value};

/// What is listed in one line; more are counted.
const LISTED_MAX: usize = 3;

pub(super) fn deployment(inputs: &GateInputs) -> Outcome {
    let it = &inputs.deployment;
    let took = |end: Timestamp| span(end.since(it.started_at));
    match (it.state, it.finished_at) {
        (DeploymentState::Running, _) | (DeploymentState::Succeeded, None) => {
            let text = format!("{} {} runs for {} and has not finished", it.service, it.version, took(inputs.at));
            Outcome::inconclusive(text, Until::Unknown)
        }
        (DeploymentState::Succeeded, Some(end)) => {
            Outcome::pass(format!("{} {} succeeded, in {}", it.service, it.version, took(end)))
        }
        (DeploymentState::Failed, end) => Outcome::fail(format!(
            "its pipeline says that {} {} failed after {}",
            it.service,
            it.version,
            took(end.unwrap_or(inputs.at))
        )),
        (DeploymentState::Expired, end) => Outcome::fail(format!(
            "{} {} did not finish within its time limit of {}",
            it.service,
            it.version,
            took(end.unwrap_or(inputs.at))
        )),
    }
}

/// An answer that found nothing against the deployment: worth nothing when not everything could be looked through, and
/// only good until its end while the window is open.
fn watched(inputs: &GateInputs, mut outcome: Outcome) -> Outcome {
    if !inputs.complete && outcome.verdict == GateVerdict::Pass {
        outcome.verdict = GateVerdict::Inconclusive;
        outcome.text = String::from("there are more findings or incidents than the gate looks through");
    }
    match inputs.deployment.finished_at {
        None => outcome.until(Until::Unknown),
        Some(_) if inputs.window_over() => outcome,
        Some(end) => outcome.until(Until::At(end.plus(inputs.limits.observe))),
    }
}

/// How much suspicion falls on this deployment: the score of its changes when none of another source has more.
///
/// A score that is not a number counts as suspicion: it cannot be shown to be lower. What was there before the deployment began is none of
/// its work. What somebody altered elsewhere is no symptom, so for drift nearness in time alone is no suspicion: something has to relate the two.
fn suspicion(incident: &Incident, inputs: &GateInputs) -> Option<f64> {
    let deployment = &inputs.deployment;
    if began(incident) < deployment.started_at {
        return None;
    }
    let ours = |s: &&crate::model::Suspect| s.deployment.as_ref() == Some(&deployment.id);
    let mut findings = inputs.findings.iter().filter(|it| incident.findings.contains(&it.id)).peekable();
    let drift = findings.peek().is_some() && findings.all(|it| it.kind.rsplit('.').next() == Some("drift"));
    let related = |s: &&crate::model::Suspect| {
        let matched = s.evidence.iter().find(|it| it.name == TARGET_MATCH_EVIDENCE).map(|it| &it.value);
        !drift || !matches!(matched, Some(Value::Number(matched)) if *matched <= UNRELATED)
    };
    let own: Vec<f64> = incident.suspects.iter().filter(ours).filter(related).map(|s| s.score).collect();
    if let Some(odd) = own.iter().find(|score| score.is_nan()) {
        return Some(*odd);
    }
    let best = own.into_iter().reduce(f64::max)?;
    let beaten = incident.suspects.iter().filter(|s| !ours(s)).any(|s| s.score > best);
    (!beaten).then_some(best)
}

/// When it began, or began again.
fn began(incident: &Incident) -> Timestamp {
    incident.reopened_at.unwrap_or(incident.began_at)
}

/// Whether the incident is about what the deployment put there, and no other deployment is suspected more.
fn belongs(incident: &Incident, inputs: &GateInputs) -> bool {
    let it = &inputs.deployment;
    let other = incident.suspects.first().and_then(|s| s.deployment.as_ref()).is_some_and(|id| *id != it.id);
    if other || began(incident) < it.started_at {
        return false;
    }
    let findings = inputs.findings.iter().filter(|f| incident.findings.contains(&f.id));
    findings.into_iter().any(|f| about(f, inputs))
}

fn about(finding: &Finding, inputs: &GateInputs) -> bool {
    let (target, it) = (&finding.target, &inputs.deployment);
    match target.kind.as_str() {
        "unit" => inputs.units.iter().any(|unit| unit.name == target.name),
        "deployment" => target.name == it.id.as_str(),
        "service" => target.name == it.service,
        "file" => it.declares_path(&target.name),
        _ => false,
    }
}

pub(super) fn incidents(inputs: &GateInputs) -> Outcome {
    let it = &inputs.deployment;
    let mut against = Vec::new();
    let mut numbers = Vec::new();
    let mut looked_at = 0_u64;
    for incident in &inputs.incidents {
        let recent =
            incident.state == IncidentState::Open || incident.resolved_at.is_some_and(|at| at >= it.started_at);
        if !recent {
            continue;
        }
        looked_at += 1;
        let score = suspicion(incident, inputs);
        if score.is_none() && !belongs(incident, inputs) {
            continue;
        }
        let why = match score {
            Some(score) if score.is_nan() => "suspect score not a number".to_owned(),
            Some(score) => format!("suspect score {score:.2}"),
            None => "it is about what this deployment put there".to_owned(),
        };
        let state = if incident.state == IncidentState::Open { "open" } else { "resolved meanwhile" };
        against.push(format!(
            "\"{}\" ({}, confidence {:.2}, {state}; {why}; {})",
            incident.title,
            incident.severity.as_str(),
            incident.confidence.get(),
            incident.id
        ));
        numbers.push(Evidence::new("incident.id", incident.id.as_str()));
        numbers.push(Evidence::new("incident.confidence", incident.confidence.get()));
        numbers.extend(score.map(|score| Evidence::new("incident.suspect_score", score)));
    }
    if against.is_empty() {
        let text = match looked_at {
            0 => "no incident is open or was resolved since the start".to_owned(),
            1 => "1 incident is open or was resolved since the start; it does not point at this deployment".to_owned(),
            n => format!("{n} incidents are open or were resolved since the start; none points at this deployment"),
        };
        return watched(inputs, Outcome::pass(text)).with(vec![Evidence::new("gate.incidents", looked_at)]);
    }
    Outcome::fail(listed(&against)).with(numbers)
}

pub(super) fn integrity(inputs: &GateInputs) -> Outcome {
    let it = &inputs.deployment;
    let (Some(dir), Some(files)) = (&it.release_dir, inputs.release_files) else {
        return Outcome::inconclusive(
            "the deployment names no release directory, so there is nothing to check (`deploy start --release-dir DIR` names one)",
            Until::Settled,
        )
        .optional();
    };
    let below = |f: &&Finding| {
        let name = &f.target.name;
        let dir = dir.trim_end_matches('/');
        name == dir || name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
    };
    let tampering = |f: &&Finding| f.is_open() && (f.kind.starts_with("release.") || f.kind == "file.drift");
    let found: Vec<&Finding> = inputs
        .findings
        .iter()
        .filter(tampering)
        .filter(|f| below(f) || (f.target.kind == "deployment" && f.target.name == it.id.as_str()))
        .collect();
    let numbers = vec![Evidence::new("release.files", files), Evidence::new("release.findings", found.len() as u64)];
    let outcome = if !found.is_empty() {
        let lines: Vec<String> = found.iter().map(|f| describe(f)).collect();
        let count = if lines.len() == 1 { "1 finding".to_owned() } else { format!("{} findings", lines.len()) };
        Outcome::fail(format!("{count} against {files} recorded files: {}", listed(&lines)))
    } else if files == 0 {
        let text = format!("no file below {dir} was recorded at the finish, so what lies there cannot be compared");
        watched(inputs, Outcome::inconclusive(text, Until::Settled))
    } else {
        watched(inputs, Outcome::pass(format!("{files} files recorded below {dir}, none of them altered since")))
    };
    outcome.with(numbers)
}

pub(super) fn thresholds(inputs: &GateInputs) -> Outcome {
    let start = inputs.deployment.started_at;
    let breached: Vec<String> = inputs
        .findings
        .iter()
        .filter(|f| f.kind == "metric.threshold" && f.began_at >= start && f.state != FindingState::Suppressed)
        .map(describe)
        .collect();
    let numbers = vec![Evidence::new("gate.thresholds_breached", breached.len() as u64)];
    let outcome = if breached.is_empty() {
        watched(inputs, Outcome::pass("no threshold breached for its sustained time since the start"))
    } else {
        Outcome::fail(listed(&breached))
    };
    outcome.with(numbers)
}

/// One finding with its numbers.
fn describe(finding: &Finding) -> String {
    let numbers = finding.evidence.iter().filter(|e| e.name.rsplit('.').next() != Some("diff"));
    let numbers: Vec<String> = numbers.take(4).map(|e| format!("{}={}", e.name, cut(&e.value.to_string()))).collect();
    let numbers = if numbers.is_empty() { String::new() } else { format!("; {}", numbers.join(", ")) };
    format!(
        "\"{}\" on {} ({}, confidence {:.2}{numbers})",
        finding.title,
        finding.target,
        finding.severity.as_str(),
        finding.confidence.get()
    )
}

/// A value short enough for one line.
fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= 80 { line.to_owned() } else { line.chars().take(79).chain(['…']).collect() }
}

fn listed(all: &[String]) -> String {
    let shown = all.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > LISTED_MAX { format!("{shown}; and {} more", all.len() - LISTED_MAX) } else { shown }
}
