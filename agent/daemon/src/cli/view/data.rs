//! `holdfast data`.

use std::fmt::Write as _;
use std::time::Duration;

use holdfast_core::model::{Timestamp, series_name};
use holdfast_core::quality::{SeriesQuality, Silence};

use super::super::ink::{Ink, bold, dim, paint};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{dated, percent, span, stamp};
use super::words::{fact, section};
use crate::answers::PurgeAnswer;
use crate::data::{Lineage, Quality, SeriesReport};

/// What is to be said of a series, in one line.
fn verdict(it: &SeriesQuality, look: Look) -> String {
    let mut parts = Vec::new();
    if let Some(at) = it.stale_since {
        parts.push(paint(Ink::Red, &format!("silent since {}", dated(at, look.now))));
    }
    if let Some(at) = it.stuck_since {
        parts.push(paint(Ink::Yellow, &format!("stuck since {}", dated(at, look.now))));
    }
    if let Some(gap) = it.longest_gap {
        let longest = span(gap.until.since(gap.from));
        let gaps = if it.gaps == 1 { "1 gap".to_owned() } else { format!("{} gaps", it.gaps) };
        parts.push(paint(Ink::Yellow, &format!("{gaps}, the longest of {longest} from {}", stamp(gap.from))));
    }
    if it.resets > 0 {
        parts.push(format!("began again {} times", it.resets));
    }
    if parts.is_empty() { paint(Ink::Green, "good") } else { parts.join("; ") }
}

/// Gaps that begin and end so near to one another are one: series come at their own times.
const SAME_GAP: Duration = Duration::from_mins(1);
/// Series with one and the same gap that are told of together, from so many on.
const TOGETHER_MIN: usize = 5;

/// Series of which nothing is to be said but that they share one gap, as when the agent did not run; and the others.
fn by_gap(all: &[SeriesReport]) -> (Vec<(Silence, usize)>, Vec<&SeriesReport>) {
    let near = |a: Timestamp, b: Timestamp| a.max(b).since(a.min(b)) <= SAME_GAP;
    let only_gap = |it: &SeriesReport| {
        let (quality, good) = (&it.quality, it.quality.stale_since.or(it.quality.stuck_since).is_none());
        quality.longest_gap.filter(|_| quality.gaps == 1 && quality.resets == 0 && good)
    };
    let mut shared: Vec<(Silence, usize)> = Vec::new();
    for gap in all.iter().filter_map(only_gap) {
        match shared.iter_mut().find(|(other, _)| near(other.from, gap.from) && near(other.until, gap.until)) {
            Some((_, count)) => *count += 1,
            None => shared.push((gap, 1)),
        }
    }
    shared.retain(|(_, count)| *count >= TOGETHER_MIN);
    let is_shared = |gap: Silence| shared.iter().any(|(it, _)| near(it.from, gap.from) && near(it.until, gap.until));
    let others = all.iter().filter(|it| !only_gap(it).is_some_and(is_shared)).collect();
    (shared, others)
}

pub(in super::super) fn quality(it: &Quality, look: Look) -> String {
    let mut out = String::new();
    let window = span(it.until.since(it.since));
    let _ = writeln!(out, "{} of {} series with samples in the last {window} are good.", it.good, it.series);
    if it.truncated {
        let _ =
            writeln!(out, "{}", paint(Ink::Yellow, "There are more series than one report looks at; name a metric."));
    }
    let (shared, others) = by_gap(&it.reports);
    for (gap, count) in &shared {
        let (long, from) = (span(gap.until.since(gap.from)), stamp(gap.from));
        let text = format!(
            "{count} series have nothing but one and the same gap, of {long} from {from}: nothing was measured meanwhile."
        );
        let _ = writeln!(out, "{}", paint(Ink::Yellow, &text));
    }
    if !others.is_empty() {
        out.push('\n');
        let mut table = Table::new(&["SERIES", ">SAMPLES", ">EVERY", ">COVERED", "WHAT"]);
        for one in others {
            let every = one.quality.interval_s.map_or_else(|| "-".to_owned(), |s| span(Duration::from_secs_f64(s)));
            table.row(vec![
                series_name(&one.metric, &one.attributes),
                one.quality.samples.to_string(),
                every,
                percent(one.quality.coverage),
                verdict(&one.quality, look),
            ]);
        }
        out.push_str(&table.render(look.columns));
    }
    if !it.clock_jumps.is_empty() {
        section(&mut out, "Clock jumps");
        for jump in &it.clock_jumps {
            let way = if jump.by_s < 0.0 { "backwards" } else { "forwards" };
            let by = span(Duration::from_secs_f64(jump.by_s.abs()));
            let _ = writeln!(out, "{}  {way} by {by}", stamp(jump.at));
        }
    }
    if !it.lacking.is_empty() {
        section(&mut out, "Required attributes that are missing");
        for one in &it.lacking {
            let _ = writeln!(out, "{}  lacks {}", series_name(&one.metric, &one.attributes), one.lacks.join(", "));
        }
    }
    section(&mut out, "Metrics with most series");
    for one in &it.cardinality {
        let _ = writeln!(out, "{:>6}  {}", one.series, one.metric);
    }
    out
}

