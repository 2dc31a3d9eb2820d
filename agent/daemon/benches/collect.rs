//! What measuring costs: `cargo xtask bench collect [--json]`.
//!
//! CPU time of this thread, not wall time, so that a busy machine disturbs less. The peer is a limit that is measured in
//! the same run: `pread` of the same files without looking at what they hold, and `sysinfo` alone listing the processes. The clock of
//! the collectors is advanced by a second a round, so that slow ones run as seldom as they do on a host.

#![expect(clippy::print_stdout, reason = "a measuring tool prints")]

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast::collect::sink::Intern;
use holdfast::collect::{CollectConfig, Collectors};
use holdfast::host::{FakeClock, FsRoot};
use holdfast_core::model::{SeriesId, SeriesKey, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

const ROUNDS: u32 = 300;
/// Rounds before measuring: series get their numbers, files are opened.
const WARM: u32 = 30;
const LOOKS: u32 = 30;
/// What the collectors that run every second read, twice where a listing has to be read to its end.
const EVERY_SECOND: [&str; 18] = [
    "/proc/stat",
    "/proc/meminfo",
    "/proc/vmstat",
    "/proc/vmstat",
    "/proc/pressure/cpu",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/proc/pressure/irq",
    "/proc/diskstats",
    "/proc/net/dev",
    "/proc/net/sockstat",
    "/proc/net/sockstat6",
    "/proc/net/snmp",
    "/proc/net/netstat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/self/stat",
    "/proc/self/stat",
];
const SELDOM: [&str; 8] =
    ["filesystem", "connections", "limits", "clock", "temperature", "hardware", "cgroup", "processes"];

#[derive(Default)]
struct Numbers(Mutex<HashMap<SeriesKey, u32>>);

impl Intern for Numbers {
    fn intern(&self, key: &SeriesKey) -> (SeriesId, bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let id = *known.entry(key.clone()).or_insert(next);
        (SeriesId(id), id == next)
    }
}

/// Microseconds of CPU that this thread has used.
fn cpu_us() -> f64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as f64 * 1e6 + spent.tv_nsec as f64 / 1e3
}

/// CPU microseconds a round, and samples a round.
fn collected(config: CollectConfig) -> (f64, f64) {
    let clock = Arc::new(FakeClock::default());
    let mut all = Collectors::with_clock(FsRoot::real(), Arc::new(Numbers::default()), config, clock.clone());
    let mut started = 0.0;
    let mut samples = 0;
    for round in 0..WARM + ROUNDS {
        if round == WARM {
            (started, samples) = (cpu_us(), 0);
        }
        samples += black_box(all.collect(Timestamp::from_secs(i64::from(round)))).samples.len();
        clock.advance(Duration::from_secs(1));
    }
    ((cpu_us() - started) / f64::from(ROUNDS), samples as f64 / f64::from(ROUNDS))
}

/// CPU microseconds to read every file once from its beginning, kept open.
fn bare_reads() -> f64 {
    let mut files: Vec<File> = EVERY_SECOND.iter().filter_map(|path| File::open(path).ok()).collect();
    let mut room = vec![0; 64 * 1024];
    let mut started = 0.0;
    for round in 0..WARM + ROUNDS {
        if round == WARM {
            started = cpu_us();
        }
        for file in &mut files {
            black_box(file.read_at(&mut room, 0).unwrap_or(0));
        }
    }
    (cpu_us() - started) / f64::from(ROUNDS)
}

/// CPU microseconds for one look at all processes by `sysinfo` alone.
fn listed() -> Option<f64> {
    let mut system = System::new().ok()?;
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    let mut started = 0.0;
    for look in 0..=LOOKS {
        if look == 1 {
            started = cpu_us();
        }
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    }
    Some((cpu_us() - started) / f64::from(LOOKS))
}

/// Everything off but these.
fn only(names: &[&str]) -> CollectConfig {
    let all = ["cpu", "memory", "vmstat", "pressure", "disk", "network", "sockets", "load", "self", "uptime"];
    let off = all.iter().chain(&SELDOM).filter(|name| !names.contains(name)).map(|name| (*name).to_owned()).collect();
    CollectConfig { off, ..CollectConfig::default() }
}

struct Figure {
    name: &'static str,
    what: String,
    ours: f64,
    peer: f64,
    unit: &'static str,
    goal: f64,
}

fn figures() -> Option<Vec<Figure>> {
    let off = SELDOM.map(str::to_owned).to_vec();
    let (second_us, second_samples) = collected(CollectConfig { off, ..CollectConfig::default() });
    let bare_us = bare_reads();
    let (all_us, all_samples) = collected(CollectConfig::default());
    let listed_us = listed()?;
    // Processes are looked at every tenth round.
    let (processes_us, _) = collected(only(&["processes"]));
    let mut figures = vec![
        Figure {
            name: "collect_second",
            what: format!("{second_samples:.0} samples of every second, {second_us:.0} us, beside bare reads"),
            ours: second_us / second_samples,
            peer: bare_us / second_samples,
            unit: "us/sample",
            goal: 1.0,
        },
        Figure {
            name: "collect_all",
            what: format!("{all_samples:.0} samples a second as configured by default, {all_us:.0} us"),
            ours: all_us / all_samples,
            peer: (bare_us + listed_us / 10.0) / all_samples,
            unit: "us/sample",
            goal: 2.0,
        },
        Figure {
            name: "collect_processes",
            what: "a look at all processes, beside `sysinfo` alone".to_owned(),
            ours: processes_us * 10.0,
            peer: listed_us,
            unit: "us/look",
            goal: listed_us * 2.0,
        },
    ];
    let (cgroup_us, cgroup_samples) =
        collected(CollectConfig { cgroups_every: holdfast_core::model::Interval::secs(1), ..only(&["cgroup"]) });
    if cgroup_samples > 0.0 {
        figures.push(Figure {
            name: "collect_cgroups",
            what: format!("{cgroup_samples:.0} samples of units and containers, {cgroup_us:.0} us, read every second"),
            ours: cgroup_us / cgroup_samples,
            peer: bare_us / second_samples,
            unit: "us/sample",
            goal: 2.0,
        });
    }
    Some(figures)
}

fn main() {
    let json = std::env::args().any(|arg| arg == "--json");
    let Some(figures) = figures() else {
        println!("processes cannot be listed: nothing was measured");
        std::process::exit(1);
    };
    for Figure { name, what, ours, peer, unit, goal } in figures {
        let (ratio, met) = (ours / peer, ours <= goal);
        if json {
            println!(
                "{{\"name\":\"{name}\",\"ours\":{ours:.3},\"peer\":{peer:.3},\"unit\":\"{unit}\",\"ratio\":{ratio:.3},\"goal\":{goal:.3},\"met\":{met}}}"
            );
        } else {
            println!("{name}: {what}");
            println!(
                "  {ours:.2} {unit}, the limit {peer:.2}, ratio {ratio:.2}; the goal of {goal:.2} is {}",
                if met { "met" } else { "missed" }
            );
        }
    }
}
