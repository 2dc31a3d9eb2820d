//! CPU time by mode, from `/proc/stat`.
//!
//! `system.cpu.time` is cumulative since boot, in seconds, of all logical CPUs together; `system.cpu.utilization` is the
//! share of each mode (0 to 1) since the last reading, and `holdfast.cpu.utilization` the share that was neither idle nor
//! waiting for I/O. The first reading has no utilization. Guest time is part of user and nice, as in the kernel.

use std::time::Duration;

use super::sink::{Cached, counter, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};

const PATH: &str = "/proc/stat";
/// In the order of [`Times`].
const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];
const IDLE: usize = 3;
const IOWAIT: usize = 4;

/// Clock ticks by mode, in the order of `MODES`.
pub(crate) type Times = [u64; MODES.len()];

/// What `/proc/stat` says of CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stat {
    /// All logical CPUs together.
    pub(crate) total: Times,
    /// Each logical CPU by its number.
    pub(crate) cores: Vec<(u32, Times)>,
    /// Boot, in seconds since the epoch.
    pub(crate) boot_s: Option<u64>,
}

/// Pure. Lines that don't concern CPUs are passed over.
pub(crate) fn parse(text: &str, per_core: bool) -> Result<Stat, ParseFault> {
    let mut stat = Stat::default();
    let mut total = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("cpu ") {
            total = Some(times(index, line, rest)?);
        } else if let Some(rest) = line.strip_prefix("cpu") {
            if per_core {
                let (core, rest) = rest.split_once(' ').ok_or_else(|| ParseFault::at(index, line, "no fields"))?;
                let core = core.parse().map_err(|_| ParseFault::at(index, line, "no CPU number"))?;
                stat.cores.push((core, times(index, line, rest)?));
            }
        } else if let Some(rest) = line.strip_prefix("btime ") {
            stat.boot_s = Some(number(index, line, Some(rest.trim()))?);
        }
    }
    stat.total = total.ok_or_else(|| ParseFault::whole("no line begins with `cpu `"))?;
    Ok(stat)
}

fn times(index: usize, line: &str, rest: &str) -> Result<Times, ParseFault> {
    // user nice system idle iowait irq softirq steal; kernels before 2.6.11 end earlier.
    let mut raw = [0_u64; 8];
    let mut count = 0;
    for (slot, field) in raw.iter_mut().zip(rest.split_ascii_whitespace()) {
        *slot = number(index, line, Some(field))?;
        count += 1;
    }
    if count < 4 {
        return Err(ParseFault::at(index, line, "fewer than four modes"));
    }
    Ok([raw[0], raw[1], raw[2], raw[3], raw[4], raw[5].saturating_add(raw[6]), raw[7]])
}

#[derive(Debug, Default)]
struct Modes {
    time: [Cached; MODES.len()],
    share: [Cached; MODES.len()],
    last: Option<Times>,
}

impl Modes {
    /// Puts the counters, and the shares since the last reading. Returns the busy share.
    fn put(&mut self, context: &mut Context<'_>, mut now: Times, core: Option<u32>, ticks: f64) -> Option<f64> {
        let last = self.last.replace(now);
        if let Some(last) = last {
            // The kernel lets iowait (and idle, on some machines) step back a little. That is no restart of the counter.
            let restarted =
                now.iter().copied().fold(0, u64::saturating_add) < last.iter().copied().fold(0, u64::saturating_add);
            if !restarted {
                for (now, last) in now.iter_mut().zip(last) {
                    *now = (*now).max(last);
                }
                self.last = Some(now);
            }
        }
        let core = core.map(|core| core.to_string());
        let attributes = |mode: usize| {
            let mut all = vec![("cpu.mode", MODES[mode])];
            all.extend(core.as_deref().map(|core| ("cpu.logical_number", core)));
            all
        };
        for (mode, spent) in now.into_iter().enumerate() {
            context
                .sink
                .put(&mut self.time[mode], spent as f64 / ticks, || counter("system.cpu.time", "s", &attributes(mode)));
        }
        let shares = shares(last?, now)?;
        for (mode, share) in shares.into_iter().enumerate() {
            context.sink.put(&mut self.share[mode], share, || gauge("system.cpu.utilization", "1", &attributes(mode)));
        }
        Some((1.0 - shares[IDLE] - shares[IOWAIT]).max(0.0))
    }
}

