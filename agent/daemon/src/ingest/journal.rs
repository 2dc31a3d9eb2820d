//! How many entries each unit writes into the journal, by priority; their texts are never read.
//!
//! `journalctl` follows the journal as a child, told to give priorities and unit names only: see docs/adr/0009. It is started
//! again with a growing pause when it ends, and ends with the agent. Lines and units are bounded, what exceeds is counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{Attributes, MetricKind, SeriesKey};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::watch;

use super::intake::{Intake, Point, Said};
use super::tally::Tally;
use crate::host::Clock;

/// Where systemd has it; a search path would be one more thing to trust.
pub(crate) const PROGRAM: &str = "/usr/bin/journalctl";
/// What it is told: from now on, one JSON object a line, with these fields and none of the others. `--merge`, because without it
/// only entries of the boot are shown that the kernel names, and in a container's service that is the host's boot and not the
/// container's; journals of other machines, which it would bring in too, are left out by [`of_this_machine`].
const ARGUMENTS: [&str; 6] =
    ["--follow", "--lines=0", "--merge", "--output=json", "--output-fields=PRIORITY,_SYSTEMD_UNIT", "--quiet"];
const MACHINE_ID: &str = "/etc/machine-id";
/// Longer lines are not read.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// Units told apart; the entries of others are counted as `_OTHER`'s.
const UNITS_MAX: usize = 100;
/// How often counts are told.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Pause before it is started again: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(5);
/// A run of so long was a good one.
const GOOD_RUN: Duration = Duration::from_mins(1);
/// syslog's priorities, as journald numbers them.
const PRIORITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// Follows the journal.
pub(crate) struct Journal {
    pub(crate) program: PathBuf,
    pub(crate) intake: Intake,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tally: Tally,
}

/// As journald writes them: numbers are texts; a field that comes twice is a list.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "PRIORITY")]
    priority: Option<serde_json::Value>,
    #[serde(rename = "_SYSTEMD_UNIT")]
    unit: Option<serde_json::Value>,
}

/// Unit and priority of one line; `None` when it is no entry. Pure.
fn read(line: &[u8]) -> Option<(String, &'static str)> {
    let entry: Entry = serde_json::from_slice(line).ok()?;
    let text = |value: &Option<serde_json::Value>| value.as_ref().and_then(|it| it.as_str()).map(str::to_owned);
    // journald takes what has no priority as `info`.
    let priority = text(&entry.priority).and_then(|it| it.parse::<usize>().ok()).unwrap_or(6);
    let unit = text(&entry.unit).filter(|it| it.len() <= 256).unwrap_or_else(|| "_NONE".to_owned());
    Some((unit, PRIORITIES.get(priority)?))
}

/// By unit and priority: how many, and whether that has changed since it was told.
type Counts = BTreeMap<String, BTreeMap<&'static str, (u64, bool)>>;

fn count(counts: &mut Counts, unit: String, priority: &'static str) {
    let unit = if counts.len() < UNITS_MAX || counts.contains_key(&unit) { unit } else { "_OTHER".to_owned() };
    let (count, changed) = counts.entry(unit).or_default().entry(priority).or_default();
    *count += 1;
    *changed = true;
}

/// What entries of this machine have in common, as journalctl wants it; `None` where the machine has no id.
fn of_this_machine(id: &str) -> Option<String> {
    let id = id.trim();
    let good = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| format!("_MACHINE_ID={}", id.to_ascii_lowercase()))
}

