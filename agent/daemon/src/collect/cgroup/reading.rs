//! What one cgroup has used: its files, how each is understood, and the series that come of it.
//!
//! Values are as the kernel counts them: microseconds, bytes, operations; series of time are in seconds. A controller that isn't on for a cgroup has no file, and then no series.

use crate::collect::sink::Figure;
use crate::collect::{CollectError, Context, ParseFault, number, pressure};
use crate::host::HeldFile;

/// Index of each figure, the same for units and containers.
mod at {
    pub(super) const CPU_USER: usize = 0;
    pub(super) const CPU_SYSTEM: usize = 1;
    pub(super) const THROTTLED: usize = 2;
    pub(super) const MEMORY: usize = 3;
    pub(super) const MEMORY_PEAK: usize = 4;
    pub(super) const OOM_KILLS: usize = 5;
    pub(super) const READ_BYTES: usize = 6;
    pub(super) const WRITE_BYTES: usize = 7;
    pub(super) const READS: usize = 8;
    pub(super) const WRITES: usize = 9;
    pub(super) const TASKS: usize = 10;
    pub(super) const CPU_SOME: usize = 11;
    pub(super) const MEMORY_SOME: usize = 12;
    pub(super) const MEMORY_FULL: usize = 13;
    pub(super) const IO_SOME: usize = 14;
    pub(super) const IO_FULL: usize = 15;
    pub(super) const ALL: usize = 16;
}

/// One value a figure; NaN for what isn't there.
pub(crate) type Values = [f64; at::ALL];
pub(crate) const NOTHING: Values = [f64::NAN; at::ALL];

const USER: &[(&str, &str)] = &[("cpu.mode", "user")];
const SYSTEM: &[(&str, &str)] = &[("cpu.mode", "system")];
const READ: &[(&str, &str)] = &[("disk.io.direction", "read")];
const WRITE: &[(&str, &str)] = &[("disk.io.direction", "write")];
const STALLS: [&[(&str, &str)]; 5] = [
    &[("holdfast.pressure.resource", "cpu"), ("holdfast.pressure.kind", "some")],
    &[("holdfast.pressure.resource", "memory"), ("holdfast.pressure.kind", "some")],
    &[("holdfast.pressure.resource", "memory"), ("holdfast.pressure.kind", "full")],
    &[("holdfast.pressure.resource", "io"), ("holdfast.pressure.kind", "some")],
    &[("holdfast.pressure.resource", "io"), ("holdfast.pressure.kind", "full")],
];

/// Series of a unit.
pub(crate) const OF_UNIT: [Figure; at::ALL] = [
    Figure::counter("holdfast.unit.cpu.time", "s", USER),
    Figure::counter("holdfast.unit.cpu.time", "s", SYSTEM),
    Figure::counter("holdfast.unit.cpu.throttled_time", "s", &[]),
    Figure::gauge("holdfast.unit.memory.usage", "By", &[]),
    Figure::gauge("holdfast.unit.memory.peak", "By", &[]),
    Figure::counter("holdfast.unit.memory.oom_kills", "{process}", &[]),
    Figure::counter("holdfast.unit.disk.io", "By", READ),
    Figure::counter("holdfast.unit.disk.io", "By", WRITE),
    Figure::counter("holdfast.unit.disk.operations", "{operation}", READ),
    Figure::counter("holdfast.unit.disk.operations", "{operation}", WRITE),
    Figure::gauge("holdfast.unit.tasks", "{task}", &[]),
    Figure::counter("holdfast.unit.pressure.stall_time", "s", STALLS[0]),
    Figure::counter("holdfast.unit.pressure.stall_time", "s", STALLS[1]),
    Figure::counter("holdfast.unit.pressure.stall_time", "s", STALLS[2]),
    Figure::counter("holdfast.unit.pressure.stall_time", "s", STALLS[3]),
    Figure::counter("holdfast.unit.pressure.stall_time", "s", STALLS[4]),
];

