//! `holdfast findings labels`, and labels wherever a finding is shown.

use std::fmt::Write as _;

use holdfast_core::model::unit::human_bytes;
use holdfast_core::model::{Finding, FindingState, Label, Says, Value};

use super::super::ink::{Ink, dim, flat, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{relative, span};
use super::words::section;
use crate::api::wire::{EpisodesDocument, FindingDocument, LabelsDocument};

fn word(says: Says) -> String {
    match says {
        Says::TruePositive => paint(Ink::Red, says.as_str()),
        Says::FalsePositive => dim(says.as_str()),
    }
}

fn evidence<'a>(finding: &'a Finding, name: &str) -> Option<&'a str> {
    match finding.evidence(name)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// What follows from the labels, in a sentence without its end; `None`: nothing.
fn effect(finding: &Finding) -> Option<String> {
    let why = evidence(finding, "label.why")?;
    let effect = match evidence(finding, "label.effect")? {
        "suppressed" if finding.state == FindingState::Suppressed => "suppressed",
        "suppressed" => "the next one like it is suppressed",
        _ => "it counts all the same",
    };
    Some(format!("{effect}: {}", flat(why)))
}

fn given(label: &Label, look: Look) -> String {
    let note = if label.note.is_empty() { String::new() } else { format!(": {}", flat(&label.note)) };
    format!("{} by {}, {}{note}", word(label.says), flat(&label.by), relative(label.at, look.now))
}

/// The answer to a label that was given or taken back.
pub(in super::super) fn labelled(finding: &Finding) -> String {
    let mut out = match &finding.label {
        Some(label) => format!("{} is labelled {label}.\n", finding.id),
        None => format!("{} has no label any more.\n", finding.id),
    };
    let _ = match (finding.label.as_deref(), evidence(finding, "label.effect")) {
        (Some("false-positive"), Some("suppressed")) => writeln!(
            out,
            "{} like it is suppressed, unless it is clearly larger; `holdfast findings unlabel {}` takes that back.",
            if finding.state == FindingState::Suppressed {
                "It is suppressed, and the next one"
            } else {
                "The next one"
            },
            finding.id
        ),
        (Some("true-positive"), _) => {
            writeln!(out, "No label suppresses one like it, and no method takes it for normal.")
        }
        (_, Some(_)) => writeln!(out, "{}.", effect(finding).unwrap_or_default()),
        (_, None) => Ok(()),
    };
    out
}

/// A section of `findings show`.
pub(super) fn of(out: &mut String, it: &FindingDocument, look: Look) {
    if it.label.is_none() && it.ruled_by.is_none() && effect(&it.finding).is_none() {
        return;
    }
    section(out, "Labels");
    if let Some(label) = &it.label {
        let _ = writeln!(out, "this one: {}", given(label, look));
    }
    if let Some(label) = &it.ruled_by {
        let _ = writeln!(out, "{}: {}", label.finding, given(label, look));
    }
    if let Some(effect) = effect(&it.finding) {
        let _ = writeln!(out, "{effect}");
    }
}

/// `policy explain` of a finding that no rule is asked about.
pub(in super::super) fn explain(it: &FindingDocument, look: Look) -> String {
    let mut out = format!("No rule is asked about {}: a label suppresses it.\n", it.finding.id);
    of(&mut out, it, look);
    out
}

pub(in super::super) fn list(it: &LabelsDocument, look: Look) -> String {
    if it.labels.is_empty() {
        return "Nothing is labelled: `holdfast findings label ID true-positive|false-positive` says what was trouble.\n"
            .to_owned();
    }
    let mut table = Table::new(&["FINDING", "LABEL", "GIVEN", "BY", "KIND", ">APPLIED", "LAST", "NOW", "TITLE"]);
    for one in &it.labels {
        let label = &one.label;
        let now = match (label.says, one.suppresses.len()) {
            (Says::TruePositive, _) => "protects".to_owned(),
            (Says::FalsePositive, 0) => "-".to_owned(),
            (Says::FalsePositive, n) => format!("suppresses {n}"),
        };
        table.row(vec![
            label.finding.to_string(),
            word(label.says),
            relative(label.at, look.now),
            label.by.clone(),
            label.kind.clone(),
            label.applied.to_string(),
            label.applied_at.map_or_else(|| "-".to_owned(), |at| relative(at, look.now)),
            now,
            label.title.clone(),
        ]);
    }
    let mut out = table.render(look.columns);
    let _ = writeln!(
        out,
        "{}",
        dim(&format!(
            "what is like a false positive, and at most {} times as large and no more severe, is suppressed",
            it.larger
        ))
    );
    out
}

pub(in super::super) fn episodes(it: &EpisodesDocument, look: Look) -> String {
    if it.episodes.is_empty() {
        return "No samples of labelled findings are kept.\n".to_owned();
    }
    let mut table =
        Table::new(&["FINDING", "LABEL", "BEGAN", ">COVERS", ">SERIES", ">SAMPLES", ">SIZE", "KIND", "TITLE"]);
    for one in &it.episodes {
        let covers = one.from.zip(one.until).map_or_else(|| "-".to_owned(), |(from, until)| span(until.since(from)));
        table.row(vec![
            one.finding.to_string(),
            word(one.says),
            relative(one.began_at, look.now),
            covers,
            one.series.len().to_string(),
            one.samples.to_string(),
            human_bytes(one.bytes),
            one.kind.clone(),
            one.title.clone(),
        ]);
    }
    let mut out = table.render(look.columns);
    let kept = format!(
        "{} of at most {} are used; they outlive the samples themselves",
        human_bytes(it.bytes),
        human_bytes(it.bytes_max)
    );
    let _ = writeln!(out, "{}", dim(&kept));
    out
}
