//! What the engine knows of the host at this moment, for conditions of policy and for `status`.
//!
//! A fact is absent until it was measured, and again when the measurement is older than [`STALE`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use holdfast_core::model::{SampleBatch, SeriesId, SeriesKey, Value};

/// A measurement older than this is no fact any more.
const STALE: Duration = Duration::from_mins(1);
/// `status` shows the agent's own CPU share over this time.
const COST_WINDOW: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fact {
    MemoryAvailable,
    MemoryTotal,
    CpuBusy,
    Load1,
    OwnResident,
    OwnCpu(u8),
}

/// Latest values.
#[derive(Debug, Default)]
pub(super) struct HostFacts {
    wanted: HashMap<SeriesId, Fact>,
    latest: HashMap<Fact, (f64, Duration)>,
    cpus: f64,
    own_cpu: Vec<(Duration, f64)>,
}

fn fact_of(key: &SeriesKey) -> Option<Fact> {
    Some(match key.metric.as_str() {
        "system.memory.linux.available" => Fact::MemoryAvailable,
        "system.memory.limit" => Fact::MemoryTotal,
        "holdfast.cpu.utilization" => Fact::CpuBusy,
        "system.cpu.load_average.1m" => Fact::Load1,
        "holdfast.process.memory.usage" => Fact::OwnResident,
        "holdfast.process.cpu.time" => {
            Fact::OwnCpu(u8::from(key.attributes.get("cpu.mode").is_some_and(|m| m == "user")))
        }
        _ => return None,
    })
}

impl HostFacts {
    pub(super) fn new(cpus: usize) -> Self {
        Self { cpus: cpus as f64, ..Self::default() }
    }

    /// Takes what it needs of one tick.
    pub(super) fn take(&mut self, batch: &SampleBatch, now: Duration) {
        for (id, key) in &batch.new_series {
            if let Some(fact) = fact_of(key) {
                self.wanted.insert(*id, fact);
            }
        }
        for (id, value) in &batch.samples {
            if let Some(fact) = self.wanted.get(id) {
                self.latest.insert(*fact, (*value, now));
            }
        }
        if let Some(cpu) = self.own_cpu_s() {
            self.own_cpu.retain(|(at, _)| now.saturating_sub(*at) <= COST_WINDOW);
            self.own_cpu.push((now, cpu));
        }
    }

    fn fresh(&self, fact: Fact, now: Duration) -> Option<f64> {
        self.latest.get(&fact).filter(|(_, at)| now.saturating_sub(*at) <= STALE).map(|(value, _)| *value)
    }

    /// For conditions: `host.NAME`.
    pub(super) fn for_policy(&self, now: Duration) -> BTreeMap<String, Value> {
        let mut facts = BTreeMap::new();
        let mut put = |name: &str, value: Option<f64>| {
            if let Some(value) = value {
                facts.insert(name.to_owned(), Value::from(value));
            }
        };
        let (available, total) = (self.fresh(Fact::MemoryAvailable, now), self.fresh(Fact::MemoryTotal, now));
        put("memory_available_ratio", available.zip(total).filter(|(_, t)| *t > 0.0).map(|(a, t)| a / t));
        put("cpu_busy_ratio", self.fresh(Fact::CpuBusy, now));
        put("load_1m", self.fresh(Fact::Load1, now));
        put("cpus", (self.cpus > 0.0).then_some(self.cpus));
        facts
    }

    /// CPU seconds of the agent since it started.
    pub(super) fn own_cpu_s(&self) -> Option<f64> {
        let part = |mode| self.latest.get(&Fact::OwnCpu(mode)).map(|(value, _)| *value);
        Some(part(0)? + part(1)?)
    }

    /// Share of one core over the last minute, in percent.
    pub(super) fn own_cpu_percent(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.own_cpu.first()?, self.own_cpu.last()?);
        let over = to.saturating_sub(*from).as_secs_f64();
        (over >= 5.0).then(|| 100.0 * (after - before) / over)
    }

    /// Resident memory of the agent in bytes.
    pub(super) fn own_resident(&self) -> Option<u64> {
        self.latest.get(&Fact::OwnResident).map(|(value, _)| *value as u64)
    }
}
