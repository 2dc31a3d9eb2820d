//! `cargo xtask authors [LANGUAGE]`: a new plugin in Rust, JavaScript and Python, from an empty folder to a report of the agent.
//!
//! The suite types what the SDK's README says, so npm and pip fetch what they fetch for every author; it is kept below `target/authors`.

use std::path::Path;

use anyhow::Result;

use crate::process::must;
use crate::{parts, suite};

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::AUTHORS)?;
    suite::build(root)?;
    must(&mut suite::command(root, "authors", &["--test-threads", "2"], filter))
}
