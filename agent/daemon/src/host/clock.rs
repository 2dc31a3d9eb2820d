//! The only file that reads a clock.
//!
//! Wall time is for labels and may jump; elapsed time is monotonic and never runs backwards.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_core::model::Timestamp;

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// The moment on the wall clock, for labels only.
    fn wall(&self) -> Timestamp;
    /// Time since some fixed moment in this process, for measuring; never runs backwards.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Monotonic time counts from here.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    /// A wall clock before 1970 reads as 1970.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ns(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when told, for tests, simulations and replays.
#[derive(Debug, Default)]
pub struct FakeClock {
    wall_ns: AtomicI64,
    monotonic_ns: AtomicU64,
}

impl FakeClock {
    /// Stands at `wall`; monotonic time at zero.
    pub fn at(wall: Timestamp) -> Self {
        Self { wall_ns: AtomicI64::new(wall.ns()), monotonic_ns: AtomicU64::new(0) }
    }

    /// Both clocks move on.
    pub fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.monotonic_ns.fetch_add(ns, Ordering::SeqCst);
        self.wall_ns.fetch_add(i64::try_from(ns).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Only the wall clock jumps, as after a correction by NTP.
    pub fn jump_wall(&self, to: Timestamp) {
        self.wall_ns.store(to.ns(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_ns(self.wall_ns.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_ns.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_leaves_elapsed_time_alone() {
        let clock = FakeClock::at(Timestamp::from_secs(1_000));
        clock.advance(Duration::from_secs(2));
        clock.jump_wall(Timestamp::from_secs(10));
        assert_eq!((clock.wall(), clock.monotonic()), (Timestamp::from_secs(10), Duration::from_secs(2)));
    }

    #[test]
    fn the_system_clock_is_past_2020_and_does_not_run_backwards() {
        let clock = SystemClock::new();
        let first = clock.monotonic();
        assert!(clock.wall() > Timestamp::from_secs(1_577_836_800));
        assert!(clock.monotonic() >= first);
    }
}
