//! "About to run X", written before each call and blotted out after it: after a crash of the agent the suspect is known.
//!
//! One small file of fixed length in the data directory. A mark is one write into the kernel's memory, without a sync: it outlives the
//! process, which is all that is asked. A power loss may lose it, and says nothing about a plugin anyway: the boot's id tells it apart.
//! Who was running is no proof. How the agent ended is told by systemd (`ExecStopPost=holdfast record-end`, which leaves
//! [`END_FILE`]); only a signal of a fault with one single call under way is that call's doing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::held;

/// The marks, below the data directory.
const FILE: &str = "plugins.running";
/// How the agent ended the last time, below the data directory.
const END_FILE: &str = "last-end.json";
/// Calls at the same time; the first record is the header.
const RECORDS: usize = 129;
const RECORD_BYTES: usize = 256;
const FORMAT: &str = "holdfast-running-1";
/// Signals that a process gets for what it did itself.
const FAULTS: [&str; 7] = ["SEGV", "BUS", "ILL", "FPE", "TRAP", "SYS", "ABRT"];

/// How systemd says that the agent ended: `$SERVICE_RESULT`, `$EXIT_CODE`, `$EXIT_STATUS`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// `success`, `signal`, `core-dump`, `watchdog`, `oom-kill`, …
    pub result: String,
    /// `exited`, `killed`, `dumped`.
    pub code: String,
    /// An exit code, or a signal's name without `SIG`.
    pub status: String,
}

impl End {
    /// Leaves it in the data directory for the next start. An end that nobody has read yet stays: the first one is the cause.
    pub fn record(&self, data_dir: &Path) -> io::Result<()> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(data_dir.join(END_FILE));
        match made {
            Ok(file) => serde_json::to_writer(file, self).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take(data_dir: &Path) -> Option<Self> {
        let path = data_dir.join(END_FILE);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(4096).read_to_string(&mut text));
        // Read or not, it is of no use a second time.
        let _ = std::fs::remove_file(&path);
        read.ok().and_then(|_| serde_json::from_str(&text).ok())
    }
}

/// A call that was under way when the agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) plugin: String,
    pub(super) digest: String,
    /// The end is its doing, as far as anybody can tell.
    pub(super) sure: bool,
    /// How the agent ended, for people.
    pub(super) how: String,
}

/// The open file of marks.
#[derive(Debug)]
pub(super) struct Marks {
    file: File,
    /// Records in use; the first is the header's.
    used: Mutex<[bool; RECORDS]>,
    boot: String,
}

/// One call's mark; dropped, it is blotted out.
pub(super) struct Mark<'m> {
    marks: &'m Marks,
    record: Option<usize>,
}

impl Marks {
    /// Reads what the last process left, and begins anew.
    ///
    /// Errors: the file cannot be made or written.
    pub(super) fn open(data_dir: &Path, boot: &str) -> io::Result<(Self, Vec<Suspect>)> {
        let path = data_dir.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut text = String::new();
        let most = (RECORDS * RECORD_BYTES) as u64;
        // What is no text is no mark.
        if (&file).take(most).read_to_string(&mut text).is_err() {
            text.clear();
        }
        let suspects = suspects(&text, boot, End::take(data_dir).as_ref());
        let marks = Self { file, used: Mutex::new([false; RECORDS]), boot: boot.to_owned() };
        (1..RECORDS).try_for_each(|record| marks.write(record, ""))?;
        marks.write(0, &format!("{FORMAT} {boot} running"))?;
        Ok((marks, suspects))
    }

    /// Marks a call. A mark that cannot be written is missed and stops no call.
    pub(super) fn begin(&self, plugin: &str, digest: &str) -> Mark<'_> {
        let free = {
            let mut used = held(&self.used);
            let free = (1..RECORDS).find(|record| !used[*record]);
            if let Some(free) = free {
                used[free] = true;
            }
            free
        };
        let record = free.filter(|record| self.write(*record, &format!("call {plugin} {digest}")).is_ok());
        if let (None, Some(free)) = (record, free) {
            held(&self.used)[free] = false;
            tracing::warn!(plugin, "A plugin's call cannot be marked: after a crash it would not be suspected.");
        }
        Mark { marks: self, record }
    }

    /// The agent ends because it was told to.
    pub(super) fn end(&self) {
        // Without it the calls that are still under way are suspects of an end that systemd calls a success.
        let _ = self.write(0, &format!("{FORMAT} {} ended", self.boot));
    }

    fn write(&self, record: usize, text: &str) -> io::Result<()> {
        let mut bytes = [b' '; RECORD_BYTES];
        let room = bytes.len() - 1;
        let text = &text.as_bytes()[..text.len().min(room)];
        bytes[..text.len()].copy_from_slice(text);
        bytes[room] = b'\n';
        self.file.write_all_at(&bytes, (record * RECORD_BYTES) as u64)
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let Some(record) = self.record else { return };
        // A mark that stays names a plugin that has long ended: worse than none, but the disk refuses every write by now.
        let _ = self.marks.write(record, "");
        held(&self.marks.used)[record] = false;
    }
}