/// Share of each mode; `None` when no time has passed or the counters began again.
fn shares(last: Times, now: Times) -> Option<[f64; MODES.len()]> {
    let mut shares = [0.0; MODES.len()];
    let mut total = 0.0;
    for mode in 0..MODES.len() {
        shares[mode] = now[mode].checked_sub(last[mode])? as f64;
        total += shares[mode];
    }
    (total > 0.0).then(|| shares.map(|share| share / total))
}

pub(crate) struct Cpu {
    every: Duration,
    per_core: bool,
    ticks: f64,
    total: Modes,
    busy: Cached,
    boot: Cached,
    cores: Vec<Modes>,
}

impl Cpu {
    pub(crate) fn new(every: Duration, per_core: bool) -> Self {
        Self {
            every,
            per_core,
            ticks: rustix::param::clock_ticks_per_second() as f64,
            total: Modes::default(),
            busy: Cached::default(),
            boot: Cached::default(),
            cores: Vec::new(),
        }
    }
}

impl Collector for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.read(PATH)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        let stat = parse(context.text, self.per_core).map_err(|fault| fault.of(PATH))?;
        if let Some(busy) = self.total.put(context, stat.total, None, self.ticks) {
            context.sink.put(&mut self.busy, busy, || gauge("holdfast.cpu.utilization", "1", &[]));
        }
        if let Some(boot) = stat.boot_s {
            context.sink.put(&mut self.boot, boot as f64, || gauge("holdfast.host.boot_time", "s", &[]));
        }
        for (slot, (core, times)) in stat.cores.into_iter().enumerate() {
            if self.cores.len() <= slot {
                self.cores.push(Modes::default());
            }
            self.cores[slot].put(context, times, Some(core), self.ticks);
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_second_reading_has_the_shares_of_the_time_between() {
        let (mut trees, mut cpu) = (Trees::of("host"), Cpu::new(Duration::from_secs(1), false));
        let first = trees.samples(&mut cpu, 1);
        assert_eq!(first["system.cpu.time{cpu.mode=user}"], 1162.53);
        assert_eq!(first["system.cpu.time{cpu.mode=interrupt}"], 0.8);
        assert!(!first.contains_key("holdfast.cpu.utilization"), "{first:?}");
        let second = trees.samples(&mut cpu, 2);
        assert_eq!(second["system.cpu.utilization{cpu.mode=user}"], 0.25);
        assert_eq!(second["system.cpu.utilization{cpu.mode=idle}"], 0.5);
        assert_eq!(second["holdfast.cpu.utilization"], 0.45);
        assert_eq!(second["holdfast.host.boot_time"], 1_764_000_000.0);
    }

    #[test]
    fn after_a_reboot_there_is_no_spike() {
        let (mut trees, mut cpu) = (Trees::of("host"), Cpu::new(Duration::from_secs(1), false));
        trees.samples(&mut cpu, 2);
        let after = trees.samples(&mut cpu, 3);
        assert_eq!(after["system.cpu.time{cpu.mode=user}"], 1.0);
        assert!(!after.contains_key("system.cpu.utilization{cpu.mode=user}"), "{after:?}");
    }

    #[test]
    fn a_small_step_back_of_iowait_keeps_the_counter_growing() {
        assert_eq!(shares([0, 0, 0, 0, 5, 0, 0], [10, 0, 0, 0, 4, 0, 0]), None);
        let (mut trees, mut cpu) = (Trees::of("host"), Cpu::new(Duration::from_secs(1), false));
        cpu.total.last = Some([0, 0, 0, 0, 200_000, 0, 0]);
        let samples = trees.samples(&mut cpu, 1);
        assert_eq!(samples["system.cpu.time{cpu.mode=iowait}"], 2000.0);
    }

    #[test]
    fn each_core_has_its_own_series_when_asked() {
        let (mut trees, mut cpu) = (Trees::of("host"), Cpu::new(Duration::from_secs(1), true));
        let samples = trees.samples(&mut cpu, 1);
        assert_eq!(samples["system.cpu.time{cpu.logical_number=1,cpu.mode=user}"], 583.13);
    }

    #[test]
    fn the_error_names_the_line() {
        let fault = parse("intr 1\ncpu  1 2 x 4\n", false).unwrap_err();
        assert_eq!(fault.to_string(), "line 2: a field is missing or no whole number: `cpu  1 2 x 4`");
        assert_eq!(parse("", false).unwrap_err().line, 0);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(cpu|btime|intr)? ?[0-9]{0,20}[ \\n0-9a-z]{0,60}") {
            let _ = parse(&text, true);
        }
    }
}
