//! `cargo xtask bench [NAME]`: what it costs, measured on this machine with optimised builds.

use std::path::Path;

use anyhow::{Result, bail};

use crate::guests;
use crate::process::{cargo, must};

/// Name, package and bench target.
const BENCHES: [(&str, &str, &str); 0] = [];

pub(crate) fn run(root: &Path, names: &[&str]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|n| !BENCHES.iter().any(|(name, ..)| name == *n)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
        bail!("no bench is called `{unknown}`; there is: {}", known.join(", "));
    }
    guests::build(root)?;
    for (name, package, target) in BENCHES {
        if names.is_empty() || names.contains(&name) {
            must(cargo(root).args(["bench", "--locked", "-p", package, "--bench", target]))?;
        }
    }
    Ok(())
}