/// Pure. Whose call was under way, and whether that was the end's cause.
fn suspects(text: &str, boot: &str, end: Option<&End>) -> Vec<Suspect> {
    let mut lines = text.lines().map(str::trim_end);
    let header: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    if header != [FORMAT, boot, "running"] {
        return Vec::new();
    }
    let (fault, how) = match end {
        Some(end) if FAULTS.contains(&end.status.as_str()) && end.code != "exited" && end.result != "watchdog" => {
            (true, format!("SIG{}", end.status))
        }
        // Stopped, killed by somebody or for want of memory, not alive for the watchdog, ended with an error of its own.
        Some(_) => return Vec::new(),
        None => (false, "nobody has recorded how".to_owned()),
    };
    let calls: Vec<(&str, &str)> =
        lines.filter_map(|line| line.strip_prefix("call ")).filter_map(|call| call.split_once(' ')).collect();
    let sure = fault && calls.len() == 1;
    let suspect = |(plugin, digest): &(&str, &str)| Suspect {
        plugin: (*plugin).to_owned(),
        digest: (*digest).to_owned(),
        sure,
        how: how.clone(),
    };
    calls.iter().map(suspect).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(result: &str, code: &str, status: &str) -> End {
        End { result: result.to_owned(), code: code.to_owned(), status: status.to_owned() }
    }

    /// The agent dies with these calls under way, and is started again.
    #[track_caller]
    fn check(calls: &[&str], boot: &str, end: Option<End>, wanted: &[(&str, bool)]) {
        let dir = tempfile::tempdir().unwrap();
        let (marks, _) = Marks::open(dir.path(), "boot-1").unwrap();
        drop(marks.begin("ended", "d"));
        for call in calls {
            std::mem::forget(marks.begin(call, "d"));
        }
        if let Some(end) = end {
            end.record(dir.path()).unwrap();
        }
        let (_, suspects) = Marks::open(dir.path(), boot).unwrap();
        let found: Vec<(&str, bool)> = suspects.iter().map(|it| (it.plugin.as_str(), it.sure)).collect();
        assert_eq!(found, wanted, "{suspects:?}");
        let (_, again) = Marks::open(dir.path(), boot).unwrap();
        assert_eq!(again, [], "a suspect is named once");
    }

    #[test]
    fn a_fault_during_one_call_is_that_calls_doing() {
        check(&["a"], "boot-1", Some(end("core-dump", "dumped", "SEGV")), &[("a", true)]);
        check(&["a"], "boot-1", Some(end("signal", "killed", "ABRT")), &[("a", true)]);
    }

    #[test]
    fn of_several_calls_none_is_known_to_have_done_it() {
        check(&["a", "b"], "boot-1", Some(end("signal", "killed", "SEGV")), &[("a", false), ("b", false)]);
    }

    #[test]
    fn another_known_cause_clears_it() {
        for (result, code, status) in [
            ("success", "exited", "0"),
            ("exit-code", "exited", "1"),
            ("oom-kill", "killed", "KILL"),
            ("signal", "killed", "KILL"),
            ("signal", "killed", "TERM"),
            ("watchdog", "killed", "ABRT"),
            ("timeout", "killed", "KILL"),
        ] {
            check(&["a"], "boot-1", Some(end(result, code, status)), &[]);
        }
    }

    #[test]
    fn a_host_that_was_rebooted_says_nothing_about_a_plugin() {
        check(&["a"], "boot-2", Some(end("signal", "killed", "SEGV")), &[]);
        check(&["a"], "boot-2", None, &[]);
    }

    #[test]
    fn an_end_that_nobody_recorded_makes_a_suspect_and_no_more() {
        check(&["a"], "boot-1", None, &[("a", false)]);
        check(&[], "boot-1", None, &[]);
    }

    #[test]
    fn an_agent_that_was_told_to_stop_leaves_no_suspect() {
        let dir = tempfile::tempdir().unwrap();
        let (marks, _) = Marks::open(dir.path(), "b").unwrap();
        std::mem::forget(marks.begin("a", "d"));
        marks.end();
        assert_eq!(Marks::open(dir.path(), "b").unwrap().1, []);
    }

    #[test]
    fn the_first_recorded_end_counts_and_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = end("signal", "killed", "SEGV");
        first.record(dir.path()).unwrap();
        end("exit-code", "exited", "2").record(dir.path()).unwrap();
        assert_eq!(End::take(dir.path()), Some(first));
        assert_eq!(End::take(dir.path()), None);
    }

    #[test]
    fn a_damaged_file_of_marks_is_no_accusation() {
        let dir = tempfile::tempdir().unwrap();
        let long = vec![b'x'; 100_000];
        for bytes in [&b"\xff\xfe\x00"[..], b"", b"holdfast-running-1 b running\ncall \ncall x", &long] {
            std::fs::write(dir.path().join(FILE), bytes).unwrap();
            assert_eq!(Marks::open(dir.path(), "b").unwrap().1, []);
        }
    }

    #[test]
    fn more_calls_than_there_is_room_for_run_unmarked() {
        let dir = tempfile::tempdir().unwrap();
        let (marks, _) = Marks::open(dir.path(), "b").unwrap();
        let all: Vec<_> = (0..RECORDS + 5).map(|_| marks.begin("a", "d")).collect();
        assert_eq!(all.iter().filter(|mark| mark.record.is_some()).count(), RECORDS - 1);
        drop(all);
        assert!(marks.begin("a", "d").record.is_some());
    }
}
