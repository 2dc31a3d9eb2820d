//! `cargo xtask registry [FILTER]`: plugins pushed to and installed from a real OCI registry, Debian's, on this host.

use std::path::Path;

use anyhow::Result;

use crate::e2e::FEATURE;
use crate::process::{cargo, must};
use crate::test::WORKSPACE;
use crate::{guests, parts};

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::REGISTRY)?;
    guests::build(root)?;
    // All targets, as the other suites: with fewer, other features would build every dependency again.
    must(cargo(root).arg("build").args(WORKSPACE).arg("--all-targets").args(FEATURE))?;
    must(cargo(root).arg("test").args(WORKSPACE).args(FEATURE).args(["--test", "registry", "--"]).args(filter))
}
