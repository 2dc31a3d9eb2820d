//! What is kept of samples that have grown old says the same as they did.

use super::*;

const EVERY_S: i64 = 30;
const DAYS: i64 = 4;
const TICKS: i64 = DAYS * 86_400 / EVERY_S;

/// Whole numbers, so that sums are exact in any order.
fn level(tick: i64) -> f64 {
    ((tick * 7_919) % 1_001) as f64
}

/// Rises by three a second, and starts again from nought every thousand ticks.
fn counted(tick: i64) -> f64 {
    ((tick % 1_000) * EVERY_S * 3) as f64
}

/// Four days: one hour of samples, about a day of minutes, the rest hours.
fn filled(dir: &Path) -> TelemetryDb {
    let options = TelemetryOptions {
        retention: Duration::from_hours(1),
        minutes: Duration::from_hours(24),
        hours: Duration::from_hours(24 * 30),
        seal_ticks: 20,
        merge_ticks: 100,
        ..small()
    };
    let db = TelemetryDb::open(dir, options).unwrap();
    let gauge = db.registry().intern(&key("level", MetricKind::Gauge, "a")).0;
    let counter = db.registry().intern(&key("bytes", MetricKind::Counter, "a")).0;
    for tick in 0..TICKS {
        let samples = vec![(gauge, level(tick)), (counter, counted(tick))];
        db.write_batch(Arc::new(SampleBatch { at: at(tick * EVERY_S), new_series: vec![], samples }));
        if tick % 10 == 9 {
            db.flush().unwrap();
        }
    }
    db
}

fn ask(db: &TelemetryDb, metric: &str, agg: Agg, from: i64, until: i64, step: u64) -> SeriesPoints {
    let step = Some(Duration::from_secs(step));
    let query = Query { step, agg, ..Query::raw(metric, at(from), at(until)) };
    db.reader().query(&query).unwrap().remove(0)
}

#[test]
fn hours_minutes_and_samples_answer_as_the_samples_did() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    let end = TICKS * EVERY_S - 1;
    for agg in [Agg::Avg, Agg::Min, Agg::Max, Agg::Sum, Agg::Count, Agg::Last] {
        let found = ask(&db, "level", agg, 0, end, 3_600);
        let mut wanted = query::Gather::new(agg, Some(query::Steps { ns: 3_600_000_000_000, origin: 0 }), 0, 9_999);
        (0..TICKS).for_each(|tick| wanted.add(at(tick * EVERY_S).ns(), level(tick)));
        assert_eq!(found.points, wanted.points().0, "{agg:?}");
        assert_eq!(found.resolution, Some(Duration::from_hours(1)));
    }
    let whole = db.reader().aggregate(&Query { agg: Agg::Count, ..Query::raw("level", at(0), at(end)) }).unwrap();
    assert_eq!(whole[0].1, TICKS as f64, "each moment is told of once");
    assert!(db.stats().samples_held < 2 * 400, "{:?}", db.stats());
}

#[test]
fn an_answer_says_what_it_rests_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    let end = TICKS * EVERY_S;
    let resolution = |ago_from: i64, ago_until: i64| {
        ask(&db, "level", Agg::Avg, end - ago_from, end - ago_until, 60).resolution.map(|r| r.as_secs())
    };
    assert_eq!(resolution(1_800, 1), None);
    assert_eq!(resolution(5 * 3_600, 1), Some(60));
    assert_eq!(resolution(80 * 3_600, 70 * 3_600), Some(3_600));
}

#[test]
fn quantiles_of_old_samples_are_those_of_their_means() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    let day = 86_400;
    let found = ask(&db, "level", Agg::P50, 0, day - 1, day as u64);
    let hours = ask(&db, "level", Agg::Avg, 0, day - 1, 3_600);
    assert_eq!((found.resolution, hours.resolution), (Some(Duration::from_hours(1)), Some(Duration::from_hours(1))));
    assert!(!found.points.is_empty());
    for (start, median) in found.points {
        let within = |at: &Timestamp| (start..start.plus(Duration::from_hours(24))).contains(at);
        let mut means: Vec<f64> = hours.points.iter().filter(|(at, _)| within(at)).map(|(_, mean)| *mean).collect();
        means.sort_by(f64::total_cmp);
        let (low, high) = (means[(means.len() - 1) / 2], means[means.len() / 2]);
        assert!((low..=high).contains(&median), "{low} {high} {median}");
    }
}

