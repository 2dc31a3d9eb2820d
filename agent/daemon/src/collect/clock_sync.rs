//! Whether the wall clock follows a time server, as `systemd-timesyncd` tells below `/run/systemd/timesync`.
//!
//! `holdfast.clock.synchronized` is 1 after the first answer of a server since boot and 0 before it;
//! `holdfast.clock.synchronized_at` is the moment of the latest one, in seconds since the epoch.
//! Absent without timesyncd: other time servers keep their state to themselves, and the kernel tells its own only through
//! adjtimex(2), which the service's sandbox denies because the same call sets the clock. An unknown clock is no wrong clock.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, Reading};

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

pub(crate) struct ClockSync {
    every: Duration,
    synchronized: Cached,
    at: Cached,
}

impl ClockSync {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, synchronized: Cached::default(), at: Cached::default() }
    }
}

impl Collector for ClockSync {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        let ask = |path: &str| {
            touched(&context.fs.path(path)).map_err(|source| CollectError::Read { path: path.to_owned(), source })
        };
        if ask(DIRECTORY)?.is_none() {
            return Ok(Reading::Absent { why: format!("no {DIRECTORY}: systemd-timesyncd doesn't run here") });
        }
        let mark = ask(MARK)?;
        let synchronized = f64::from(u8::from(mark.is_some()));
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
        let mut clock = ClockSync::new(Duration::from_secs(10));
        let before = trees.samples(&mut clock, 2);
        assert_eq!(before.into_iter().collect::<Vec<_>>(), [("holdfast.clock.synchronized".to_owned(), 0.0)]);
        let after = trees.samples(&mut clock, 1);
        assert_eq!(after["holdfast.clock.synchronized"], 1.0);
        assert!(after["holdfast.clock.synchronized_at"] > 1.7e9);
    }

    #[test]
    fn without_timesyncd_nothing_is_known() {
        let (reading, samples) = Trees::of("bare").read(&mut ClockSync::new(Duration::from_secs(10)), 1).unwrap();
        assert!(matches!(reading, Reading::Absent { .. }) && samples.is_empty());
    }
}
