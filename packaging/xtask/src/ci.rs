//! `cargo xtask ci`: everything that has to be green, cheapest first, in one target directory.

use std::path::Path;

use anyhow::Result;

use crate::stages::Stages;
use crate::{authors, check, deny, docs, e2e, faults, fuzz, peers, registry, test};

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
        // Last: it builds everything once more, with counters.
        stages.run("fuzz", || fuzz::run(root, &[]))
    })();
    stages.print();
    result
}