/// Series of a container; the conventions name three of them.
pub(crate) const OF_CONTAINER: [Figure; at::ALL] = [
    Figure::counter("container.cpu.time", "s", USER),
    Figure::counter("container.cpu.time", "s", SYSTEM),
    Figure::counter("holdfast.container.cpu.throttled_time", "s", &[]),
    Figure::gauge("container.memory.usage", "By", &[]),
    Figure::gauge("holdfast.container.memory.peak", "By", &[]),
    Figure::counter("holdfast.container.memory.oom_kills", "{process}", &[]),
    Figure::counter("container.disk.io", "By", READ),
    Figure::counter("container.disk.io", "By", WRITE),
    Figure::counter("holdfast.container.disk.operations", "{operation}", READ),
    Figure::counter("holdfast.container.disk.operations", "{operation}", WRITE),
    Figure::gauge("holdfast.container.tasks", "{task}", &[]),
    Figure::counter("holdfast.container.pressure.stall_time", "s", STALLS[0]),
    Figure::counter("holdfast.container.pressure.stall_time", "s", STALLS[1]),
    Figure::counter("holdfast.container.pressure.stall_time", "s", STALLS[2]),
    Figure::counter("holdfast.container.pressure.stall_time", "s", STALLS[3]),
    Figure::counter("holdfast.container.pressure.stall_time", "s", STALLS[4]),
];

type Parse = fn(&str, &mut Values) -> Result<(), ParseFault>;

/// File and parser. The first is there for every cgroup.
const FILES: [(&str, Parse); 9] = [
    ("cpu.stat", parse_cpu),
    ("memory.current", |text, values| single(text, &mut values[at::MEMORY])),
    ("memory.peak", |text, values| single(text, &mut values[at::MEMORY_PEAK])),
    ("memory.events", parse_events),
    ("io.stat", parse_io),
    ("pids.current", |text, values| single(text, &mut values[at::TASKS])),
    ("cpu.pressure", |text, values| stalls(text, values, at::CPU_SOME, None)),
    ("memory.pressure", |text, values| stalls(text, values, at::MEMORY_SOME, Some(at::MEMORY_FULL))),
    ("io.pressure", |text, values| stalls(text, values, at::IO_SOME, Some(at::IO_FULL))),
];

/// Pure: CPU time, and time throttled where there is a quota.
fn parse_cpu(text: &str, values: &mut Values) -> Result<(), ParseFault> {
    let (mut periods, mut throttled) = (0, 0);
    for (index, line) in text.lines().enumerate() {
        let Some((name, value)) = line.split_once(' ') else { return Err(ParseFault::at(index, line, "no space")) };
        let value = || number(index, line, Some(value));
        match name {
            "user_usec" => values[at::CPU_USER] = value()? as f64,
            "system_usec" => values[at::CPU_SYSTEM] = value()? as f64,
            "nr_periods" => periods = value()?,
            "throttled_usec" => throttled = value()?,
            _ => {}
        }
    }
    if periods > 0 {
        values[at::THROTTLED] = throttled as f64;
    }
    Ok(())
}

/// Pure: all devices together. A cgroup that never did I/O has an empty file, which means zero.
fn parse_io(text: &str, values: &mut Values) -> Result<(), ParseFault> {
    let mut sums = [0_u64; 4];
    for (index, line) in text.lines().enumerate() {
        for field in line.split(' ').skip(1) {
            let Some((name, value)) = field.split_once('=') else { continue };
            let slot = match name {
                "rbytes" => 0,
                "wbytes" => 1,
                "rios" => 2,
                "wios" => 3,
                _ => continue,
            };
            sums[slot] = sums[slot].saturating_add(number(index, line, Some(value))?);
        }
    }
    for (slot, at) in [at::READ_BYTES, at::WRITE_BYTES, at::READS, at::WRITES].into_iter().enumerate() {
        values[at] = sums[slot] as f64;
    }
    Ok(())
}

/// Pure: processes killed because this cgroup, or one below it, had no memory left.
fn parse_events(text: &str, values: &mut Values) -> Result<(), ParseFault> {
    for (index, line) in text.lines().enumerate() {
        if let Some(value) = line.strip_prefix("oom_kill ") {
            values[at::OOM_KILLS] = number(index, line, Some(value))? as f64;
        }
    }
    Ok(())
}

fn single(text: &str, value: &mut f64) -> Result<(), ParseFault> {
    *value = number(0, text, Some(text.trim()))? as f64;
    Ok(())
}

fn stalls(text: &str, values: &mut Values, some: usize, full: Option<usize>) -> Result<(), ParseFault> {
    let value = |us: Option<u64>| us.map_or(f64::NAN, |us| us as f64);
    let stalls = pressure::parse(text)?;
    values[some] = value(stalls.some_us);
    if let Some(full) = full {
        values[full] = value(stalls.full_us);
    }
    Ok(())
}

