//! `holdfast data retention`.

use std::fmt::Write as _;

use holdfast_core::model::unit::human_bytes;

use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{relative, stamp};
use super::words::section;
use crate::api::wire::RetentionDocument;

pub(in super::super) fn plan(whole: &RetentionDocument, look: Look) -> String {
    let (it, contents) = (&whole.telemetry, &whole.contents);
    let records = || it.records.iter().chain(&whole.state);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Telemetry: {} of at most {} are in use; from {} on, room is made{}.",
        human_bytes(it.used_bytes),
        human_bytes(it.size_max_bytes),
        human_bytes(it.room_from_bytes),
        if it.room_of.is_empty() { String::new() } else { format!(" of {}", it.room_of.join(", then ")) }
    );
    let _ = writeln!(
        out,
        "Accepted contents of files: {} of at most {}{}.",
        contents.bytes.map_or_else(|| "not counted yet,".to_owned(), human_bytes),
        human_bytes(contents.bytes_max),
        if contents.refused == 0 { String::new() } else { format!("; there was no room for {}", contents.refused) }
    );
    out.push('\n');
    let moment = |at: Option<_>| at.map_or_else(|| "-".to_owned(), stamp);
    let mut table = Table::new(&["WHAT", "KEPT FOR", ">HELD", "FROM", "UNTIL"]);
    for tier in &it.tiers {
        table.row(vec![
            tier.tier.clone(),
            tier.kept_for.map_or_else(|| "not kept".to_owned(), |it| it.to_string()),
            human_bytes(tier.bytes),
            moment(tier.from),
            moment(tier.until),
        ]);
    }
    for records in records() {
        let held = records.count.to_string();
        table.row(vec![
            records.class.clone(),
            records.kept_for.to_string(),
            held,
            moment(records.from),
            "-".to_owned(),
        ]);
    }
    out.push_str(&table.render(look.columns));
    section(&mut out, "What goes next for its age");
    let mut any = false;
    for (tier, next) in it.tiers.iter().filter_map(|tier| Some((tier, tier.next.as_ref()?))) {
        any = true;
        let fate = next.becomes.as_ref().map_or_else(|| "are deleted".to_owned(), |tier| format!("become {tier}"));
        let (from, until, due) = (stamp(next.from), stamp(next.until), relative(next.due, look.now));
        let _ = writeln!(out, "{} from {from} to {until} {fate} {due}", tier.tier);
    }
    for (records, due) in records().filter_map(|it| Some((it, it.due?))) {
        any = true;
        let _ = writeln!(out, "{}: the oldest is deleted {}", records.class, relative(due, look.now));
    }
    if !any {
        let _ = writeln!(out, "Nothing is old enough to have been sealed.");
    }
    out
}
