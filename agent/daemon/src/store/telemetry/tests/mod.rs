mod migration;
mod purge;
mod soak;
mod tiers;

use super::*;
use crate::store::telemetry::reader::{ChangeFilter, Query};
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{Attributes, ChangeId, MetricKind, SeriesId, SeriesKey, Target};
use proptest::prelude::*;

const T0: i64 = 1_800_000_000;

fn key(metric: &str, kind: MetricKind, device: &str) -> SeriesKey {
    let attributes = Attributes::from([("device".to_owned(), device.to_owned())]);
    SeriesKey { metric: metric.to_owned(), unit: "1".to_owned(), kind, attributes }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(T0 + second)
}

fn small() -> TelemetryOptions {
    let none = Duration::ZERO;
    TelemetryOptions { opened_at: at(0), seal_ticks: 10, minutes: none, hours: none, ..TelemetryOptions::default() }
}

fn tick(db: &TelemetryDb, second: i64, samples: &[(SeriesId, f64)]) {
    let batch = SampleBatch { at: at(second), new_series: vec![], samples: samples.to_vec() };
    db.write_batch(Arc::new(batch));
    db.flush().unwrap();
}

fn raw(db: &TelemetryDb, metric: &str) -> Vec<(i64, f64)> {
    let found = db.reader().query(&Query::raw(metric, at(-1_000_000), at(1_000_000))).unwrap();
    found.into_iter().flat_map(|s| s.points).map(|(t, v)| (t.ns() / 1_000_000_000 - T0, v)).collect()
}

fn change(second: i64, kind: &str) -> Change {
    Change {
        id: ChangeId::new(at(second), &mut SeededIds(second as u64 + 7)),
        at: at(second),
        kind: kind.to_owned(),
        target: Target::file("/etc/app.conf"),
        actor: None,
        summary: "edited".to_owned(),
        attributes: Attributes::new(),
        deployment: None,
        cause: None,
    }
}

#[test]
fn sealed_and_newest_samples_answer_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    let wanted: Vec<(i64, f64)> = (0..25).map(|s| (s, s as f64 * 1.5)).collect();
    for (second, value) in &wanted {
        tick(&db, *second, &[(id, *value)]);
    }
    assert_eq!(raw(&db, "load"), wanted);
    let stats = db.stats();
    assert_eq!((stats.samples_stored, stats.samples_held, stats.lost), (25, 25, 0));
    assert_eq!((stats.oldest, stats.newest), (Some(at(0)), Some(at(24))));
}

#[test]
fn samples_and_series_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let wanted = key("load", MetricKind::Gauge, "a");
    let (id, new) = db.registry().intern(&wanted);
    assert!(new);
    (0..13).for_each(|s| tick(&db, s, &[(id, 1.0)]));
    db.close().unwrap();
    assert!(matches!(db.flush(), Err(StoreError::Closed)));
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    assert_eq!(db.registry().intern(&wanted), (id, false));
    (13..15).for_each(|s| tick(&db, s, &[(id, 1.0)]));
    assert_eq!((raw(&db, "load").len(), db.stats().samples_held), (15, 15));
}

#[test]
fn a_new_life_is_told_once_what_counters_had_come_to_whether_sealed_or_not() {
    use crate::collect::sink::Intern as _;
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (often, _) = db.registry().intern(&key("often", MetricKind::Counter, "a"));
    let (seldom, _) = db.registry().intern(&key("seldom", MetricKind::Counter, "a"));
    let (level, _) = db.registry().intern(&key("level", MetricKind::Gauge, "a"));
    tick(&db, 0, &[(often, 1.0), (seldom, 40.0), (level, 5.0)]);
    (1..13).for_each(|s| tick(&db, s, &[(often, s as f64), (level, 5.0)]));
    db.close().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let registry = db.registry();
    assert_eq!([often, seldom, level].map(|id| registry.take_last(id)), [Some(12.0), Some(40.0), None]);
    assert_eq!(registry.take_last(often), None);
}

