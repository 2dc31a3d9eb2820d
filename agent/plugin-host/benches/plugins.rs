//! What plugins cost: a call, a load, memory, and the end of one that does not end: `cargo xtask bench plugins [--json]`.
//!
//! All in one run, one after the other, medians. The guest is the hostile one behaving itself: configured, run, with nine host calls and
//! a log line, beside a shell that does nothing and beside Extism with a plugin that does nothing. The endless loop has 100 ms, beside
//! `timeout` with a shell that does the same and beside Extism. A load is told with the compiler, which is what a plugin costs that
//! was not seen before, and without, which is what it costs at each start: its digest, the seal and the mapping. Memory is that of a process
//! of its own that has loaded so many compiled plugins and called each of them once.
//!
//! Extism's own version of wasmtime stays out of Cargo.lock: its library comes from PyPI, which `cargo xtask bench plugins` fetches once.
//! Without `HOLDFAST_BENCH_EXTISM`, the Python that has it, those two lines are missing.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a measuring tool prints, reads a clock and starts its peer"
)]

#[path = "../../benches/figures.rs"]
mod figures;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use figures::{Figure, Goal};
use holdfast_plugin_host::{
    Artifact, CacheKey, ComponentDigest, Grant, HostOptions, Limits, Plugin, PluginHost, World, compile,
};

/// Before each figure's name.
const GROUP: &str = "plugins";
const CALLS: usize = 2_000;
const STARTS: usize = 300;
const LOADS: usize = 20;
const KILLS: usize = 20;
const KILL_AFTER: Duration = Duration::from_millis(100);
/// How many plugins a process loads.
const LOADED: [usize; 3] = [1, 10, 50];
/// A plugin of this repository, of middling size.
const PLUGIN: &str = "plugins/unit-medic.wasm";
/// The argument of the process that only loads plugins.
const LOAD_ONLY: &str = "--load-only";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn median_us(times: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let started = Instant::now();
        work()?;
        took.push(started.elapsed());
    }
    took.sort();
    took.get(times / 2).map(|it| it.as_secs_f64() * 1e6).ok_or_else(|| "nothing was measured".into())
}

fn ends_well(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", command.get_program().display()).into())
    }
}

