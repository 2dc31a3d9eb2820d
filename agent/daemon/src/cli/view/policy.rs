//! `holdfast policy check`, `test` and `replay`.

use std::fmt::Write as _;

use super::super::cmd::policy::{Checked, Mistake, Replayed, Tested};
use super::super::ink::{Ink, bold, dim, flat, paint};
use super::super::out::Look;
use super::super::when::stamp;
use super::decisions::{main_reason, verdict};

fn diagnostics(out: &mut String, all: &[Mistake]) {
    for one in all {
        let ink = if one.level == "error" { Ink::Red } else { Ink::Yellow };
        let (first, rest) = one.text.split_once('\n').unwrap_or((one.text.as_str(), ""));
        let _ = writeln!(out, "{}", paint(ink, first));
        if !rest.is_empty() {
            let _ = writeln!(out, "{}", rest.trim_end());
        }
        out.push('\n');
    }
}

pub(in super::super) fn checked(it: &Checked) -> String {
    let mut out = String::new();
    diagnostics(&mut out, &it.diagnostics);
    let digest = it.digest.get(..12).unwrap_or(&it.digest);
    let verdict = if it.errors > 0 { paint(Ink::Red, "not usable") } else { paint(Ink::Green, "good") };
    let _ = writeln!(
        out,
        "{verdict}: {} files, {} rules, {} errors, {} warnings, digest {digest}",
        it.files.len(),
        it.rules,
        it.errors,
        it.warnings
    );
    out
}

pub(in super::super) fn tested(it: &Tested) -> String {
    let mut out = String::new();
    diagnostics(&mut out, &it.diagnostics);
    for case in &it.cases {
        let mark = if case.passed { paint(Ink::Green, "ok  ") } else { paint(Ink::Red, "FAIL") };
        let _ = writeln!(out, "{mark}  {}  {}", flat(&case.name), dim(&format!("{}:{}", case.file, case.line)));
        for problem in &case.problems {
            let _ = writeln!(out, "      {}", flat(problem));
        }
    }
    let _ = writeln!(out, "{} passed, {} failed", it.passed, it.failed);
    out
}

pub(in super::super) fn replayed(it: &Replayed, _: Look) -> String {
    let mut out = String::new();
    for one in &it.differences {
        let (before, after) = (&one.before, &one.after);
        let rule = |r: &Option<String>| r.clone().unwrap_or_else(|| "no rule".to_owned());
        let _ = writeln!(out, "{}  {}  {}", bold(before.id.as_str()), stamp(before.at), dim(before.finding.as_str()));
        let _ = writeln!(
            out,
            "  was       {} in mode {} by {}: {}",
            verdict(before.verdict),
            before.mode,
            rule(&before.rule),
            main_reason(before)
        );
        let _ = writeln!(
            out,
            "  would be  {} in mode {} by {}: {}",
            verdict(after.verdict),
            after.mode,
            rule(&after.rule),
            main_reason(after)
        );
    }
    let _ =
        writeln!(out, "{} decisions decided again: {} the same, {} differ", it.decided, it.same, it.differences.len());
    if it.unreadable > 0 {
        let _ = writeln!(out, "{} have inputs that this version cannot read", it.unreadable);
    }
    if it.truncated {
        let _ = writeln!(out, "{}", dim("There are more decisions than are read at once; the newest were taken."));
    }
    out
}
