//! `holdfast baseline`.

use std::fmt::Write as _;

use super::super::ink::{Ink, bold, dim, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::words::block;
use crate::answers::BaselineAnswer;
use crate::api::wire::{ComparisonDocument, FileComparison, FileVerdict, ItemComparison};

fn verdict(it: FileVerdict) -> String {
    match it {
        FileVerdict::Unchanged => paint(Ink::Green, "as accepted"),
        FileVerdict::Changed => paint(Ink::Red, "changed"),
        FileVerdict::Missing => paint(Ink::Red, "missing"),
        FileVerdict::Appeared => paint(Ink::Red, "appeared"),
        FileVerdict::Unknown => paint(Ink::Yellow, "unknown"),
    }
}

/// `content, mode 0644 -> 0600`
fn differences(it: &FileComparison) -> String {
    let parts = it.differs.iter().map(|name| match (name.as_str(), &it.current) {
        ("mode", Some(now)) => format!("mode {:04o} -> {:04o}", it.accepted.mode, now.mode),
        ("owner", Some(now)) => format!("owner {}:{} -> {}:{}", it.accepted.uid, it.accepted.gid, now.uid, now.gid),
        _ => name.clone(),
    });
    let parts: Vec<String> = parts.chain(it.reason.clone()).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

fn item_verdict(it: &ItemComparison) -> &'static str {
    match (&it.accepted, &it.current) {
        (None, _) => "appeared",
        (_, None) => "missing",
        _ => "changed",
    }
}

/// `uid=33 -> uid=0`
fn item_difference(it: &ItemComparison) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
    format!("{} -> {}", shown(&it.accepted), shown(&it.current))
}

fn totals(it: &ComparisonDocument) -> String {
    let mut text = format!("{} as accepted, {} changed", it.unchanged, it.changed);
    if it.unknown > 0 {
        let _ = write!(text, ", {} cannot be read", it.unknown);
    }
    text
}

pub(in super::super) fn verify(it: &ComparisonDocument, look: Look) -> String {
    if it.files.is_empty() && it.unchanged + it.changed == 0 {
        return "Nothing is accepted yet: `holdfast baseline capture` records what is there.\n".to_owned();
    }
    let mut table = Table::new(&["STATE", "PATH", "WHAT DIFFERS"]);
    for one in &it.files {
        table.row(vec![verdict(one.verdict), one.path.clone(), differences(one)]);
    }
    for one in &it.items {
        table.row(vec![paint(Ink::Red, item_verdict(one)), one.item.clone(), item_difference(one)]);
    }
    format!("{}{}\n", table.render(look.columns), totals(it))
}

pub(in super::super) fn diff(it: &ComparisonDocument, _: Look) -> String {
    let mut out = String::new();
    for one in it.files.iter().filter(|f| f.verdict != FileVerdict::Unchanged) {
        let _ = writeln!(out, "{}  {}  {}", bold(&one.path), verdict(one.verdict), differences(one));
        if let Some(diff) = &one.diff {
            block(&mut out, diff, 0);
        }
        out.push('\n');
    }
    for one in &it.items {
        let _ = writeln!(out, "{}  {}", bold(&one.item), paint(Ink::Red, item_verdict(one)));
        for (sign, value) in [("-", &one.accepted), ("+", &one.current)] {
            if let Some(value) = value {
                let _ = writeln!(out, "{sign} {value}");
            }
        }
        if let Some(by) = &one.stated_by {
            let _ = writeln!(out, "  {by}");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}", dim(&totals(it)));
    out
}

pub(in super::super) fn accepted(it: &BaselineAnswer, _: Look) -> String {
    let mut out = String::new();
    for path in &it.accepted {
        let _ = writeln!(out, "accepted {path}");
    }
    for one in &it.skipped {
        let _ = writeln!(out, "{} {}: {}", paint(Ink::Yellow, "left out"), one.subject, one.reason);
    }
    let _ = writeln!(out, "{} accepted, {} left out", it.accepted.len(), it.skipped.len());
    out
}
