//! Lines against the table, in the words of findings. Pure.

use std::collections::BTreeSet;

use holdfast_plugin_sdk::{Problem, Severity, evidence, subject, text};

use crate::config::Line;
use crate::rules::{RULES, Rule};

/// A setting that is one to warn of.
pub const SETTING: &str = "security.sshd_setting";
/// A file of the configuration that others may write.
pub const MODE: &str = "security.sshd_file_mode";

/// All findings about settings, in the order of the table.
pub fn judge(lines: &[Line], accept: &[String]) -> Vec<Problem> {
    let accepted = |rule: &Rule, block: Option<&str>| {
        accept.iter().any(|entry| match entry.split_once('@') {
            Some((keyword, criteria)) => keyword.eq_ignore_ascii_case(rule.keyword) && Some(criteria) == block,
            None => entry.eq_ignore_ascii_case(rule.keyword),
        })
    };
    let mut found = Vec::new();
    for rule in RULES {
        let own: Vec<&Line> = lines.iter().filter(|line| rule.keyword.eq_ignore_ascii_case(&line.keyword)).collect();
        let global = own.iter().find(|line| line.block.is_none());
        let value = global.map_or(rule.default, |line| line.value.as_str());
        let globally_bad = rule.is_bad(value);
        if globally_bad && !accepted(rule, None) {
            found.push(problem(rule, value, global.map(|line| line.place.as_str()), None));
        }
        let mut blocks = BTreeSet::new();
        for line in own {
            // Of each block the first value; what is said of all need not be said of some.
            let Some(block) = line.block.as_deref().filter(|block| blocks.insert(*block)) else { continue };
            if !globally_bad && rule.is_bad(&line.value) && !accepted(rule, Some(block)) {
                found.push(problem(rule, &line.value, Some(&line.place), Some(block)));
            }
        }
    }
    found
}

fn problem(rule: &Rule, value: &str, place: Option<&str>, block: Option<&str>) -> Problem {
    let keyword = rule.keyword;
    let set = match place {
        Some(place) => format!("{keyword} {value}, {place}"),
        None => format!("{keyword} is not set, and is {value} then"),
    };
    let whom = block.map(|block| format!(" for `Match {block}`")).unwrap_or_default();
    let name = match block {
        Some(block) => format!("sshd:{keyword}@{block}"),
        None => format!("sshd:{keyword}"),
    };
    // A block is about some connections only.
    let severity = match (rule.severity, block) {
        (severity, None) => severity,
        (Severity::Critical, Some(_)) => Severity::High,
        (Severity::High, Some(_)) => Severity::Medium,
        (_, Some(_)) => Severity::Low,
    };
    let mut problem =
        Problem::new(SETTING, keyword, subject("setting", name), &format!("sshd{whom}: {} ({set})", rule.why))
            .severity(severity)
            .expected(rule.wanted, value)
            .evidence(evidence("sshd.keyword", keyword));
    if let Some(place) = place {
        problem = problem.evidence(evidence("sshd.place", place));
    }
    if let Some(block) = block {
        problem = problem.evidence(evidence("sshd.match", text::line(block)));
    }
    problem
}

/// The finding about a file that its group or everybody may write.
pub fn writable(path: &str, mode: u32) -> Option<Problem> {
    let who = match mode & 0o022 {
        0 => return None,
        0o020 => "its group",
        _ => "everybody",
    };
    let title = format!("{path} may be written by {who}: whoever does so decides who is let in");
    Some(
        Problem::new(MODE, "mode", subject("file", path), &title)
            .severity(Severity::High)
            .expected("0644 or stricter", &format!("{mode:04o}")),
    )
}
