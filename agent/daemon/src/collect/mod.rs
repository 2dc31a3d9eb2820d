//! What this machine measures of itself, once a second.
//!
//! One file per collector; in each, reading and parsing are two functions and the parser is pure. Names follow the
//! OpenTelemetry semantic conventions 1.44; what they don't name begins with `holdfast.`.
//! A collector reads a file once per reading and starts no process; what is read every second stays open. It must never act, and never block on a network
//! file system. Absence (an old kernel, no swap) is a value and gives no sample: never zero, never an error.
//! A failure or a panic of one collector is counted in its report and ends none of the others.

mod cgroup;
mod clock_sync;
mod config;
mod connections;
mod cpu;
mod disk;
mod filesystem;
mod hardware;
mod keyed;
mod limits;
mod listing;
mod load;
mod memory;
mod names;
mod network;
mod plugins;
mod pressure;
mod process_stat;
mod processes;
mod runner;
mod self_process;
pub mod sink;
mod sockets;
mod temperature;
mod uptime;
mod vmstat;

#[cfg(test)]
mod documented;
#[cfg(test)]
mod fixtures;

pub use clock_sync::ClockTold;
pub use config::CollectConfig;
pub use plugins::PluginBooks;
pub(crate) use process_stat::{KernelUnits, ProcessStat};
pub(crate) use processes::process_ids;
pub use runner::{CollectorReport, Collectors};

use std::time::Duration;

use crate::host::{FsRoot, HeldFile};

/// The unit that a process belongs to, from its `/proc/PID/cgroup`; `None` in a container, or in no unit.
pub(crate) fn unit_of_cgroup(text: &str) -> Option<String> {
    match cgroup::owner_of(text)? {
        cgroup::Owner::Unit(name) => Some(name),
        cgroup::Owner::Container { .. } => None,
    }
}

/// What one run of a collector came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Samples were put in the sink.
    Taken,
    /// Some samples were put; the rest failed, and counts as a failure.
    Partial {
        /// What failed.
        why: String,
    },
    /// This host doesn't have what would be read.
    Absent {
        /// For people: the file that is missing, and what would bring it.
        why: String,
    },
}

/// Why a collector has no samples this time.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Reading failed for another reason than absence.
    #[error("cannot read `{path}`")]
    Read {
        /// As the machine names it.
        path: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The kernel wrote what the parser doesn't know.
    #[error("cannot parse `{path}`: {fault}")]
    Parse {
        /// As the machine names it.
        path: &'static str,
        /// Line and reason.
        fault: ParseFault,
    },
}

/// A line that the parser doesn't understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}: `{text}`")]
pub struct ParseFault {
    /// Counted from 1; 0 means the whole text.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
    /// The line, at most 120 characters of it.
    pub text: String,
}

impl ParseFault {
    pub(crate) fn at(index: usize, text: &str, reason: &'static str) -> Self {
        Self { line: index + 1, reason, text: text.chars().take(120).collect() }
    }
    pub(crate) fn whole(reason: &'static str) -> Self {
        Self { line: 0, reason, text: String::new() }
    }
    pub(crate) fn of(self, path: &'static str) -> CollectError {
        CollectError::Parse { path, fault: self }
    }
}

/// What a collector is given for one run.
pub(crate) struct Context<'a> {
    pub(crate) fs: &'a FsRoot,
    /// Reused between collectors; what is in it before a run means nothing.
    pub(crate) text: &'a mut String,
    pub(crate) sink: &'a mut sink::Sink,
}

impl Context<'_> {
    /// Reads into `self.text`; a missing file is `Ok(false)`.
    pub(crate) fn read(&mut self, path: &str) -> Result<bool, CollectError> {
        known(self.fs.read(path, self.text), path)
    }

    /// The same for a file that stays open between two readings.
    pub(crate) fn reread(&mut self, held: &mut HeldFile) -> Result<bool, CollectError> {
        known(self.fs.reread(held, self.text), held.path())
    }
}

/// Tells absence from failure.
fn known(outcome: std::io::Result<()>, path: &str) -> Result<bool, CollectError> {
    let gone = [
        // Pressure files exist and refuse to be read when the kernel was started with psi=0.
        rustix::io::Errno::OPNOTSUPP,
        // What was there when it was opened and is removed now: a cgroup, a sensor.
        rustix::io::Errno::NODEV,
        rustix::io::Errno::SRCH,
    ];
    match outcome {
        Ok(()) => Ok(true),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) if gone.iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error())) => Ok(false),
        Err(source) => Err(CollectError::Read { path: path.to_owned(), source }),
    }
}

/// One part of the host.
pub(crate) trait Collector: Send {
    /// Short and stable: `cpu`, `filesystem`.
    fn name(&self) -> &'static str;
    /// Time between two runs; the loop's own period is the least.
    fn every(&self) -> Duration;
    /// One run. On an error the samples that were put meanwhile are dropped.
    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError>;
}

/// Whole number of a field.
pub(crate) fn number(index: usize, line: &str, field: Option<&str>) -> Result<u64, ParseFault> {
    field
        .and_then(|f| f.parse().ok())
        .ok_or_else(|| ParseFault::at(index, line, "a field is missing or no whole number"))
}

/// The only number of a file.
pub(crate) fn only_number(text: &str) -> Result<u64, ParseFault> {
    let text = text.trim();
    text.parse().map_err(|_| ParseFault::at(0, text, "no whole number"))
}
