//! `holdfast audit`.

use std::fmt::Write as _;

use super::super::ink::{Ink, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::stamp;
use crate::api::wire::AuditDocument;
use crate::store::{ChainReport, Completeness, Integrity};

pub(in super::super) fn list(it: &AuditDocument, look: Look) -> String {
    if it.entries.is_empty() {
        return "No entries.\n".to_owned();
    }
    let mut table = Table::new(&[">SEQ", "TIME", "KIND", "ACTOR", "SUBJECT", "FACTS"]);
    for one in &it.entries {
        let kind = serde_json::to_value(one.kind).ok().and_then(|v| v.as_str().map(|k| k.replace('_', " ")));
        table.row(vec![
            one.seq.to_string(),
            stamp(one.at),
            kind.unwrap_or_default(),
            one.actor.clone(),
            one.subject.clone(),
            one.body.to_string(),
        ]);
    }
    table.render(look.columns)
}

pub(in super::super) fn verify(it: &ChainReport, _: Look) -> String {
    let mut out = String::new();
    let integrity = match &it.integrity {
        Integrity::Intact => {
            paint(Ink::Green, &format!("intact: all {} entries are genuine and in their place", it.entries))
        }
        Integrity::Broken(broken) => paint(Ink::Red, &format!("broken: {broken}")),
    };
    let _ = writeln!(out, "integrity     {integrity}");
    let completeness = match &it.completeness {
        Completeness::Complete { anchor_seq } => {
            paint(Ink::Green, &format!("complete up to entry {anchor_seq}, the newest anchor kept beside the database"))
        }
        Completeness::Truncated { anchor, last_seq } => paint(
            Ink::Red,
            &format!(
                "cut off: an anchor names entry {} with hash {}, the last genuine entry is {last_seq}",
                anchor.seq, anchor.hash
            ),
        ),
        Completeness::Unanchored => paint(Ink::Yellow, "unknown: there is no anchor yet to hold it against"),
    };
    let _ = writeln!(out, "completeness  {completeness}");
    let _ = writeln!(out, "head          entry {} with hash {}", it.head.seq, it.head.hash);
    out
}
