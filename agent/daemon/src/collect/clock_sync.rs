//! Whether the wall clock follows a time server, as `systemd-timesyncd` tells below `/run/systemd/timesync`, or else systemd's
//! `timedated` on the bus, which asks the kernel and so knows of chrony and ntpd too.
//!
//! `holdfast.clock.synchronized` is 1 after the first answer of a server since boot and 0 before it;
//! `holdfast.clock.synchronized_at`, of timesyncd only, is the moment of the latest one, in seconds since the epoch.
//! Absent when neither is there: the kernel tells its own state only through adjtimex(2), which the service's sandbox denies
//! because the same call sets the clock. An unknown clock is no wrong clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, Reading};

pub(super) const NAME: &str = "clock";
const DIRECTORY: &str = "/run/systemd/timesync";
/// Touched by timesyncd at each answer of a server.
const MARK: &str = "/run/systemd/timesync/synchronized";

/// When the file was last touched, in seconds since the epoch; `None` when there is none.
fn touched(path: &Path) -> std::io::Result<Option<f64>> {
    match std::fs::metadata(path).and_then(|meta| meta.modified()) {
        Ok(at) => Ok(Some(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was last told on the bus; nothing yet.
#[derive(Debug, Default)]
pub struct ClockTold(AtomicU8);

impl ClockTold {
    /// `None`: nobody knows.
    pub fn set(&self, synchronized: Option<bool>) {
        self.0.store(synchronized.map_or(0, |it| 1 + u8::from(it)), Ordering::Relaxed);
    }

    fn get(&self) -> Option<bool> {
        self.0.load(Ordering::Relaxed).checked_sub(1).map(|it| it > 0)
    }
}

pub(crate) struct ClockSync {
    every: Duration,
    told: Arc<ClockTold>,
    synchronized: Cached,
    at: Cached,
}

impl ClockSync {
    pub(crate) fn new(every: Duration, told: Arc<ClockTold>) -> Self {
        Self { every, told, synchronized: Cached::default(), at: Cached::default() }
    }
}

impl Collector for ClockSync {
    fn name(&self) -> &'static str {
        NAME
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let ask = |path: &str| {
            touched(&context.fs.path(path)).map_err(|source| CollectError::Read { path: path.to_owned(), source })
        };
        let mark = ask(MARK)?;
        let told = if ask(DIRECTORY)?.is_some() { Some(mark.is_some()) } else { self.told.get() };
        let Some(synchronized) = told else {
            let why = format!("no {DIRECTORY}, as systemd-timesyncd has it, and no answer of timedated on the bus");
            return Ok(Reading::Absent { why });
        };
        let synchronized = f64::from(u8::from(synchronized));
        context.sink.put(&mut self.synchronized, synchronized, || gauge("holdfast.clock.synchronized", "1", &[]));
        if let Some(at) = mark {
            context.sink.put(&mut self.at, at, || gauge("holdfast.clock.synchronized_at", "s", &[]));
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;

    #[test]
    fn before_the_first_answer_the_clock_is_not_synchronized_and_after_it_it_is() {
        let mut trees = Trees::of("host");
        let mut clock = ClockSync::new(Duration::from_secs(10), Arc::default());
        let before = trees.samples(&mut clock, 2);
        assert_eq!(before.into_iter().collect::<Vec<_>>(), [("holdfast.clock.synchronized".to_owned(), 0.0)]);
        let after = trees.samples(&mut clock, 1);
        assert_eq!(after["holdfast.clock.synchronized"], 1.0);
        assert!(after["holdfast.clock.synchronized_at"] > 1.7e9);
    }

    #[test]
    fn without_timesyncd_the_clock_is_as_the_bus_tells() {
        let told = Arc::new(ClockTold::default());
        for (says, wanted) in [(None, None), (Some(true), Some(1.0)), (Some(false), Some(0.0)), (None, None)] {
            told.set(says);
            let mut clock = ClockSync::new(Duration::from_secs(10), Arc::clone(&told));
            let (reading, samples) = Trees::of("bare").read(&mut clock, 1).unwrap();
            assert_eq!(matches!(reading, Reading::Absent { .. }), wanted.is_none());
            assert_eq!(samples.get("holdfast.clock.synchronized").copied(), wanted);
        }
    }
}
