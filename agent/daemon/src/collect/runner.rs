//! Runs the collectors that are due, each in its own fence, and knows what each one costs.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{SampleBatch, Timestamp};

use super::sink::{Cached, Intern, Sink, gauge};
use super::{
    CollectConfig, CollectError, Collector, Context, PluginBooks, Reading, cgroup, clock_sync, connections, cpu, disk,
    filesystem, hardware, limits, load, memory, network, plugins, pressure, processes, self_process, sockets,
    temperature, uptime, vmstat,
};
use crate::host::{Clock, FsRoot, SystemClock};

/// How one collector is doing.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CollectorReport {
    /// `cpu`, `filesystem`, …
    pub name: String,
    /// Label of its last run.
    pub last_run: Option<Timestamp>,
    /// Time that the last run took.
    pub cost: Duration,
    /// Time that all runs took together.
    pub cost_total: Duration,
    /// Runs so far, failed ones included.
    pub runs: u64,
    /// Failed runs so far, panics included.
    pub errors: u64,
    /// The last failure, with its cause; stays after a recovery, see `failing`.
    pub last_error: Option<String>,
    /// Whether the last run failed.
    pub failing: bool,
    /// Why this host has nothing to read, when that is so.
    pub absent: Option<String>,
}

struct Slot {
    collector: Box<dyn Collector>,
    due: Duration,
    report: CollectorReport,
}

/// All collectors of this host.
pub struct Collectors {
    fs: FsRoot,
    clock: Arc<dyn Clock>,
    slots: Vec<Slot>,
    sink: Sink,
    text: String,
    units: BTreeMap<String, (u64, Cached)>,
    clock_told: Arc<clock_sync::ClockTold>,
}

impl Collectors {
    /// Those that the configuration leaves on, with the machine's clock.
    pub fn new(fs: FsRoot, registry: Arc<dyn Intern>, config: CollectConfig) -> Self {
        Self::with_clock(fs, registry, config, Arc::new(SystemClock::new()))
    }

    /// The same with a clock of the caller's.
    pub fn with_clock(fs: FsRoot, registry: Arc<dyn Intern>, config: CollectConfig, clock: Arc<dyn Clock>) -> Self {
        let (every, slow) = (config.every.0, config.slow_every.0);
        let told = Arc::new(clock_sync::ClockTold::default());
        let mut all: Vec<Box<dyn Collector>> = vec![
            Box::new(cpu::Cpu::new(every, config.per_core)),
            Box::new(memory::Memory::new(every)),
            Box::new(vmstat::Vmstat::new(every)),
            Box::new(pressure::Pressure::new(every)),
            Box::new(disk::Disk::new(every)),
            Box::new(filesystem::Filesystem::new(config.filesystems_every.0)),
            Box::new(network::Network::new(every)),
            Box::new(sockets::Sockets::new(every)),
            Box::new(connections::Connections::new(slow * 6)),
            Box::new(limits::Limits::new(slow)),
            Box::new(clock_sync::ClockSync::new(slow, Arc::clone(&told))),
            Box::new(temperature::Temperature::new(slow)),
            Box::new(hardware::Hardware::new(slow * 6)),
            Box::new(load::Load::new(every)),
            Box::new(self_process::SelfProcess::new(every)),
            Box::new(uptime::Uptime::new(every)),
        ];
        if config.units_max > 0 || config.containers_max > 0 {
            let bounds = (config.units_max, config.containers_max);
            all.push(Box::new(cgroup::Cgroup::new(config.cgroups_every.0, bounds.0, bounds.1)));
        }
        if config.processes_top > 0 && fs.is_real() {
            all.push(Box::new(processes::Processes::new(config.processes_every.0, config.processes_top)));
        }
        all.retain(|collector| !config.off.iter().any(|name| name == collector.name()));
        Self { clock_told: told, ..Self::of(fs, registry, clock, all) }
    }

    /// Where to say what the bus tells of the clock; `None` when nobody reads it.
    pub fn clock_told(&self) -> Option<Arc<clock_sync::ClockTold>> {
        let reads = self.slots.iter().any(|slot| slot.collector.name() == clock_sync::NAME);
        reads.then(|| Arc::clone(&self.clock_told))
    }

