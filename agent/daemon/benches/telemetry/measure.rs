//! Clocks, and what the kernel has counted for a process.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

fn clock(id: ClockId) -> Duration {
    let at = clock_gettime(id);
    Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
}

/// CPU time of this process without the thread that calls: what the store's own threads have used.
pub(crate) fn cpu_of_others() -> Duration {
    clock(ClockId::ProcessCPUTime).saturating_sub(clock(ClockId::ThreadCPUTime))
}

pub(crate) fn cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// User and system time of a process, in steps of a hundredth of a second.
pub(crate) fn cpu_of(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after) = text.rsplit_once(')').ok_or("a process without a name")?;
    let field = |n: usize| after.split_whitespace().nth(n).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_secs_f64((field(11) + field(12)) as f64 / ticks as f64))
}

fn field(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|rest| rest.split_whitespace().next()).and_then(|value| value.parse().ok());
    Ok(value.ok_or_else(|| format!("`{path}` has no `{name}`"))?)
}

/// Bytes given to `write` and its kin.
pub(crate) fn written(process: &str) -> Result<u64> {
    field(&format!("/proc/{process}/io"), "wchar:")
}

pub(crate) fn resident_mib(process: &str) -> Result<f64> {
    Ok(field(&format!("/proc/{process}/status"), "VmRSS:")? as f64 / 1_024.0)
}

/// Bytes of all files below a path.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return path.metadata().map_or(0, |m| m.len()) };
    entries.filter_map(std::result::Result::ok).map(|entry| bytes_below(&entry.path())).sum()
}

/// Medians of wall and CPU time of `work`.
pub(crate) fn medians(
    times: usize,
    cpu_now: impl Fn() -> Result<Duration>,
    mut work: impl FnMut() -> Result<()>,
) -> Result<(Duration, Duration)> {
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let (started, before) = (Instant::now(), cpu_now()?);
        work()?;
        wall.push(started.elapsed());
        cpu.push(cpu_now()?.saturating_sub(before));
    }
    wall.sort();
    cpu.sort();
    let middle = |of: &[Duration]| of.get(of.len() / 2).copied().ok_or("nothing was measured");
    Ok((middle(&wall)?, middle(&cpu)?))
}
