//! The two clocks. Nothing else in this crate reads one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_core::model::Timestamp;

/// Wall time, for labels and ages.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock in this crate")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ns(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// A point that is not to be passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// So far from now.
    pub(crate) fn after(span: Duration) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one reading of the monotonic clock in this crate")]
        let now = Instant::now();
        Self(now + span)
    }
    /// What is left; `None` when it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        #[expect(clippy::disallowed_methods, reason = "as above")]
        let left = self.0.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }
}
