//! Which programs of which units use the most CPU, memory, disk and open files, and how many processes are in which state.
//!
//! `/proc/PID/stat` tells most of each process ([`ProcessStat`]), the rest is read in [`one`]. Processes of one executable in one
//! unit or container count together: process ids would make a series of every short command. CPU is the share of all logical CPUs (0 to 1)
//! since the last look, and a new process did all of it since then; I/O is the sum of what its processes were seen to do, short ones in part only.
//! A program has samples while it is among the top; no sample means that it isn't, not that it uses nothing. What the kernel
//! refuses to tell of any of its processes is absent. New names come slowly (see [`Names`]).

mod one;
mod top;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::SeriesKey;

use super::cgroup::Owner;
use super::keyed::Keyed;
use super::names::Names;
use super::process_stat::{KernelUnits, ProcessStat};
use super::sink::{Cached, counter, gauge};
use super::{CollectError, Collector, Context, Reading, uptime};
use crate::host::HeldFile;
pub(crate) use one::process_ids;
use one::{Answer, Io};
use top::{Use, top_of};

/// A process may be moved to another unit during its life, which hardly any is: looked at again after so many looks.
const OWNER_AGAIN: u32 = 30;
/// Where open files have to be counted one by one, they are at every so many-th look; so is the I/O of what used no CPU.
const COUNT_FILES: u32 = 6;

/// One process, for as long as it lives.
struct Known {
    started_ticks: u64,
    cpu_ticks: u64,
    name: String,
    program: Arc<str>,
    owner_at: u32,
    seen_at: u32,
    io: Answer<Io>,
    files: Answer<u64>,
}

#[derive(Debug, Default)]
struct Series {
    /// What is read and written is a counter: the sum of what was seen.
    io_total: Io,
    cpu: Cached,
    memory: Cached,
    count: Cached,
    io: [Cached; 2],
    files: Cached,
}

pub(crate) struct Processes {
    every: Duration,
    top: usize,
    uptime: HeldFile,
    /// When it was looked last, in seconds since boot.
    looked_at_s: f64,
    kernel: KernelUnits,
    looks: u32,
    known: HashMap<u32, Known>,
    /// Attributes of each program in its unit.
    programs: Keyed<Option<(String, Option<Owner>)>>,
    series: Keyed<Series>,
    names: Names,
    states: BTreeMap<&'static str, Cached>,
}

impl Processes {
    pub(crate) fn new(every: Duration, top: usize) -> Self {
        Self {
            every,
            top,
            uptime: HeldFile::record(uptime::PATH),
            looked_at_s: 0.0,
            kernel: KernelUnits::of_this_kernel(),
            looks: 0,
            known: HashMap::new(),
            programs: Keyed::new(),
            series: Keyed::new(),
            names: Names::new(),
            states: BTreeMap::new(),
        }
    }

    /// Adds one process to its program.
    fn take(
        &mut self,
        context: &mut Context<'_>,
        pid: u32,
        stat: &ProcessStat,
        size_is_count: bool,
        all: &mut HashMap<Arc<str>, Use>,
        all_ticks: f64,
    ) {
        let name = stat.program(pid);
        let looks = self.looks;
        let known = self.known.get(&pid).filter(|known| {
            known.started_ticks == stat.started_ticks
                && known.name == name
                && looks.wrapping_sub(known.owner_at) < OWNER_AGAIN
        });
        let new = known.is_none();
        if new {
            let owner = if stat.is_kernel_thread(pid) { None } else { one::owner(context, pid) };
            let program: Arc<str> = format!("{name}\n{owner:?}").into();
            *self.programs.of(&program) = Some((name.to_owned(), owner));
            let before = self.known.remove(&pid).filter(|known| known.started_ticks == stat.started_ticks);
            // What a process did before it was first seen was done since the last look, except at the first one.
            let cpu_ticks = if looks > 0 { 0 } else { stat.cpu_ticks() };
            let (cpu_ticks, io, files) =
                before.map_or((cpu_ticks, Answer::Unknown, Answer::Unknown), |it| (it.cpu_ticks, it.io, it.files));
            let io = if io == Answer::Unknown && looks > 0 { Answer::Known([0, 0]) } else { io };
            self.known.insert(
                pid,
                Known {
                    started_ticks: stat.started_ticks,
                    cpu_ticks,
                    name: name.to_owned(),
                    program,
                    owner_at: looks,
                    seen_at: looks,
                    io,
                    files,
                },
            );
        }
        let Some(known) = self.known.get_mut(&pid) else { return };
        known.seen_at = looks;
        let ticks = stat.cpu_ticks().saturating_sub(std::mem::replace(&mut known.cpu_ticks, stat.cpu_ticks()));
        let io_bytes = known.look_at_io(context, pid, new || ticks > 0 || looks.is_multiple_of(COUNT_FILES));
        known.look_at_files(context, pid, size_is_count, looks);
        let first = Use { io_bytes: Some([0, 0]), files: Some(0), ..Use::default() };
        let used = all.entry(Arc::clone(&known.program)).or_insert(first);
        used.cpu += if all_ticks > 0.0 { ticks as f64 / all_ticks } else { 0.0 };
        used.resident_bytes += stat.resident_pages.saturating_mul(self.kernel.page_bytes);
        used.count += 1;
        used.io_bytes =
            used.io_bytes.zip(io_bytes).map(|(a, b)| [a[0].saturating_add(b[0]), a[1].saturating_add(b[1])]);
        used.files = match known.files {
            Answer::Known(files) => used.files.map(|sum| sum.saturating_add(files)),
            Answer::Unknown | Answer::Refused => None,
        };
    }

