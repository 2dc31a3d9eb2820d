//! The child: writes numbers, one after the other, and says of each whether it was acknowledged.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use holdfast::store::{PluginStateWrite, Query, SeriesFilter, StateDb, TelemetryDb, TelemetryOptions, Writes};
use holdfast_core::model::audit::{AuditKey, AuditKind, Draft};
use holdfast_core::model::{Attributes, MetricKind, SampleBatch, SeriesKey, Timestamp};

const ROLE: &str = "HOLDFAST_FAULTS_ROLE";
const DIR: &str = "HOLDFAST_FAULTS_DIR";
const COUNT: &str = "HOLDFAST_FAULTS_COUNT";
const T0_S: i64 = 1_800_000_000;
/// The plugin that numbers are kept for in `state.db`.
const PLUGIN: &str = "numbers";

pub(crate) const TELEMETRY: &str = "telemetry";
pub(crate) const STATE: &str = "state";

/// Small stretches, so that sealing and merging are hit as often as writing.
pub(crate) fn options() -> TelemetryOptions {
    TelemetryOptions {
        opened_at: at(0),
        seal_ticks: 7,
        merge_ticks: 40,
        size_max_bytes: 4 << 20,
        ..TelemetryOptions::default()
    }
}

pub(crate) fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(T0_S + second as i64)
}

pub(crate) fn key() -> AuditKey {
    AuditKey::new([7; 32])
}

pub(crate) fn series(name: &str) -> SeriesKey {
    SeriesKey { metric: name.to_owned(), unit: "1".to_owned(), kind: MetricKind::Gauge, attributes: Attributes::new() }
}

/// The numbers that a telemetry store holds, oldest first.
pub(crate) fn telemetry_numbers(db: &TelemetryDb) -> Vec<u64> {
    let series =
        db.reader().list_series(&SeriesFilter { metric: Some("number".to_owned()), ..SeriesFilter::default() });
    if series.is_empty() {
        return Vec::new();
    }
    let query = Query { limit: usize::MAX, ..Query::raw("number", at(0), at(10_000_000)) };
    let found = db.reader().query(&query).unwrap();
    let points = found.iter().flat_map(|series| &series.points);
    points
        .map(|(moment, value)| {
            assert_eq!(*moment, at(*value as u64), "a number lies at its own second");
            *value as u64
        })
        .collect()
}

/// How many numbers `state.db` holds; each with its entry of the audit chain.
pub(crate) fn state_numbers(db: &StateDb) -> u64 {
    let numbers = db.reader().plugin_state(PLUGIN).unwrap();
    assert_eq!(numbers.len() as u64, db.audit_head().seq, "a number and its audit entry come together");
    numbers.len() as u64
}

/// This program again, as a child that writes `count` numbers. `before`: a program that starts it, with its arguments.
pub(crate) fn start(before: &[&str], role: &str, dir: &Path, count: u64) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut words: Vec<&std::ffi::OsStr> = before.iter().map(std::ffi::OsStr::new).collect();
    words.push(program.as_os_str());
    #[expect(clippy::disallowed_methods, reason = "the suite's own child")]
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["--exact", "child::writes_numbers_when_it_is_told_to", "--nocapture"]);
    command.env(ROLE, role).env(DIR, dir).env(COUNT, count.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
        .spawn()
        .unwrap_or_else(|why| panic!("cannot start `{}`: {why}\nhint: apt-get install -y strace", words[0].display()))
}

/// What a child said at its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) lost: u64,
    pub(crate) waiting: u64,
    pub(crate) stored: u64,
    pub(crate) bytes_most: u64,
    pub(crate) resident_kib_most: u64,
}

/// A line of a child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Acknowledged(u64),
    Refused(u64),
    End(End),
}

/// `None`: a line of the test harness around it.
pub(crate) fn said(line: &str) -> Option<Said> {
    // The harness may have begun the line.
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |back: usize| words.get(words.len().checked_sub(back)?)?.parse::<u64>().ok();
    if words.contains(&"acknowledged") {
        Some(Said::Acknowledged(number(1)?))
    } else if words.contains(&"refused") {
        Some(Said::Refused(number(1)?))
    } else if words.contains(&"end") {
        Some(Said::End(End {
            lost: number(5)?,
            waiting: number(4)?,
            stored: number(3)?,
            bytes_most: number(2)?,
            resident_kib_most: number(1)?,
        }))
    } else {
        None
    }
}

#[test]
fn writes_numbers_when_it_is_told_to() {
    let (Ok(role), Ok(dir)) = (std::env::var(ROLE), std::env::var(DIR)) else {
        return assert_eq!(said("test x ... acknowledged 7"), Some(Said::Acknowledged(7)));
    };
    let count = std::env::var(COUNT).unwrap().parse().unwrap();
    match role.as_str() {
        TELEMETRY => telemetry(Path::new(&dir), count),
        _ => state(Path::new(&dir), count),
    }
}

fn telemetry(dir: &Path, count: u64) {
    let db = TelemetryDb::open(dir, options()).unwrap();
    let (id, _) = db.registry().intern(&series("number"));
    let first = telemetry_numbers(&db).last().map_or(0, |last| last + 1);
    let mut bytes_most = 0;
    for number in first..first + count {
        let samples = vec![(id, number as f64)];
        db.write_batch(Arc::new(SampleBatch { at: at(number), new_series: vec![], samples }));
        let word = if db.flush().is_ok() { "acknowledged" } else { "refused" };
        println!("{word} {number}");
        bytes_most = bytes_most.max(bytes(dir));
    }
    // What waits is tried again each second.
    for _ in 0..5 {
        if db.flush().is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1_100));
    }
    let stats = db.stats();
    println!("end {} {} {} {bytes_most} {}", stats.lost, stats.waiting, stats.samples_stored, resident_kib_most());
}

fn state(dir: &Path, count: u64) {
    let mut db = StateDb::open(dir, key()).unwrap();
    let first = state_numbers(&db);
    let (mut number, mut tries) = (first, 0);
    while number < first + count && tries < 2 * count {
        tries += 1;
        let draft = Draft {
            at: at(number),
            kind: AuditKind::Decision,
            actor: "agent".to_owned(),
            subject: format!("dec_{number}"),
            body: serde_json::json!({ "number": number }),
        };
        let value = Some(number.to_le_bytes().to_vec());
        let number_written = PluginStateWrite { plugin: PLUGIN.to_owned(), key: number.to_string(), value };
        let writes = Writes { plugin_state: vec![number_written], audit: vec![draft], ..Writes::default() };
        if db.commit(writes).is_ok() {
            println!("acknowledged {number}");
            number += 1;
        } else {
            println!("refused {number}");
            // Whether a refused commit is there after all, is told by the database.
            number = state_numbers(&db);
        }
    }
    println!("end 0 0 {number} 0 0");
}

/// Bytes of the databases and their logs.
pub(crate) fn bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
    let data = entries.filter(|entry| !entry.file_name().to_string_lossy().ends_with("-shm"));
    data.filter_map(|entry| entry.metadata().ok()).map(|it| it.len()).sum()
}

fn resident_kib_most() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
