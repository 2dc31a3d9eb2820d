//! `cargo xtask e2e`: the real binaries, units and plugins under a real systemd in a container tree.
//!
//! Needs root (systemd-nspawn) and Debian's tools. What the scenarios need from the network, a Debian tree and an OTLP
//! receiver that is not ours, is fetched once and kept below `target/e2e`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::process::{answers, must, must_reading, program, say};
use crate::test::summary;
use crate::{guests, parts, suite};

/// The OTLP receiver of the outage scenario.
const ROTEL: &str = "rotel==0.0.1a15";

/// Machines at once: scenarios wait most of the time.
const AT_ONCE: &str = "3";

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::E2E)?;
    if !rustix::process::geteuid().is_root() {
        bail!("systemd-nspawn needs root\nhint: sudo -E cargo xtask e2e");
    }
    receiver(root)?;
    guests::build(root)?;
    suite::build(root)?;
    let mut results = Vec::new();
    let outcome = must_reading(&mut suite::command(root, "e2e", &["--test-threads", AT_ONCE], filter), |line| {
        if line.starts_with("test result:") {
            results.push(line.to_owned());
        }
    });
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
