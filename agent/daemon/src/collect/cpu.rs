//! CPU time by mode and what the scheduler does, from `/proc/stat`.
//!
//! `system.cpu.time` is cumulative since boot, in seconds, of all logical CPUs together; `system.cpu.utilization` is the
//! share of each mode (0 to 1) since the last reading, and `holdfast.cpu.utilization` the share that was neither idle nor
//! waiting for I/O. The first reading has no utilization. Guest time is part of user and nice, as in the kernel.
//! `holdfast.cpu.core.utilization` is that share of each logical CPU, so that one busy CPU among many is seen; the modes of
//! each are `per-core`. A CPU that is taken offline just ends. Switches, interrupts and forks are counters since boot.

use std::time::Duration;

use holdfast_core::model::SeriesKey;

use super::sink::{Cached, Figure, Sink, counter, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};
use crate::host::HeldFile;

const PATH: &str = "/proc/stat";
/// In the order of [`Times`].
const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];
const IDLE: usize = 3;
const IOWAIT: usize = 4;
/// Logical CPUs with series of their own; a machine with more has them in the sum only.
const CORES_MAX: usize = 512;
/// Lines by their first word, of which the first number is kept.
const LINES: [(&str, Figure); 6] = [
    ("ctxt", Figure::counter("holdfast.cpu.context_switches", "{switch}", &[])),
    ("intr", Figure::counter("holdfast.cpu.interrupts", "{interrupt}", &[("holdfast.cpu.interrupt_kind", "hard")])),
    ("softirq", Figure::counter("holdfast.cpu.interrupts", "{interrupt}", &[("holdfast.cpu.interrupt_kind", "soft")])),
    ("processes", Figure::counter("system.process.created", "{process}", &[])),
    ("procs_running", Figure::gauge("holdfast.cpu.tasks", "{task}", &[("holdfast.cpu.task_state", "runnable")])),
    ("procs_blocked", Figure::gauge("holdfast.cpu.tasks", "{task}", &[("holdfast.cpu.task_state", "blocked")])),
];

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
    /// In the order of `LINES`.
    pub(crate) counts: [Option<u64>; LINES.len()],
}

/// Pure. Lines that aren't wanted are passed over; `stat` is filled anew and keeps its room.
pub(crate) fn parse(text: &str, stat: &mut Stat) -> Result<(), ParseFault> {
    *stat = Stat { cores: std::mem::take(&mut stat.cores), ..Stat::default() };
    stat.cores.clear();
    let mut total = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("cpu ") {
            total = Some(times(index, line, rest)?);
        } else if let Some(rest) = line.strip_prefix("cpu") {
            let (core, rest) = rest.split_once(' ').ok_or_else(|| ParseFault::at(index, line, "no fields"))?;
            let core = core.parse().map_err(|_| ParseFault::at(index, line, "no CPU number"))?;
            stat.cores.push((core, times(index, line, rest)?));
        } else if let Some((word, rest)) = line.split_once(' ') {
            if word == "btime" {
                stat.boot_s = Some(number(index, line, Some(rest.trim()))?);
            } else if let Some(at) = LINES.iter().position(|(wanted, ..)| *wanted == word) {
                stat.counts[at] = Some(number(index, line, rest.split(' ').next())?);
            }
        }
    }
    stat.total = total.ok_or_else(|| ParseFault::whole("no line begins with `cpu `"))?;
    Ok(())
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
    busy: Cached,
    last: Option<Times>,
}

impl Modes {
    /// Takes a reading: the times, never less than before, and the shares since the last one.
    fn take(&mut self, mut now: Times) -> (Times, Option<[f64; MODES.len()]>) {
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
        (now, last.and_then(|last| shares(last, now)))
    }

    /// Puts every mode.
    fn put(
        &mut self,
        sink: &mut Sink,
        core: Option<u32>,
        times: Times,
        shares: Option<[f64; MODES.len()]>,
        ticks: f64,
    ) {
        for mode in 0..MODES.len() {
            let spent = times[mode] as f64 / ticks;
            sink.put(&mut self.time[mode], spent, || of_mode(counter("system.cpu.time", "s", &[]), mode, core));
            if let Some(shares) = shares {
                let key = || of_mode(gauge("system.cpu.utilization", "1", &[]), mode, core);
                sink.put(&mut self.share[mode], shares[mode], key);
            }
        }
    }
}

fn of_mode(mut key: SeriesKey, mode: usize, core: Option<u32>) -> SeriesKey {
    key.attributes.insert("cpu.mode".to_owned(), MODES[mode].to_owned());
    of_core(key, core)
}

fn of_core(mut key: SeriesKey, core: Option<u32>) -> SeriesKey {
    key.attributes.extend(core.map(|core| ("cpu.logical_number".to_owned(), core.to_string())));
    key
}

