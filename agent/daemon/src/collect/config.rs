//! `[collect]` of the configuration.

use holdfast_core::model::Interval;
use serde::{Deserialize, Serialize};

/// What is collected, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CollectConfig {
    /// Time between two readings of cpu, memory, pressure, disks and network. Default: "1s".
    pub every: Interval,
    /// Time between two readings of the space on file systems. Default: "5s".
    pub filesystems_every: Interval,
    /// Time between two looks at all processes: the dearest reading. Default: "10s".
    pub processes_every: Interval,
    /// Executables reported: the top by CPU and the top by memory, so at most twice as many. 0 switches processes off. Default: 8.
    pub processes_top: usize,
    /// CPU time of each logical CPU too. Default: false.
    pub per_core: bool,
    /// Collectors that don't run, by name: `cpu`, `memory`, `pressure`, `disk`, `filesystem`, `network`, `load`, `self`, `processes`, `uptime`.
    pub off: Vec<String>,
}

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            every: Interval::secs(1),
            filesystems_every: Interval::secs(5),
            processes_every: Interval::secs(10),
            processes_top: 8,
            per_core: false,
            off: Vec::new(),
        }
    }
}
