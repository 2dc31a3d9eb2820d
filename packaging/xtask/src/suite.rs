//! The slow suites of `tests/`: how they are built, and how one of them is run.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, must};
use crate::test::WORKSPACE;

/// Lets them be built at all: all of them, so that none builds again what another has built.
pub(crate) const FEATURE: [&str; 2] = [
    "--features",
    "holdfast-tests/authors,holdfast-tests/e2e,holdfast-tests/faults,holdfast-tests/peers,holdfast-tests/registry",
];

/// Builds everything. All targets, as `test` and clippy see them: with fewer, other features would build every dependency again.
pub(crate) fn build(root: &Path) -> Result<()> {
    must(cargo(root).arg("build").args(WORKSPACE).arg("--all-targets").args(FEATURE))
}

/// Runs the tests of one suite whose names hold one of `filter`. `options` are the test harness's.
pub(crate) fn command(root: &Path, suite: &str, options: &[&str], filter: &[&str]) -> Command {
    let mut command = cargo(root);
    command.arg("test").args(WORKSPACE).args(FEATURE).args(["--test", suite, "--"]).args(options).args(filter);
    command
}
