//! `cargo xtask peers`: the real agent beside programs of others.
//!
//! Debian brings Prometheus; the Python SDK of OpenTelemetry is fetched once and kept below `target/peers`.

use std::path::Path;

use anyhow::Result;

use crate::e2e::FEATURE;
use crate::process::{answers, cargo, must, program};
use crate::test::WORKSPACE;
use crate::{guests, parts};

/// One version of each, so that a failure is ours.
const SDK: [&str; 3] = [
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
];

pub(crate) fn run(root: &Path, filter: &[&str]) -> Result<()> {
    parts::require(&parts::PEERS)?;
    sdk(root)?;
    guests::build(root)?;
    // All targets, as `test` and clippy see them: with fewer, other features would build every dependency again.
    must(cargo(root).arg("build").args(WORKSPACE).arg("--all-targets").args(FEATURE))?;
    must(
        cargo(root)
            .arg("test")
            .args(WORKSPACE)
            .args(FEATURE)
            .args(["--test", "peers", "--", "--nocapture", "--test-threads", "2"])
            .args(filter),
    )
}

fn sdk(root: &Path) -> Result<()> {
    let (venv, ready) = (root.join("target/peers/venv"), root.join("target/peers/venv/ready"));
    if ready.exists() && answers(root, venv.join("bin/python"), "--version") {
        return Ok(());
    }
    must(program(root, "python3").args(["-m", "venv"]).arg(&venv))?;
    must(program(root, venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(SDK))?;
    std::fs::write(ready, SDK.join("\n"))?;
    Ok(())
}
