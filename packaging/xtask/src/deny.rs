//! `cargo xtask deny`: licences, bans and sources of every dependency, by cargo-deny and `deny.toml`.
//!
//! Known vulnerabilities are a verb of their own: they need a database from the network, and its absence must not look like
//! a check that passed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::process::{answers, cargo, must, program};

const VERSION: &str = "0.20.2";

pub(crate) fn run(root: &Path) -> Result<()> {
    let tool = tool(root)?;
    must(program(root, tool).args(["--all-features", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
}

pub(crate) fn advisories(root: &Path) -> Result<()> {
    let tool = tool(root)?;
    must(program(root, tool).args(["--all-features", "check", "advisories"]))
}

/// The one on the path, or our own below `target/`, built when there is none.
fn tool(root: &Path) -> Result<PathBuf> {
    if answers(root, "cargo-deny", "--version") {
        return Ok("cargo-deny".into());
    }
    let tools = root.join("target/tools");
    let own = tools.join("bin/cargo-deny");
    if !answers(root, &own, "--version") {
        // Unoptimised: it reads one lock file, and optimising it takes longer than all its runs together.
        must(
            cargo(root)
                .args(["install", "--locked", "--debug", "--version", VERSION, "--root"])
                .arg(&tools)
                .arg("cargo-deny"),
        )?;
    }
    Ok(own)
}