#[test]
fn changes_come_back_oldest_first_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    for change in [change(5, "file.modified"), change(1, "unit.failed"), change(5, "file.modified")] {
        db.write_change(change);
    }
    db.flush().unwrap();
    let kinds = |filter: ChangeFilter| -> Vec<String> {
        db.reader().changes(&filter).unwrap().into_iter().map(|c| c.kind).collect()
    };
    assert_eq!(kinds(ChangeFilter::default()), ["unit.failed", "file.modified"]);
    assert_eq!(kinds(ChangeFilter { kind: Some("file.*".into()), ..ChangeFilter::default() }), ["file.modified"]);
    assert_eq!(kinds(ChangeFilter { since: Some(at(2)), ..ChangeFilter::default() }), ["file.modified"]);
    assert_eq!(kinds(ChangeFilter { limit: 1, ..ChangeFilter::default() }), ["file.modified"]);
}

#[test]
fn a_file_that_is_no_database_is_set_aside_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), vec![b'x'; 8192]).unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let events = db.take_events();
    assert!(matches!(&events[..], [StoreEvent::CorruptSetAside { path, .. }] if path.exists()), "{events:?}");
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    tick(&db, 1, &[(id, 2.0)]);
    assert_eq!(raw(&db, "load"), [(1, 2.0)]);
    assert_eq!(db.stats().set_aside, 1);
    let gaps = db.reader().gaps(at(-1), 9).unwrap();
    assert_eq!((gaps.len(), gaps[0].count), (1, 1));
    assert!(gaps[0].reason.contains("telemetry.db.corrupt-") && gaps[0].reason.contains("unknown"), "{gaps:?}");
    assert!(db.reader().export_cursors_lost().unwrap(), "nothing of it could be read");
}

#[test]
fn positions_of_exporters_outlive_a_damaged_file_that_can_be_read_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    (0..5).for_each(|s| tick(&db, s, &[(id, 1.0)]));
    db.set_export_cursor("central", "audit", 70).unwrap();
    db.set_export_cursor("central", "metrics", 4).unwrap();
    let damage = || {
        let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        other.execute("UPDATE newest SET data = x'00'", []).unwrap();
    };
    let positions = |db: &TelemetryDb| ["audit", "metrics"].map(|it| db.reader().export_cursor("central", it).unwrap());
    // While it runs: they are known.
    damage();
    assert!(db.reader().query(&Query::raw("load", at(0), at(9))).is_err());
    tick(&db, 6, &[(id, 4.0)]);
    assert_eq!((positions(&db), db.stats().set_aside, db.stats().lost), ([70, 4], 1, 5));
    let told: Vec<u64> = db.reader().gaps(at(0), 9).unwrap().into_iter().map(|gap| gap.count).collect();
    assert_eq!(told, [5], "what was set aside is lost to every reader");
    db.close().unwrap();
    // At the start: they are read from what is set aside. Ticks go on after the position.
    damage();
    let db = TelemetryDb::open(dir.path(), TelemetryOptions { opened_at: at(7), ..small() }).unwrap();
    assert_eq!((positions(&db), db.stats().set_aside), ([70, 4], 1));
    assert!(!db.reader().export_cursors_lost().unwrap());
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    tick(&db, 8, &[(id, 5.0)]);
    assert_eq!(db.reader().export_after(ExportCursor(4), 9).unwrap().next_cursor, ExportCursor(5));
}

#[test]
fn what_a_full_queue_lost_and_rows_of_the_ledger_that_had_to_wait_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    tick(&db, 0, &[(id, 0.0)]);
    let blocker = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    let stop = "CREATE TRIGGER full BEFORE INSERT ON newest BEGIN SELECT RAISE(ABORT, 'full'); END";
    blocker.execute_batch(stop).unwrap();
    let write = |s: i64| {
        db.write_batch(Arc::new(SampleBatch { at: at(s), new_series: vec![], samples: vec![(id, s as f64)] }));
    };
    write(1);
    let gap = Gap { at: at(1), stream: "metrics".into(), count: 7, reason: "central: no".into() };
    assert!(db.settle_export(vec![gap.clone()], "central", "metrics", 1).is_err());
    // More than may wait: the row above was among the oldest.
    for second in 2..=1_500 {
        write(second);
        if second % 100 == 0 {
            assert!(db.flush().is_err());
        }
    }
    // The writer is held up by a lock while more comes than the queue holds.
    let lock = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    (1_501..3_500).for_each(&write);
    lock.execute_batch("ROLLBACK").unwrap();
    blocker.execute_batch("DROP TRIGGER full").unwrap();
    db.flush().unwrap();
    let (gaps, lost) = (db.reader().gaps(at(0), 99).unwrap(), db.stats().lost);
    assert!(gaps.contains(&gap), "{gaps:?}");
    let of = |reason: &str| gaps.iter().filter(|it| it.reason.contains(reason)).map(|it| it.count).sum::<u64>();
    assert!(of("queue") > 0 && of("waited too long") > 0, "{gaps:?}");
    assert_eq!(of("queue") + of("waited too long"), lost, "each loss is in the ledger once: {gaps:?}");
}

