//! Load averages, from `/proc/loadavg`: tasks running or waiting uninterruptibly, averaged by the kernel.

use std::time::Duration;

use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading};
use crate::host::HeldFile;

const PATH: &str = "/proc/loadavg";
const METRICS: [&str; 3] = ["system.cpu.load_average.1m", "system.cpu.load_average.5m", "system.cpu.load_average.15m"];

/// Pure: over 1, 5 and 15 minutes.
pub(crate) fn parse(text: &str) -> Result<[f64; 3], ParseFault> {
    let mut averages = [0.0; 3];
    let mut fields = text.split_ascii_whitespace();
    for average in &mut averages {
        *average =
            fields.next().and_then(|field| field.parse().ok()).filter(|value: &f64| value.is_finite()).ok_or_else(
                || ParseFault::at(0, text.lines().next().unwrap_or_default(), "fewer than three numbers"),
            )?;
    }
    Ok(averages)
}

pub(crate) struct Load {
    every: Duration,
    file: HeldFile,
    series: [Cached; 3],
}

impl Load {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, file: HeldFile::record(PATH), series: Default::default() }
    }
}

impl Collector for Load {
    fn name(&self) -> &'static str {
        "load"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        let averages = parse(context.text).map_err(|fault| fault.of(PATH))?;
        for (at, average) in averages.into_iter().enumerate() {
            context.sink.put(&mut self.series[at], average, || gauge(METRICS[at], "{thread}", &[]));
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn three_averages() {
        let samples = Trees::of("host").samples(&mut Load::new(Duration::from_secs(1)), 1);
        assert_eq!(samples["system.cpu.load_average.1m"], 0.42);
        assert_eq!(samples["system.cpu.load_average.15m"], 0.29);
    }

    #[test]
    fn two_numbers_are_an_error() {
        assert_eq!(parse("0.1 0.2\n").unwrap_err().to_string(), "line 1: fewer than three numbers: `0.1 0.2`");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[0-9. a-zA-Z\\n/-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
