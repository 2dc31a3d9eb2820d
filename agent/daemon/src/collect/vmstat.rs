//! What memory management does, from `/proc/vmstat`: faults, swapping, reclaim, and what the kernel killed for lack of memory.
//!
//! Counters since boot. A name that this kernel doesn't write gives no sample; the kernel splits some by zone or by kind of
//! page, and those are added up.

use std::time::Duration;

use super::sink::{Cached, Figure};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};
use crate::host::HeldFile;

const PATH: &str = "/proc/vmstat";

const MINOR: usize = 0;
const MAJOR: usize = 1;
/// In the order in which [`slot`] counts.
const FIGURES: [Figure; 13] = [
    Figure::counter("system.paging.faults", "{fault}", &[("system.paging.fault.type", "minor")]),
    Figure::counter("system.paging.faults", "{fault}", &[("system.paging.fault.type", "major")]),
    Figure::counter("system.paging.operations", "{operation}", &[("system.paging.direction", "in")]),
    Figure::counter("system.paging.operations", "{operation}", &[("system.paging.direction", "out")]),
    Figure::counter("holdfast.memory.oom_kills", "{process}", &[]),
    Figure::counter("holdfast.memory.allocation_stalls", "{stall}", &[]),
    Figure::counter("holdfast.memory.compaction_stalls", "{stall}", &[]),
    Figure::counter("holdfast.memory.scanned", "{page}", &[("holdfast.memory.reclaimer", "kswapd")]),
    Figure::counter("holdfast.memory.scanned", "{page}", &[("holdfast.memory.reclaimer", "direct")]),
    Figure::counter("holdfast.memory.reclaimed", "{page}", &[("holdfast.memory.reclaimer", "kswapd")]),
    Figure::counter("holdfast.memory.reclaimed", "{page}", &[("holdfast.memory.reclaimer", "direct")]),
    Figure::counter("holdfast.memory.refaults", "{page}", &[("holdfast.memory.page_kind", "anonymous")]),
    Figure::counter("holdfast.memory.refaults", "{page}", &[("holdfast.memory.page_kind", "file")]),
];

/// Pages, faults and stalls since boot, in the order of [`FIGURES`].
pub(crate) type Counts = [Option<u64>; FIGURES.len()];

fn slot(name: &str) -> Option<usize> {
    Some(match name {
        // All faults; the major ones are taken off at the end.
        "pgfault" => MINOR,
        "pgmajfault" => MAJOR,
        "pswpin" => 2,
        "pswpout" => 3,
        "oom_kill" => 4,
        "compact_stall" => 6,
        "pgscan_kswapd" => 7,
        "pgscan_direct" => 8,
        "pgsteal_kswapd" => 9,
        "pgsteal_direct" => 10,
        "workingset_refault_anon" => 11,
        // Until 5.9 the kernel counted files only, under the shorter name.
        "workingset_refault_file" | "workingset_refault" => 12,
        _ if name.starts_with("allocstall") => 5,
        _ => return None,
    })
}

/// Pure. Names that aren't wanted are passed over.
pub(crate) fn parse(text: &str) -> Result<Counts, ParseFault> {
    let mut counts = Counts::default();
    for (index, line) in text.lines().enumerate() {
        let (name, value) = line.split_once(' ').ok_or_else(|| ParseFault::at(index, line, "no name and number"))?;
        if let Some(at) = slot(name) {
            let value = number(index, line, Some(value))?;
            counts[at] = Some(counts[at].unwrap_or(0).saturating_add(value));
        }
    }
    if let (Some(all), Some(major)) = (counts[MINOR], counts[MAJOR]) {
        counts[MINOR] = Some(all.saturating_sub(major));
    }
    Ok(counts)
}

pub(crate) struct Vmstat {
    every: Duration,
    file: HeldFile,
    series: [Cached; FIGURES.len()],
}

impl Vmstat {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, file: HeldFile::listing(PATH), series: Default::default() }
    }
}

impl Collector for Vmstat {
    fn name(&self) -> &'static str {
        "vmstat"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        let counts = parse(context.text).map_err(|fault| fault.of(PATH))?;
        for ((series, count), figure) in self.series.iter_mut().zip(counts).zip(&FIGURES) {
            if let Some(count) = count {
                context.sink.put(series, count as f64, || figure.key());
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
    fn faults_swapping_and_kills_are_counters() {
        let samples = Trees::of("host").samples(&mut Vmstat::new(Duration::from_secs(1)), 1);
        assert_eq!(samples["system.paging.faults{system.paging.fault.type=major}"], 3_999.0);
        assert_eq!(samples["system.paging.faults{system.paging.fault.type=minor}"], 35_580_082.0 - 3_999.0);
        assert_eq!(samples["system.paging.operations{system.paging.direction=out}"], 40.0);
        assert_eq!(samples["holdfast.memory.oom_kills"], 2.0);
        assert_eq!(samples["holdfast.memory.allocation_stalls"], 6.0, "all zones together");
        assert_eq!(samples["holdfast.memory.scanned{holdfast.memory.reclaimer=direct}"], 9.0);
        assert_eq!(samples.len(), FIGURES.len());
    }

    #[test]
    fn an_old_kernel_counts_no_kills_and_that_is_no_zero() {
        let samples = Trees::of("host").samples(&mut Vmstat::new(Duration::from_secs(1)), 2);
        assert!(!samples.contains_key("holdfast.memory.oom_kills"), "{samples:?}");
        assert_eq!(samples["holdfast.memory.refaults{holdfast.memory.page_kind=file}"], 7.0);
        assert_eq!(samples["holdfast.memory.allocation_stalls"], 8.0);
    }

    #[test]
    fn the_error_names_the_line() {
        assert_eq!(parse("nr_free_pages 1\npgfault x\n").unwrap_err().line, 2);
        assert_eq!(parse("pgfault\n").unwrap_err().reason, "no name and number");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "((pgfault|pgmajfault|allocstall_dma) [0-9]{0,22}\\n){0,5}\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
