//! `cargo xtask registry [FILTER]`: plugins pushed to and installed from a real OCI registry, Debian's, on this host.

use std::path::Path;

use anyhow::Result;

use crate::process::must;
use crate::{guests, parts, suite};

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::REGISTRY)?;
    guests::build(root)?;
    suite::build(root)?;
    must(&mut suite::command(root, "registry", &[], filter))
}