/// The files of one cgroup.
#[derive(Debug)]
pub(crate) struct Files {
    /// `None` while the cgroup has no such file; see [`Files::look_again`].
    files: [Option<HeldFile>; FILES.len()],
    directory: String,
}

impl Files {
    /// Descriptors that one cgroup may hold.
    pub(crate) const EACH: usize = FILES.len();

    /// Of the cgroup in this directory.
    pub(crate) fn of(directory: &str, stay_open: bool) -> Self {
        let files = FILES.map(|(name, _)| {
            let file = HeldFile::record(format!("{directory}/{name}"));
            Some(if stay_open { file } else { file.opened_each_time() })
        });
        Self { files, directory: directory.to_owned() }
    }

    /// As the machine names it.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Controllers may have been turned on since: the next reading tries every file.
    pub(crate) fn look_again(&mut self) {
        for (slot, (name, _)) in self.files.iter_mut().zip(FILES) {
            slot.get_or_insert_with(|| HeldFile::record(format!("{}/{name}", self.directory)).opened_each_time());
        }
    }

    /// One reading; `None` when the cgroup is gone.
    pub(crate) fn read(&mut self, context: &mut Context<'_>) -> Result<Option<Values>, CollectError> {
        let mut values = NOTHING;
        for (index, (slot, (name, parse))) in self.files.iter_mut().zip(FILES).enumerate() {
            let Some(file) = slot else { continue };
            if !context.reread(file)? {
                if index == 0 {
                    return Ok(None);
                }
                *slot = None;
                continue;
            }
            parse(context.text, &mut values).map_err(|fault| fault.of(name))?;
        }
        Ok(Some(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(parse: Parse, text: &str) -> Values {
        let mut values = NOTHING;
        parse(text, &mut values).unwrap();
        values
    }

    #[test]
    fn time_throttled_is_told_only_where_there_is_a_quota() {
        let free = parsed(parse_cpu, "usage_usec 30\nuser_usec 2000000\nsystem_usec 10\n");
        assert_eq!(free[at::CPU_USER], 2e6);
        assert!(free[at::THROTTLED].is_nan());
        let bound = parsed(parse_cpu, "user_usec 1\nsystem_usec 1\nnr_periods 7\nthrottled_usec 500000\n");
        assert_eq!(bound[at::THROTTLED], 5e5);
    }

    #[test]
    fn the_devices_of_a_cgroup_are_added_up_and_none_is_zero() {
        let text =
            "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:0 rbytes=5 wbytes=0 rios=1 wios=0\n7:0\n";
        let values = parsed(parse_io, text);
        assert_eq!([values[at::READ_BYTES], values[at::WRITE_BYTES], values[at::READS]], [15.0, 20.0, 2.0]);
        assert_eq!(parsed(parse_io, "")[at::READ_BYTES], 0.0);
    }

    #[test]
    fn a_kernel_that_counts_no_kills_gives_no_zero() {
        assert!(parsed(parse_events, "low 0\noom 1\n")[at::OOM_KILLS].is_nan());
        assert_eq!(parsed(parse_events, "oom 1\noom_kill 3\noom_group_kill 9\n")[at::OOM_KILLS], 3.0);
    }

    #[test]
    fn the_error_names_the_line() {
        assert_eq!(parse_cpu("usage_usec 1\nuser_usec x\n", &mut NOTHING.clone()).unwrap_err().line, 2);
        assert_eq!(parse_io("8:0 rbytes=x\n", &mut NOTHING.clone()).unwrap_err().line, 1);
    }

    #[test]
    fn units_and_containers_tell_the_same_things() {
        for (unit, container) in OF_UNIT.iter().zip(&OF_CONTAINER) {
            assert_eq!((unit.unit, unit.kind, unit.attributes), (container.unit, container.kind, container.attributes));
            assert_eq!(unit.metric.rsplit('.').next(), container.metric.rsplit('.').next());
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "((user_usec|oom_kill|8:0) ?(rbytes=)?[0-9]{0,22}\\n){0,3}\\PC{0,20}") {
            for (_, parse) in FILES {
                let _ = parse(&text, &mut NOTHING.clone());
            }
        }
    }
}
