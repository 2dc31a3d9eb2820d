//! `cargo xtask bench [NAME]`: what it costs, measured on this machine with optimised builds.

use std::path::Path;

use anyhow::{Result, bail};

use crate::guests;
use crate::process::{cargo, must};

/// Name, package and bench target.
const BENCHES: [(&str, &str, &str); 2] =
    [("plugins", "holdfast-plugin-host", "plugins"), ("collect", "holdfast", "collect")];

/// `--json`: one line a figure, for programs.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().copied().partition(|arg| arg.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| **flag != "--json") {
        bail!("`{unknown}` is no flag of a bench; there is: --json");
    }
    if let Some(unknown) = names.iter().find(|n| !BENCHES.iter().any(|(name, ..)| name == *n)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
        bail!("no bench is called `{unknown}`; there is: {}", known.join(", "));
    }
    guests::build(root)?;
    for (name, package, target) in BENCHES {
        if names.is_empty() || names.contains(&name) {
            must(cargo(root).args(["bench", "--locked", "-p", package, "--bench", target, "--"]).args(&flags))?;
        }
    }
    Ok(())
}