#[test]
fn damage_found_while_running_starts_over_with_the_same_series() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    (0..5).for_each(|s| tick(&db, s, &[(id, 1.0)]));
    let before = db.reader().export_after(ExportCursor(0), 100).unwrap().next_cursor;
    let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    other.execute("UPDATE newest SET data = x'00'", []).unwrap();
    drop(other);
    assert!(db.reader().query(&Query::raw("load", at(0), at(9))).is_err());
    tick(&db, 6, &[(id, 4.0)]);
    assert_eq!(raw(&db, "load"), [(6, 4.0)]);
    assert_eq!(db.stats().set_aside, 1);
    let after = db.reader().export_after(before, 100).unwrap();
    assert_eq!((after.samples, after.skipped_ticks), (1, 0), "an exporter goes on after the damage");
}

#[test]
fn numbers_go_on_after_everything_has_expired() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions { retention: Duration::from_secs(1), ..small() };
    let db = TelemetryDb::open(dir.path(), options.clone()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    (0..30).for_each(|s| tick(&db, s, &[(id, 1.0)]));
    db.close().unwrap();
    drop(db);
    let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    other.execute_batch("DELETE FROM segment; DELETE FROM page").unwrap();
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    tick(&db, 40, &[(id, 2.0)]);
    assert_eq!(raw(&db, "load"), [(40, 2.0)]);
    assert_eq!(db.reader().export_after(ExportCursor(30), 9).unwrap().next_cursor, ExportCursor(31));
}

#[test]
fn a_damaged_segment_costs_itself_only() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    (0..25).for_each(|s| tick(&db, s, &[(id, f64::from(s as i32) * 0.3)]));
    let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    other.execute("UPDATE page SET data = zeroblob(1) WHERE id = 1 << 20", []).unwrap();
    assert!(db.reader().query(&Query::raw("load", at(0), at(30))).is_err());
    tick(&db, 25, &[(id, 1.0)]);
    let kept: Vec<i64> = raw(&db, "load").into_iter().map(|(s, _)| s).collect();
    assert_eq!(kept, (10..26).collect::<Vec<_>>());
    let stats = db.stats();
    assert_eq!((stats.lost, stats.set_aside, stats.samples_held), (10, 0, 16));
    assert_eq!(db.reader().gaps(at(0), 9).unwrap()[0].count, 10);
}

#[test]
fn a_damaged_segment_costs_itself_only_when_sums_are_taken_up_from_it() {
    for unsealed in [0, 3] {
        let dir = tempfile::tempdir().unwrap();
        let db = TelemetryDb::open(dir.path(), small()).unwrap();
        let (id, _) = db.registry().intern(&key("total", MetricKind::Counter, "a"));
        (0..20 + unsealed).for_each(|s| tick(&db, s, &[(id, f64::from(s as i32))]));
        db.close().unwrap();
        let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        other.execute("UPDATE page SET data = zeroblob(1) WHERE id >= 2 << 20", []).unwrap();
        drop(other);
        let db = TelemetryDb::open(dir.path(), small()).unwrap();
        tick(&db, 30, &[(id, 30.0)]);
        assert_eq!((raw(&db, "total").len() as i64, db.stats().set_aside), (10 + unsealed + 1, 0));
        assert_eq!(db.reader().gaps(at(-1), 9).unwrap()[0].count, 10);
    }
}