impl Journal {
    /// Follows until `stopping`.
    pub(crate) async fn run(self, mut stopping: watch::Receiver<bool>) {
        let mut counts = Counts::new();
        let mut pause = PAUSE;
        loop {
            let began = self.clock.monotonic();
            let why = tokio::select! {
                why = self.follow(&self.program, &mut counts) => why,
                _ = stopping.wait_for(|stop| *stop) => return,
            };
            if self.clock.monotonic().saturating_sub(began) >= GOOD_RUN {
                pause = PAUSE;
            }
            tracing::warn!(error = why, pause_s = pause.as_secs(), "Journal not followed; it will be tried again.");
            self.tally.failing(Some(why));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One run of the child; gives the reason of its end. It ends when this future is dropped.
    async fn follow(&self, program: &Path, counts: &mut Counts) -> String {
        let own = std::fs::read_to_string(MACHINE_ID).ok().and_then(|id| of_this_machine(&id));
        let child = tokio::process::Command::new(program)
            .args(ARGUMENTS)
            .args(own)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return format!("cannot start {}: {error}", program.display()),
        };
        let Some(output) = child.stdout.take() else { return "the child has no output".to_owned() };
        self.tally.failing(None);
        let mut lines = BufReader::new(output);
        let mut line = Vec::new();
        let mut due = tokio::time::interval(TELL_EVERY);
        loop {
            let mut bounded = (&mut lines).take(LINE_BYTES_MAX);
            let ended = tokio::select! {
                _ = due.tick() => {
                    self.tell(counts);
                    continue;
                }
                // What was read of a line stays in `line` when the tick comes first.
                read = bounded.read_until(b'\n', &mut line) => !matches!(read, Ok(1..)),
            };
            if ended {
                break;
            }
            if line.last() != Some(&b'\n') && (line.len() as u64) < LINE_BYTES_MAX {
                continue;
            }
            match read(&line) {
                Some((unit, priority)) => {
                    self.tally.request(1);
                    count(counts, unit, priority);
                }
                None => self.tally.reject("malformed", 1),
            }
            line.clear();
        }
        self.tell(counts);
        match tokio::time::timeout(Duration::from_secs(1), child.wait()).await {
            Ok(Ok(status)) => format!("{} ended with {status}", program.display()),
            _ => format!("{} closed its output", program.display()),
        }
    }

    fn tell(&self, counts: &mut Counts) {
        let each = counts.iter_mut().flat_map(|(unit, by)| by.iter_mut().map(move |(it, told)| (unit, it, told)));
        for (unit, severity, (count, changed)) in each {
            if !std::mem::take(changed) {
                continue;
            }
            let attributes = Attributes::from([
                ("systemd.unit".to_owned(), unit.clone()),
                ("severity".to_owned(), (*severity).to_owned()),
            ]);
            let (metric, unit) = ("holdfast.journal.entries".to_owned(), "{entry}".to_owned());
            let key = SeriesKey { metric, unit, kind: MetricKind::Counter, attributes };
            let point = Point { key, at: self.clock.wall(), start: None, said: Said::Value(*count as f64) };
            if let Err(reason) = self.intake.point("journal", point) {
                self.tally.reject(reason.word(), 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::config::Limits;
    use super::super::intake::tests::World;
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str)>) {
        assert_eq!(
            read(line.as_bytes()),
            expected.map(|(unit, it)| (unit.to_owned(), PRIORITIES[PRIORITIES.iter().position(|p| *p == it).unwrap()])),
            "{line}"
        );
    }

    #[test]
    fn entries_are_read_as_journald_writes_them() {
        check(r#"{"PRIORITY":"3","_SYSTEMD_UNIT":"web.service","__CURSOR":"s=1"}"#, Some(("web.service", "err")));
        check(r#"{"__CURSOR":"s=1"}"#, Some(("_NONE", "info")));
        check(r#"{"PRIORITY":["3","4"],"_SYSTEMD_UNIT":[1,2]}"#, Some(("_NONE", "info")));
        check(r#"{"PRIORITY":"9"}"#, None);
        check("-- cursor", None);
    }

    #[test]
    fn entries_of_other_machines_are_left_out_where_this_one_has_an_id() {
        let id = "0123456789abcdef0123456789ABCDEF";
        let own = Some("_MACHINE_ID=0123456789abcdef0123456789abcdef".to_owned());
        assert_eq!(of_this_machine(&format!("{id}\n")), own);
        for none in ["", "uninitialized\n", "0123", "0123456789abcdef0123456789abcde --"] {
            assert_eq!(of_this_machine(none), None, "{none}");
        }
    }

    #[test]
    fn units_that_are_too_many_are_counted_together() {
        let mut counts = Counts::new();
        for n in 0..500 {
            count(&mut counts, format!("{n}.service"), "err");
        }
        assert_eq!(counts.len(), UNITS_MAX + 1);
        assert_eq!(counts["_OTHER"]["err"].0, 400);
    }

    #[tokio::test]
    async fn a_child_that_ends_has_told_what_it_saw_and_the_reason_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("journalctl");
        let line = r#"{"PRIORITY":"4","_SYSTEMD_UNIT":"a.service","MESSAGE":"never kept"}"#;
        std::fs::write(&program, format!("#!/bin/sh\necho '{line}'\necho '{line}'\necho nonsense\nexit 3\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let world = World::new(Limits::default());
        let tally = Tally::new("journal", String::new());
        let clock = world.clock.clone();
        let journal = Journal { program: program.clone(), intake: world.intake.clone(), clock, tally: tally.clone() };
        let why = journal.follow(&program, &mut Counts::new()).await;
        assert!(why.contains("exit status: 3"), "{why}");
        assert_eq!(
            world.tick(),
            [("holdfast.journal.entries{severity=warning,systemd.unit=a.service}".to_owned(), 2.0)].into()
        );
        assert_eq!((tally.status().accepted, tally.status().rejected["malformed"]), (2, 1));
    }

    #[tokio::test]
    async fn a_missing_program_is_said() {
        let world = World::new(Limits::default());
        let tally = Tally::new("journal", String::new());
        let journal =
            Journal { program: PROGRAM.into(), intake: world.intake.clone(), clock: world.clock.clone(), tally };
        let why = journal.follow(Path::new("/nowhere/journalctl"), &mut Counts::new()).await;
        assert!(why.starts_with("cannot start"), "{why}");
    }
}