/// What Extism takes, in seconds by name; empty where it is not there.
fn extism() -> Result<BTreeMap<String, f64>> {
    let Some(python) = std::env::var_os("HOLDFAST_BENCH_EXTISM") else { return Ok(BTreeMap::new()) };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/extism.py");
    let out = Command::new(python).arg(script).output()?;
    if !out.status.success() {
        return Err(format!("extism.py: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    let line = |line: &str| line.split_once(' ').and_then(|(name, took)| Some((name.to_owned(), took.parse().ok()?)));
    Ok(String::from_utf8(out.stdout)?.lines().filter_map(line).collect())
}

/// A call, and a shell.
fn calls(extism: &BTreeMap<String, f64>) -> Result<Vec<Figure>> {
    let world = Arc::new(support::TestWorld::new()) as Arc<dyn World>;
    let plugin = support::hostile("ten host calls", "/srv/app");
    let ours = median_us(CALLS, || Ok(plugin.check(&support::run(), &world).result.map(drop)?))?;
    let shell = median_us(STARTS, || ends_well(Command::new("/bin/sh").args(["-c", ":"])))?;
    let fresh = Figure::new("fresh_call", ours, "us", Goal::AtMost(40.0));
    let beside = extism.get("fresh_call").map(|peer| fresh.beside("extism", peer * 1e6));
    Ok([fresh.beside("sh", shell)].into_iter().chain(beside).chain([fresh]).collect())
}

/// The secret of this run's seals.
fn key() -> CacheKey {
    CacheKey::new([7; 32])
}

fn artifact(host: &PluginHost, component: &[u8]) -> Artifact {
    host.artifact(ComponentDigest::of(component), &key())
}

/// Checked, compiled and linked; and from what was compiled before.
fn loads() -> Result<Vec<Figure>> {
    let (component, host) = (support::guest(PLUGIN), PluginHost::new(HostOptions::default())?);
    let compiling = median_us(LOADS, || Ok(host.load(&component, None).map(drop)?))?;
    let sealed = compile(&component, &artifact(&host, &component).key)?;
    let mapping = median_us(CALLS, || {
        Ok(host.load_sealed(&component, &sealed, &artifact(&host, &component), None).map(drop)?)
    })?;
    let compiling = Figure::new("load_compiling", compiling / 1e3, "ms", Goal::None);
    Ok(vec![compiling, Figure::new("load_compiled", mapping, "us", Goal::AtMost(1_000.0))])
}

/// An endless loop with 100 ms, from the call to the answer.
fn kills(extism: &BTreeMap<String, f64>) -> Result<Vec<Figure>> {
    let limits = Limits { deadline: KILL_AFTER, ..Limits::default() };
    let host = PluginHost::new(HostOptions { limits })?;
    let grant = Grant::parse("[settings]\ndeed = \"loop\"\n")?;
    let plugin: Plugin = host.load(&support::guest("guests/hostile.wasm"), Some(grant))?;
    let world = Arc::new(support::TestWorld::new()) as Arc<dyn World>;
    let ours = median_us(KILLS, || match plugin.check(&support::run(), &world).result {
        Ok(_) => Err("an endless loop ended".into()),
        Err(_) => Ok(()),
    })?;
    let peer = median_us(KILLS, || {
        // 124: it ran out of time.
        match Command::new("timeout").args(["-s", "KILL", "0.1", "/bin/sh", "-c", "while :; do :; done"]).status()? {
            status if status.success() => Err("an endless loop ended".into()),
            _ => Ok(()),
        }
    })?;
    let kill = Figure::new("kill_latency", ours / 1e3, "ms", Goal::AtMost(120.0));
    let beside = extism.get("kill_latency").map(|peer| kill.beside("extism", peer * 1e3).only_shown());
    Ok([kill.beside("timeout", peer / 1e3).only_shown()].into_iter().chain(beside).chain([kill]).collect())
}

/// Resident memory of this process in KiB.
fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Loads what was compiled so many times, has each of them called once, and says what this process holds.
fn load_only(count: usize, sealed: &Path) -> Result<()> {
    let (component, host) = (support::guest("guests/hostile.wasm"), PluginHost::new(HostOptions::default())?);
    let artifact = artifact(&host, &component);
    let world = Arc::new(support::TestWorld::new()) as Arc<dyn World>;
    let mut plugins = Vec::with_capacity(count);
    for _ in 0..count {
        let grant = Grant::parse("[settings]\ndeed = \"nothing\"\n")?;
        let plugin = host.load_sealed(&component, &std::fs::read(sealed)?, &artifact, Some(grant))?;
        plugin.check(&support::run(), &world).result?;
        plugins.push(plugin);
    }
    println!("{}", resident_kib()?);
    Ok(())
}

fn memory() -> Result<Vec<Figure>> {
    let (mut figures, mut kib) = (Vec::new(), Vec::new());
    let (component, host) = (support::guest("guests/hostile.wasm"), PluginHost::new(HostOptions::default())?);
    let dir = tempfile::tempdir()?;
    let sealed = dir.path().join("sealed");
    std::fs::write(&sealed, compile(&component, &artifact(&host, &component).key)?)?;
    for count in LOADED {
        let out = Command::new(std::env::current_exe()?).args([LOAD_ONLY, &count.to_string()]).arg(&sealed).output()?;
        let ours: f64 = String::from_utf8(out.stdout)?.trim().parse()?;
        // Of the whole agent with ten plugins; this process is the plugins alone.
        let goal = if count == 10 { Goal::AtMost(40.0) } else { Goal::None };
        figures.push(Figure::new(&format!("resident_with_{count}"), ours / 1024.0, "MiB", goal));
        kib.push(ours);
    }
    let [_, ten, fifty] = kib.as_slice() else { return Err("three sizes are measured".into()) };
    figures.push(Figure::new("resident_each", (fifty - ten) / 40.0, "KiB", Goal::None));
    Ok(figures)
}

fn measure() -> Result<Vec<Figure>> {
    let extism = extism()?;
    let mut figures = calls(&extism)?;
    figures.extend(loads()?);
    figures.extend(kills(&extism)?);
    figures.extend(memory()?);
    Ok(figures)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let told = match args.iter().position(|arg| arg == LOAD_ONLY) {
        Some(at) => match args.get(at + 1..) {
            Some([count, sealed, ..]) => {
                count.parse().map_err(Into::into).and_then(|count| load_only(count, Path::new(sealed)))
            }
            _ => Err("how many, and of what?".into()),
        },
        None => measure().map(|figures| {
            for figure in figures {
                println!("{}", if args.iter().any(|arg| arg == "--json") { figure.json() } else { figure.text() });
            }
        }),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
