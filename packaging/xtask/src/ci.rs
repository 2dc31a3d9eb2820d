//! `cargo xtask ci`: everything that has to be green, cheapest first, in one target directory.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::stages::Stages;
use crate::{authors, check, deny, docs, e2e, faults, fuzz, peers, registry, test};

/// After so long fuzzing is left out: it builds everything once more, and whoever runs this gives it 90 minutes.
const FUZZ_WITHIN: Duration = Duration::from_mins(66);

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut stages = Stages::default();
    let result = (|| {
        stages.run("fmt", || check::fmt(root))?;
        stages.run("clippy", || check::clippy(root))?;
        stages.run("deny", || deny::run(root))?;
        stages.run("docs", || docs::run(root))?;
        stages.run("test", || test::run(root, &[]))?;
        stages.run("authors", || authors::run(root, &[]))?;
        stages.run("registry", || registry::run(root, &[]))?;
        stages.run("faults", || faults::run(root, &[]))?;
        stages.run("peers", || peers::run(root, &[]))?;
        stages.run("e2e", || e2e::run(root, &[]))?;
        // Last: it builds everything once more, with counters. The committed corpus was played by `test`.
        if stages.took() > FUZZ_WITHIN {
            stages.leave_out("fuzz", "there is no time left for it; `cargo xtask fuzz` runs it");
            return Ok(());
        }
        stages.run("fuzz", || fuzz::run(root, &[]))
    })();
    stages.print();
    result
}
