//! `holdfast tune`.

use std::fmt::Write as _;
use std::path::Path;

use holdfast_core::detect::tuning::{Difference, Offer, Proof};

use super::super::cmd::tune::Proposed;
use super::super::ink::{Ink, bold, dim, flat, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{dated, relative, span};
use super::words::section;
use crate::answers::TuningVersion;
use crate::api::wire::TuningDocument;

/// `detect.sustained: 30s -> 2m`
fn difference(it: &Difference) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "as configured".to_owned());
    format!("{}: {} -> {}", flat(&it.key), flat(&shown(&it.before)), flat(&shown(&it.after)))
}

/// The proof in a sentence.
fn proof(it: &Proof) -> String {
    let fewer = it.before.falses.saturating_sub(it.after.falses);
    format!(
        "{fewer} false fewer (of {}), {} of {} known incidents lost",
        it.before.falses, it.after.lost, it.before.incidents
    )
}

fn offered(it: &Offer) -> String {
    match (&it.refused, it.differences.is_empty()) {
        (Some(why), true) => format!("{}: {why}", paint(Ink::Yellow, "none")),
        (Some(why), false) => {
            let changes: Vec<String> = it.differences.iter().map(difference).collect();
            format!("{} {}: {why}", paint(Ink::Yellow, "not proposed"), changes.join(", "))
        }
        (None, _) => it.differences.iter().map(difference).collect::<Vec<_>>().join(", "),
    }
}

pub(in super::super) fn proposed(it: &Proposed, out: Option<&Path>, look: Look) -> String {
    let (proposal, mut text) = (&it.proposal, String::new());
    if proposal.offers.is_empty() {
        return "Nothing to turn: no finding about a metric or a file system is labelled false-positive.\n".to_owned();
    }
    let mut table = Table::new(&["SUBJECT", ">FALSE", ">INCIDENTS", ">FINDINGS", "CHANGE"]);
    for one in &proposal.offers {
        table.row(vec![
            one.subject.clone(),
            format!("{} -> {}", one.before.falses, one.after.falses),
            format!("{} -> {}", one.before.incidents, one.after.incidents),
            format!("{} -> {}", one.before.findings, one.after.findings),
            offered(one),
        ]);
    }
    text.push_str(&table.render(look.columns));
    let of = &proposal.proof;
    let _ = writeln!(
        text,
        "{}",
        dim(&format!(
            "replayed: {} samples of {} from {}, and {} kept episodes",
            of.samples,
            span(of.until.since(of.since)),
            dated(of.since, look.now),
            of.episodes
        ))
    );
    if of.falses_unproved + of.incidents_unproved > 0 {
        let _ = writeln!(
            text,
            "{}",
            dim(&format!(
                "{} false positives and {} known incidents are not said on these samples by the settings of now either: they prove nothing",
                of.falses_unproved, of.incidents_unproved
            ))
        );
    }
    for (so, what) in [
        (it.cut, "time was up before all samples were replayed: --within gives more"),
        (it.truncated, "there are more findings in this time than were looked at: --since gives fewer"),
    ] {
        if so {
            let _ = writeln!(text, "{}", paint(Ink::Yellow, what));
        }
    }
    if proposal.differences.is_empty() {
        let _ = writeln!(text, "Nothing is proposed.");
        return text;
    }
    section(&mut text, "Proposed");
    for one in &proposal.differences {
        let _ = writeln!(text, "{}", difference(one));
    }
    let _ = writeln!(text, "{}.", bold(&proof(of)));
    if of.before.incidents == 0 {
        let _ = writeln!(
            text,
            "{}",
            paint(Ink::Yellow, "No known incident is among them, so nothing shows what would be lost.")
        );
    }
    let _ = match out {
        Some(path) => writeln!(
            text,
            "Nothing was altered: `holdfast tune apply {} --reason ..` puts it in force.",
            path.display()
        ),
        None => {
            writeln!(text, "Nothing was altered: `--out FILE` writes it for `holdfast tune apply FILE --reason ..`.")
        }
    };
    text
}

/// The answer to an applied or reverted tuning.
pub(in super::super) fn version(it: &TuningVersion, _: Look) -> String {
    let mut out = String::new();
    let what = if it.tuning.is_empty() { "the configuration alone" } else { "in force" };
    let _ = writeln!(out, "Tuning {}: {what}.", it.number);
    for one in &it.differences {
        let _ = writeln!(out, "  {}", difference(one));
    }
    if it.not_replayed > 0 {
        let text = format!(
            "{} kept incidents were not replayed, for all together are more than one proof takes: whether they would still be found is not known.",
            it.not_replayed
        );
        let _ = writeln!(out, "{}", paint(Ink::Yellow, &text));
    }
    let _ = writeln!(out, "`holdfast tune revert --reason ..` takes it back.");
    out
}

fn one(out: &mut String, it: &TuningVersion, look: Look) {
    let reverted = it.reverted_to.map(|to| format!(", as {to} was")).unwrap_or_default();
    let _ = writeln!(
        out,
        "{} by {}, {}{reverted}: {}",
        bold(&format!("tuning {}", it.number)),
        flat(&it.by),
        relative(it.at, look.now),
        flat(&it.reason)
    );
    for one in &it.differences {
        let _ = writeln!(out, "  {}", difference(one));
    }
    if let Some(of) = &it.proof {
        let _ = writeln!(out, "  {}", dim(&proof(of)));
    }
}

pub(in super::super) fn show(it: &TuningDocument, all: bool, look: Look) -> String {
    let mut out = String::new();
    if it.tuning.is_empty() {
        out.push_str("The configuration alone is in force.\n");
    } else {
        for (key, value) in it.tuning.entries() {
            let _ = writeln!(out, "{} = {}", flat(&key), flat(&value));
        }
    }
    for version in it.versions.iter().take(if all { usize::MAX } else { 1 }) {
        out.push('\n');
        one(&mut out, version, look);
    }
    out
}