fn busy(shares: [f64; MODES.len()]) -> f64 {
    (1.0 - shares[IDLE] - shares[IOWAIT]).max(0.0)
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
    file: HeldFile,
    stat: Stat,
    total: Modes,
    boot: Cached,
    counts: [Cached; LINES.len()],
    /// By number, because CPUs come and go.
    cores: Vec<Modes>,
}

impl Cpu {
    pub(crate) fn new(every: Duration, per_core: bool) -> Self {
        Self {
            every,
            per_core,
            ticks: rustix::param::clock_ticks_per_second() as f64,
            file: HeldFile::record(PATH),
            stat: Stat::default(),
            total: Modes::default(),
            boot: Cached::default(),
            counts: Default::default(),
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
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        parse(context.text, &mut self.stat).map_err(|fault| fault.of(PATH))?;
        let (times, shares) = self.total.take(self.stat.total);
        self.total.put(context.sink, None, times, shares, self.ticks);
        if let Some(shares) = shares {
            let key = || gauge("holdfast.cpu.utilization", "1", &[]);
            context.sink.put(&mut self.total.busy, busy(shares), key);
        }
        if let Some(boot) = self.stat.boot_s {
            context.sink.put(&mut self.boot, boot as f64, || gauge("holdfast.host.boot_time", "s", &[]));
        }
        for ((series, count), (_, figure)) in self.counts.iter_mut().zip(self.stat.counts).zip(LINES) {
            if let Some(count) = count {
                context.sink.put(series, count as f64, || figure.key());
            }
        }
        for (core, times) in self.stat.cores.iter().copied() {
            let slot = core as usize;
            if slot >= CORES_MAX {
                continue;
            }
            if self.cores.len() <= slot {
                self.cores.resize_with(slot + 1, Modes::default);
            }
            let modes = &mut self.cores[slot];
            let (times, shares) = modes.take(times);
            if let Some(shares) = shares {
                let key = || of_core(gauge("holdfast.cpu.core.utilization", "1", &[]), Some(core));
                context.sink.put(&mut modes.busy, busy(shares), key);
            }
            if self.per_core {
                modes.put(context.sink, Some(core), times, shares, self.ticks);
            }
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
    fn one_busy_core_is_seen_without_the_modes_of_each() {
        let (mut trees, mut cpu) = (Trees::of("host"), Cpu::new(Duration::from_secs(1), false));
        trees.samples(&mut cpu, 1);
        let second = trees.samples(&mut cpu, 5);
        assert_eq!(second["holdfast.cpu.core.utilization{cpu.logical_number=0}"], 0.9);
        assert_eq!(second["holdfast.cpu.core.utilization{cpu.logical_number=1}"], 0.0);
        assert!(!second.contains_key("system.cpu.time{cpu.logical_number=0,cpu.mode=user}"), "{second:?}");
    }

    #[test]
    fn a_core_that_went_offline_leaves_the_others_their_series() {
        let mut cpu = Cpu::new(Duration::from_secs(1), true);
        let mut stat = Stat::default();
        parse("cpu 4 0 0 4\ncpu0 2 0 0 2\ncpu1 2 0 0 2\n", &mut stat).unwrap();
        assert_eq!(stat.cores.len(), 2);
        parse("cpu 4 0 0 4\ncpu1 2 0 0 2\n", &mut stat).unwrap();
        assert_eq!(stat.cores, [(1, [2, 0, 0, 2, 0, 0, 0])]);
        let mut trees = Trees::of("host");
        trees.samples(&mut cpu, 1);
        let alone = trees.samples(&mut cpu, 4);
        assert_eq!(alone["system.cpu.time{cpu.logical_number=1,cpu.mode=user}"], 583.14);
        assert!(!alone.contains_key("system.cpu.time{cpu.logical_number=0,cpu.mode=user}"), "{alone:?}");
    }

    #[test]
    fn switches_interrupts_forks_and_tasks_are_told() {
        let samples = Trees::of("host").samples(&mut Cpu::new(Duration::from_secs(1), false), 1);
        assert_eq!(samples["holdfast.cpu.context_switches"], 587_834.0);
        assert_eq!(samples["holdfast.cpu.interrupts{holdfast.cpu.interrupt_kind=hard}"], 675_335.0);
        assert_eq!(samples["system.process.created"], 16_500.0);
        assert_eq!(samples["holdfast.cpu.tasks{holdfast.cpu.task_state=runnable}"], 1.0);
    }

    #[test]
    fn the_error_names_the_line() {
        let fault = parse("intr 1\ncpu  1 2 x 4\n", &mut Stat::default()).unwrap_err();
        assert_eq!(fault.to_string(), "line 2: a field is missing or no whole number: `cpu  1 2 x 4`");
        assert_eq!(parse("", &mut Stat::default()).unwrap_err().line, 0);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(cpu|btime|intr)? ?[0-9]{0,20}[ \\n0-9a-z]{0,60}") {
            let _ = parse(&text, &mut Stat::default());
        }
    }
}
