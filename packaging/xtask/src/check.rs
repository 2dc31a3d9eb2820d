//! `cargo xtask check`: what to run before each commit. Under a minute when warm; no plugin is built.

use std::path::Path;

use anyhow::Result;

use crate::process::{cargo, must};
use crate::stages::Stages;
use crate::suite::FEATURE;
use crate::test::WORKSPACE;

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut stages = Stages::default();
    let result = (|| {
        stages.run("fmt", || fmt(root))?;
        stages.run("clippy", || clippy(root))?;
        stages.run("rules", || {
            must(cargo(root).arg("test").args(WORKSPACE).args(["--test", "layers", "--test", "tidy"]))
        })?;
        stages.run("core", || must(cargo(root).args(["test", "--locked", "-p", "holdfast-core"])))
    })();
    stages.print();
    result
}

/// Formatting, checked only.
pub(crate) fn fmt(root: &Path) -> Result<()> {
    must(cargo(root).args(["fmt", "--all", "--check"]))
}

/// Lints of everything, the slow suites included; a warning is an error.
pub(crate) fn clippy(root: &Path) -> Result<()> {
    must(cargo(root).arg("clippy").args(WORKSPACE).arg("--all-targets").args(FEATURE).args(["--", "-D", "warnings"]))
}
