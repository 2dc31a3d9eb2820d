//! `holdfast baseline list`, `diff --from --to` and `restore`.

use std::fmt::Write as _;

use super::super::ink::{bold, flat};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::dated;
use super::words::block;
use crate::answers::RestoredBaseline;
use crate::api::wire::{VersionsDiffDocument, VersionsDocument};

pub(in super::super) fn list(it: &VersionsDocument, look: Look) -> String {
    if it.versions.is_empty() {
        return "Nothing was accepted yet.\n".to_owned();
    }
    let mut table = Table::new(&[">VERSION", "SINCE", "BY", "WHAT", "WHY"]);
    for one in &it.versions {
        let rest = one.altered.saturating_sub(one.subjects.len() as u64);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        let what = format!("{}{more}", one.subjects.join(", "));
        table.row(vec![one.number.to_string(), dated(one.at, look.now), one.by.clone(), what, one.reason.clone()]);
    }
    table.render(look.columns)
}

pub(in super::super) fn diff(it: &VersionsDiffDocument, _: Look) -> String {
    let mut out = String::new();
    for one in &it.changes {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let _ = writeln!(out, "{}  {} -> {}", bold(&one.subject), flat(&shown(&one.before)), flat(&shown(&one.after)));
        if let Some(diff) = &one.diff {
            block(&mut out, diff, 2);
        }
    }
    let _ = writeln!(out, "{} accepted otherwise at version {} than at version {}", it.changes.len(), it.to, it.from);
    out
}

pub(in super::super) fn restored(it: &RestoredBaseline) -> String {
    let mut out = String::new();
    for subject in &it.subjects {
        let _ = writeln!(out, "accepted as at version {}: {}", it.version, flat(subject));
    }
    for subject in &it.ends {
        let _ = writeln!(out, "no longer expected, as nothing was at version {}: {}", it.version, flat(subject));
    }
    let _ = writeln!(
        out,
        "Version {}: what was accepted at version {} is accepted again. Files were left as they are: `holdfast baseline verify` says what differs.",
        it.number, it.version
    );
    out
}
