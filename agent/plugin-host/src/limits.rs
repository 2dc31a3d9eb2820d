//! Every bound of a plugin and of one call. The operator may lower the first few; the others are fixed.

use std::time::Duration;

/// Larger components are refused unread. One that brings a Python has 18 MiB: docs/adr/0014.
pub const COMPONENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The ticker wakes this often: a deadline is kept to about one tick.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Calls at once, of all plugins together.
pub const CALLS_MAX: usize = 64;
/// A guest's stack; deeper recursion ends the call.
pub(crate) const STACK_BYTES_MAX: usize = 512 * 1024;
/// Core instances, memories and tables of one plugin instance: a component made of one module needs about four of each, one that brings
/// a Python 33 instances, because its tool links it of parts. An instance takes about a KiB.
pub(crate) const INSTANCES_MAX: usize = 64;
pub(crate) const TABLES_MAX: usize = 16;
pub(crate) const MEMORIES_MAX: usize = 4;
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// What a guest may hand over in one host call or one answer, in bytes.
pub(crate) const HANDED_OVER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Lines kept for each call; more are counted and dropped.
pub(crate) const LOG_LINES_MAX: usize = 200;
/// A log line is cut here, in bytes.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 2 * 1024;
/// Fields of a log line.
pub(crate) const LOG_FIELDS_MAX: usize = 16;

/// One `files.read`, in bytes.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024;
/// One page of a walk.
pub(crate) const PAGE_ENTRIES_MAX: usize = 1_000;
/// Names that a walk has read and not yet visited; what is beyond is reported among the walk's errors.
pub(crate) const WALK_PENDING_MAX: usize = 100_000;
/// Errors that a walk keeps until they are asked for.
pub(crate) const WALK_ERRORS_MAX: usize = 1_000;
/// Globs of one list.
pub(crate) const GLOBS_MAX: usize = 64;
/// A path, a unit name, a glob: in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 4 * 1024;
/// Open walks of one call.
pub(crate) const WALKERS_MAX: usize = 8;
/// Units, processes, series or changes of one answer.
pub(crate) const ROWS_MAX: usize = 5_000;
/// Points of one metrics answer, all series together.
pub(crate) const POINTS_MAX: usize = 100_000;

/// Keys, bytes of a key and bytes of all values that a plugin may keep.
pub(crate) const STATE_KEYS_MAX: usize = 1_000;
pub(crate) const STATE_KEY_BYTES_MAX: usize = 256;
pub(crate) const STATE_BYTES_MAX: usize = 1024 * 1024;

/// What a collector measures in one call.
pub(crate) const SAMPLES_MAX: usize = 1_000;
/// A check's findings, and the rules that it names.
pub(crate) const FINDINGS_MAX: usize = 1_000;
pub(crate) const RULES_MAX: usize = 1_000;
/// What a plan may have is said once, where a finished plan is judged, so that nothing is taken here and refused there.
pub(crate) use holdfast_core::plan_check as plan;
/// Pieces of evidence, references.
pub(crate) const EVIDENCE_MAX: usize = 64;
/// One line for people, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 512;
/// A text of evidence, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The bounds that an operator or a manifest may lower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one instance, in bytes. Default: 64 MiB.
    pub memory_bytes_max: usize,
    /// Wall time of one call, host calls included. Default: 10 s.
    pub deadline: Duration,
    /// Wall time of one host call. Default: 5 s.
    pub host_call_deadline: Duration,
    /// Host calls of one call, log lines aside. Default: 100 000.
    pub host_calls_max: u64,
    /// Bytes that host calls may hand to the guest in one call. Default: 64 MiB.
    pub returned_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 * 1024 * 1024,
            deadline: Duration::from_secs(10),
            host_call_deadline: Duration::from_secs(5),
            host_calls_max: 100_000,
            returned_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// The lower of both, bound by bound.
    pub(crate) fn lowered(&self, wish: &crate::manifest::PluginLimits) -> Self {
        let mut limits = self.clone();
        if let Some(bytes) = wish.memory_max {
            limits.memory_bytes_max = limits.memory_bytes_max.min(usize::try_from(bytes.0).unwrap_or(usize::MAX));
        }
        if let Some(deadline) = wish.deadline {
            limits.deadline = limits.deadline.min(deadline.0);
        }
        limits.host_call_deadline = limits.host_call_deadline.min(limits.deadline);
        limits
    }

    /// A span of time in ticks, at least one.
    pub(crate) fn ticks(span: Duration) -> u64 {
        u64::try_from(span.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).max(1)
    }
}

const _: () = assert!(EVIDENCE_MAX <= plan::EVIDENCE_MAX, "evidence that is taken is judged");
const _: () = assert!(READ_BYTES_MAX < HANDED_OVER_BYTES_MAX, "what is read can be handed back");
const _: () = assert!(LOG_LINE_BYTES_MAX * LOG_LINES_MAX < HANDED_OVER_BYTES_MAX, "a full log fits");
