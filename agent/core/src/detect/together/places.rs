//! Which series stand together: a bounded, stated list of the host's, and one of each unit's.
//!
//! A place is one number of a row. Series that differ only in what a place does not name (disks, interfaces) are added up there.

use crate::model::{SeriesKey, has_all};

/// One number of a row.
pub(super) struct Place {
    metric: &'static str,
    attributes: &'static [(&'static str, &'static str)],
    /// What nobody would notice, in the series' unit (of a counter, a second).
    pub(super) least: f64,
}

const fn place(metric: &'static str, attributes: &'static [(&'static str, &'static str)], least: f64) -> Place {
    Place { metric, attributes, least }
}

/// Stall times of one resource.
macro_rules! stalls {
    ($resource:literal, $kind:literal) => {
        &[("holdfast.pressure.resource", $resource), ("holdfast.pressure.kind", $kind)]
    };
}

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// The host's: what a person would put on one screen.
pub(super) const HOST: [Place; 36] = [
    place("holdfast.cpu.utilization", &[], 0.02),
    place("system.cpu.utilization", &[("cpu.mode", "user")], 0.02),
    place("system.cpu.utilization", &[("cpu.mode", "system")], 0.02),
    place("system.cpu.utilization", &[("cpu.mode", "iowait")], 0.02),
    place("system.cpu.utilization", &[("cpu.mode", "interrupt")], 0.01),
    place("system.cpu.utilization", &[("cpu.mode", "steal")], 0.01),
    place("system.cpu.load_average.1m", &[], 0.2),
    place("holdfast.cpu.context_switches", &[], 500.0),
    place("holdfast.cpu.tasks", &[("holdfast.cpu.task_state", "blocked")], 1.0),
    place("system.process.created", &[], 5.0),
    place("system.memory.utilization", &[("system.memory.state", "used")], 0.01),
    place("system.memory.utilization", &[("system.memory.state", "cached")], 0.02),
    place("system.paging.utilization", &[("system.paging.state", "used")], 0.01),
    place("holdfast.memory.dirty", &[], 16.0 * MIB),
    place("system.paging.faults", &[("system.paging.fault.type", "major")], 5.0),
    place("system.paging.operations", &[], 10.0),
    place("holdfast.memory.scanned", &[], 100.0),
    place("system.linux.pressure.stall_time", stalls!("cpu", "some"), 0.01),
    place("system.linux.pressure.stall_time", stalls!("memory", "some"), 0.01),
    place("system.linux.pressure.stall_time", stalls!("io", "some"), 0.01),
    place("system.linux.pressure.stall_time", stalls!("io", "full"), 0.01),
    place("system.disk.io", READ, 256.0 * KIB),
    place("system.disk.io", WRITE, 256.0 * KIB),
    place("system.disk.operations", READ, 10.0),
    place("system.disk.operations", WRITE, 10.0),
    place("system.disk.io_time", &[], 0.02),
    place("system.network.io", &[("network.io.direction", "receive")], 64.0 * KIB),
    place("system.network.io", &[("network.io.direction", "transmit")], 64.0 * KIB),
    place("system.network.errors", &[], 0.1),
    place("system.network.packet.dropped", &[], 1.0),
    place("holdfast.tcp.connections", &[], 5.0),
    place("holdfast.tcp.opened", &[], 2.0),
    place("holdfast.tcp.reset_connections", &[], 1.0),
    place("holdfast.tcp.retransmitted", &[], 2.0),
    place("holdfast.file.open", &[], 100.0),
    place("holdfast.thread.count", &[], 10.0),
];

const READ: &[(&str, &str)] = &[("disk.io.direction", "read")];
const WRITE: &[(&str, &str)] = &[("disk.io.direction", "write")];

/// Each unit's.
pub(super) const UNIT: [Place; 9] = [
    place("holdfast.unit.cpu.time", &[("cpu.mode", "user")], 0.02),
    place("holdfast.unit.cpu.time", &[("cpu.mode", "system")], 0.02),
    place("holdfast.unit.memory.usage", &[], 16.0 * MIB),
    place("holdfast.unit.disk.io", READ, 64.0 * KIB),
    place("holdfast.unit.disk.io", WRITE, 64.0 * KIB),
    place("holdfast.unit.tasks", &[], 5.0),
    place("holdfast.unit.pressure.stall_time", stalls!("cpu", "some"), 0.01),
    place("holdfast.unit.pressure.stall_time", stalls!("memory", "some"), 0.01),
    place("holdfast.unit.pressure.stall_time", stalls!("io", "some"), 0.01),
];

/// What units use up of the host, by their places: what may explain the host's departure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Cpu,
    Memory,
    Disk,
    Tasks,
}

impl Resource {
    /// Of which a finding of this kind, about this metric or resource, may be the end.
    pub(super) fn of(kind: &str, subject: &str) -> Option<Self> {
        // What a service or a mount is called says nothing.
        let metric = subject.split('{').next().unwrap_or_default();
        let says = |word: &str| metric.contains(word);
        if says("inodes of ") || metric.starts_with("holdfast.app.") {
            return None;
        }
        if kind.starts_with("disk.") || subject.contains("cpu.mode=iowait") || says("disk") || says("filesystem") {
            Some(Self::Disk)
        } else if subject.starts_with("system.linux.pressure") {
            [("resource=cpu", Self::Cpu), ("resource=memory", Self::Memory), ("resource=io", Self::Disk)]
                .into_iter()
                .find_map(|(word, it)| subject.contains(word).then_some(it))
        } else if says("cpu") {
            Some(Self::Cpu)
        } else if says("memory") || says("paging") {
            Some(Self::Memory)
        } else if says("thread") {
            Some(Self::Tasks)
        } else {
            None
        }
    }

    /// The unit's places that are added up.
    pub(super) fn places(self) -> &'static [usize] {
        match self {
            Self::Cpu => &[0, 1],
            Self::Memory => &[2],
            Self::Disk => &[3, 4],
            Self::Tasks => &[5],
        }
    }
}

/// The unit whose figures a series holds. Slices hold what their units hold, and would count twice.
pub(super) fn unit_of(key: &SeriesKey) -> Option<&str> {
    let name = key.attributes.get("holdfast.unit.name")?;
    let is_slice = name.rsplit_once('.').is_some_and(|(_, kind)| kind == "slice");
    (key.metric.starts_with("holdfast.unit.") && !is_slice).then_some(name.as_str())
}

/// Its place in the list.
pub(super) fn find(list: &[Place], key: &SeriesKey) -> Option<usize> {
    if key.attributes.contains_key("cpu.logical_number") {
        return None;
    }
    list.iter().position(|it| it.metric == key.metric && has_all(&key.attributes, it.attributes.iter().copied()))
}

/// For people: `system.disk.io{disk.io.direction=read}`.
pub(super) fn name(place: &Place) -> String {
    let attributes = place.attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    crate::model::series_name(place.metric, &attributes)
}
