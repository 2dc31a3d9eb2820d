//! What a failed scenario leaves for whoever reads it: the journal and what the agent said about itself.

use std::fs;

use anyhow::{Context, Result};

use super::machine::Machine;
use super::tree;

const QUESTIONS: [&str; 9] = [
    "systemctl --no-pager --failed",
    "systemctl --no-pager status 'holdfast*'",
    "holdfast status",
    "holdfast findings list",
    "holdfast incidents list",
    "holdfast remediations list --format json",
    "holdfast changes --since 1h",
    "holdfast audit verify",
    "journalctl --no-pager -o short-precise -n 400",
];

/// Runs a scenario on a machine. When it fails, the answers to [`QUESTIONS`] are kept below `target/e2e/failed`.
pub(crate) fn on(name: &str, mut machine: Machine, scenario: impl FnOnce(&mut Machine) -> Result<()>) -> Result<()> {
    let Err(error) = scenario(&mut machine) else { return Ok(()) };
    let mut text = format!("{error:#}\n");
    for question in QUESTIONS {
        let answer = match machine.try_run(&format!("timeout 20 {question}")) {
            Ok(ran) => ran.stdout + &ran.stderr,
            Err(why) => format!("{why:#}\n"),
        };
        text.extend(["\n$ ", question, "\n", &answer]);
    }
    let path = tree::cache().join("failed").join(format!("{name}.txt"));
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&path, text)?;
    Err(error).with_context(|| format!("{name}: see {}", path.display()))
}
