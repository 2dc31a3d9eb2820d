//! Stages with their times, printed as one table at the end, whether it went well or not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;

/// What ran so far.
#[derive(Default)]
pub(crate) struct Stages {
    done: Vec<(&'static str, Duration, bool)>,
    left_out: Vec<(&'static str, &'static str)>,
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

    /// How long all that ran took.
    pub(crate) fn took(&self) -> Duration {
        self.done.iter().map(|(_, took, _)| *took).sum()
    }

    /// A stage that does not run this time, and why: the table says so.
    pub(crate) fn leave_out(&mut self, name: &'static str, why: &'static str) {
        self.left_out.push((name, why));
    }

    /// The table.
    pub(crate) fn print(&self) {
        process::say("\nstage         seconds");
        for (name, took, good) in &self.done {
            let verdict = if *good { "" } else { "  FAILED" };
            process::say(&format!("{name:<12} {:>8.1}{verdict}", took.as_secs_f64()));
        }
        for (name, why) in &self.left_out {
            process::say(&format!("{name:<12}   NOT RUN: {why}"));
        }
        process::say(&format!("{:<12} {:>8.1}", "total", self.took().as_secs_f64()));
    }
}

#[expect(clippy::disallowed_methods, reason = "stages of a developer tool are timed here and nowhere else")]
fn now() -> Instant {
    Instant::now()
}
