//! Developer commands: `cargo xtask` lists them.
//!
//! One file a verb. A verb starts programs, says what it starts, and stops at the first failure. All verbs share one target
//! directory and one profile, so that none of them builds again what another has built.

mod authors;
mod bench;
mod check;
mod ci;
mod deny;
mod docs;
mod e2e;
mod faults;
mod fuzz;
mod guests;
mod parts;
mod peers;
mod process;
mod registry;
mod run;
mod stages;
mod suite;
mod test;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
cargo xtask VERB

  run              build and start the agent and its actuator as the present user; Ctrl-C stops both
  test [FILTER]    build the plugins, then every fast test of the workspace
  check            what to run before each commit: format, lints, layer rules, unit tests of the core
  ci               everything that has to be green, as .ci/run calls it, with the time of each stage
  e2e [FILTER]     the real binaries under a real systemd in a container tree (root, Debian)
  faults [FILTER]  the stores under kill -9, full and failing disks (root, strace)
  peers [FILTER]   the agent beside programs of others: OpenTelemetry's SDK, Prometheus, minisign, a flood of series
  registry [TEST]  plugins pushed to and installed from a real OCI registry (Debian)
  authors [LANG]   a new plugin in Rust, JavaScript and Python, from an empty folder to a report of the agent (npm, pip)
  bench [NAME]     what it costs, beside its peers: `bench plugins`, `bench telemetry`, each with `--json`; without a name, all
  bench detect     what the detector is worth on labelled series: `--data DIR`, `--out DIR` for its scores, `--json`
  bench contrast   how often a deployment that changed nothing is flagged, and one that did is noticed: `--data DIR`, `--json`
  fuzz [TARGET]    libFuzzer over loader, manifest and host calls, `--seconds N` each (30); builds everything once more
  fuzz --blind     seeded changes of the corpus instead, with what the tests have built: `--seed N`; part of `ci`
  guests           build the plugins and the test guests as WebAssembly components
  docs             rustdoc of the workspace; a warning is an error
  deny             licences, bans and sources of all dependencies (offline)
  deny advisories  known vulnerabilities (fetches the advisory database)
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::warn(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the crate lies in packaging/xtask")?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["run"] => run::run(root),
        ["test", rest @ ..] => test::run(root, rest),
        ["check"] => check::run(root),
        ["ci"] => ci::run(root),
        ["e2e", rest @ ..] => e2e::run(root, rest),
        ["faults", rest @ ..] => faults::run(root, rest),
        ["peers", rest @ ..] => peers::run(root, rest),
        ["authors", rest @ ..] => authors::run(root, rest),
        ["registry", rest @ ..] => registry::run(root, rest),
        ["fuzz", rest @ ..] => fuzz::run(root, rest),
        ["bench", rest @ ..] => bench::run(root, rest),
        ["guests"] => guests::build(root).map(|_| ()),
        ["docs"] => docs::run(root),
        ["deny"] => deny::run(root),
        ["deny", "advisories"] => deny::advisories(root),
        [] | ["help" | "--help" | "-h"] => {
            process::say(USAGE.trim_end());
            Ok(())
        }
        other => bail!("`cargo xtask {}` is not a command\n\n{USAGE}", other.join(" ")),
    }
}
