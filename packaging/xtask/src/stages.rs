//! Stages with their times, printed as one table at the end, whether it went well or not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;

/// What ran so far.
#[derive(Default)]
pub(crate) struct Stages {
    done: Vec<(&'static str, Duration, bool)>,
}

impl Stages {
    /// Runs a stage and remembers how long it took.
    pub(crate) fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        process::warn(&format!("\n== {name}"));
        let start = now();
        let result = work().with_context(|| format!("stage `{name}`"));
        self.done.push((name, start.elapsed(), result.is_ok()));
        result
    }

    /// The table.
    pub(crate) fn print(&self) {
        process::say("\nstage         seconds");
        for (name, took, good) in &self.done {
            let verdict = if *good { "" } else { "  FAILED" };
            process::say(&format!("{name:<12} {:>8.1}{verdict}", took.as_secs_f64()));
        }
        let total: Duration = self.done.iter().map(|(_, took, _)| *took).sum();
        process::say(&format!("{:<12} {:>8.1}", "total", total.as_secs_f64()));
    }
}

#[expect(clippy::disallowed_methods, reason = "stages of a developer tool are timed here and nowhere else")]
fn now() -> Instant {
    Instant::now()
}
