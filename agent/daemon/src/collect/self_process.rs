//! What the agent itself costs, from `/proc/self/stat`.

use std::time::Duration;

use super::sink::{Cached, counter, gauge};
use super::{CollectError, Collector, Context, KernelUnits, ProcessStat, Reading};
use crate::host::HeldFile;

const PATH: &str = "/proc/self/stat";

pub(crate) struct SelfProcess {
    every: Duration,
    file: HeldFile,
    kernel: KernelUnits,
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
            kernel: KernelUnits::of_this_kernel(),
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
        let stat = ProcessStat::parse(context.text).map_err(|fault| fault.of(PATH))?;
        let seconds = |ticks: u64| ticks as f64 / self.kernel.ticks_per_second as f64;
        let (user, system) = (seconds(stat.user_ticks), seconds(stat.system_ticks));
        let time = |mode| counter("holdfast.process.cpu.time", "s", &[("cpu.mode", mode)]);
        context.sink.put(&mut self.user, user, || time("user"));
        context.sink.put(&mut self.system, system, || time("system"));
        let resident = stat.resident_pages as f64 * self.kernel.page_bytes as f64;
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

    #[test]
    fn a_command_with_parentheses_shifts_nothing() {
        let samples = Trees::of("host").samples(&mut SelfProcess::new(Duration::from_secs(1)), 1);
        assert_eq!(samples["holdfast.process.cpu.time{cpu.mode=user}"], 1.25);
        assert_eq!(samples["holdfast.process.thread.count"], 5.0);
        assert_eq!(samples["holdfast.process.memory.usage"], 376.0 * rustix::param::page_size() as f64);
    }
}
