//! `cargo xtask docs`: rustdoc of the workspace; a broken link or a missing sentence is an error.

use std::path::Path;

use anyhow::Result;

use crate::process::{cargo, must};
use crate::test::WORKSPACE;

pub(crate) fn run(root: &Path) -> Result<()> {
    must(cargo(root).arg("doc").args(WORKSPACE).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"))
}
