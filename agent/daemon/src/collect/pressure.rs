//! Pressure stall information of the whole host, from `/proc/pressure/{cpu,memory,io,irq}`.
//!
//! Stall times are cumulative since boot, in seconds, and kept as counters; rates are the store's business.
//! Absent on kernels before 4.20 or without `psi=1`: reported as such, never as zero and never as an error.
//! The kernel tells of interrupts (since 6.1, where it accounts for their time) only what stalled all tasks.
//! This module reads one file for each resource and starts no process.

use std::time::Duration;

use super::sink::{Cached, counter};
use super::{CollectError, Collector, Context, ParseFault, Reading};
use crate::host::HeldFile;

const RESOURCES: [(&str, &str); 4] = [
    ("cpu", "/proc/pressure/cpu"),
    ("memory", "/proc/pressure/memory"),
    ("io", "/proc/pressure/io"),
    ("irq", "/proc/pressure/irq"),
];

/// Microseconds of stall since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stalls {
    /// At least one task waited. Interrupts have no such line.
    pub(crate) some_us: Option<u64>,
    /// All tasks that weren't idle waited. Kernels before 5.13 have no such line for the CPU.
    pub(crate) full_us: Option<u64>,
}

/// Pure.
pub(crate) fn parse(text: &str) -> Result<Stalls, ParseFault> {
    let (mut some, mut full) = (None, None);
    for (index, line) in text.lines().enumerate() {
        let total = line.rsplit_once("total=").and_then(|(_, total)| total.trim().parse().ok());
        match (line.split(' ').next(), total) {
            (Some("some"), Some(total)) => some = Some(total),
            (Some("full"), Some(total)) => full = Some(total),
            _ => return Err(ParseFault::at(index, line, "neither `some` nor `full` with a total")),
        }
    }
    if some.or(full).is_none() {
        return Err(ParseFault::whole("neither a `some` nor a `full` line"));
    }
    Ok(Stalls { some_us: some, full_us: full })
}

pub(crate) struct Pressure {
    every: Duration,
    files: [HeldFile; RESOURCES.len()],
    series: [[Cached; 2]; RESOURCES.len()],
}

impl Pressure {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, files: RESOURCES.map(|(_, path)| HeldFile::record(path)), series: Default::default() }
    }
}

impl Collector for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let mut found = false;
        for (at, (resource, path)) in RESOURCES.into_iter().enumerate() {
            if !context.reread(&mut self.files[at])? {
                continue;
            }
            found = true;
            let stalls = parse(context.text).map_err(|fault| fault.of(path))?;
            for (kind, us, series) in [("some", stalls.some_us, 0), ("full", stalls.full_us, 1)] {
                let Some(us) = us else { continue };
                context.sink.put(&mut self.series[at][series], us as f64 / 1e6, || {
                    let attributes = [("holdfast.pressure.resource", resource), ("holdfast.pressure.kind", kind)];
                    counter("system.linux.pressure.stall_time", "s", &attributes)
                });
            }
        }
        if found {
            Ok(Reading::Taken)
        } else {
            Ok(Reading::Absent {
                why: "the kernel tells no pressure: it is older than 4.20 or was started without psi=1".to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stall_times_are_counters_in_seconds() {
        let samples = Trees::of("host").samples(&mut Pressure::new(Duration::from_secs(1)), 1);
        let key = "system.linux.pressure.stall_time{holdfast.pressure.kind=some,holdfast.pressure.resource=io}";
        assert_eq!(samples[key], 6.117_202);
        assert_eq!(samples.len(), 5, "an old kernel has no full line for the cpu, and no irq: {samples:?}");
    }

    #[test]
    fn interrupts_have_only_a_full_line() {
        let samples = Trees::of("host").samples(&mut Pressure::new(Duration::from_secs(1)), 2);
        let key = "system.linux.pressure.stall_time{holdfast.pressure.kind=full,holdfast.pressure.resource=irq}";
        assert_eq!(samples, std::collections::BTreeMap::from([(key.to_owned(), 0.5)]));
    }

    #[test]
    fn a_kernel_without_pressure_is_absent_not_zero() {
        let (reading, samples) = Trees::of("bare").read(&mut Pressure::new(Duration::from_secs(1)), 1).unwrap();
        assert!(matches!(reading, Reading::Absent { why } if why.contains("psi=1")));
        assert!(samples.is_empty());
    }

    #[test]
    fn the_error_names_the_line() {
        assert_eq!(parse("some avg10=0.00 total=1\nfull avg10=0.00 total=x\n").unwrap_err().line, 2);
        assert_eq!(parse("").unwrap_err(), ParseFault::whole("neither a `some` nor a `full` line"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(some|full)? ?\\PC{0,20}(total=)?[0-9]{0,22}\\n?\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