#[test]
fn a_damaged_stretch_costs_itself_only_when_it_is_merged_or_grows_old() {
    let dir = tempfile::tempdir().unwrap();
    let hour = Duration::from_hours(1);
    let old = TelemetryOptions { retention: Duration::from_secs(90), minutes: hour, ..small() };
    for options in [TelemetryOptions { merge_ticks: 30, ..small() }, TelemetryOptions { merge_ticks: 10, ..old }] {
        let _ = std::fs::remove_file(dir.path().join(FILE));
        let db = TelemetryDb::open(dir.path(), options).unwrap();
        let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
        (0..25).for_each(|s| tick(&db, s, &[(id, f64::from(s as i32) * 0.3)]));
        let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        other.execute("UPDATE page SET data = zeroblob(1) WHERE id = 1 << 20", []).unwrap();
        drop(other);
        (25..200).for_each(|s| tick(&db, s, &[(id, f64::from(s as i32) * 0.3)]));
        let kept: Vec<i64> = raw(&db, "load").into_iter().map(|(s, _)| s).collect();
        assert!(kept.ends_with(&(120..200).collect::<Vec<_>>()), "{kept:?}");
        assert_eq!((db.stats().set_aside, db.stats().failing), (0, None));
        db.close().unwrap();
    }
}

#[test]
fn series_without_data_are_forgotten_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions { retention: Duration::from_secs(20), ..small() };
    let db = TelemetryDb::open(dir.path(), options.clone()).unwrap();
    let gone = db.registry().intern(&key("gone", MetricKind::Gauge, "a")).0;
    let kept = db.registry().intern(&key("kept", MetricKind::Gauge, "a")).0;
    (0..10).for_each(|s| tick(&db, s, &[(gone, 1.0), (kept, 1.0)]));
    (10..65).for_each(|s| tick(&db, s, &[(kept, 1.0)]));
    let late = db.registry().intern(&key("late", MetricKind::Gauge, "a")).0;
    tick(&db, 65, &[(late, 1.0)]);
    db.close().unwrap();
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let names: Vec<String> =
        db.reader().list_series(&SeriesFilter::default()).into_iter().map(|(_, k)| k.metric.clone()).collect();
    assert_eq!(names, ["kept", "late"]);
}

#[test]
fn a_transaction_that_fails_halfway_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Counter, "a"));
    (0..3).for_each(|s| tick(&db, s, &[(id, s as f64)]));
    let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    other.execute_batch("CREATE TRIGGER late BEFORE INSERT ON change BEGIN SELECT RAISE(ABORT, 'late'); END").unwrap();
    db.write_batch(Arc::new(SampleBatch { at: at(3), new_series: vec![], samples: vec![(id, 9.0)] }));
    db.write_change(change(3, "file.modified"));
    while db.flush().is_ok() {}
    other.execute_batch("DROP TRIGGER late").unwrap();
    (4..25).for_each(|s| tick(&db, s, &[(id, s as f64 * 3.0)]));
    assert_eq!(raw(&db, "load").len(), 25);
    let slice = db.reader().export_after(ExportCursor(0), 1).unwrap();
    assert_eq!(slice.next_cursor, ExportCursor(1));
    let all: u64 = (0..25).map(|n| db.reader().export_after(ExportCursor(n), 1).unwrap().samples).sum();
    assert_eq!(all, 25, "every tick has its own number and none is left out");
}

