//! What the agent itself costs, from `/proc/self/stat`.

use std::time::Duration;

use super::sink::{Cached, counter, gauge};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};
use crate::host::HeldFile;

const PATH: &str = "/proc/self/stat";

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    pub(crate) threads: u64,
    pub(crate) resident_pages: u64,
}

/// Pure. The command may hold spaces and parentheses, so fields are counted after its last one.
pub(crate) fn parse(text: &str) -> Result<ProcessStat, ParseFault> {
    let line = text.lines().next().unwrap_or_default();
    let (_, rest) = line.rsplit_once(')').ok_or_else(|| ParseFault::at(0, line, "no command in parentheses"))?;
    // Numbers are those of proc(5), which counts the process id as 1 and the state as 3.
    let field = |wanted: usize| number(0, line, rest.split_ascii_whitespace().nth(wanted - 3));
    Ok(ProcessStat {
        user_ticks: field(14)?,
        system_ticks: field(15)?,
        threads: field(20)?,
        resident_pages: field(24)?,
    })
}

pub(crate) struct SelfProcess {
    every: Duration,
    file: HeldFile,
    ticks: f64,
    page_bytes: f64,
    user: Cached,
    system: Cached,
    resident: Cached,
    threads: Cached,
}

impl SelfProcess {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            file: HeldFile::record(PATH),
            ticks: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as f64,
            user: Cached::default(),
            system: Cached::default(),
            resident: Cached::default(),
            threads: Cached::default(),
        }
    }
}

impl Collector for SelfProcess {
    fn name(&self) -> &'static str {
        "self"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        let stat = parse(context.text).map_err(|fault| fault.of(PATH))?;
        let time = |mode| counter("holdfast.process.cpu.time", "s", &[("cpu.mode", mode)]);
        context.sink.put(&mut self.user, stat.user_ticks as f64 / self.ticks, || time("user"));
        context.sink.put(&mut self.system, stat.system_ticks as f64 / self.ticks, || time("system"));
        let resident = stat.resident_pages as f64 * self.page_bytes;
        context.sink.put(&mut self.resident, resident, || gauge("holdfast.process.memory.usage", "By", &[]));
        context
            .sink
            .put(&mut self.threads, stat.threads as f64, || gauge("holdfast.process.thread.count", "{thread}", &[]));
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_with_parentheses_shifts_nothing() {
        let samples = Trees::of("host").samples(&mut SelfProcess::new(Duration::from_secs(1)), 1);
        assert_eq!(samples["holdfast.process.cpu.time{cpu.mode=user}"], 1.25);
        assert_eq!(samples["holdfast.process.thread.count"], 5.0);
        assert_eq!(samples["holdfast.process.memory.usage"], 376.0 * rustix::param::page_size() as f64);
    }

    #[test]
    fn a_short_line_is_an_error() {
        assert!(parse("1 (x) R 1").is_err());
        assert!(parse("").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,10}\\)?[0-9 ]{0,120}") {
            let _ = parse(&text);
        }
    }
}
