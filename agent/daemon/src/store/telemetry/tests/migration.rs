//! A database of every released version is opened and goes on. The files were written by the versions themselves.

use super::*;

const V1: &[u8] = include_bytes!("../../../../fixtures/store/telemetry-v1.db");

#[test]
fn a_database_of_the_first_version_keeps_everything_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), V1).unwrap();
    let db = TelemetryDb::open(dir.path(), small()).unwrap();
    let load = |device: &str| {
        let where_ = vec![("device".to_owned(), device.to_owned())];
        let found = db.reader().query(&Query { where_, ..Query::raw("load", at(0), at(100)) }).unwrap();
        found[0].points.iter().map(|(t, v)| (t.ns() / 1_000_000_000 - T0, *v)).collect::<Vec<_>>()
    };
    assert_eq!(load("a"), (0..25).map(|s| (s, s as f64 * 0.25)).collect::<Vec<_>>());
    assert_eq!(load("b"), (0..25).step_by(3).map(|s| (s, (s * 4_096) as f64)).collect::<Vec<_>>());
    let starts: Vec<_> = db.reader().export_after(ExportCursor(0), 10_000).unwrap().series;
    assert_eq!(starts.iter().filter(|s| s.key.metric == "bytes").count(), 1, "the reset is in the second stretch");
    assert_eq!(db.reader().export_cursor("http://x", "metrics").unwrap(), 12);
    assert_eq!(db.reader().changes(&ChangeFilter::default()).unwrap().len(), 1);
    assert_eq!(db.reader().gaps(at(0), 9).unwrap()[0].count, 4);

    let (id, new) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    assert!(!new, "the series is known");
    (25..60).for_each(|s| tick(&db, s, &[(id, s as f64 * 0.25)]));
    assert_eq!(load("a"), (0..60).map(|s| (s, s as f64 * 0.25)).collect::<Vec<_>>());
    assert_eq!((db.stats().lost, db.stats().set_aside), (0, 0));
    db.close().unwrap();

    let version: i64 = rusqlite::Connection::open(dir.path().join(FILE))
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, schema::MIGRATIONS.len() as i64);
}

#[test]
fn old_stretches_of_the_first_version_become_minutes_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), V1).unwrap();
    let options = TelemetryOptions { retention: Duration::from_mins(1), minutes: Duration::from_hours(1), ..small() };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let (id, _) = db.registry().intern(&key("load", MetricKind::Gauge, "a"));
    (200..230).for_each(|s| tick(&db, s, &[(id, 1.0)]));
    let where_ = vec![("device".to_owned(), "a".to_owned())];
    let query =
        Query { where_, agg: Agg::Max, step: Some(Duration::from_mins(1)), ..Query::raw("load", at(0), at(59)) };
    let found = db.reader().query(&query).unwrap();
    assert_eq!(found[0].points, [(at(0), 24.0 * 0.25)]);
    assert_eq!(found[0].resolution, Some(Duration::from_mins(1)));
}
