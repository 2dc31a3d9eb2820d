//! `cargo xtask fuzz [TARGET] [--seconds N]`: libFuzzer over the harnesses of `tests/fuzz`, each for so long.
//!
//! Everything is built once more with coverage counters, in a target directory of its own; the stable compiler can do that, and no
//! tool beside it and a C++ compiler is needed. There is no address sanitizer: beside generated bindings this repository has one `unsafe`
//! expression, behind a seal that fuzzing does not get past. What is found new goes to `target/fuzz/corpus`, what fails to
//! `target/fuzz/failed`. `cargo xtask test` plays the committed corpus without any of this.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::guests;
use crate::process::{cargo, must, program};

const TARGETS: [&str; 3] = ["loader", "manifest", "host_calls"];
const SECONDS: u32 = 30;
/// Longest input: a small component.
const INPUT_BYTES_MAX: u32 = 16_384;
/// Named, so that build scripts are built without counters.
const TRIPLE: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
/// Counters at every edge and the operands of comparisons, as libFuzzer wants them.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions=on",
];

pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let (wanted, seconds) = parse(args)?;
    guests::build(root)?;
    must(
        cargo(root)
            .args(["build", "--locked", "--package", "holdfast-fuzz", "--features", "libfuzzer", "--bins"])
            .args(["--target", TRIPLE, "--target-dir", "target/fuzz"])
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")),
    )?;
    for target in TARGETS.iter().filter(|target| wanted.is_none_or(|wanted| wanted == **target)) {
        let (found, failed) = (root.join("target/fuzz/corpus").join(target), root.join("target/fuzz/failed"));
        for dir in [&found, &failed] {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        must(
            program(root, root.join("target/fuzz").join(TRIPLE).join("debug").join(target))
                .arg(&found)
                .arg(root.join("tests/fuzz/corpus").join(target))
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-max_len={INPUT_BYTES_MAX}"))
                .arg(format!("-artifact_prefix={}/{target}-", failed.display()))
                // A component that is compiled for a second is a finding, and so is one that takes a gigabyte.
                .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]),
        )?;
    }
    Ok(())
}

/// The target, if one was named, and for how long.
fn parse<'a>(args: &[&'a str]) -> Result<(Option<&'a str>, u32)> {
    let (mut wanted, mut seconds, mut rest) = (None, SECONDS, args.iter());
    while let Some(arg) = rest.next() {
        match *arg {
            "--seconds" => {
                let text = rest.next().context("--seconds takes a number")?;
                seconds = text.parse().with_context(|| format!("`{text}` is no number of seconds"))?;
            }
            name if TARGETS.contains(&name) => wanted = Some(name),
            other => bail!("`{other}` is neither --seconds nor one of {}", TARGETS.join(", ")),
        }
    }
    Ok((wanted, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_a_time_in_any_order() {
        assert_eq!(parse(&[]).unwrap(), (None, SECONDS));
        assert_eq!(parse(&["--seconds", "5", "loader"]).unwrap(), (Some("loader"), 5));
        for bad in [&["--seconds"][..], &["--seconds", "x"], &["elsewhere"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
