//! Memory and swap, from `/proc/meminfo`.
//!
//! Bytes. The states used, free, buffers and cached (with reclaimable slab, as `free` counts) add up to the limit.
//! What could be given to new programs is `system.memory.linux.available`, absent on kernels before 3.14.
//! What is part of those states and tells of trouble has series of its own: slab, shared, dirty, committed, and memory that
//! the kernel no longer uses because the hardware failed. A field that this kernel doesn't write gives no sample.
//! A host without swap has no paging series.

use std::time::Duration;

use super::sink::{Cached, Figure, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};
use crate::host::HeldFile;

const PATH: &str = "/proc/meminfo";
const STATES: [&str; 4] = ["used", "free", "buffers", "cached"];
/// Fields with a series of their own.
const PARTS: [(&str, Figure); 7] = [
    ("SReclaimable", slab(&[("system.memory.linux.slab.state", "reclaimable")])),
    ("SUnreclaim", slab(&[("system.memory.linux.slab.state", "unreclaimable")])),
    ("Shmem", Figure::gauge("system.memory.shared", "By", &[])),
    ("Dirty", Figure::gauge("holdfast.memory.dirty", "By", &[])),
    ("Writeback", Figure::gauge("holdfast.memory.writeback", "By", &[])),
    ("Committed_AS", Figure::gauge("holdfast.memory.committed", "By", &[])),
    ("HardwareCorrupted", Figure::gauge("holdfast.memory.hardware_corrupted", "By", &[])),
];

const fn slab(state: &'static [(&'static str, &'static str)]) -> Figure {
    Figure::gauge("system.memory.linux.slab.usage", "By", state)
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Meminfo {
    pub(crate) total: u64,
    pub(crate) free: u64,
    pub(crate) available: Option<u64>,
    pub(crate) buffers: u64,
    pub(crate) cached: u64,
    pub(crate) swap_total: u64,
    pub(crate) swap_free: u64,
    /// In the order of `PARTS`.
    pub(crate) parts: [Option<u64>; PARTS.len()],
}

/// Pure. Fields that aren't wanted are passed over.
pub(crate) fn parse(text: &str) -> Result<Meminfo, ParseFault> {
    let mut memory = Meminfo::default();
    for (index, line) in text.lines().enumerate() {
        let Some((name, rest)) = line.split_once(':') else {
            return Err(ParseFault::at(index, line, "no colon"));
        };
        let bytes = || {
            let kib = number(index, line, rest.split_ascii_whitespace().next())?;
            kib.checked_mul(1024).ok_or_else(|| ParseFault::at(index, line, "too large"))
        };
        match name {
            "MemTotal" => memory.total = bytes()?,
            "MemFree" => memory.free = bytes()?,
            "MemAvailable" => memory.available = Some(bytes()?),
            "Buffers" => memory.buffers = bytes()?,
            "Cached" | "SReclaimable" => memory.cached = memory.cached.saturating_add(bytes()?),
            "SwapTotal" => memory.swap_total = bytes()?,
            "SwapFree" => memory.swap_free = bytes()?,
            _ => {}
        }
        if let Some(at) = PARTS.iter().position(|(field, ..)| *field == name) {
            memory.parts[at] = Some(bytes()?);
        }
    }
    if memory.total == 0 { Err(ParseFault::whole("no MemTotal")) } else { Ok(memory) }
}

pub(crate) struct Memory {
    every: Duration,
    file: HeldFile,
    usage: [Cached; 4],
    share: [Cached; 4],
    limit: Cached,
    available: Cached,
    swap: [Cached; 4],
    parts: [Cached; PARTS.len()],
}

impl Memory {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            file: HeldFile::record(PATH),
            usage: Default::default(),
            share: Default::default(),
            limit: Cached::default(),
            available: Cached::default(),
            swap: Default::default(),
            parts: Default::default(),
        }
    }
}

