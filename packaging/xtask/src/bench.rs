//! `cargo xtask bench [NAME]`: what it costs, measured on this machine with optimised builds.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, must};
use crate::{guests, parts};

/// Name, package and bench target.
const BENCHES: [(&str, &str, &str); 3] = [
    ("plugins", "holdfast-plugin-host", "plugins"),
    ("collect", "holdfast", "collect"),
    ("telemetry", "holdfast", "telemetry"),
];

/// Where labelled series are looked for; docs/detection.md says how to get them.
const LABELLED: &str = "target/bench-data/detect";

/// `--json`: one line a figure, for programs. `--idle-host`: a quarter of an hour of this host, for the bytes of its samples.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    match args {
        ["detect", rest @ ..] => return detect(root, rest, &[]),
        ["contrast", rest @ ..] => return detect(root, rest, &["--contrast"]),
        _ => {}
    }
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().copied().partition(|arg| arg.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| !["--json", "--idle-host"].contains(flag)) {
        bail!("`{unknown}` is no flag of a bench; there are: --json, --idle-host");
    }
    if let Some(unknown) = names.iter().find(|n| !BENCHES.iter().any(|(name, ..)| name == *n)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).chain(["detect", "contrast"]).collect();
        bail!("no bench is called `{unknown}`; there is: {}", known.join(", "));
    }
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    if wanted("telemetry") {
        parts::require(&parts::BENCH_TELEMETRY)?;
    }
    if wanted("plugins") || wanted("telemetry") {
        guests::build(root)?;
    }
    for (name, package, target) in BENCHES {
        if wanted(name) {
            must(cargo(root).args(["bench", "--locked", "-p", package, "--bench", target, "--"]).args(&flags))?;
        }
    }
    Ok(())
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
