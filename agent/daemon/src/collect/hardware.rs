//! Faults that the hardware itself counts: memory (EDAC), PCI Express (AER), and CPUs that were slowed down for their heat.
//!
//! Counters since boot, as `hw.errors` with what was the matter. PCI devices are added up by severity: hundreds of devices
//! that never fail are no hundred series. A virtual machine has none of them, and then this is absent.

use std::time::Duration;

use super::keyed::Keyed;
use super::listing::numbered;
use super::sink::{Cached, counter};
use super::{CollectError, Collector, Context, ParseFault, Reading, only_number};

const MEMORY: &str = "/sys/devices/system/edac/mc";
const PCI: &str = "/sys/bus/pci/devices";
const CPUS: &str = "/sys/devices/system/cpu";
const CONTROLLERS_MAX: usize = 32;
/// File, and value of `error.type`.
const MEMORY_KINDS: [(&str, &str); 2] = [("ce_count", "corrected"), ("ue_count", "uncorrected")];
const PCI_KINDS: [(&str, &str); 3] =
    [("aer_dev_correctable", "corrected"), ("aer_dev_nonfatal", "uncorrected"), ("aer_dev_fatal", "fatal")];

/// Pure: the total of a device's AER file, which lists each error first.
pub(crate) fn parse_total(text: &str) -> Result<u64, ParseFault> {
    text.lines()
        .enumerate()
        .find_map(|(index, line)| {
            let (name, count) = line.split_once(' ')?;
            let count = count.trim().parse().map_err(|_| ParseFault::at(index, line, "no whole number"));
            name.starts_with("TOTAL_ERR").then_some(count)
        })
        .ok_or_else(|| ParseFault::whole("no line begins with `TOTAL_ERR`"))?
}

pub(crate) struct Hardware {
    every: Duration,
    controllers: Keyed<[Cached; MEMORY_KINDS.len()]>,
    pci: [Cached; PCI_KINDS.len()],
    throttled: Cached,
}

impl Hardware {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, controllers: Keyed::new(), pci: Default::default(), throttled: Cached::default() }
    }

    fn memory(&mut self, context: &mut Context<'_>) -> Result<bool, CollectError> {
        self.controllers.next_round();
        let mut found = false;
        let names = context.names(MEMORY)?;
        for name in names.iter().filter(|name| numbered(name, "mc", "").is_some()).take(CONTROLLERS_MAX) {
            for (at, (file, kind)) in MEMORY_KINDS.into_iter().enumerate() {
                if context.read(&format!("{MEMORY}/{name}/{file}"))? {
                    found = true;
                    let count = only_number(context.text).map_err(|fault| fault.of(MEMORY))?;
                    context.sink.put(&mut self.controllers.of(name)[at], count as f64, || {
                        counter("hw.errors", "{error}", &[("hw.type", "memory"), ("hw.id", name), ("error.type", kind)])
                    });
                }
            }
        }
        Ok(found)
    }

    fn pci(&mut self, context: &mut Context<'_>) -> Result<bool, CollectError> {
        let mut totals = [None; PCI_KINDS.len()];
        for name in context.names(PCI)? {
            for (total, (file, _)) in totals.iter_mut().zip(PCI_KINDS) {
                if !context.read(&format!("{PCI}/{name}/{file}"))? {
                    // A device without the one file has none of them.
                    break;
                }
                let count = parse_total(context.text).map_err(|fault| fault.of(PCI))?;
                *total = Some(total.unwrap_or(0_u64).saturating_add(count));
            }
        }
        for ((series, total), (_, kind)) in self.pci.iter_mut().zip(totals).zip(PCI_KINDS) {
            if let Some(total) = total {
                context.sink.put(series, total as f64, || {
                    counter("hw.errors", "{error}", &[("hw.type", "pci"), ("hw.id", "pci"), ("error.type", kind)])
                });
            }
        }
        Ok(totals.iter().any(Option::is_some))
    }

    fn throttling(&mut self, context: &mut Context<'_>) -> Result<bool, CollectError> {
        let mut total = None;
        for name in context.names(CPUS)?.iter().filter(|name| numbered(name, "cpu", "").is_some()) {
            if !context.read(&format!("{CPUS}/{name}/thermal_throttle/core_throttle_count"))? {
                // Either all have it or none.
                break;
            }
            let count = only_number(context.text).map_err(|fault| fault.of(CPUS))?;
            total = Some(total.unwrap_or(0_u64).saturating_add(count));
        }
        if let Some(total) = total {
            context
                .sink
                .put(&mut self.throttled, total as f64, || counter("holdfast.cpu.thermal_throttles", "{event}", &[]));
        }
        Ok(total.is_some())
    }
}

impl Collector for Hardware {
    fn name(&self) -> &'static str {
        "hardware"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let found = [self.memory(context)?, self.pci(context)?, self.throttling(context)?];
        if found.contains(&true) {
            Ok(Reading::Taken)
        } else {
            Ok(Reading::Absent {
                why: "this hardware, or the machine that it pretends to be, counts no faults".to_owned(),
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
    fn faults_of_memory_pci_and_heat_are_counters() {
        let samples = Trees::of("host").samples(&mut Hardware::new(Duration::from_mins(1)), 1);
        assert_eq!(samples["hw.errors{error.type=corrected,hw.id=mc0,hw.type=memory}"], 3.0);
        assert_eq!(samples["hw.errors{error.type=uncorrected,hw.id=mc0,hw.type=memory}"], 1.0);
        assert_eq!(samples["hw.errors{error.type=corrected,hw.id=pci,hw.type=pci}"], 3.0);
        assert_eq!(samples["hw.errors{error.type=fatal,hw.id=pci,hw.type=pci}"], 1.0);
        assert_eq!(samples["holdfast.cpu.thermal_throttles"], 11.0);
    }

    #[test]
    fn a_virtual_machine_counts_none_and_that_is_no_zero() {
        let (reading, samples) = Trees::of("bare").read(&mut Hardware::new(Duration::from_mins(1)), 1).unwrap();
        assert!(matches!(reading, Reading::Absent { .. }) && samples.is_empty());
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        assert!(only_number("x").is_err());
        assert_eq!(parse_total("RxErr 0\nTOTAL_ERR_COR x\n").unwrap_err().line, 2);
        assert_eq!(parse_total("RxErr 0\n").unwrap_err().line, 0);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(TOTAL_ERR_COR)? ?[0-9]{0,22}\\PC{0,9}") {
            let _ = (only_number(&text), parse_total(&text));
        }
    }
}