#[test]
fn a_rate_from_minutes_and_hours_has_no_spike_where_the_counter_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    for step in [60, 3_600, 86_400] {
        let points = ask(&db, "bytes", Agg::Rate, 0, TICKS * EVERY_S - 1, step).points;
        // A tick that starts again from nought has gained nothing, all others three a second.
        assert!(points.iter().all(|(_, rate)| (0.0..=3.0 + 1e-9).contains(rate)), "{step}: {points:?}");
        let mean = points.iter().map(|(_, rate)| rate).sum::<f64>() / points.len() as f64;
        assert!((2.9..=3.0).contains(&mean), "{step}: {mean}");
        assert!(points.len() as i64 >= TICKS * EVERY_S / (step as i64).max(3_600) - 1, "{step}: {}", points.len());
    }
}

#[test]
fn series_that_are_gone_give_their_numbers_back_before_these_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions {
        retention: Duration::from_mins(1),
        minutes: Duration::from_hours(100),
        series_max: 20,
        ..small()
    };
    let mut last = 0;
    for life in 0..40 {
        let db = TelemetryDb::open(dir.path(), options.clone()).unwrap();
        let (id, new) = db.registry().intern(&key("process", MetricKind::Gauge, &life.to_string()));
        assert!(new && id.0 > last, "life {life}: number {} after {last}", id.0);
        last = id.0;
        (0..100).for_each(|s| tick(&db, life * 100 + s, &[(id, life as f64)]));
        assert_eq!(db.stats().series_refused, 0, "life {life}");
        let kept = db.reader().aggregate(&Query { agg: Agg::Max, ..Query::raw("process", at(0), at(10_000)) }).unwrap();
        assert!(kept.iter().all(|(key, value)| key.attributes["device"] == value.to_string()), "{kept:?}");
        assert!(kept.len() as i64 >= life.min(10), "life {life}: {}", kept.len());
        db.close().unwrap();
    }
}

#[test]
fn hours_too_are_deleted_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions {
        retention: Duration::from_hours(1),
        minutes: Duration::from_hours(2),
        hours: Duration::from_hours(48),
        seal_ticks: 20,
        ..small()
    };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let id = db.registry().intern(&key("level", MetricKind::Gauge, "a")).0;
    for tick in 0..7 * 24 * 12 {
        let samples = vec![(id, 1.0)];
        db.write_batch(Arc::new(SampleBatch { at: at(tick * 300), new_series: vec![], samples }));
        if tick % 10 == 9 {
            db.flush().unwrap();
        }
    }
    let points = ask(&db, "level", Agg::Count, 0, 7 * 86_400, 3_600).points;
    let oldest_s = points[0].0.ns() / 1_000_000_000 - T0;
    assert!((3 * 86_400..=5 * 86_400 + 3_600).contains(&oldest_s), "{oldest_s}");
}

#[test]
fn the_plan_says_how_far_each_tier_reaches_and_what_it_names_is_what_goes() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(dir.path());
    let plan = db.reader().retention().unwrap();
    let [samples, minutes, hours] = &plan.tiers[..] else { panic!("{plan:?}") };
    let becomes = |tier: &TierPlan| tier.next.as_ref().unwrap().becomes.clone();
    assert_eq!(becomes(samples).as_deref(), Some("minutes"));
    assert_eq!((becomes(minutes).as_deref(), becomes(hours)), (Some("hours"), None));
    assert_eq!(samples.until, db.stats().newest);
    assert!(hours.until < minutes.until && minutes.until < samples.until, "{plan:?}");
    assert_eq!(plan.room_of, ["samples", "minutes", "hours"], "there are no changes");
    assert!(plan.used_bytes > 0 && plan.used_bytes < plan.room_from_bytes, "{plan:?}");

    let due = samples.next.clone().unwrap();
    let id = db.registry().find(&key("level", MetricKind::Gauge, "a")).unwrap();
    let mut tick = TICKS;
    // Looked at whenever a stretch is sealed: every 20 ticks.
    while db.stats().newest.unwrap() < due.due.plus(Duration::from_secs(20 * EVERY_S as u64)) {
        let samples = vec![(id, 1.0)];
        db.write_batch(Arc::new(SampleBatch { at: at(tick * EVERY_S), new_series: vec![], samples }));
        db.flush().unwrap();
        tick += 1;
    }
    let after = db.reader().retention().unwrap();
    assert!(after.tiers[0].next.as_ref().unwrap().from > due.until, "{due:?} {:?}", after.tiers[0]);
    assert!(after.tiers[1].until >= minutes.until, "what went is kept as minutes");
}

#[test]
fn a_tier_that_a_finer_one_outlives_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let options = TelemetryOptions { minutes: Duration::ZERO, hours: Duration::ZERO, ..small() };
    let db = TelemetryDb::open(dir.path(), options).unwrap();
    let plan = db.reader().retention().unwrap();
    let kept: Vec<bool> = plan.tiers.iter().map(|tier| tier.kept_for.is_some()).collect();
    assert_eq!(kept, [true, false, false]);
    assert!(plan.tiers.iter().all(|tier| tier.next.is_none() && tier.from.is_none()), "{plan:?}");
}
