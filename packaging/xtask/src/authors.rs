//! `cargo xtask authors [LANGUAGE]`: a new plugin in Rust, JavaScript and Python, from an empty folder to a report of the agent.
//!
//! The suite types what the SDK's README says, so npm and pip fetch what they fetch for every author; it is kept below `target/authors`.

use std::path::Path;

use anyhow::Result;

use crate::e2e::FEATURE;
use crate::parts;
use crate::process::{cargo, must};
use crate::test::WORKSPACE;

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::AUTHORS)?;
    // All targets, as the other suites: with fewer, other features would build every dependency again.
    must(cargo(root).arg("build").args(WORKSPACE).arg("--all-targets").args(FEATURE))?;
    must(
        cargo(root)
            .arg("test")
            .args(WORKSPACE)
            .args(FEATURE)
            .args(["--test", "authors", "--", "--test-threads", "2"])
            .args(filter),
    )
}
