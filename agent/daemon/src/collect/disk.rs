//! Disk I/O of whole devices, from `/proc/diskstats`.
//!
//! Counters since boot: bytes, operations, seconds. Partitions are left out (their device has the sum), and so are loop and RAM
//! disks and devices that never did anything. At most [`DEVICES_MAX`] devices; the rest is told in the report.

use std::time::Duration;

use super::keyed::Keyed;
use super::sink::{Cached, counter, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};
use crate::host::HeldFile;

const PATH: &str = "/proc/diskstats";
/// The kernel counts sectors of 512 bytes, whatever the device's own size is.
const SECTOR_BYTES: f64 = 512.0;
/// A storage server has some hundred disks; beyond this, series would cost more than they tell.
const DEVICES_MAX: usize = 256;

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device<'a> {
    pub(crate) name: &'a str,
    /// Reads, then writes: operations, sectors, milliseconds.
    pub(crate) io: [[u64; 3]; 2],
    pub(crate) pending: u64,
    pub(crate) busy_ms: u64,
}

impl Device<'_> {
    fn ever_used(&self) -> bool {
        self.io[0][0] > 0 || self.io[1][0] > 0
    }
}

/// Pure: one line.
pub(crate) fn parse_line(index: usize, line: &str) -> Result<Device<'_>, ParseFault> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let name = fields.next().ok_or_else(|| ParseFault::at(index, line, "no device name"))?;
    let mut values = [0; 11];
    for value in &mut values {
        *value = number(index, line, fields.next())?;
    }
    let [reads, _, read_sectors, read_ms, writes, _, write_sectors, write_ms, pending, busy_ms, _] = values;
    Ok(Device { name, io: [[reads, read_sectors, read_ms], [writes, write_sectors, write_ms]], pending, busy_ms })
}

#[derive(Debug, Default)]
struct Series {
    partition: Option<bool>,
    /// Read, then write: bytes, operations, time.
    io: [[Cached; 3]; 2],
    pending: Cached,
    busy: Cached,
}

pub(crate) struct Disk {
    every: Duration,
    file: HeldFile,
    devices: Keyed<Series>,
}

impl Disk {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, file: HeldFile::listing(PATH), devices: Keyed::new() }
    }
}

impl Collector for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        self.devices.next_round();
        let mut count = 0;
        for (index, line) in context.text.lines().enumerate() {
            let device = parse_line(index, line).map_err(|fault| fault.of(PATH))?;
            let name = device.name;
            if name.starts_with("loop") || name.starts_with("ram") || !device.ever_used() {
                continue;
            }
            let series = self.devices.of(name);
            let fs = context.fs;
            if *series.partition.get_or_insert_with(|| fs.path(format!("/sys/class/block/{name}/partition")).exists()) {
                continue;
            }
            count += 1;
            if count > DEVICES_MAX {
                return Ok(Reading::Partial { why: format!("more than {DEVICES_MAX} disks; the rest is left out") });
            }
            for (at, direction) in ["read", "write"].into_iter().enumerate() {
                let attributes = [("system.device", name), ("disk.io.direction", direction)];
                let [operations, sectors, ms] = device.io[at].map(|value| value as f64);
                let [a, b, c] = &mut series.io[at];
                context.sink.put(a, sectors * SECTOR_BYTES, || counter("system.disk.io", "By", &attributes));
                context.sink.put(b, operations, || counter("system.disk.operations", "{operation}", &attributes));
                context.sink.put(c, ms / 1e3, || counter("system.disk.operation_time", "s", &attributes));
            }
            let attributes = [("system.device", name)];
            context.sink.put(&mut series.busy, device.busy_ms as f64 / 1e3, || {
                counter("system.disk.io_time", "s", &attributes)
            });
            context.sink.put(&mut series.pending, device.pending as f64, || {
                gauge("holdfast.disk.pending_operations", "{operation}", &attributes)
            });
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
    fn bytes_operations_and_time_of_a_disk() {
        let samples = Trees::of("host").samples(&mut Disk::new(Duration::from_secs(1)), 1);
        assert_eq!(samples["system.disk.io{disk.io.direction=read,system.device=vda}"], 9_176_042.0 * 512.0);
        assert_eq!(samples["system.disk.operations{disk.io.direction=write,system.device=vda}"], 14_187.0);
        assert_eq!(samples["system.disk.io_time{system.device=vda}"], 14.528);
    }

    #[test]
    fn partitions_loops_and_idle_devices_have_no_series() {
        let samples = Trees::of("host").samples(&mut Disk::new(Duration::from_secs(1)), 1);
        assert_eq!(samples.len(), 8, "only vda: {samples:?}");
    }

    #[test]
    fn an_unplugged_disk_just_ends() {
        let (mut trees, mut disk) = (Trees::of("host"), Disk::new(Duration::from_secs(1)));
        assert_eq!(trees.samples(&mut disk, 2).len(), 16);
        assert_eq!(trees.samples(&mut disk, 1).len(), 8);
    }

    #[test]
    fn the_error_names_the_line() {
        assert_eq!(parse_line(3, "254 0 vda 1 2").unwrap_err().line, 4);
        assert_eq!(parse_line(0, "254 0").unwrap_err().reason, "no device name");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(line in "[0-9 ]{0,12}\\PC{0,8}[0-9 x]{0,90}") {
            let _ = parse_line(0, &line);
        }
    }
}
