//! Which processes there are, and what is read of one of them.
//!
//! The kernel tells I/O only of processes that the agent may trace, which as a service are its own; a refusal is absence, and is
//! asked for once in a process's life. The number of open files is the size of `/proc/PID/fd` since Linux 6.2.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;

use crate::collect::cgroup::{Owner, owner_of};
use crate::collect::process_stat::ProcessStat;
use crate::collect::{Context, ParseFault, number};
use crate::host::FsRoot;

/// Bytes that reached the disk layer: read, then written.
pub(crate) type Io = [u64; 2];

/// Pure. Bytes that were written and then thrown away before they reached a disk are taken off.
pub(crate) fn parse_io(text: &str) -> Result<Io, ParseFault> {
    let (mut io, mut cancelled) = ([None; 2], 0);
    for (index, line) in text.lines().enumerate() {
        let Some((name, value)) = line.split_once(": ") else { return Err(ParseFault::at(index, line, "no colon")) };
        let value = || number(index, line, Some(value));
        match name {
            "read_bytes" => io[0] = Some(value()?),
            "write_bytes" => io[1] = Some(value()?),
            "cancelled_write_bytes" => cancelled = value()?,
            _ => {}
        }
    }
    let missing = || ParseFault::whole("no read_bytes and write_bytes");
    Ok([io[0].ok_or_else(missing)?, io[1].ok_or_else(missing)?.saturating_sub(cancelled)])
}

/// An answer about a process that may end at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    Known(T),
    /// The process is gone, or the kernel doesn't tell.
    Unknown,
    /// Not to be asked for again.
    Refused,
}

/// Their ids, as the kernel lists them.
pub(crate) fn process_ids(fs: &FsRoot) -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir(fs.path("/proc"))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// One of them; `None`: it is gone.
pub(crate) fn stat(context: &mut Context<'_>, pid: u32) -> Option<ProcessStat> {
    let path = format!("/proc/{pid}/stat");
    match context.fs.read_record(&path, context.text) {
        Ok(()) => ProcessStat::parse(context.text).ok(),
        // A process may give itself any bytes as a name, and is counted all the same.
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            ProcessStat::parse(&String::from_utf8_lossy(&std::fs::read(context.fs.path(&path)).ok()?)).ok()
        }
        Err(_) => None,
    }
}

/// Logical CPUs that are on; how many the agent may use (a quota, an affinity) is another matter.
pub(crate) fn cpus(context: &mut Context<'_>) -> f64 {
    let online = context.word("/sys/devices/system/cpu/online").and_then(|list| counted(&list));
    online.map_or_else(|| std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64), f64::from)
}

/// Pure: how many numbers a list as `0-3,6` holds; `None` when it is none or holds nothing.
fn counted(list: &str) -> Option<u32> {
    list.split(',').try_fold(0_u32, |counted, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        counted.checked_add(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)?)
    })
}

/// Which unit or container a process is in; `None` for kernel threads and for what is gone.
pub(crate) fn owner(context: &mut Context<'_>, pid: u32) -> Option<Owner> {
    context.fs.read_record(&format!("/proc/{pid}/cgroup"), context.text).ok()?;
    owner_of(context.text)
}

/// Its I/O since it began.
pub(crate) fn io(context: &mut Context<'_>, pid: u32) -> Answer<Io> {
    match context.fs.read_record(&format!("/proc/{pid}/io"), context.text) {
        Ok(()) => parse_io(context.text).map_or(Answer::Unknown, Answer::Known),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Answer::Refused,
        Err(_) => Answer::Unknown,
    }
}

/// Its open files. `count` is whether entries may be counted where the kernel doesn't give their number.
pub(crate) fn files(context: &Context<'_>, pid: u32, count: bool) -> Answer<u64> {
    let directory = context.fs.path(format!("/proc/{pid}/fd"));
    let answer = if count {
        std::fs::read_dir(&directory).map(|entries| entries.count() as u64)
    } else {
        std::fs::metadata(&directory).map(|meta| meta.size())
    };
    match answer {
        Ok(files) => Answer::Known(files),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Answer::Refused,
        Err(_) => Answer::Unknown,
    }
}

/// Whether the size of `/proc/PID/fd` is the number of entries: this very process has some.
pub(crate) fn size_is_count(context: &Context<'_>) -> bool {
    std::fs::metadata(context.fs.path("/proc/self/fd")).is_ok_and(|meta| meta.size() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::fixtures::Numbers;
    use crate::collect::sink::Sink;
    use proptest::prelude::*;

    #[test]
    fn what_never_reached_the_disk_is_taken_off() {
        let text = "rchar: 9\nwchar: 9\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(parse_io(text), Ok([4096, 4096]));
        assert_eq!(parse_io("rchar: 9\n").unwrap_err().line, 0);
        assert_eq!(parse_io("read_bytes: x\n").unwrap_err().line, 1);
    }

    #[test]
    fn cpus_are_counted_as_the_kernel_lists_them() {
        assert_eq!(counted("0"), Some(1));
        assert_eq!(counted("0-3,6,8-9"), Some(7));
        assert_eq!((counted(""), counted("3-1"), counted("0-x")), (None, None, None));
    }

    #[test]
    fn this_very_process_has_open_files_either_way() {
        let (fs, mut sink) = (FsRoot::real(), Sink::new(std::sync::Arc::new(Numbers::default())));
        let context = Context { fs: &fs, text: &mut String::new(), sink: &mut sink };
        let Answer::Known(counted) = files(&context, std::process::id(), true) else { panic!("not told") };
        assert!(counted > 0);
        if size_is_count(&context) {
            assert!(matches!(files(&context, std::process::id(), false), Answer::Known(size) if size > 0));
        }
        assert_eq!(files(&context, u32::MAX, true), Answer::Unknown);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "((read|write|cancelled_write)_bytes: [0-9]{0,22}\\n){0,4}\\PC{0,9}") {
            let _ = parse_io(&text);
        }
    }
}
