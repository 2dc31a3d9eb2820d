//! The executables that use the most CPU and memory, and how many processes are in which state, through `sysinfo`.
//!
//! Processes of one executable name count together: process ids would make a series of every short command.
//! CPU is the share of all logical CPUs (0 to 1) since the last look. An executable has samples while it is among the top;
//! no sample means that it isn't, not that it uses nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use super::keyed::Keyed;
use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, Reading};

/// What the processes of one executable use together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Use {
    /// Share of all logical CPUs.
    pub(crate) cpu: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) count: u64,
}

/// Pure: the names among the first `top` by CPU or by memory, ties by name. What uses nothing isn't top.
pub(crate) fn top_of(all: &HashMap<String, Use>, top: usize) -> BTreeMap<&str, Use> {
    let mut chosen = BTreeMap::new();
    let mut sorted: Vec<(&str, Use)> = all.iter().map(|(name, used)| (name.as_str(), *used)).collect();
    sorted.sort_by(|a, b| b.1.cpu.total_cmp(&a.1.cpu).then(a.0.cmp(b.0)));
    chosen.extend(sorted.iter().take(top).filter(|(_, used)| used.cpu > 0.0).copied());
    sorted.sort_by(|a, b| b.1.resident_bytes.cmp(&a.1.resident_bytes).then(a.0.cmp(b.0)));
    chosen.extend(sorted.iter().take(top).filter(|(_, used)| used.resident_bytes > 0).copied());
    chosen
}

#[derive(Debug, Default)]
struct Series {
    cpu: Cached,
    memory: Cached,
    count: Cached,
}

pub(crate) struct Processes {
    every: Duration,
    top: usize,
    system: Option<System>,
    looked_before: bool,
    series: Keyed<Series>,
    states: BTreeMap<String, Cached>,
}

impl Processes {
    pub(crate) fn new(every: Duration, top: usize) -> Self {
        Self { every, top, system: None, looked_before: false, series: Keyed::new(), states: BTreeMap::new() }
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
        let system = match &mut self.system {
            Some(system) => system,
            None => match System::new() {
                Ok(system) => self.system.insert(system),
                Err(error) => return Ok(Reading::Absent { why: format!("processes cannot be listed: {error}") }),
            },
        };
        system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks(),
        );
        let cpus = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
        let mut all: HashMap<String, Use> = HashMap::new();
        let mut states: BTreeMap<String, u64> = self.states.keys().map(|state| (state.clone(), 0)).collect();
        for process in system.processes().values() {
            let used = all.entry(process.name().to_string_lossy().into_owned()).or_default();
            used.cpu += f64::from(process.cpu_usage()) / 100.0 / cpus;
            used.resident_bytes += process.memory();
            used.count += 1;
            *states.entry(process.status().to_string().to_lowercase()).or_default() += 1;
        }
        self.series.next_round();
        for (name, used) in top_of(&all, self.top) {
            let series = self.series.of(name);
            let attributes = [("process.executable.name", name)];
            if self.looked_before {
                context.sink.put(&mut series.cpu, used.cpu, || gauge("process.cpu.utilization", "1", &attributes));
            }
            let bytes = used.resident_bytes as f64;
            context.sink.put(&mut series.memory, bytes, || gauge("process.memory.usage", "By", &attributes));
            context.sink.put(&mut series.count, used.count as f64, || {
                gauge("holdfast.process.instances", "{process}", &attributes)
            });
        }
        for (state, count) in states {
            let series = self.states.entry(state.clone()).or_default();
            context
                .sink
                .put(series, count as f64, || gauge("system.process.count", "{process}", &[("process.state", &state)]));
        }
        self.looked_before = true;
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;

    fn uses(cpu: f64, resident_bytes: u64) -> Use {
        Use { cpu, resident_bytes, count: 1 }
    }

    #[test]
    fn the_top_by_cpu_and_the_top_by_memory_are_both_there() {
        let all = HashMap::from([
            ("spin".to_owned(), uses(0.9, 10)),
            ("hoard".to_owned(), uses(0.0, 1_000)),
            ("both".to_owned(), uses(0.5, 500)),
            ("idle".to_owned(), uses(0.0, 5)),
        ]);
        assert_eq!(top_of(&all, 1).into_keys().collect::<Vec<_>>(), ["hoard", "spin"]);
        assert_eq!(top_of(&all, 2).into_keys().collect::<Vec<_>>(), ["both", "hoard", "spin"]);
        assert!(top_of(&all, 0).is_empty());
    }

    #[test]
    fn this_very_process_is_counted() {
        let mut processes = Processes::new(Duration::from_secs(10), 1_000);
        let samples = Trees::of("host").samples(&mut processes, 1);
        let total: f64 =
            samples.iter().filter(|(key, _)| key.starts_with("system.process.count")).map(|(_, v)| v).sum();
        assert!(total >= 1.0, "{samples:?}");
        assert!(
            samples.iter().any(|(key, bytes)| key.starts_with("process.memory.usage") && *bytes > 0.0),
            "{samples:?}"
        );
        assert!(!samples.keys().any(|key| key.starts_with("process.cpu")), "no share before a second look");
    }
}
