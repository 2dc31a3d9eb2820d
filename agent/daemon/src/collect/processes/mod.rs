//! Which programs of which units use the most CPU, memory, disk and open files, and how many processes are in which state.
//!
//! `sysinfo` lists the processes with their CPU and memory; the rest is read in [`one`]. Processes of one executable in one
//! unit or container count together: process ids would make a series of every short command. CPU is the share of all logical CPUs (0 to 1)
//! since the last look; I/O is the sum of what its processes were seen to do, short ones in part only.
//! A program has samples while it is among the top; no sample means that it isn't, not that it uses nothing. What the kernel
//! refuses to tell of any of its processes is absent. New names come slowly (see [`Names`]).

mod one;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

use holdfast_core::model::SeriesKey;

use super::cgroup::Owner;
use super::keyed::Keyed;
use super::names::Names;
use super::sink::{Cached, counter, gauge};
use super::{CollectError, Collector, Context, Reading};
use one::{Answer, Io};

/// A process may be moved to another unit during its life, which hardly any is: looked at again after so many looks.
const OWNER_AGAIN: u32 = 30;
/// Where open files have to be counted one by one, they are at every so many-th look.
const COUNT_FILES: u32 = 6;
/// Parent of all kernel threads.
const KTHREADD: u32 = 2;

/// What the processes of one program in one unit use together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Use {
    /// Share of all logical CPUs.
    pub(crate) cpu: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) count: u64,
    /// Read and written since the last look; `None` when it isn't told of all of them.
    pub(crate) io_bytes: Option<Io>,
    /// Open files; `None` when they aren't told of all of them.
    pub(crate) files: Option<u64>,
}

/// Pure: those among the first `top` by CPU, memory, I/O or open files, ties by name. What uses nothing isn't top.
pub(crate) fn top_of<'a>(all: &'a HashMap<Arc<str>, Use>, top: usize) -> BTreeMap<&'a Arc<str>, Use> {
    let measures: [fn(&Use) -> f64; 4] = [
        |used| used.cpu,
        |used| used.resident_bytes as f64,
        |used| used.io_bytes.map_or(0.0, |[read, written]| read as f64 + written as f64),
        |used| used.files.unwrap_or(0) as f64,
    ];
    let mut chosen = BTreeMap::new();
    let mut sorted: Vec<(&'a Arc<str>, Use)> = all.iter().map(|(name, used)| (name, *used)).collect();
    for measure in measures {
        sorted.sort_by(|a, b| measure(&b.1).total_cmp(&measure(&a.1)).then(a.0.cmp(b.0)));
        chosen.extend(sorted.iter().take(top).filter(|(_, used)| measure(used) > 0.0).copied());
    }
    chosen
}

