//! Days in seconds: the size cap holds at every moment, whatever the clock does.

use std::sync::atomic::AtomicBool;

use super::*;

const CAP: u64 = 4 << 20;
const SERIES: usize = 100;

/// Values that do not compress.
fn noise(tick: i64, series: usize) -> f64 {
    let mixed = (tick as u64 * 1_000 + series as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    f64::from_bits((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 2)
}

fn bytes(dir: &Path) -> u64 {
    // The index of the log is shared memory that lies in the same directory, and no data.
    let entries = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
    entries
        .filter(|e| !e.file_name().to_string_lossy().ends_with("-shm"))
        .filter_map(|e| e.metadata().ok())
        .map(|m| m.len())
        .sum()
}

#[test]
fn the_cap_holds_at_every_moment_of_a_soak_with_readers_and_all_tiers() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions {
        retention: Duration::from_mins(30),
        minutes: Duration::from_hours(6),
        hours: Duration::from_hours(24),
        size_max_bytes: CAP,
        seal_ticks: 30,
        merge_ticks: 120,
        ..small()
    };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let ids: Vec<SeriesId> =
        (0..SERIES).map(|n| db.registry().intern(&key("noise", MetricKind::Gauge, &n.to_string())).0).collect();
    let over = AtomicBool::new(false);
    let most = std::sync::Mutex::new((0, 0));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let now = bytes(dir.path());
                let mut most = most.lock().unwrap();
                *most = (most.0.max(now), most.1 + 1);
            }
        });
        let reader = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let query = Query { agg: Agg::Max, ..Query::raw("noise", at(0), at(1_000_000)) };
                assert!(db.reader().aggregate(&query).is_ok());
            }
        });
        for tick in 0..6_000 {
            let samples = ids.iter().enumerate().map(|(n, id)| (*id, noise(tick, n))).collect();
            db.write_batch(Arc::new(SampleBatch { at: at(tick * 10), new_series: vec![], samples }));
            if tick % 5 == 0 {
                db.write_change(change(tick * 10, "file.modified"));
                db.flush().unwrap();
            }
        }
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
        reader.join().unwrap();
    });
    let (most, looks) = *most.lock().unwrap();
    assert!(most <= CAP, "{most} bytes of {CAP}");
    assert!(most > CAP / 2 && looks > 100, "{most} bytes in {looks} looks: the cap was not tried");
    let stats = db.stats();
    assert_eq!((stats.lost, stats.failing, stats.newest), (0, None, Some(at(59_990))));
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_bounds_what_is_retired_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions { retention: Duration::from_hours(1), merge_ticks: 40, ..small() };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let id = db.registry().intern(&key("load", MetricKind::Counter, "a")).0;
    let year = 365 * 86_400;
    let moments = (0..400).chain((0..15).map(|s| year + s)).chain(400..500).chain((0..300).map(|s| s - 86_400));
    for (tick, second) in moments.clone().enumerate() {
        super::tick(&db, second, &[(id, tick as f64)]);
    }
    let stats = db.stats();
    assert_eq!((stats.lost, stats.failing, stats.samples_stored), (0, None, 815));
    // One look a year ahead retires no more than a few stretches; what was written since is there.
    let found = db.reader().query(&Query::raw("load", at(-86_400), at(2 * year))).unwrap().remove(0).points;
    assert!(found.len() >= 815 - 2 * 8 * 40 && found.windows(2).all(|w| w[0].0 <= w[1].0), "{}", found.len());
    let rates =
        Query { agg: Agg::Rate, step: Some(Duration::from_secs(10)), ..Query::raw("load", at(-86_400), at(2 * year)) };
    let rates = db.reader().query(&rates).unwrap().remove(0).points;
    assert!(rates.iter().all(|(_, rate)| (0.0..=1.0 + 1e-9).contains(rate)), "{rates:?}");
    let exported: u64 = {
        let (mut cursor, mut sum) = (ExportCursor::default(), 0);
        loop {
            let slice = db.reader().export_after(cursor, 50).unwrap();
            if slice.samples == 0 {
                break sum;
            }
            (cursor, sum) = (slice.next_cursor, sum + slice.samples + slice.skipped_ticks);
        }
    };
    assert_eq!(exported, 815, "what was retired is counted as skipped");
}
