//! `cargo xtask e2e`: the real binaries, units and plugins under a real systemd in a container tree.
//!
//! Needs root (systemd-nspawn) and Debian's tools. What the scenarios need from the network, a Debian tree and an OTLP
//! receiver that is not ours, is fetched once and kept below `target/e2e`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::process::{answers, cargo, must, must_reading, program, say};
use crate::test::{WORKSPACE, summary};
use crate::{guests, parts};

/// Lets the slow suites be built at all: all of them, so that none builds again what another has built.
pub(crate) const FEATURE: [&str; 2] = [
    "--features",
    "holdfast-tests/authors,holdfast-tests/e2e,holdfast-tests/faults,holdfast-tests/peers,holdfast-tests/registry",
];
/// The OTLP receiver of the outage scenario.
const ROTEL: &str = "rotel==0.0.1a15";

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::E2E)?;
    if !rustix::process::geteuid().is_root() {
        bail!("systemd-nspawn needs root\nhint: sudo -E cargo xtask e2e");
    }
    receiver(root)?;
    guests::build(root)?;
    // All targets, as `test` and clippy see them: with fewer, other features would build every dependency again.
    must(cargo(root).arg("build").args(WORKSPACE).arg("--all-targets").args(FEATURE))?;
    let mut results = Vec::new();
    let outcome = must_reading(
        cargo(root)
            .arg("test")
            .args(WORKSPACE)
            .args(FEATURE)
            .args(["--test", "e2e", "--"])
            .args(["--test-threads", "2"])
            .args(filter),
        |line| {
            if line.starts_with("test result:") {
                results.push(line.to_owned());
            }
        },
    );
    say(&summary(&results));
    outcome
}

/// `rotel` from its wheel, the program only.
fn receiver(root: &Path) -> Result<()> {
    let (venv, parts) = (root.join("target/e2e/venv"), root.join("target/e2e/parts"));
    if answers(root, parts.join("rotel/rotel-agent"), "--version") {
        return Ok(());
    }
    must(program(root, "python3").args(["-m", "venv"]).arg(&venv))?;
    must(
        program(root, venv.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", ROTEL, "--target"])
            .arg(&parts),
    )
}
