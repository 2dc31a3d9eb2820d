//! The catalogue of events that repeat: each is logged with its facts and counted, in one place.
//!
//! WARN: degraded, heals by itself. ERROR: an operator must act. The message of an event never changes.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Chain;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident => $text:literal,)*) => {
        /// What is counted about the agent itself, since it started.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Counter { $($(#[doc = $doc])+ $name,)* }

        impl Counter {
            /// Every counter there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The metric's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it counts, in a sentence.
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)* }
            }
        }

        static COUNTS: [AtomicU64; Counter::ALL.len()] = [const { AtomicU64::new(0) }; Counter::ALL.len()];
    };
}

counters! {
    /// Runs of a collector that failed.
    CollectorFailures => "holdfast.collector.failures",
    /// Calls of a plugin that failed.
    PluginFailures => "holdfast.plugin.failures",
    /// Components that were compiled because the cache held nothing usable.
    PluginCompilations => "holdfast.plugin.compilations",
    /// Compiled plugins in the cache that were damaged, altered or not this agent's own, and were not used.
    PluginCacheRejected => "holdfast.plugin.cache.rejected",
    /// Steps of a plan that failed or were refused.
    StepFailures => "holdfast.step.failures",
    /// Requests of an exporter that failed and are tried again.
    ExportFailures => "holdfast.export.failures",
    /// Samples, records and spans that a receiver rejected.
    ExportRejected => "holdfast.export.rejected",
    /// Ticks that were deleted before they were exported.
    ExportSkipped => "holdfast.export.skipped",
    /// Points, spans, records, events and requests that a receiver refused.
    IngestRejected => "holdfast.ingest.rejected",
    /// Series of applications that began again because the clock was set back.
    IngestSetBack => "holdfast.ingest.set_back",
    /// Times that a store could not be written.
    StoreFailures => "holdfast.store.failures",
    /// Damaged telemetry databases that were set aside.
    StoreSetAside => "holdfast.store.set_aside",
    /// Things lost because a queue was full.
    QueueLosses => "holdfast.queue.losses",
    /// Tasks that panicked and were started again.
    Panics => "holdfast.task.panics",
}

impl Counter {
    /// Adds.
    pub fn add(self, count: u64) {
        COUNTS[self as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// The count since the agent started.
    pub fn get(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

/// An event that repeats.
pub trait Event {
    /// Logs and counts it.
    fn emit(&self);
}

/// A collector's run failed.
#[derive(Debug)]
pub struct CollectorFailed<'e> {
    /// Which.
    pub collector: &'e str,
    /// Why.
    pub error: &'e (dyn Error + 'e),
}

impl Event for CollectorFailed<'_> {
    fn emit(&self) {
        Counter::CollectorFailures.add(1);
        tracing::warn!(collector = self.collector, error = %Chain(self.error), "Collector failed.");
    }
}

/// A plugin's call failed.
#[derive(Debug)]
pub struct PluginFailed<'e> {
    /// Which.
    pub plugin: &'e str,
    /// What it was asked for.
    pub call: &'e str,
    /// Why.
    pub error: &'e (dyn Error + 'e),
}

impl Event for PluginFailed<'_> {
    fn emit(&self) {
        Counter::PluginFailures.add(1);
        tracing::warn!(plugin = self.plugin, call = self.call, error = %Chain(self.error), "Plugin failed.");
    }
}

/// A component is compiled: the cache held nothing usable.
#[derive(Debug)]
pub struct PluginCompiled<'e> {
    /// The component's file.
    pub file: &'e Path,
}

impl Event for PluginCompiled<'_> {
    fn emit(&self) {
        Counter::PluginCompilations.add(1);
        tracing::debug!(file = %self.file.display(), "Plugin is compiled.");
    }
}

/// A compiled plugin in the cache is not used.
#[derive(Debug)]
pub struct PluginCacheRejected<'e> {
    /// The component's file.
    pub file: &'e Path,
    /// What is wrong with what was compiled before.
    pub error: &'e str,
}

impl Event for PluginCacheRejected<'_> {
    fn emit(&self) {
        Counter::PluginCacheRejected.add(1);
        let file = self.file.display();
        tracing::warn!(%file, error = self.error, "Compiled plugin in the cache is not used, and compiled again.");
    }
}

/// A step of a plan failed or was refused.
#[derive(Debug)]
pub struct StepFailed<'e> {
    /// Whose.
    pub remediation: &'e str,
    /// Which.
    pub step: &'e str,
    /// How long it ran.
    pub elapsed: Duration,
    /// Why.
    pub error: &'e (dyn Error + 'e),
}

