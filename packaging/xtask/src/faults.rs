//! `cargo xtask faults [FILTER]`: what becomes of acknowledged data under `kill -9`, and of the agent on a disk that fails.
//!
//! Needs root, for file systems of a few megabytes, and strace, which lets one call of a child fail.

use std::path::Path;

use anyhow::{Result, bail};

use crate::process::must;
use crate::{parts, suite};

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::FAULTS)?;
    if !rustix::process::geteuid().is_root() {
        bail!("mounting a small file system needs root\nhint: sudo -E cargo xtask faults");
    }
    must(&mut suite::command(root, "faults", &[], filter))
}