/// Runs itself as a child that writes and says so, and is killed in the middle: what it said must be there.
#[test]
fn acknowledged_samples_survive_kill_9() {
    const VARIABLE: &str = "HOLDFAST_TELEMETRY_CHILD_DIR";
    if let Ok(dir) = std::env::var(VARIABLE) {
        let db = TelemetryDb::open(Path::new(&dir), small()).unwrap();
        let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
        for second in 0.. {
            tick(&db, second, &[(id, second as f64)]);
            println!("acknowledged {}", second + 1);
        }
    }
    let dir = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test's own child")]
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::telemetry::tests::acknowledged_samples_survive_kill_9", "--nocapture"])
        .env(VARIABLE, dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut acknowledged = 0;
    for line in lines.map_while(Result::ok) {
        if let Some((_, n)) = line.split_once("acknowledged ") {
            acknowledged = n.trim().parse().unwrap();
        }
        if acknowledged == 137 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let found = raw(&db, "load");
    assert!(acknowledged >= 137 && found.len() >= acknowledged, "{} of {acknowledged}", found.len());
    assert!(found.iter().enumerate().all(|(n, (s, v))| *s == n as i64 && *v == n as f64), "{found:?}");
}

#[test]
fn old_segments_are_deleted_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions { retention: Duration::from_secs(30), changes: Duration::from_secs(30), ..small() };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    db.write_change(change(0, "file.modified"));
    (0..100).for_each(|s| tick(&db, s, &[(id, s as f64)]));
    let kept = raw(&db, "load");
    assert!((60..=70).contains(&kept[0].0) && kept.len() >= 30, "{kept:?}");
    assert!(db.reader().changes(&ChangeFilter::default()).unwrap().is_empty());
}

#[test]
fn the_database_never_exceeds_its_cap() {
    let dir = tempfile::tempdir().unwrap();
    let cap = 4 << 20;
    let options = TelemetryOptions { size_max_bytes: cap, seal_ticks: 50, ..small() };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let ids: Vec<SeriesId> =
        (0..200).map(|n| db.registry().intern(&key("noise", MetricKind::Gauge, &n.to_string())).0).collect();
    let mut ids_source = SeededIds(3);
    let mut noise = || {
        let bytes = holdfast_core::model::IdSource::random(&mut ids_source);
        f64::from_bits(u64::from_le_bytes(bytes[..8].try_into().unwrap()) >> 2)
    };
    for second in 0..5_000 {
        let samples: Vec<_> = ids.iter().map(|id| (*id, noise())).collect();
        let batch = SampleBatch { at: at(second), new_series: vec![], samples };
        db.write_batch(Arc::new(batch));
        if second % 20 == 0 {
            db.flush().unwrap();
            assert!(db.stats().bytes <= cap, "{} bytes at {second}", db.stats().bytes);
        }
    }
    db.flush().unwrap();
    let stats = db.stats();
    assert!(stats.samples_held > 200_000 && stats.samples_held < 600_000, "{stats:?}");
    assert_eq!((stats.lost, stats.failing, stats.newest), (0, None, Some(at(4_999))));
    let one = Query { where_: vec![("device".into(), "7".into())], ..Query::raw("noise", at(0), at(5_000)) };
    let points = db.reader().query(&one).unwrap().remove(0).points;
    assert!(points.windows(2).all(|w| w[1].0 == w[0].0.plus(Duration::from_secs(1))), "no tick is missing");
}

#[test]
fn a_full_database_is_waited_out_and_the_loss_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    tick(&db, 0, &[(id, 0.0)]);
    let blocker = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    blocker
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON newest BEGIN SELECT RAISE(ABORT, 'full'); END")
        .unwrap();
    for second in 1..=700 {
        db.write_batch(Arc::new(SampleBatch {
            at: at(second),
            new_series: vec![],
            samples: vec![(id, second as f64)],
        }));
        if second % 100 == 0 {
            assert!(db.flush().is_err());
        }
    }
    assert!(db.stats().failing.is_some());
    blocker.execute_batch("DROP TRIGGER full").unwrap();
    db.flush().unwrap();
    let stats = db.stats();
    assert_eq!((stats.lost, stats.samples_stored, stats.failing), (100, 601, None));
    let events = db.take_events();
    assert!(
        matches!(events[..], [StoreEvent::WritingFails { .. }, StoreEvent::WritingWorks { lost: 100 }]),
        "{events:?}"
    );
    let gaps = db.reader().gaps(at(0), 9).unwrap();
    assert_eq!(gaps.iter().map(|g| g.count).collect::<Vec<_>>(), [100]);
    let kept = raw(&db, "load");
    assert_eq!((kept[1], kept.len()), ((101, 101.0), 601));
}

#[test]
fn series_beyond_the_limit_share_one_number() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), TelemetryOptions { series_max: 2, ..small() }).unwrap();
    let ids: Vec<u32> =
        (0..5).map(|n| db.registry().intern(&key("x", MetricKind::Gauge, &n.to_string())).0.0).collect();
    assert_eq!(ids, [1, 2, 3, 3, 3]);
    assert_eq!(db.stats().series_refused, 3);
}

