//! The process list, read from `/proc` once for each question.
//!
//! A process that ends while it is read is left out; what the agent's user may not see (another user's executable) is absent.

use std::io::Read;
use std::path::Path;

use holdfast_core::model::Timestamp;
use holdfast_plugin_host::{ProcessFacts, ProcessQuery, WorldError};

use crate::collect::{KernelUnits, ProcessStat, process_ids};
use crate::host::FsRoot;

/// A command line is cut here, in bytes.
const CMDLINE_BYTES_MAX: u64 = 16 * 1024;
/// No file of one process is longer.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The processes that are asked for, by pid; `may_go_on` is asked before each. Nothing more of one is read than its name when it is not
/// asked for, and nothing more of any when the answer would be too large.
pub(super) fn list(
    fs: &FsRoot,
    query: &ProcessQuery<'_>,
    units: KernelUnits,
    may_go_on: impl Fn() -> bool,
) -> Result<Vec<ProcessFacts>, WorldError> {
    let stat = text(&fs.path("/proc/stat"), 1 << 20).map_err(|error| WorldError::io(format!("/proc/stat: {error}")))?;
    let boot = boot_time(&stat).ok_or_else(|| WorldError::io("/proc/stat has no line `btime`"))?;
    let mut pids = process_ids(fs).map_err(|error| WorldError::io(format!("/proc: {error}")))?;
    pids.sort_unstable();
    let (mut found, mut cmdline_bytes) = (Vec::new(), 0);
    for pid in pids {
        if !may_go_on() {
            return Err(WorldError::timeout("listing the processes took too long"));
        }
        let Some(one) = read(&fs.path(format!("/proc/{pid}")), pid, query, boot, units) else { continue };
        if found.len() >= query.rows_max {
            return Err(WorldError::limit(format!("{} rows in one answer; ask more narrowly", query.rows_max)));
        }
        cmdline_bytes += one.cmdline.iter().map(String::len).sum::<usize>();
        if cmdline_bytes > query.cmdline_bytes_max {
            let text = "more bytes of command lines than may still be read in this call; ask more narrowly";
            return Err(WorldError::limit(text));
        }
        found.push(one);
    }
    Ok(found)
}

fn text(path: &Path, max: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn boot_time(stat: &str) -> Option<i64> {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

fn read(dir: &Path, pid: u32, query: &ProcessQuery<'_>, boot: i64, units: KernelUnits) -> Option<ProcessFacts> {
    let stat = ProcessStat::parse(&text(&dir.join("stat"), FILE_BYTES_MAX).ok()?).ok()?;
    if !(query.named)(&stat.name) {
        return None;
    }
    let status = text(&dir.join("status"), FILE_BYTES_MAX).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())?;
    let exe = std::fs::read_link(dir.join("exe")).ok().map(|exe| exe.to_string_lossy().into_owned());
    let deleted = exe.as_deref().and_then(|exe| exe.strip_suffix(" (deleted)")).map(str::to_owned);
    let command =
        if query.cmdline { text(&dir.join("cmdline"), CMDLINE_BYTES_MAX).unwrap_or_default() } else { String::new() };
    let since_boot_ms = stat.started_ticks.saturating_mul(1_000) / units.ticks_per_second.max(1);
    let cpu_seconds = stat.cpu_ticks() as f64 / units.ticks_per_second.max(1) as f64;
    Some(ProcessFacts {
        pid,
        started: Timestamp::from_secs(boot).plus(std::time::Duration::from_millis(since_boot_ms)),
        ppid: stat.ppid,
        uid,
        name: stat.name,
        cmdline: command.split('\0').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        exe_deleted: deleted.is_some(),
        exe: deleted.or(exe),
        resident_bytes: stat.resident_pages.saturating_mul(units.page_bytes),
        cpu_seconds,
        unit: text(&dir.join("cgroup"), FILE_BYTES_MAX).ok().and_then(|text| unit_of(&text)),
    })
}

/// The innermost systemd unit of a cgroup path.
fn unit_of(cgroup: &str) -> Option<String> {
    const KINDS: [&str; 4] = [".service", ".scope", ".socket", ".mount"];
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.split('/').rev().find(|part| KINDS.iter().any(|kind| part.ends_with(kind))).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_unit_counts() {
        let check = |text: &str, unit: Option<&str>| assert_eq!(unit_of(text).as_deref(), unit);
        check("0::/system.slice/web.service\n", Some("web.service"));
        check("0::/system.slice/web.service/payload\n", Some("web.service"));
        check("0::/user.slice/user-1.slice/user@1.service/app.slice/app.scope\n", Some("app.scope"));
        check("0::/init.scope\n", Some("init.scope"));
        check("12:cpu:/x\n", None);
    }

    const ALL: ProcessQuery<'static> =
        ProcessQuery { named: &|_| true, cmdline: true, rows_max: 1_000_000, cmdline_bytes_max: usize::MAX };

    fn listed(query: &ProcessQuery<'_>) -> Result<Vec<ProcessFacts>, WorldError> {
        list(&FsRoot::real(), query, KernelUnits::of_this_kernel(), || true)
    }

    #[test]
    fn this_very_process_is_listed_with_its_executable() {
        let all = listed(&ALL).unwrap();
        let own = all.iter().find(|process| process.pid == std::process::id()).unwrap();
        assert!(own.resident_bytes > 0 && own.exe.is_some() && !own.cmdline.is_empty(), "{own:?}");
        assert!(list(&FsRoot::real(), &ALL, KernelUnits::of_this_kernel(), || false).is_err());
    }

    #[test]
    fn an_answer_that_would_be_too_large_is_none_and_is_not_gathered_first() {
        let dir = tempfile::tempdir().unwrap();
        let proc = |pid: u32, name: &str| {
            let at = dir.path().join(format!("proc/{pid}"));
            std::fs::create_dir_all(&at).unwrap();
            let rest = "1 ".repeat(48);
            std::fs::write(at.join("stat"), format!("{pid} ({name}) S {rest}\n")).unwrap();
            std::fs::write(at.join("status"), "Uid:\t0\t0\t0\t0\n").unwrap();
            std::fs::write(at.join("cmdline"), "x".repeat(1_000)).unwrap();
        };
        (1..=9).for_each(|pid| proc(pid, "worker"));
        proc(10, "shell");
        std::fs::write(dir.path().join("proc/stat"), "btime 1800000000\n").unwrap();
        let asked = std::cell::Cell::new(0);
        let list = |query: &ProcessQuery<'_>| {
            asked.set(0);
            let count = || {
                asked.set(asked.get() + 1);
                true
            };
            list(&FsRoot::new(dir.path().to_owned()), query, KernelUnits::of_this_kernel(), count)
        };
        assert_eq!(list(&ALL).unwrap().len(), 10);
        let shell = ProcessQuery { named: &|name| name == "shell", rows_max: 1, ..ALL };
        assert_eq!(list(&shell).unwrap()[0].pid, 10);
        for (query, wanted) in [
            (ProcessQuery { rows_max: 3, ..ALL }, "3 rows in one answer"),
            (ProcessQuery { cmdline_bytes_max: 3_999, ..ALL }, "more bytes of command lines"),
        ] {
            let error = list(&query).unwrap_err();
            assert!(error.text.contains(wanted) && asked.get() == 4, "{error} after {}", asked.get());
        }
        assert_eq!(list(&ProcessQuery { cmdline: false, cmdline_bytes_max: 0, ..ALL }).unwrap().len(), 10);
    }
}
