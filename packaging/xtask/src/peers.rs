//! `cargo xtask peers`: the real agent beside programs of others.
//!
//! Debian brings Prometheus; the Python SDK of OpenTelemetry is fetched once and kept below `target/peers`.

use std::path::Path;

use anyhow::Result;

use crate::process::{answers, must, program};
use crate::{guests, parts, suite};

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
    suite::build(root)?;
    must(&mut suite::command(root, "peers", &["--nocapture", "--test-threads", "2"], filter))
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
