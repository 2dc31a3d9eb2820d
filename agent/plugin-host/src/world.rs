//! The world as a plugin may see it, given by the caller: the real one in the daemon, a fixture in tests.
//!
//! Every method gets the time that it may take and keeps to it. Nothing here checks a grant; that has happened before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_core::model::{Attributes, Change, Timestamp, UnitState};

/// In which way the world did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorldErrorKind {
    /// This host has no such thing (no systemd).
    Unsupported,
    /// It took too long.
    Timeout,
    /// It failed.
    Io,
    /// The answer would be larger than was asked for.
    Limit,
}

/// The world did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct WorldError {
    /// In which way.
    pub kind: WorldErrorKind,
    /// Why, for people.
    pub text: String,
}

impl WorldError {
    /// It failed.
    pub fn io(text: impl Into<String>) -> Self {
        Self { kind: WorldErrorKind::Io, text: text.into() }
    }
    /// This host has no such thing.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self { kind: WorldErrorKind::Unsupported, text: text.into() }
    }
    /// The answer would be larger than was asked for.
    pub fn limit(text: impl Into<String>) -> Self {
        Self { kind: WorldErrorKind::Limit, text: text.into() }
    }
    /// It took too long.
    pub fn timeout(text: impl Into<String>) -> Self {
        Self { kind: WorldErrorKind::Timeout, text: text.into() }
    }
}

/// A process at one moment; `(pid, started)` names it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessFacts {
    /// Process id.
    pub pid: u32,
    /// When it was started.
    pub started: Timestamp,
    /// Its parent.
    pub ppid: u32,
    /// Its user.
    pub uid: u32,
    /// `comm`.
    pub name: String,
    /// Its command line.
    pub cmdline: Vec<String>,
    /// Its executable, where the agent may see it.
    pub exe: Option<String>,
    /// Whether the executable has been removed since.
    pub exe_deleted: bool,
    /// Resident bytes.
    pub resident_bytes: u64,
    /// CPU seconds so far.
    pub cpu_seconds: f64,
    /// The systemd unit it belongs to.
    pub unit: Option<String>,
}

/// A question about processes.
#[derive(Clone, Copy)]
pub struct ProcessQuery<'a> {
    /// Only those whose name this likes.
    pub named: &'a dyn Fn(&str) -> bool,
    /// With their command lines.
    pub cmdline: bool,
    /// More of them than this are an error, found out before more is read.
    pub rows_max: usize,
    /// Bytes of command lines, all together; more are an error.
    pub cmdline_bytes_max: usize,
}

impl std::fmt::Debug for ProcessQuery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessQuery")
            .field("cmdline", &self.cmdline)
            .field("rows_max", &self.rows_max)
            .finish_non_exhaustive()
    }
}

/// A question about one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricQuery {
    /// Its name.
    pub metric: String,
    /// Only series that have each of these attributes with this value.
    pub attributes: Vec<(String, String)>,
    /// From here on.
    pub since: Timestamp,
    /// Up to and with.
    pub until: Timestamp,
    /// Length of a step; `None`: every sample.
    pub step: Option<Duration>,
    /// At most so many points, all series together.
    pub points_max: usize,
}

/// One series' answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesFacts {
    /// The metric.
    pub metric: String,
    /// What distinguishes it.
    pub attributes: Attributes,
    /// Oldest first.
    pub points: Vec<(Timestamp, f64)>,
    /// Older points were left out.
    pub truncated: bool,
}

/// What a plugin may see of the host.
pub trait World: Send + Sync {
    /// The moment on the wall clock.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, for measuring; never runs backwards.
    fn monotonic(&self) -> Duration;
    /// Where `/` lies: `/` on a machine, a directory in tests.
    fn root(&self) -> PathBuf;
    /// One unit, or `None`.
    fn unit(&self, name: &str, within: Duration) -> Result<Option<UnitState>, WorldError>;
    /// Every unit that is loaded.
    fn units(&self, within: Duration) -> Result<Vec<UnitState>, WorldError>;
    /// The processes that are asked for.
    fn processes(&self, query: &ProcessQuery<'_>, within: Duration) -> Result<Vec<ProcessFacts>, WorldError>;
    /// Points of one metric.
    fn metrics(&self, query: &MetricQuery, within: Duration) -> Result<Vec<SeriesFacts>, WorldError>;
    /// Changes between two moments, oldest first, the latest `limit`; an empty list of kinds means all.
    fn changes(
        &self,
        kinds: &[String],
        since: Timestamp,
        until: Timestamp,
        limit: usize,
        within: Duration,
    ) -> Result<Vec<Change>, WorldError>;
    /// Everything that a plugin keeps: bounded when it was written, and so without a time.
    fn state(&self, plugin: &str) -> Result<BTreeMap<String, Vec<u8>>, WorldError>;
}
