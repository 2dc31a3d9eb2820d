//! A verdict for people, for a summary page and for a pipeline's test view. Pure.

use std::fmt::Write as _;

use holdfast_core::gate::{GateCheck, GateReport, GateVerdict, span};

/// For a terminal: the verdict, then one line a check.
pub fn text(report: &GateReport) -> String {
    let mut out = format!("{} {}{}\n", report.verdict, report.deployment, more_to_come(report));
    for check in &report.checks {
        let _ = writeln!(out, "  {:<12}  {:<12}  {}", check.verdict, check.name, check.text);
    }
    out
}

fn more_to_come(report: &GateReport) -> String {
    match (report.settled, report.settles_at) {
        (true, _) => String::new(),
        (false, Some(at)) => format!(" (may settle in {}: --wait waits for it)", span(at.since(report.at))),
        (false, None) => " (not settled: --wait waits for it)".to_owned(),
    }
}

/// One line for a progress display: what is still waited for.
pub fn progress(report: &GateReport) -> String {
    let open = |c: &&GateCheck| c.verdict == GateVerdict::Inconclusive && c.required;
    let waiting = report.checks.iter().find(open).map_or_else(String::new, |c| format!(": {}", c.text));
    format!("{} {}{waiting}", report.verdict, report.deployment)
}

/// `JUnit` XML: one test case a check; a fail is a failure, inconclusive is skipped. The text holds the measured numbers.
pub fn junit(report: &GateReport) -> String {
    let count = |verdict| report.checks.iter().filter(|c| c.verdict == verdict).count();
    let suite = format!("holdfast gate {}", report.deployment);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"holdfast gate\" tests=\"{all}\" failures=\"{failed}\" skipped=\"{skipped}\">\n  \
         <testsuite name=\"{}\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" timestamp=\"{}\">\n    \
         <properties>\n      <property name=\"verdict\" value=\"{}\"/>\n      <property name=\"settled\" value=\"{}\"/>\n    </properties>",
        xml(&suite),
        xml(&report.at.to_string()),
        report.verdict,
        report.settled,
        all = report.checks.len(),
        failed = count(GateVerdict::Fail),
        skipped = count(GateVerdict::Inconclusive),
    );
    for check in &report.checks {
        let class = format!("holdfast.gate.{}", report.deployment);
        let _ = writeln!(out, "    <testcase name=\"{}\" classname=\"{}\">", xml(&check.name), xml(&class));
        let text = xml(&check.text);
        let _ = match check.verdict {
            GateVerdict::Fail => writeln!(out, "      <failure message=\"{text}\" type=\"fail\">{text}</failure>"),
            GateVerdict::Inconclusive => writeln!(out, "      <skipped message=\"{text}\"/>"),
            GateVerdict::Pass => writeln!(out, "      <system-out>{text}</system-out>"),
        };
        out.push_str("    </testcase>\n");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text and attribute values of XML 1.0; characters that it has no place for become U+FFFD.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A summary in Markdown, for a pipeline's page.
pub fn markdown(report: &GateReport) -> String {
    let mut out = format!(
        "## Gate: {} for `{}`\n\nJudged at {}{}.\n\n| check | verdict | measured |\n| --- | --- | --- |\n",
        report.verdict,
        report.deployment,
        report.at,
        if report.settled { "" } else { ", not settled yet" },
    );
    for check in &report.checks {
        let verdict = match (check.verdict, check.required) {
            (GateVerdict::Fail, _) => "**fail**",
            (GateVerdict::Inconclusive, true) => "inconclusive",
            (GateVerdict::Inconclusive, false) => "not applicable",
            (GateVerdict::Pass, _) => "pass",
        };
        let _ = writeln!(out, "| {} | {verdict} | {} |", check.name, cell(&check.text));
    }
    out
}

/// Text that cannot leave its table cell or be taken for markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '~' | '#' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
