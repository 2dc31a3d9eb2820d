//! Forgetting by subject: nothing of it is left in any file, and nothing else is touched.

use super::*;
use crate::store::telemetry::purge::{PurgeFilter, Purged};

const SUBJECT: &str = "alice-3f9c";

fn of(user: &str, kind: MetricKind) -> SeriesKey {
    let attributes = Attributes::from([("enduser.id".to_owned(), user.to_owned())]);
    SeriesKey { metric: "app.sessions".to_owned(), unit: "1".to_owned(), kind, attributes }
}

fn change(number: u64, user: &str) -> Change {
    Change {
        id: ChangeId::new(at(1), &mut SeededIds(number)),
        at: at(1),
        kind: "login.opened".to_owned(),
        target: Target::new("user", user),
        actor: None,
        summary: format!("{user} logged in"),
        attributes: Attributes::from([("enduser.id".to_owned(), user.to_owned())]),
        deployment: None,
        cause: None,
    }
}

#[test]
fn a_subject_is_forgotten_in_every_form_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions { seal_ticks: 10, merge_ticks: 20, ..small() };
    let db = TelemetryDb::open(dir.path(), options.clone()).unwrap();
    let (hers, _) = db.registry().intern(&of(SUBJECT, MetricKind::Counter));
    let (his, _) = db.registry().intern(&of("bob", MetricKind::Gauge));
    for tick in 0..57 {
        let samples = vec![(hers, 1e6 + f64::from(tick)), (his, f64::from(tick))];
        db.write_batch(Arc::new(SampleBatch { at: at(i64::from(tick)), new_series: vec![], samples }));
        db.flush().unwrap();
    }
    db.write_change(change(1, SUBJECT));
    db.write_change(change(2, "bob"));
    db.flush().unwrap();
    let nothing = db.purge(PurgeFilter::default()).unwrap();
    assert_eq!(nothing, Purged::default(), "an empty filter forgets nothing");

    let where_ = vec![("enduser.id".to_owned(), SUBJECT.to_owned())];
    let purged = db.purge(PurgeFilter { where_, target: None }).unwrap();
    assert_eq!(purged, Purged { series: 1, samples: 57, changes: 1 });

    let all = |metric: &str| db.reader().query(&Query::raw(metric, at(0), at(1_000))).unwrap();
    let left = all("app.sessions");
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].id, left[0].points.len()), (his, 57));
    assert_eq!(db.reader().changes(&ChangeFilter::default()).unwrap().len(), 1);
    // As the digest that stands for her, which is what receivers keep, she is found too.
    let digest = holdfast_core::redact::Redactor::standard().digest(SUBJECT);
    let (digested, _) = db.registry().intern(&of(&digest, MetricKind::Gauge));
    tick(&db, 57, &[(digested, 1.0), (his, 57.0)]);
    let where_ = vec![("enduser.id".to_owned(), SUBJECT.to_owned())];
    let asked = Query { where_: where_.clone(), ..Query::raw("app.sessions", at(0), at(1_000)) };
    assert_eq!(db.reader().query(&asked).unwrap()[0].points.len(), 1, "an export has it");
    let purged = db.purge(PurgeFilter { where_: where_.clone(), target: None }).unwrap();
    assert_eq!(purged, Purged { series: 1, samples: 1, changes: 0 }, "series without samples count no more");
    assert_eq!(db.purge(PurgeFilter { where_, target: None }).unwrap(), Purged::default(), "there is nothing left");
    // Writing goes on, and so does the numbering of ticks.
    db.write_batch(Arc::new(SampleBatch { at: at(58), new_series: vec![], samples: vec![(his, 58.0)] }));
    db.flush().unwrap();
    assert_eq!(all("app.sessions")[0].points.len(), 59);
    db.close().unwrap();
    drop(db);
    // The name of the series goes with the next start.
    TelemetryDb::open(dir.path(), options).unwrap().close().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(SUBJECT.len()).any(|it| it == SUBJECT.as_bytes());
        assert!(!found || path.extension().is_some_and(|it| it == "key"), "{} still names her", path.display());
    }
}
