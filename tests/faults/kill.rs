//! `kill -9`, again and again, on the same directory.

use std::io::{BufRead, BufReader};
use std::path::Path;

use holdfast::store::{Integrity, StateDb, TelemetryDb, read_anchors, verify_chain};

use super::child::{self, STATE, Said, TELEMETRY};

const ROUNDS: u64 = 200;
/// Numbers that a round lets pass at most before it kills.
const NUMBERS_MAX: u64 = 50;

/// When a round kills: after so many numbers, from none on; the same each time.
fn patience(round: u64) -> u64 {
    (round.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % NUMBERS_MAX
}

/// Lets a child write until enough is acknowledged, and kills it. Gives the last number that it was told is safe.
fn killed(role: &str, dir: &Path, round: u64) -> Option<u64> {
    let mut child = child::start(&[], role, dir, u64::from(u32::MAX));
    let mut last = None;
    let enough = patience(round);
    if enough == 0 {
        child.kill().unwrap();
    }
    let mut seen = 0;
    // Ends when the child has ended: also what it said while it was being killed counts.
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(Said::Acknowledged(number)) = child::said(&line) {
            (last, seen) = (Some(number), seen + 1);
        }
        if seen == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    last
}

#[test]
fn two_hundred_kills_lose_no_acknowledged_sample() {
    let dir = tempfile::tempdir().unwrap();
    let (mut safe, mut acknowledged) = (0, 0);
    for round in 0..ROUNDS {
        let before = safe;
        if let Some(number) = killed(TELEMETRY, dir.path(), round) {
            safe = number + 1;
        }
        acknowledged += safe - before.min(safe);
        let db = TelemetryDb::open(dir.path(), child::options()).unwrap();
        let found = child::telemetry_numbers(&db);
        assert!(found.iter().copied().eq(0..found.len() as u64), "round {round}: each number once: {found:?}");
        assert!(found.len() as u64 >= safe, "round {round}: {} of {safe}", found.len());
        let stats = db.stats();
        assert_eq!((stats.set_aside, stats.lost), (0, 0), "round {round}");
        db.close().unwrap();
    }
    assert!(acknowledged > ROUNDS * 10, "only {acknowledged} numbers were acknowledged: nothing was tried");
}

#[test]
fn two_hundred_kills_lose_no_acknowledged_write_of_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut safe = 0;
    for round in 0..ROUNDS {
        if let Some(number) = killed(STATE, dir.path(), round) {
            safe = number + 1;
        }
        let db = StateDb::open(dir.path(), child::key()).unwrap();
        let found = child::state_numbers(&db);
        assert!(found >= safe, "round {round}: {found} of {safe}");
        if round % 20 == 19 {
            let report = verify_chain(&db.reader(), &child::key(), &read_anchors(dir.path()).unwrap()).unwrap();
            assert_eq!(report.integrity, Integrity::Intact, "round {round}: {report:?}");
        }
    }
    assert!(safe > ROUNDS * 10, "only {safe} numbers were acknowledged: nothing was tried");
}