impl Event for StepFailed<'_> {
    fn emit(&self) {
        Counter::StepFailures.add(1);
        let elapsed_ms = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        let error = Chain(self.error);
        tracing::error!(remediation_id = self.remediation, step = self.step, elapsed_ms, error = %error, "Step failed.");
    }
}

/// A request of an exporter failed and is tried again. Logged for the first in a row only.
#[derive(Debug)]
pub struct ExportFailed<'e> {
    /// Where to.
    pub endpoint: &'e str,
    /// How many in a row, this one included.
    pub in_a_row: u32,
    /// Why.
    pub error: &'e str,
}

impl Event for ExportFailed<'_> {
    fn emit(&self) {
        Counter::ExportFailures.add(1);
        if self.in_a_row == 1 {
            tracing::warn!(endpoint = self.endpoint, error = self.error, "Export failed; it will be tried again.");
        }
    }
}

/// A receiver did not take what it was sent; it is not sent again.
#[derive(Debug)]
pub struct ExportRejected<'e> {
    /// Where to.
    pub endpoint: &'e str,
    /// Which stream.
    pub stream: &'e str,
    /// Samples, records or spans.
    pub count: u64,
    /// What it said.
    pub error: &'e str,
}

impl Event for ExportRejected<'_> {
    fn emit(&self) {
        Counter::ExportRejected.add(self.count);
        let Self { endpoint, stream, count, error } = self;
        tracing::warn!(endpoint, stream, count, error, "Receiver rejected exported data.");
    }
}

/// Data were deleted before they could be exported.
#[derive(Debug)]
pub struct ExportSkipped<'e> {
    /// Where to.
    pub endpoint: &'e str,
    /// Ticks.
    pub ticks: u64,
}

impl Event for ExportSkipped<'_> {
    fn emit(&self) {
        Counter::ExportSkipped.add(self.ticks);
        tracing::warn!(endpoint = self.endpoint, ticks = self.ticks, "Data were deleted before they were exported.");
    }
}

/// The clock was set back: series of applications have points that lie in the future, and begin again from now.
#[derive(Debug)]
pub struct ClockSetBack {
    /// Series that did so since the last tick.
    pub series: u64,
}

impl Event for ClockSetBack {
    fn emit(&self) {
        Counter::IngestSetBack.add(self.series);
        tracing::warn!(series = self.series, "The clock was set back; series of applications begin again from now.");
    }
}

/// A store cannot be written; data wait.
#[derive(Debug)]
pub struct StoreFailed<'e> {
    /// Why, and what to do.
    pub error: &'e str,
}

impl Event for StoreFailed<'_> {
    fn emit(&self) {
        Counter::StoreFailures.add(1);
        tracing::warn!(error = self.error, "Telemetry cannot be written.");
    }
}

/// A damaged telemetry database was set aside; an empty one is in use.
#[derive(Debug)]
pub struct StoreSetAside<'e> {
    /// Where it lies now.
    pub path: &'e Path,
    /// What was wrong.
    pub error: &'e str,
}

impl Event for StoreSetAside<'_> {
    fn emit(&self) {
        Counter::StoreSetAside.add(1);
        tracing::error!(path = %self.path.display(), error = self.error, "Damaged telemetry database set aside.");
    }
}

/// A bounded queue was full. Counted always, logged by whoever owns the queue's loss counter.
#[derive(Debug)]
pub struct QueueFull {
    /// Which.
    pub queue: &'static str,
    /// Things lost.
    pub lost: u64,
}

impl Event for QueueFull {
    fn emit(&self) {
        Counter::QueueLosses.add(self.lost);
        tracing::debug!(queue = self.queue, lost = self.lost, "Queue full.");
    }
}

/// A task panicked and is started again.
#[derive(Debug)]
pub struct Panicked<'e> {
    /// Which.
    pub task: &'e str,
}

impl Event for Panicked<'_> {
    fn emit(&self) {
        Counter::Panics.add(1);
        tracing::error!(task = self.task, "Task panicked; starting it again.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_what_it_logs() {
        let before = Counter::ExportSkipped.get();
        ExportSkipped { endpoint: "http://x", ticks: 7 }.emit();
        assert!(Counter::ExportSkipped.get() >= before + 7);
    }

    #[test]
    fn every_counter_has_its_own_name() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counter::ALL.len());
    }
}
