//! What plugins' calls cost, from the plugin host's own books.
//!
//! Only calls that have ended are in it; counters begin with the agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::sink::{Cached, Sink, counter, gauge};
use super::{CollectError, Collector, Context, Reading};
use crate::status::PluginStatus;

/// Asks for how every plugin is doing.
pub type PluginBooks = Arc<dyn Fn() -> Vec<PluginStatus> + Send + Sync>;

#[derive(Default)]
struct Series {
    calls: Cached,
    failures: Cached,
    time: Cached,
    memory: Cached,
    returned: Cached,
    host_calls: Cached,
    quarantined: Cached,
}

pub(crate) struct Plugins {
    every: Duration,
    books: PluginBooks,
    series: BTreeMap<String, Series>,
}

impl Plugins {
    pub(crate) fn new(every: Duration, books: PluginBooks) -> Self {
        Self { every, books, series: BTreeMap::new() }
    }
}

impl Series {
    fn put(&mut self, it: &PluginStatus, sink: &mut Sink) {
        let who = [("holdfast.plugin.id", it.id.as_str())];
        sink.put(&mut self.calls, it.calls as f64, || counter("holdfast.plugin.calls", "{call}", &who));
        sink.put(&mut self.failures, it.failures as f64, || counter("holdfast.plugin.call.failures", "{call}", &who));
        sink.put(&mut self.time, it.cost_us as f64 / 1e6, || counter("holdfast.plugin.call.time", "s", &who));
        sink.put(&mut self.returned, it.returned_bytes as f64, || counter("holdfast.plugin.call.io", "By", &who));
        sink.put(&mut self.host_calls, it.host_calls as f64, || counter("holdfast.plugin.host_calls", "{call}", &who));
        if let Some(bytes) = it.last_memory_bytes {
            sink.put(&mut self.memory, bytes as f64, || gauge("holdfast.plugin.call.memory.usage", "By", &who));
        }
        let quarantined = f64::from(u8::from(it.state == "quarantined"));
        sink.put(&mut self.quarantined, quarantined, || gauge("holdfast.plugin.quarantined", "1", &who));
    }
}

impl Collector for Plugins {
    fn name(&self) -> &'static str {
        "plugins"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let all = (self.books)();
        self.series.retain(|id, _| all.iter().any(|it| it.id == *id));
        if all.is_empty() {
            return Ok(Reading::Absent { why: "no plugins".to_owned() });
        }
        for it in &all {
            self.series.entry(it.id.clone()).or_default().put(it, context.sink);
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;

    fn status(calls: u64, state: &str) -> PluginStatus {
        let it = serde_json::json!({
            "id": "unit-medic", "version": "0.1.0", "digest": "d", "roles": [], "state": state, "reason": null, "mode": "advise",
            "calls": calls, "failures": 1, "last_error": null, "last_cost_us": null, "memory_peak_bytes": null,
            "last_memory_bytes": (calls > 0).then_some(1_114_112), "cost_us": 250_000, "returned_bytes": 4_096, "host_calls": 12
        });
        serde_json::from_value(it).unwrap()
    }

    #[test]
    fn each_plugin_has_its_own_series_and_one_that_was_never_called_has_no_memory() {
        let books = |calls, state: &'static str| {
            Plugins::new(Duration::from_secs(1), Arc::new(move || vec![status(calls, state)]))
        };
        let samples = Trees::of("host").samples(&mut books(3, "quarantined"), 1);
        assert_eq!(samples["holdfast.plugin.calls{holdfast.plugin.id=unit-medic}"], 3.0);
        assert_eq!(samples["holdfast.plugin.call.time{holdfast.plugin.id=unit-medic}"], 0.25);
        assert_eq!(samples["holdfast.plugin.call.io{holdfast.plugin.id=unit-medic}"], 4_096.0);
        assert_eq!(samples["holdfast.plugin.call.memory.usage{holdfast.plugin.id=unit-medic}"], 1_114_112.0);
        assert_eq!(samples["holdfast.plugin.quarantined{holdfast.plugin.id=unit-medic}"], 1.0);
        let samples = Trees::of("host").samples(&mut books(0, "ready"), 1);
        assert_eq!(samples["holdfast.plugin.quarantined{holdfast.plugin.id=unit-medic}"], 0.0);
        assert!(!samples.keys().any(|name| name.contains("memory")), "{samples:?}");
    }
}