    fn put(&mut self, context: &mut Context<'_>, all: &HashMap<Arc<str>, Use>) {
        self.series.next_round();
        self.programs.next_round();
        let top = top_of(all, self.top);
        for (program, used) in all {
            let Some((name, owner)) = self.programs.of(program).as_ref() else { continue };
            let series = self.series.of(program);
            if let Some(io) = used.io_bytes {
                series.io_total = [series.io_total[0].saturating_add(io[0]), series.io_total[1].saturating_add(io[1])];
            }
            if !top.contains_key(program) || !self.names.admit(program) {
                continue;
            }
            let of = |key: SeriesKey| with(key, name, owner.as_ref());
            let sink = &mut *context.sink;
            if self.looks > 0 {
                sink.put(&mut series.cpu, used.cpu, || of(gauge("process.cpu.utilization", "1", &[])));
            }
            let resident = used.resident_bytes as f64;
            sink.put(&mut series.memory, resident, || of(gauge("process.memory.usage", "By", &[])));
            let count = used.count as f64;
            sink.put(&mut series.count, count, || of(gauge("holdfast.process.instances", "{process}", &[])));
            if used.io_bytes.is_some() {
                for (at, direction) in ["read", "write"].into_iter().enumerate() {
                    sink.put_total(&mut series.io[at], series.io_total[at] as f64, || {
                        of(counter("process.disk.io", "By", &[("disk.io.direction", direction)]))
                    });
                }
            }
            if let Some(files) = used.files {
                sink.put(&mut series.files, files as f64, || {
                    of(gauge("process.unix.file_descriptor.count", "{file_descriptor}", &[]))
                });
            }
        }
    }
}

impl Known {
    /// What it read and wrote since the last look.
    fn look_at_io(&mut self, context: &mut Context<'_>, pid: u32, due: bool) -> Option<Io> {
        match self.io {
            Answer::Refused => return None,
            // Whoever used no CPU did hardly any, and what it did is seen later.
            Answer::Known(_) if !due => return Some([0, 0]),
            Answer::Known(_) | Answer::Unknown => {}
        }
        let before = std::mem::replace(&mut self.io, one::io(context, pid));
        match (before, self.io) {
            (Answer::Known(before), Answer::Known(now)) => {
                Some([now[0].saturating_sub(before[0]), now[1].saturating_sub(before[1])])
            }
            (_, Answer::Known(_)) => Some([0, 0]),
            _ => None,
        }
    }

    fn look_at_files(&mut self, context: &Context<'_>, pid: u32, size_is_count: bool, looks: u32) {
        let due = size_is_count || looks.is_multiple_of(COUNT_FILES);
        if due && self.files != Answer::Refused {
            self.files = one::files(context, pid, !size_is_count);
        }
    }
}

fn with(mut key: SeriesKey, name: &str, owner: Option<&Owner>) -> SeriesKey {
    key.attributes.insert("process.executable.name".to_owned(), name.to_owned());
    key.attributes.extend(owner.map(Owner::attributes).unwrap_or_default());
    key
}

impl Collector for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.uptime)? {
            return Ok(Reading::Absent { why: format!("no {}", uptime::PATH) });
        }
        let now_s = uptime::parse(context.text).map_err(|fault| fault.of(uptime::PATH))?;
        let since_s = now_s - std::mem::replace(&mut self.looked_at_s, now_s);
        // As many as all logical CPUs together have in that time.
        let all_ticks = since_s * self.kernel.ticks_per_second as f64 * one::cpus(context);
        self.names.pass(self.every);
        let size_is_count = one::size_is_count(context);
        let mut all: HashMap<Arc<str>, Use> = HashMap::new();
        let mut states: BTreeMap<&'static str, u64> = self.states.keys().map(|state| (*state, 0)).collect();
        let failed = |source| CollectError::Read { path: "/proc".to_owned(), source };
        for pid in process_ids(context.fs).map_err(failed)? {
            // What ended meanwhile is left out.
            let Some(stat) = one::stat(context, pid) else { continue };
            self.take(context, pid, &stat, size_is_count, &mut all, all_ticks);
            *states.entry(stat.state_name()).or_default() += 1;
        }
        self.known.retain(|_, known| known.seen_at == self.looks);
        self.put(context, &all);
        for (state, count) in states {
            let series = self.states.entry(state).or_default();
            context
                .sink
                .put(series, count as f64, || gauge("system.process.count", "{process}", &[("process.state", state)]));
        }
        self.looks = self.looks.wrapping_add(1);
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests;
