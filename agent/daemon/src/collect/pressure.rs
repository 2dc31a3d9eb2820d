//! Pressure stall information of the whole host, from `/proc/pressure/{cpu,memory,io}`.
//!
//! Stall times are cumulative since boot, in seconds, and kept as counters; rates are the store's business.
//! Absent on kernels before 4.20 or without `psi=1`: reported as such, never as zero and never as an error.
//! This module opens one file for each resource and starts no process.

use std::time::Duration;

use super::sink::{Cached, counter};
use super::{CollectError, Collector, Context, ParseFault, Reading};

const RESOURCES: [(&str, &str); 3] =
    [("cpu", "/proc/pressure/cpu"), ("memory", "/proc/pressure/memory"), ("io", "/proc/pressure/io")];

/// Microseconds of stall since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stalls {
    /// At least one task waited.
    pub(crate) some_us: u64,
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
    Ok(Stalls { some_us: some.ok_or_else(|| ParseFault::whole("no `some` line"))?, full_us: full })
}

pub(crate) struct Pressure {
    every: Duration,
    series: [[Cached; 2]; 3],
}

impl Pressure {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, series: Default::default() }
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
            if !context.read(path)? {
                continue;
            }
            found = true;
            let stalls = parse(context.text).map_err(|fault| fault.of(path))?;
            for (kind, us, series) in [("some", Some(stalls.some_us), 0), ("full", stalls.full_us, 1)] {
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
        assert_eq!(samples.len(), 5, "an old kernel has no full line for the cpu: {samples:?}");
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
        assert_eq!(parse("full avg10=0.00 total=3\n").unwrap_err(), ParseFault::whole("no `some` line"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(some|full)? ?\\PC{0,20}(total=)?[0-9]{0,22}\\n?\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
