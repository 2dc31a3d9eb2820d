//! Words and paragraphs that several views share.

use std::fmt::Write as _;

use holdfast_core::model::{
    COURSE, Course, DeploymentState, Evidence, FindingState, IncidentState, RemediationState, Severity, Value,
};

use super::super::ink::{Ink, bold, dim, flat, paint};
use super::super::when::number;

pub(super) fn severity(severity: Severity) -> String {
    let ink = match severity {
        Severity::Critical | Severity::High => Ink::Red,
        Severity::Medium => Ink::Yellow,
        Severity::Low | Severity::Informational => Ink::Dim,
    };
    paint(ink, severity.as_str())
}

pub(super) fn finding_state(state: FindingState) -> String {
    match state {
        FindingState::New => paint(Ink::Yellow, "new"),
        FindingState::InProgress => paint(Ink::Cyan, "in progress"),
        FindingState::Suppressed => dim("suppressed"),
        FindingState::Resolved => paint(Ink::Green, "resolved"),
    }
}

pub(super) fn incident_state(state: IncidentState) -> String {
    match state {
        IncidentState::Open => paint(Ink::Yellow, "open"),
        IncidentState::Resolved => paint(Ink::Green, "resolved"),
    }
}

pub(super) fn remediation_state(state: RemediationState) -> String {
    use RemediationState as S;
    let ink = match state {
        S::Succeeded => Ink::Green,
        S::Failed | S::Denied => Ink::Red,
        S::AwaitingApproval => Ink::Yellow,
        S::Proposed | S::Approved | S::Running | S::Verifying | S::Undoing => Ink::Cyan,
        S::Undone | S::Rejected | S::Expired => Ink::Dim,
    };
    paint(ink, &state.as_str().replace('_', " "))
}

pub(super) fn deployment_state(state: DeploymentState) -> String {
    match state {
        DeploymentState::Running => paint(Ink::Cyan, "running"),
        DeploymentState::Succeeded => paint(Ink::Green, "succeeded"),
        DeploymentState::Failed => paint(Ink::Red, "failed"),
        DeploymentState::Expired => paint(Ink::Yellow, "expired"),
    }
}

/// A section's title with an empty line before it.
pub(super) fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n{}", bold(title));
}

/// `name   value`, the names in one column.
pub(super) fn fact(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{:<13} {}", name, flat(value));
}

pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Number(number_) => number(*number_),
        other => other.to_string(),
    }
}

/// A list longer than this has a line for each of its texts.
const LIST_LINE_MAX: usize = 60;

/// Evidence, one fact a line; texts of several lines below their name, diffs coloured.
pub(super) fn evidence(out: &mut String, all: &[Evidence], indent: usize) {
    let pad = " ".repeat(indent);
    let widest = all.iter().filter(|e| !is_block(&e.value)).map(|e| e.name.chars().count()).max().unwrap_or(0);
    for one in all {
        if let Value::Text(text) = &one.value
            && is_block(&one.value)
        {
            let _ = writeln!(out, "{pad}{}", one.name);
            block(out, text, indent + 2);
        } else if let Value::Texts(texts) = &one.value
            && texts.iter().map(String::len).sum::<usize>() > LIST_LINE_MAX
        {
            for (index, text) in texts.iter().enumerate() {
                let name = if index == 0 { one.name.as_str() } else { "" };
                let _ = writeln!(out, "{pad}{name:<widest$}  {}", flat(text));
            }
        } else if let Some(course) = course(one) {
            let _ = writeln!(out, "{pad}{:<widest$}  {course}", one.name);
        } else {
            let _ = writeln!(out, "{pad}{:<widest$}  {}", one.name, flat(&value(&one.value)));
        }
    }
}

/// Cells of a course that are drawn.
const DRAWN_MAX: usize = 48;
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A course as a line from its lowest to its highest cell; `None`: it is another piece of evidence.
fn course(it: &Evidence) -> Option<String> {
    let Value::Text(text) = &it.value else { return None };
    let course: Course = text.parse().ok().filter(|_| it.name == COURSE)?;
    let known = || course.cells.iter().flatten().copied();
    let (low, high) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let each = course.cells.len().div_ceil(DRAWN_MAX).max(1);
    let step = |cells: &[Option<f64>]| {
        let values: Vec<f64> = cells.iter().flatten().copied().collect();
        if values.is_empty() {
            return ' ';
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let place = if high > low { (mean - low) / (high - low) * STEPS.len() as f64 } else { 0.0 };
        STEPS[(place as usize).min(STEPS.len() - 1)]
    };
    let drawn: String = course.cells.chunks(each).map(step).collect();
    let minutes = course.cells.len() as u64 * u64::from(course.cell_s) / 60;
    Some(format!("{drawn} {minutes} min, {} to {}", number(low), number(high)))
}

fn is_block(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.trim_end().contains('\n'))
}

/// A text of several lines, indented; lines of a diff in its colours.
pub(super) fn block(out: &mut String, text: &str, indent: usize) {
    let pad = " ".repeat(indent);
    let is_diff = text.starts_with("--- ") || text.contains("\n@@ ");
    for line in text.trim_end().lines() {
        let line = match line.chars().next() {
            Some('+') if is_diff => paint(Ink::Green, line),
            Some('-') if is_diff => paint(Ink::Red, line),
            Some('@') if is_diff => paint(Ink::Cyan, line),
            _ => line.to_owned(),
        };
        let _ = writeln!(out, "{pad}{line}");
    }
}
