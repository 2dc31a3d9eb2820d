//! `plugin run` in a plugin's folder: the whole answers to its cases, once, or again after each change.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::super::exit::{DONE, Failure, NO, Outcome};
use super::super::ink::{Ink, bold, dim, paint};
use super::super::out::report as complain;
use super::Session;
use crate::authoring::{self, CaseReport, TestOptions, TestReport};
use crate::telemetry::Chain;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Files of a plugin that are looked at.
const FILES_MAX: usize = 10_000;
/// What tools leave behind, and nobody edits.
const PASSED_OVER: [&str; 5] = ["target", "node_modules", ".venv", ".git", "__pycache__"];

/// What one case was answered.
#[derive(Serialize)]
struct Answered<'r> {
    case: &'r str,
    answers: &'r [Value],
    problems: &'r [String],
}

pub(super) fn run(it: &Session, dir: &Path, watch: bool, offline: bool) -> Outcome {
    loop {
        let before = files(dir);
        let outcome = once(it, dir, offline);
        if !watch {
            return outcome;
        }
        match outcome {
            Err(failure) if failure.is_broken_pipe => return Err(failure),
            // A mistake on the way is what this is for.
            Err(failure) => complain(&failure),
            Ok(_) => {}
        }
        it.out.remark("waiting for a change; Ctrl-C ends it");
        while files(dir) == before {
            std::thread::sleep(LOOK);
        }
    }
}

fn once(it: &Session, dir: &Path, offline: bool) -> Outcome {
    let component = super::plugin::compile(dir, None, offline)?.file;
    let options = TestOptions { dir: dir.to_owned(), component: Some(component), filter: None, bless: false };
    let report = authoring::test(&options, |_| {}).map_err(|error| Failure::usage(Chain(&error)))?;
    let document: Vec<Answered<'_>> = report.cases.iter().map(answered).collect();
    it.out.document(&document, |_| text(&report))?;
    Ok(if report.failed() == 0 { DONE } else { NO })
}

fn answered(case: &CaseReport) -> Answered<'_> {
    Answered { case: &case.name, answers: &case.answers, problems: &case.problems }
}

fn text(report: &TestReport) -> String {
    let mut out = String::new();
    for case in &report.cases {
        let _ = writeln!(out, "{}  {}", bold(&case.name), dim(&case.story));
        for answer in &case.answers {
            let _ = writeln!(out, "{}", serde_json::to_string_pretty(answer).unwrap_or_default());
        }
        for problem in &case.problems {
            let _ = writeln!(out, "{}", paint(Ink::Red, problem));
        }
    }
    out
}

/// The files of a folder and when each was changed last.
fn files(dir: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let (path, name) = (entry.path(), entry.file_name());
            if found.len() >= FILES_MAX || PASSED_OVER.iter().any(|it| name == *it) {
                continue;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => waiting.push(path),
                Ok(meta) => drop(meta.modified().map(|at| found.insert(path, at))),
                Err(_) => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_author_edits_is_looked_at_and_what_tools_leave_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["src/lib.rs", "cases/a.toml", "target/x.wasm", "node_modules/y/z.js"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names: Vec<_> = files(dir.path()).into_keys().collect();
        assert_eq!(names, ["cases/a.toml", "src/lib.rs"].map(|name| dir.path().join(name)));
    }
}
