//! Calls that fail: a full, a read-only and a broken disk, made by strace for one file of the child.

use std::io::Read;
use std::path::Path;

use holdfast::store::{Integrity, StateDb, TelemetryDb, read_anchors, verify_chain};

use super::child::{self, End, STATE, Said, TELEMETRY};

struct Seen {
    acknowledged: Vec<u64>,
    refused: usize,
    end: End,
}

/// Runs a child to its end while `inject` makes calls on `files` fail.
fn run(role: &str, dir: &Path, files: &[&str], inject: &str, count: u64) -> Seen {
    let paths: Vec<String> = files.iter().map(|file| dir.join(file).display().to_string()).collect();
    let inject = format!("inject={inject}");
    let mut before = vec!["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
    for path in &paths {
        before.extend(["-P", path]);
    }
    let mut child = child::start(&before, role, dir, count);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "the child came to a bad end: {status}\n{text}");
    let mut seen = Seen { acknowledged: Vec::new(), refused: 0, end: End::default() };
    for said in text.lines().filter_map(child::said) {
        match said {
            Said::Acknowledged(number) => seen.acknowledged.push(number),
            Said::Refused(_) => seen.refused += 1,
            Said::End(end) => seen.end = end,
        }
    }
    seen
}

/// The log of telemetry cannot be written for a while: everything waits, and is there in the end.
fn waited_out(error: &str) {
    let dir = tempfile::tempdir().unwrap();
    let files = ["telemetry.db-wal"];
    let seen = run(TELEMETRY, dir.path(), &files, &format!("pwrite64,write:error={error}:when=150..250"), 400);
    assert!(seen.refused > 10 && seen.acknowledged.len() > 100, "{error}: {} refused", seen.refused);
    assert_eq!((seen.end.lost, seen.end.waiting, seen.end.stored), (0, 0, 400), "{error}");
    let db = TelemetryDb::open(dir.path(), child::options()).unwrap();
    assert_eq!(child::telemetry_numbers(&db), (0..400).collect::<Vec<_>>(), "{error}");
}

#[test]
fn telemetry_waits_out_a_full_disk() {
    waited_out("ENOSPC");
}

#[test]
fn telemetry_waits_out_a_disk_that_was_made_read_only() {
    waited_out("EROFS");
}

#[test]
fn telemetry_on_a_disk_that_never_syncs_stays_within_its_bounds_and_counts_honestly() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["telemetry.db", "telemetry.db-wal"];
    let seen = run(TELEMETRY, dir.path(), &files, "fsync,fdatasync:error=EIO:when=10+", 4_000);
    let End { lost, waiting, stored, bytes_most, resident_kib_most } = seen.end;
    assert_eq!(lost + waiting + stored, 4_000, "{:?}", seen.end);
    assert!(bytes_most <= 4 << 20, "{bytes_most} bytes");
    assert!(waiting <= 600 && resident_kib_most < 200 << 10, "{:?}", seen.end);
    let db = TelemetryDb::open(dir.path(), child::options()).unwrap();
    let found = child::telemetry_numbers(&db);
    let gone = seen.acknowledged.iter().find(|number| found.binary_search(number).is_err());
    assert_eq!(gone, None, "of {} acknowledged", seen.acknowledged.len());
}

#[test]
fn the_state_acknowledges_nothing_that_was_not_synced() {
    for (call, error, when) in [("fsync,fdatasync", "EIO", "60..75"), ("pwrite64,write", "ENOSPC", "400..440")] {
        let dir = tempfile::tempdir().unwrap();
        // The tables are made before anything fails.
        drop(StateDb::open(dir.path(), child::key()).unwrap());
        let files = ["state.db", "state.db-wal"];
        let seen = run(STATE, dir.path(), &files, &format!("{call}:error={error}:when={when}"), 150);
        assert!(seen.refused > 0 && seen.acknowledged.len() > 100, "{error}: {} refused", seen.refused);
        let db = StateDb::open(dir.path(), child::key()).unwrap();
        let last = seen.acknowledged.last().copied().unwrap();
        assert!(child::state_numbers(&db) > last, "{error}");
        let report = verify_chain(&db.reader(), &child::key(), &read_anchors(dir.path()).unwrap()).unwrap();
        assert_eq!(report.integrity, Integrity::Intact, "{error}: {report:?}");
    }
}
