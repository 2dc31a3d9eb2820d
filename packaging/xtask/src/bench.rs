//! `cargo xtask bench [NAME]`: what it costs, measured on this machine with optimised builds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process::{answers, cargo, must, program};
use crate::{guests, parts};

/// Name, package and bench target.
const BENCHES: [(&str, &str, &str); 3] = [
    ("plugins", "holdfast-plugin-host", "plugins"),
    ("collect", "holdfast", "collect"),
    ("telemetry", "holdfast", "telemetry"),
];

/// One version, so that figures can be compared: its library, and what loads it.
const EXTISM: [&str; 2] = ["extism-sys==1.41.0", "cffi==2.1.1"];

/// Where labelled series are looked for; docs/detection.md says how to get them.
const LABELLED: &str = "target/bench-data/detect";

/// What a bench understands.
const FLAGS: [&str; 3] = ["--json", "--idle-host", "--only-ours"];

/// `--json`: one line a figure, for programs. `--idle-host`: a quarter of an hour of this host, for the bytes of its samples.
/// `--only-ours`: without the peers of telemetry, which need not be there then.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    match args {
        ["detect", rest @ ..] => return detect(root, rest, &[]),
        ["contrast", rest @ ..] => return detect(root, rest, &["--contrast"]),
        _ => {}
    }
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().copied().partition(|arg| arg.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| !FLAGS.contains(flag)) {
        bail!("`{unknown}` is no flag of a bench; there are: {}", FLAGS.join(", "));
    }
    if let Some(unknown) = names.iter().find(|n| !BENCHES.iter().any(|(name, ..)| name == *n)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).chain(["detect", "contrast"]).collect();
        bail!("no bench is called `{unknown}`; there is: {}", known.join(", "));
    }
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    if wanted("telemetry") && !flags.contains(&"--only-ours") {
        parts::require(&parts::BENCH_TELEMETRY)?;
    }
    if wanted("plugins") || wanted("telemetry") {
        guests::build(root)?;
    }
    for (name, package, target) in BENCHES {
        if wanted(name) {
            let mut bench = cargo(root);
            bench.args(["bench", "--locked", "-p", package, "--bench", target, "--"]).args(&flags);
            if name == "plugins" {
                bench.env("HOLDFAST_BENCH_EXTISM", extism(root)?);
            }
            must(&mut bench)?;
        }
    }
    Ok(())
}

/// The peer of plugins, as a library: as a crate it would bring a wasmtime of its own into Cargo.lock. Answers the Python that has it.
fn extism(root: &Path) -> Result<PathBuf> {
    let venv = root.join("target/bench/venv");
    let (python, ready) = (venv.join("bin/python"), venv.join("ready"));
    if !ready.exists() || !answers(root, &python, "--version") {
        must(program(root, "python3").args(["-m", "venv"]).arg(&venv))?;
        must(
            program(root, venv.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(EXTISM),
        )?;
        std::fs::write(ready, EXTISM.join("\n"))?;
    }
    Ok(python)
}

/// What the detector is worth on labelled series, which are not part of the repository: never run without being named.
fn detect(root: &Path, args: &[&str], also: &[&str]) -> Result<()> {
    let mut given = Vec::new();
    let mut rest = args.iter();
    while let Some(flag) = rest.next() {
        given.push((*flag).to_owned());
        if matches!(*flag, "--data" | "--out") {
            // Cargo starts a bench in the folder of its package.
            let dir = rest.next().with_context(|| format!("{flag} wants a directory"))?;
            given.push(std::path::absolute(dir)?.display().to_string());
        }
    }
    if !args.contains(&"--data") {
        given.extend(["--data".to_owned(), root.join(LABELLED).display().to_string()]);
    }
    must(
        cargo(root)
            .args(["bench", "--locked", "-p", "holdfast-core", "--bench", "detect", "--"])
            .args(&given)
            .args(also),
    )
}
