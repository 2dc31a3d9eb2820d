//! `[collect]` of the configuration.

use holdfast_core::model::Interval;
use serde::{Deserialize, Serialize};

/// What is collected, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CollectConfig {
    /// Time between two readings of cpu, memory, vmstat, pressure, disks, network and sockets. Default: "1s".
    pub every: Interval,
    /// Time between two readings of the space on file systems. Default: "5s".
    pub filesystems_every: Interval,
    /// Time between two looks at all processes: the dearest reading. Default: "10s".
    pub processes_every: Interval,
    /// Programs reported: the top by CPU, by memory, by I/O and by open files, so at most four times as many. 0 switches processes off. Default: 8.
    pub processes_top: usize,
    /// Time between two readings of what changes slowly: limits, clock, temperatures; connections by state and hardware faults every sixth time. Default: "10s".
    pub slow_every: Interval,
    /// Time between two readings of the cgroups of units and containers. Default: "10s".
    pub cgroups_every: Interval,
    /// Units with series of their own; beyond them the busiest. Default: 64, at most 1000.
    pub units_max: usize,
    /// Containers with series of their own; beyond them the busiest. Default: 32, at most 1000.
    pub containers_max: usize,
    /// CPU time of each logical CPU by mode too; the busy share of each is always there. Default: false.
    pub per_core: bool,
    /// Collectors that don't run, by name: `cpu`, `memory`, `vmstat`, `pressure`, `disk`, `filesystem`, `network`, `sockets`, `connections`,
    /// `limits`, `clock`, `temperature`, `hardware`, `load`, `self`, `uptime`, `cgroup`, `processes`.
    pub off: Vec<String>,
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            every: Interval::secs(1),
            filesystems_every: Interval::secs(5),
            processes_every: Interval::secs(10),
            processes_top: 8,
            slow_every: Interval::secs(10),
            cgroups_every: Interval::secs(10),
            units_max: 64,
            containers_max: 32,
            per_core: false,
            off: Vec::new(),
        }
    }
}