impl Collector for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        let memory = parse(context.text).map_err(|fault| fault.of(PATH))?;
        let total = memory.total as f64;
        let used =
            memory.total.saturating_sub(memory.free).saturating_sub(memory.buffers).saturating_sub(memory.cached);
        for (at, bytes) in [used, memory.free, memory.buffers, memory.cached].into_iter().enumerate() {
            let attributes = [("system.memory.state", STATES[at])];
            let bytes = bytes as f64;
            context.sink.put(&mut self.usage[at], bytes, || gauge("system.memory.usage", "By", &attributes));
            context
                .sink
                .put(&mut self.share[at], bytes / total, || gauge("system.memory.utilization", "1", &attributes));
        }
        context.sink.put(&mut self.limit, total, || gauge("system.memory.limit", "By", &[]));
        if let Some(available) = memory.available {
            context
                .sink
                .put(&mut self.available, available as f64, || gauge("system.memory.linux.available", "By", &[]));
        }
        for ((series, bytes), (_, figure)) in self.parts.iter_mut().zip(memory.parts).zip(PARTS) {
            if let Some(bytes) = bytes {
                context.sink.put(series, bytes as f64, || figure.key());
            }
        }
        if memory.swap_total > 0 {
            let used = memory.swap_total.saturating_sub(memory.swap_free);
            for (at, (state, bytes)) in [("used", used), ("free", memory.swap_free)].into_iter().enumerate() {
                let attributes = [("system.paging.state", state)];
                let bytes = bytes as f64;
                context.sink.put(&mut self.swap[at], bytes, || gauge("system.paging.usage", "By", &attributes));
                let share = bytes / memory.swap_total as f64;
                context
                    .sink
                    .put(&mut self.swap[2 + at], share, || gauge("system.paging.utilization", "1", &attributes));
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
    fn the_states_add_up_to_the_limit() {
        let samples = Trees::of("host").samples(&mut Memory::new(Duration::from_secs(1)), 1);
        let sum: f64 = STATES.iter().map(|s| samples[&format!("system.memory.usage{{system.memory.state={s}}}")]).sum();
        assert_eq!(sum, samples["system.memory.limit"]);
        assert_eq!(samples["system.memory.usage{system.memory.state=cached}"], (13_720.0 + 202_712.0) * 1024.0);
        assert_eq!(samples["system.memory.linux.available"], 24_210_872.0 * 1024.0);
    }

    #[test]
    fn a_part_that_the_kernel_does_not_write_is_absent() {
        let samples = Trees::of("host").samples(&mut Memory::new(Duration::from_secs(1)), 1);
        let slab = "system.memory.linux.slab.usage{system.memory.linux.slab.state=reclaimable}";
        assert_eq!(samples[slab], 202_712.0 * 1024.0);
        let none = parse("MemTotal: 8 kB\n").unwrap();
        assert_eq!(none.parts, [None; PARTS.len()]);
    }

    #[test]
    fn a_host_without_swap_has_no_paging_series() {
        let samples = Trees::of("host").samples(&mut Memory::new(Duration::from_secs(1)), 1);
        assert!(!samples.keys().any(|key| key.starts_with("system.paging")), "{samples:?}");
    }

    #[test]
    fn swap_in_use_is_told() {
        let samples = Trees::of("host").samples(&mut Memory::new(Duration::from_secs(1)), 2);
        assert_eq!(samples["system.paging.utilization{system.paging.state=used}"], 0.25);
    }

    #[test]
    fn an_old_kernel_has_no_available_memory_and_that_is_no_zero() {
        assert_eq!(parse("MemTotal: 8 kB\n").unwrap().available, None);
        assert_eq!(parse("MemTotal 8 kB\n").unwrap_err().line, 1);
        assert!(parse("").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(MemTotal|Cached|SReclaimable|x)?:? {0,3}[0-9]{0,22}[ kB\\n:]{0,9}\\PC{0,30}") {
            let _ = parse(&text);
        }
    }
}
