//! `cargo xtask fuzz [TARGET] [--seconds N]`: libFuzzer over the harnesses of `tests/fuzz`, each for so long.
//!
//! Everything is built once more with coverage counters, in a target directory of its own; the stable compiler can do that, and no
//! tool beside it and a C++ compiler is needed. There is no address sanitizer: beside generated bindings this repository has one `unsafe`
//! expression, behind a seal that fuzzing does not get past. What is found new goes to `target/fuzz/corpus`, what fails to
//! `target/fuzz/failed`. `cargo xtask test` plays the committed corpus without any of this.
//!
//! The build with counters takes five to eleven minutes on two cores, and 1.5 GB. `cargo xtask ci` does it last.
//!
//! `--blind [--seed N]`: seeded changes of the corpus without counters, with what the tests have built already; another seed each time.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::guests;
use crate::process::{cargo, must, program, say};
use crate::test::WORKSPACE;

/// Each with the test that plays its corpus.
const TARGETS: [(&str, &str); 3] = [
    ("loader", "no_bytes_as_a_component"),
    ("manifest", "no_text_as_a_manifest"),
    ("host_calls", "no_arguments_of_host_calls"),
];
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
    let Options { wanted, seconds, blind, seed } = parse(args)?;
    let targets = TARGETS.iter().filter(|(target, _)| wanted.is_none_or(|wanted| wanted == *target));
    guests::build(root)?;
    if blind {
        let seed = seed.map_or_else(random, Ok)?;
        for (target, test) in targets {
            say(&format!("{target} for {seconds} s; the same again: cargo xtask fuzz --blind --seed {seed} {target}"));
            must(
                cargo(root)
                    .arg("test")
                    .args(WORKSPACE)
                    .args(["--test", "corpus", "--", test])
                    .env("HOLDFAST_FUZZ_SECONDS", seconds.to_string())
                    .env("HOLDFAST_FUZZ_SEED", seed.to_string()),
            )?;
        }
        return Ok(());
    }
    must(
        cargo(root)
            .args(["build", "--locked", "--package", "holdfast-fuzz", "--features", "libfuzzer", "--bins"])
            .args(["--target", TRIPLE, "--target-dir", "target/fuzz"])
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")),
    )?;
    for (target, _) in targets {
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

/// What to do.
#[derive(Debug, PartialEq)]
struct Options<'a> {
    /// The target, if one was named.
    wanted: Option<&'a str>,
    /// For how long, each.
    seconds: u32,
    /// Without counters.
    blind: bool,
    /// Of the changes; `None`: another each time.
    seed: Option<u64>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { wanted: None, seconds: SECONDS, blind: false, seed: None }
    }
}

fn parse<'a>(args: &[&'a str]) -> Result<Options<'a>> {
    let (mut options, mut rest) = (Options::default(), args.iter());
    while let Some(arg) = rest.next() {
        let mut number = || {
            let text = rest.next().with_context(|| format!("{arg} takes a number"))?;
            text.parse::<u64>().with_context(|| format!("`{text}` is no number"))
        };
        match *arg {
            "--seconds" => options.seconds = u32::try_from(number()?)?,
            "--seed" => options.seed = Some(number()?),
            "--blind" => options.blind = true,
            name if TARGETS.iter().any(|(target, _)| *target == name) => options.wanted = Some(name),
            other => {
                let names = TARGETS.map(|(target, _)| target).join(", ");
                bail!("`{other}` is neither --seconds, --blind, --seed nor one of {names}");
            }
        }
    }
    if options.seed.is_some() && !options.blind {
        bail!("--seed is for --blind; libFuzzer keeps what it finds in target/fuzz");
    }
    Ok(options)
}

/// A seed that nobody chose, short enough to be typed.
fn random() -> Result<u64> {
    use std::io::Read as _;
    let mut bytes = [0; 4];
    std::fs::File::open("/dev/urandom").and_then(|mut it| it.read_exact(&mut bytes)).context("no random numbers")?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_a_time_in_any_order() {
        assert_eq!(parse(&[]).unwrap(), Options::default());
        let five = Options { wanted: Some("loader"), seconds: 5, ..Options::default() };
        assert_eq!(parse(&["--seconds", "5", "loader"]).unwrap(), five);
        assert_eq!(
            parse(&["--seed", "7", "--blind"]).unwrap(),
            Options { blind: true, seed: Some(7), ..Options::default() }
        );
        for bad in [&["--seconds"][..], &["--seconds", "x"], &["elsewhere"], &["--seed", "7"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