    pub(crate) fn of(
        fs: FsRoot,
        registry: Arc<dyn Intern>,
        clock: Arc<dyn Clock>,
        collectors: Vec<Box<dyn Collector>>,
    ) -> Self {
        let slots = collectors.into_iter().map(slot).collect();
        let (text, units, clock_told) = (String::new(), BTreeMap::new(), Arc::default());
        Self { fs, clock, slots, sink: Sink::new(registry), text, units, clock_told }
    }

    /// Runs what is due and returns its samples, all labelled `now`. Never fails: see [`Collectors::report`].
    pub fn collect(&mut self, now: Timestamp) -> SampleBatch {
        for slot in &mut self.slots {
            let started = self.clock.monotonic();
            if started < slot.due {
                continue;
            }
            // A tenth of tolerance: a tick that comes a little early must not make a collector skip to the next one.
            slot.due = started + slot.collector.every().mul_f64(0.9);
            let mark = self.sink.mark();
            let mut context = Context { fs: &self.fs, text: &mut self.text, sink: &mut self.sink };
            let outcome = catch_unwind(AssertUnwindSafe(|| slot.collector.collect(&mut context)));
            let report = &mut slot.report;
            report.failing = false;
            let mut partial = false;
            match outcome {
                Ok(Ok(Reading::Taken)) => report.absent = None,
                Ok(Ok(Reading::Absent { why })) => report.absent = Some(why),
                Ok(Ok(Reading::Partial { why })) => {
                    partial = true;
                    report.absent = None;
                    fail(report, why);
                }
                Ok(Err(error)) => fail(report, explain(&error)),
                Err(panic) => fail(report, format!("panicked: {}", panic_text(panic.as_ref()))),
            }
            if report.failing && !partial {
                self.sink.back_to(mark);
            }
            report.last_run = Some(now);
            report.runs += 1;
            report.cost = self.clock.monotonic().saturating_sub(started);
            report.cost_total += report.cost;
        }
        for (state, (count, series)) in &mut self.units {
            self.sink.put(series, *count as f64, || {
                gauge("holdfast.unit.count", "{unit}", &[("holdfast.unit.active_state", state)])
            });
        }
        self.sink.take(now)
    }

    /// From now on plugins' calls are counted too, every so often.
    pub fn count_plugins(&mut self, every: Duration, books: PluginBooks) {
        self.slots.push(slot(Box::new(plugins::Plugins::new(every, books))));
    }

    /// Takes the active state of every known unit; from now on each batch carries how many are in which.
    pub fn count_units<'a>(&mut self, active_states: impl Iterator<Item = &'a str>) {
        for (count, _) in self.units.values_mut() {
            *count = 0;
        }
        for state in active_states {
            if let Some((count, _)) = self.units.get_mut(state) {
                *count += 1;
            } else {
                self.units.insert(state.to_owned(), (1, Cached::default()));
            }
        }
    }

    /// How each collector is doing.
    pub fn report(&self) -> Vec<CollectorReport> {
        self.slots.iter().map(|slot| slot.report.clone()).collect()
    }
}

fn slot(collector: Box<dyn Collector>) -> Slot {
    let report = CollectorReport {
        name: collector.name().to_owned(),
        last_run: None,
        cost: Duration::ZERO,
        cost_total: Duration::ZERO,
        runs: 0,
        errors: 0,
        last_error: None,
        failing: false,
        absent: None,
    };
    Slot { due: Duration::ZERO, report, collector }
}

fn fail(report: &mut CollectorReport, text: String) {
    report.failing = true;
    report.errors += 1;
    report.last_error = Some(text);
}

