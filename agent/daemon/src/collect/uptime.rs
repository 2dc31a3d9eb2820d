//! Time since boot, from `/proc/uptime`, in seconds.

use std::time::Duration;

use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading};
use crate::host::HeldFile;

pub(super) const PATH: &str = "/proc/uptime";

/// Pure: seconds.
pub(crate) fn parse(text: &str) -> Result<f64, ParseFault> {
    text.split_ascii_whitespace()
        .next()
        .and_then(|field| field.parse().ok())
        .filter(|value: &f64| value.is_finite() && *value >= 0.0)
        .ok_or_else(|| ParseFault::at(0, text.lines().next().unwrap_or_default(), "no number of seconds"))
}

pub(crate) struct Uptime {
    every: Duration,
    file: HeldFile,
    series: Cached,
}

impl Uptime {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, file: HeldFile::record(PATH), series: Cached::default() }
    }
}

impl Collector for Uptime {
    fn name(&self) -> &'static str {
        "uptime"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        let uptime = parse(context.text).map_err(|fault| fault.of(PATH))?;
        context.sink.put(&mut self.series, uptime, || gauge("system.uptime", "s", &[]));
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;

    #[test]
    fn seconds_since_boot() {
        let samples = Trees::of("host").samples(&mut Uptime::new(Duration::from_secs(1)), 1);
        assert_eq!(samples["system.uptime"], 7424.54);
    }

    #[test]
    fn what_is_no_time_is_an_error() {
        assert_eq!(parse("soon 1").unwrap_err().line, 1);
        assert!(parse("-1 1").is_err());
        assert!(parse("").is_err());
    }
}