#[test]
fn what_comes_and_goes_takes_no_numbers_from_what_comes_later_while_the_agent_runs() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), TelemetryOptions { series_max: 40, ..small() }).unwrap();
    let registry = db.registry();
    let mut sink = crate::collect::sink::Sink::new(registry.clone());
    let mut host = crate::collect::sink::Cached::default();
    let mut back = crate::collect::sink::Cached::default();
    let gauge = |name: &str| key(name, MetricKind::Gauge, "a");
    let mut first_back = None;
    for minute in 0..600 {
        // Twenty containers an hour, each of its own name; the host goes on; one series comes back after hours.
        sink.put(&mut host, f64::from(minute), || gauge("host"));
        if minute % 3 == 0 {
            let mut container = crate::collect::sink::Cached::default();
            sink.put(&mut container, 1.0, || key("container", MetricKind::Counter, &minute.to_string()));
        }
        if minute == 0 || minute == 590 {
            sink.put(&mut back, f64::from(minute), || gauge("back"));
            first_back.get_or_insert_with(|| registry.find(&gauge("back")).unwrap());
        }
        db.write_batch(Arc::new(sink.take(at(i64::from(minute) * 60))));
        db.flush().unwrap();
    }
    assert_eq!(db.stats().series_refused, 0, "200 series in turn, and 40 numbers");
    let told = raw(&db, "host");
    assert_eq!(told.len(), 600, "what is measured all the time keeps its number");
    assert_eq!(raw(&db, "back"), [(590 * 60, 590.0)], "under a new number, and the name of the former is gone");
    assert!(registry.find(&gauge("back")).unwrap() > first_back.unwrap());
    assert!(registry.len() <= 41);
    let all: u64 = (0..600).map(|n| db.reader().export_after(ExportCursor(n), 1).unwrap()).map(|it| it.nameless).sum();
    assert!(all > 100, "an exporter is told of samples without a name: {all}");
}

#[test]
fn a_cursor_walks_through_sealed_and_newest_ticks_without_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let a = db.registry().intern(&key("load", MetricKind::Gauge, "a")).0;
    let b = db.registry().intern(&key("load", MetricKind::Gauge, "b")).0;
    (0..37).for_each(|s| tick(&db, s, &[(a, s as f64), (b, -s as f64)]));
    for max in [1, 3, 7, 1_000] {
        let (mut cursor, mut seen) = (ExportCursor::default(), Vec::new());
        loop {
            let slice = db.reader().export_after(cursor, max).unwrap();
            if slice.samples == 0 {
                break;
            }
            assert!(slice.next_cursor > cursor && slice.skipped_ticks == 0);
            let first = slice.series.iter().find(|s| s.key.attributes["device"] == "a").unwrap();
            seen.extend(first.points.iter().map(|(_, v)| *v as i64));
            cursor = slice.next_cursor;
        }
        assert_eq!(seen, (0..37).collect::<Vec<_>>(), "max {max}");
    }
    db.set_export_cursor("http://x", "metrics", 12).unwrap();
    db.close().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    assert_eq!(db.reader().export_cursor("http://x", "metrics").unwrap(), 12);
    assert_eq!(db.reader().export_cursor("http://y", "metrics").unwrap(), 0);
}

#[test]
fn ticks_deleted_before_they_were_exported_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions { retention: Duration::from_secs(20), ..small() };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let id = db.registry().intern(&key("load", MetricKind::Gauge, "a")).0;
    (0..60).for_each(|s| tick(&db, s, &[(id, 1.0)]));
    let slice = db.reader().export_after(ExportCursor(5), 10).unwrap();
    assert_eq!(slice.skipped_ticks, raw(&db, "load")[0].0 as u64 - 5);
}

#[test]
fn a_counter_tells_since_when_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let id = db.registry().intern(&key("bytes", MetricKind::Counter, "a")).0;
    for (second, value) in [(0, 10.0), (1, 20.0), (2, 5.0), (3, 9.0)] {
        tick(&db, second, &[(id, value)]);
    }
    let slice = db.reader().export_after(ExportCursor(0), 100).unwrap();
    let found: Vec<_> = slice.series.iter().map(|s| (s.started_at, s.points.len())).collect();
    assert_eq!(found, [(Some(at(0)), 2), (Some(at(1)), 2)]);
}