pub(in super::super) fn lineage(it: &Lineage, look: Look) -> String {
    let mut out = String::new();
    let finding = &it.finding;
    let _ = writeln!(out, "{}  {}", bold(&finding.title), dim(finding.id.as_str()));
    fact(&mut out, "target", &finding.target.to_string());
    fact(&mut out, "method", &format!("{}, version {}", it.method.name, it.method.version));
    fact(&mut out, "began", &dated(finding.began_at, look.now));
    fact(&mut out, "detected", &dated(finding.detected_at, look.now));
    section(&mut out, "Rows");
    if it.rows.is_empty() {
        let _ = writeln!(out, "No stored series is about this target; its evidence is all that it rests on.");
    }
    for rows in &it.rows {
        let held = if rows.gone {
            paint(Ink::Yellow, "none held any more")
        } else {
            format!("{} samples from {} to {}", rows.samples, stamp(rows.from), stamp(rows.until))
        };
        let _ = writeln!(out, "#{}  {}  {held}", rows.series, series_name(&rows.metric, &rows.attributes));
    }
    if let Some(baseline) = &it.baseline {
        section(&mut out, "Held against");
        let digest = baseline.state.sha256.as_deref().unwrap_or("absent");
        let _ = writeln!(
            out,
            "sha256:{digest}, accepted by {} {}",
            baseline.accepted_by,
            dated(baseline.accepted_at, look.now)
        );
    }
    if !it.changes.is_empty() {
        section(&mut out, "Changes of the target");
        for change in &it.changes {
            let _ = writeln!(out, "{}  {}  {}", stamp(change.at), change.kind, change.summary);
        }
    }
    section(&mut out, "Decisions");
    if it.decisions.is_empty() {
        let _ = writeln!(out, "None is stored.");
    }
    for step in &it.decisions {
        let rule = step.rule.as_deref().unwrap_or("no rule");
        let verdict = super::decisions::verdict(step.verdict);
        let _ =
            writeln!(out, "{}  {}  {rule}: {verdict}, policy {}", stamp(step.at), step.id, dim(&step.policy_digest));
    }
    if !it.remediations.is_empty() {
        section(&mut out, "Attempts");
        for id in &it.remediations {
            let _ = writeln!(out, "{id}");
        }
        for digest in &it.plugins {
            let _ = writeln!(out, "by the plugin component {}", dim(digest));
        }
    }
    out
}

/// What a purge came to, and where else the subject may be told of.
pub(in super::super) fn purged(it: &PurgeAnswer) -> String {
    let mut out = if it.is_nothing() {
        "Nothing was forgotten: nothing about this subject is stored. Names and values have to fit exactly.\n"
            .to_owned()
    } else {
        format!(
            "Forgotten: {} samples of {} series, {} changes and {} kept episodes.\n",
            it.samples, it.series, it.changes, it.episodes
        )
    };
    if !it.findings.is_empty() {
        let ids: Vec<String> = it.findings.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "These findings name the subject, and stay: {}", ids.join(", "));
    }
    if !it.set_aside.is_empty() {
        let _ = writeln!(
            out,
            "Damaged databases that were set aside may hold its samples, too; delete them by hand: {}",
            it.set_aside.join(", ")
        );
    }
    out.push_str("Findings, decisions and the audit chain stay; what was exported has to be deleted there.\n");
    out
}

#[cfg(test)]
mod tests {
    use holdfast_core::model::{Attributes, MetricKind};
    use holdfast_core::quality::judge;

    use super::*;

    /// A series a second that is silent for a while, and once more when it is told to.
    fn silent(name: &str, from: i64, until: i64, again: bool) -> SeriesReport {
        let gone = |second: &i64| (from..until).contains(second) || (again && (500..530).contains(second));
        let points: Vec<(Timestamp, f64)> = (0..600)
            .filter(|second| !gone(second))
            .map(|second| (Timestamp::from_secs(second), (second % 7) as f64))
            .collect();
        let quality = judge(&points, MetricKind::Gauge, Timestamp::from_secs(600));
        SeriesReport { metric: name.to_owned(), attributes: Attributes::new(), quality }
    }

    #[test]
    fn series_with_one_and_the_same_gap_are_told_of_together_and_the_others_by_themselves() {
        let mut all: Vec<SeriesReport> =
            (0..6).map(|n| silent(&format!("alike.{n}"), 100 + n, 300 + n, false)).collect();
        all.push(silent("twice", 100, 300, true));
        all.push(silent("later", 310, 420, false));
        let (shared, others) = by_gap(&all);
        assert_eq!(shared.len(), 1);
        assert_eq!(shared[0].1, 6);
        let names: Vec<&str> = others.iter().map(|it| it.metric.as_str()).collect();
        assert_eq!(names, ["twice", "later"]);
        let (none, few) = by_gap(&all[..4]);
        assert!(none.is_empty() && few.len() == 4, "four are still a list");
    }
}