/// One process, for as long as it lives.
struct Known {
    started_s: u64,
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
    system: Option<System>,
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
            system: None,
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
        process: &Process,
        size_is_count: bool,
        all: &mut HashMap<Arc<str>, Use>,
        cpus: f64,
    ) {
        let name = program_of(process, pid);
        let looks = self.looks;
        let known = self.known.get(&pid).filter(|known| {
            known.started_s == process.start_time()
                && known.name == name
                && looks.wrapping_sub(known.owner_at) < OWNER_AGAIN
        });
        if known.is_none() {
            let owner = if is_kernel_thread(process, pid) { None } else { one::owner(context, pid) };
            let program: Arc<str> = format!("{name}\n{owner:?}").into();
            *self.programs.of(&program) = Some((name.clone().into_owned(), owner));
            let before = self.known.remove(&pid).filter(|known| known.started_s == process.start_time());
            let (io, files) = before.map_or((Answer::Unknown, Answer::Unknown), |known| (known.io, known.files));
            // What a process did before it was first seen was done since the last look, except at the first one.
            let io = if io == Answer::Unknown && looks > 0 { Answer::Known([0, 0]) } else { io };
            self.known.insert(
                pid,
                Known {
                    started_s: process.start_time(),
                    name: name.into_owned(),
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
        let io_bytes = known.look_at_io(context, pid);
        known.look_at_files(context, pid, size_is_count, looks);
        let first = Use { io_bytes: Some([0, 0]), files: Some(0), ..Use::default() };
        let used = all.entry(Arc::clone(&known.program)).or_insert(first);
        used.cpu += f64::from(process.cpu_usage()) / 100.0 / cpus;
        used.resident_bytes += process.memory();
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
                    sink.put(&mut series.io[at], series.io_total[at] as f64, || {
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
    fn look_at_io(&mut self, context: &mut Context<'_>, pid: u32) -> Option<Io> {
        if self.io == Answer::Refused {
            return None;
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

fn is_kernel_thread(process: &Process, pid: u32) -> bool {
    pid == KTHREADD || process.parent().is_some_and(|parent| parent.as_u32() == KTHREADD)
}

/// The program's name; of a kernel thread without the CPU and the work that the kernel puts behind it.
fn program_of(process: &Process, pid: u32) -> std::borrow::Cow<'_, str> {
    let name = process.name().to_string_lossy();
    match name.split_once(['/', ':']) {
        Some((kind, _)) if is_kernel_thread(process, pid) => kind.to_owned().into(),
        _ => name,
    }
}

/// As the conventions name it; two that they don't have keep a name of their own.
fn state_of(status: ProcessStatus) -> &'static str {
    match status {
        ProcessStatus::Run => "running",
        ProcessStatus::Stop | ProcessStatus::Tracing => "stopped",
        ProcessStatus::Zombie | ProcessStatus::Dead => "defunct",
        ProcessStatus::Idle => "idle",
        ProcessStatus::UninterruptibleDiskSleep => "disk_sleep",
        _ => "sleeping",
    }
}

impl Collector for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let mut system = match self.system.take() {
            Some(system) => system,
            None => match System::new() {
                Ok(system) => system,
                Err(error) => return Ok(Reading::Absent { why: format!("processes cannot be listed: {error}") }),
            },
        };
        system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks(),
        );
        self.names.pass(self.every);
        let cpus = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let size_is_count = one::size_is_count(context);
        let mut all: HashMap<Arc<str>, Use> = HashMap::new();
        let mut states: BTreeMap<&'static str, u64> = self.states.keys().map(|state| (*state, 0)).collect();
        for (pid, process) in system.processes() {
            self.take(context, pid.as_u32(), process, size_is_count, &mut all, cpus);
            *states.entry(state_of(process.status())).or_default() += 1;
        }
        self.known.retain(|_, known| known.seen_at == self.looks);
        self.put(context, &all);
        for (state, count) in states {
            let series = self.states.entry(state).or_default();
            context
                .sink
                .put(series, count as f64, || gauge("system.process.count", "{process}", &[("process.state", state)]));
        }
        self.system = Some(system);
        self.looks = self.looks.wrapping_add(1);
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::fixtures::Numbers;
    use crate::collect::sink::Sink;
    use crate::host::FsRoot;

    fn uses(cpu: f64, resident_bytes: u64, io: u64, files: u64) -> Use {
        Use { cpu, resident_bytes, count: 1, io_bytes: Some([io, 0]), files: Some(files) }
    }

    #[test]
    fn the_top_by_each_measure_is_there() {
        let all: HashMap<Arc<str>, Use> = [
            ("spin", uses(0.9, 10, 0, 3)),
            ("hoard", uses(0.0, 1_000, 0, 3)),
            ("copy", uses(0.1, 20, 5_000, 3)),
            ("leak", uses(0.1, 20, 0, 900)),
            ("idle", uses(0.0, 5, 0, 3)),
        ]
        .into_iter()
        .map(|(name, used)| (name.into(), used))
        .collect();
        let names = |top| top_of(&all, top).into_keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(1), ["copy", "hoard", "leak", "spin"]);
        assert!(names(0).is_empty());
    }

    #[test]
    fn what_is_not_told_of_all_processes_ranks_as_nothing() {
        let unknown = Use { io_bytes: None, files: None, ..Use::default() };
        assert!(top_of(&HashMap::from([("hidden".into(), unknown)]), 5).is_empty());
    }

    fn look(processes: &mut Processes, sink: &mut Sink) -> BTreeMap<String, f64> {
        let fs = FsRoot::real();
        let mut context = Context { fs: &fs, text: &mut String::new(), sink };
        processes.collect(&mut context).unwrap();
        let batch = sink.take(holdfast_core::model::Timestamp::from_secs(0));
        let names: HashMap<_, _> = batch.new_series.iter().map(|(id, key)| (*id, key.to_string())).collect();
        batch.samples.iter().filter_map(|(id, value)| Some((names.get(id)?.clone(), *value))).collect()
    }

    #[test]
    fn this_very_process_is_counted() {
        let mut processes = Processes::new(Duration::from_secs(10), 1_000);
        let mut sink = Sink::new(Arc::new(Numbers::default()));
        let samples = look(&mut processes, &mut sink);
        let total: f64 =
            samples.iter().filter(|(key, _)| key.starts_with("system.process.count")).map(|(_, v)| v).sum();
        assert!(total >= 1.0, "{samples:?}");
        assert!(
            samples.iter().any(|(key, bytes)| key.starts_with("process.memory.usage") && *bytes > 0.0),
            "{samples:?}"
        );
        assert!(!samples.keys().any(|key| key.starts_with("process.cpu")), "no share before a second look");
        let mine = &processes.known[&std::process::id()];
        assert!(matches!(mine.files, Answer::Known(files) if files > 0), "{:?}", mine.files);
        assert!(mine.io != Answer::Refused, "one's own I/O is told: {:?}", mine.io);
        let later = look(&mut processes, &mut sink);
        assert!(later.keys().any(|key| key.starts_with("process.cpu.utilization")), "{later:?}");
        assert!(!samples.keys().any(|key| key.contains("pid")), "{samples:?}");
    }
}