fn explain(error: &CollectError) -> String {
    match error {
        CollectError::Read { source, .. } => format!("{error}: {source}"),
        CollectError::Parse { .. } => error.to_string(),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::super::ParseFault;
    use super::super::fixtures::Numbers;
    use super::*;
    use crate::host::FakeClock;

    struct Scripted {
        name: &'static str,
        every: Duration,
        act: fn(u32, &mut Context<'_>) -> Result<Reading, CollectError>,
        run: u32,
    }

    impl Collector for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }
        fn every(&self) -> Duration {
            self.every
        }
        fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
            self.run += 1;
            (self.act)(self.run, context)
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of a script")]
    fn good(_: u32, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        context.sink.put(&mut Cached::default(), 1.0, || gauge("good", "1", &[]));
        Ok(Reading::Taken)
    }

    fn runner(collectors: Vec<Scripted>) -> (Collectors, Arc<FakeClock>) {
        let clock = Arc::new(FakeClock::default());
        let boxed = collectors.into_iter().map(|c| Box::new(c) as Box<dyn Collector>).collect();
        (Collectors::of(FsRoot::new("/nowhere"), Arc::new(Numbers::default()), clock.clone(), boxed), clock)
    }

    fn scripted(
        name: &'static str,
        secs: u64,
        act: fn(u32, &mut Context<'_>) -> Result<Reading, CollectError>,
    ) -> Scripted {
        Scripted { name, every: Duration::from_secs(secs), act, run: 0 }
    }

    #[test]
    fn a_panic_ends_no_other_collector_and_is_counted() {
        let (mut all, _) = runner(vec![
            scripted("bad", 1, |_, context| {
                context.sink.put(&mut Cached::default(), 9.0, || gauge("half", "1", &[]));
                panic!("a fault in a collector");
            }),
            scripted("good", 1, good),
        ]);
        let batch = all.collect(Timestamp::from_secs(1));
        assert_eq!(batch.samples.iter().map(|(_, v)| *v).collect::<Vec<_>>(), [1.0]);
        let report = &all.report()[0];
        assert_eq!((report.errors, report.failing), (1, true));
        assert_eq!(report.last_error.as_deref(), Some("panicked: a fault in a collector"));
    }

    #[test]
    fn a_recovered_collector_is_no_longer_failing_and_keeps_its_last_error() {
        let (mut all, clock) = runner(vec![scripted("shaky", 1, |run, context| {
            if run == 1 { Err(ParseFault::at(2, "x", "odd").of("/proc/x")) } else { good(run, context) }
        })]);
        all.collect(Timestamp::from_secs(1));
        clock.advance(Duration::from_secs(1));
        all.collect(Timestamp::from_secs(2));
        let report = &all.report()[0];
        assert_eq!((report.runs, report.errors, report.failing), (2, 1, false));
        assert_eq!(report.last_error.as_deref(), Some("cannot parse `/proc/x`: line 3: odd: `x`"));
    }

    #[test]
    fn each_collector_runs_at_its_own_pace() {
        let (mut all, clock) = runner(vec![scripted("fast", 1, good), scripted("slow", 5, good)]);
        let mut runs = Vec::new();
        for second in 0..10 {
            runs.push(all.collect(Timestamp::from_secs(second)).samples.len());
            clock.advance(Duration::from_millis(995));
        }
        assert_eq!(runs, [2, 1, 1, 1, 1, 2, 1, 1, 1, 1]);
    }

    #[test]
    fn a_series_is_announced_once() {
        let (mut all, clock) = runner(vec![scripted("fast", 1, good)]);
        assert_eq!(all.collect(Timestamp::from_secs(1)).new_series.len(), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(all.collect(Timestamp::from_secs(2)).new_series.len(), 0);
    }

    #[test]
    fn units_are_counted_by_state_and_an_empty_state_goes_to_zero() {
        let (mut all, _) = runner(vec![]);
        all.count_units(["active", "failed", "active"].into_iter());
        assert_eq!(all.collect(Timestamp::from_secs(1)).samples.iter().map(|s| s.1).collect::<Vec<_>>(), [2.0, 1.0]);
        all.count_units(["active"].into_iter());
        assert_eq!(all.collect(Timestamp::from_secs(2)).samples.iter().map(|s| s.1).collect::<Vec<_>>(), [1.0, 0.0]);
    }
}