#[test]
fn a_rate_over_a_seal_and_a_reset_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let id = db.registry().intern(&key("bytes", MetricKind::Counter, "a")).0;
    for second in 0..30 {
        let value = if second < 17 { 1_000 + second * 3 } else { (second - 16) * 3 };
        tick(&db, second, &[(id, value as f64)]);
    }
    let query = Query { agg: Agg::Rate, step: Some(Duration::from_secs(10)), ..Query::raw("bytes", at(10), at(29)) };
    let found = db.reader().query(&query).unwrap();
    assert_eq!(found[0].points, [(at(10), 3.0), (at(20), 3.0)]);
    let whole = db.reader().aggregate(&Query { agg: Agg::Max, ..Query::raw("bytes", at(0), at(29)) }).unwrap();
    assert_eq!(whole[0].1, 1_048.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn when_ticks_are_sealed_makes_no_difference(
        ticks in proptest::collection::vec(proptest::collection::vec((0_usize..4, -1000_i32..1000), 0..4), 1..60),
        seal_a in 2_u32..20, merge_ticks in 2_u32..50, step in 1_u64..20,
    ) {
        let answer = |seal_ticks: u32, merge_ticks: u32| {
            let dir = tempfile::tempdir().unwrap();
            let db = TelemetryDb::open(dir.path(), TelemetryOptions { seal_ticks, merge_ticks, ..small() }).unwrap();
            let ids: Vec<SeriesId> =
                (0..4).map(|n| db.registry().intern(&key("m", MetricKind::Counter, &n.to_string())).0).collect();
            for (second, samples) in ticks.iter().enumerate() {
                let samples: Vec<_> = samples.iter().map(|(n, v)| (ids[*n], f64::from(*v))).collect();
                tick(&db, second as i64, &samples);
            }
            let all = [Agg::Avg, Agg::Rate, Agg::P95, Agg::Last].map(|agg| {
                let query = Query { agg, step: Some(Duration::from_secs(step)), ..Query::raw("m", at(3), at(50)) };
                db.reader().query(&query).unwrap()
            });
            (all, raw(&db, "m"))
        };
        prop_assert_eq!(answer(seal_a, merge_ticks), answer(1_000, 3_600));
    }
}

#[test]
fn readers_see_every_sample_once_while_the_writer_seals() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let id = db.registry().intern(&key("load", MetricKind::Gauge, "a")).0;
    tick(&db, 0, &[(id, 0.0)]);
    let writer = {
        let db = db.clone();
        std::thread::spawn(move || (1..400).for_each(|s| tick(&db, s, &[(id, s as f64)])))
    };
    while !writer.is_finished() {
        let seen = raw(&db, "load");
        assert!(seen.iter().enumerate().all(|(n, (s, v))| *s == n as i64 && *v == n as f64), "{seen:?}");
    }
    writer.join().unwrap();
    assert_eq!(raw(&db, "load").len(), 400);
}

#[test]
fn every_older_version_is_brought_forward() {
    for version in 0..=schema::MIGRATIONS.len() {
        let dir = tempfile::tempdir().unwrap();
        let db = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        schema::MIGRATIONS[..version].iter().for_each(|m| db.execute_batch(m).unwrap());
        db.pragma_update(None, "user_version", version as i64).unwrap();
        drop(db);
        let db = TelemetryDb::open(dir.path(), small()).unwrap();
        let id = db.registry().intern(&key("load", MetricKind::Gauge, "a")).0;
        tick(&db, 0, &[(id, 0.0)]);
        assert_eq!((raw(&db, "load").len(), db.stats().set_aside), (1, 0));
    }
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(dir.path().join(FILE)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(TelemetryDb::open(dir.path(), small()), Err(StoreError::Newer { found: 99, .. })));
    assert!(dir.path().join(FILE).exists());
}

#[test]
fn a_secret_in_an_attribute_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let key = |value: &str| SeriesKey {
        metric: "app.requests".to_owned(),
        unit: "1".to_owned(),
        kind: MetricKind::Gauge,
        attributes: Attributes::from([("url".to_owned(), format!("https://ci:{value}@host/"))]),
    };
    let (first, new) = db.registry().intern(&key("hunter2"));
    let (again, known) = db.registry().intern(&key("hunter3"));
    assert_eq!((first, new, known), (again, true, false), "they differ in nothing that may be kept");
    assert_eq!(db.registry().key(first).unwrap().attributes["url"], "https://ci:[redacted]@host/");
}
