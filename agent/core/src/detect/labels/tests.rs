use proptest::prelude::*;

use super::*;
use crate::model::{Class, Confidence, IdSource, Method, Presence, SeededIds, Target, Timestamp, Value};

fn detection(kind: &str, severity: Severity, evidence: &[(&str, Value)]) -> Detection {
    Detection {
        kind: kind.to_owned(),
        class: Class::Reliability,
        target: Target::series("x"),
        discriminator: String::new(),
        presence: Presence::Present,
        title: "x".to_owned(),
        severity,
        confidence: Confidence::CERTAIN,
        method: Method { name: "m".to_owned(), version: 1 },
        evidence: evidence.iter().map(|(name, value)| Evidence::new(*name, value.clone())).collect(),
        began_at: Timestamp::from_secs(1),
        cause: None,
    }
}

fn label(detection: &Detection, says: Says, at_s: i64, ids: &mut dyn IdSource) -> Label {
    let finding = Finding::opened(detection, Timestamp::from_secs(at_s), ids);
    Label::of(&finding, says, "alice", Timestamp::from_secs(at_s), "")
}

fn ruling(labels: &Labels, detection: &Detection) -> Ruling {
    labels.rule(&Seen::detection(detection, &detection.fingerprint()))
}

/// What becomes of `now` when `then` was labelled a false positive; the empty text: suppressed.
#[track_caller]
fn check(kind: &str, then: &[(&str, Value)], now: &[(&str, Value)], expected: &str) {
    let mut ids = SeededIds(1);
    let then = detection(kind, Severity::Medium, then);
    let labels = Labels::new(vec![label(&then, Says::FalsePositive, 5, &mut ids)]);
    let ruling = ruling(&labels, &detection(kind, Severity::Medium, now));
    match &ruling {
        Ruling::Suppressed { .. } => assert_eq!("", expected, "{ruling:?}"),
        Ruling::Outgrown { why, .. } => assert_eq!(why, expected),
        other => panic!("{other:?}"),
    }
}

fn departure(key: &str, expected: f64, extreme: f64) -> Vec<(&str, Value)> {
    vec![
        ("series.key", key.into()),
        ("series.expected", expected.into()),
        ("series.extreme", extreme.into()),
        ("series.reason", "whatever".into()),
    ]
}

#[test]
fn telemetry_that_fails_again_in_the_same_way_is_suppressed_whenever_that_is() {
    let silent = |moments: u64, last: &str| -> Vec<(&'static str, Value)> {
        vec![
            ("source.moments", moments.into()),
            ("source.last_heard_at", last.into()),
            ("source.step_s", 10.0.into()),
            ("source.scraped_at", "http://127.0.0.1:9100/metrics".into()),
        ]
    };
    let (then, later) = (silent(40, "2026-11-26T10:00:00Z"), silent(9_000, "2026-11-27T10:00:00Z"));
    check("telemetry.silent", &then, &later, "");
    let stuck = |value: f64, equal: u64| -> Vec<(&'static str, Value)> {
        vec![
            ("series.key", "x".into()),
            ("series.value", value.into()),
            ("series.equal_samples", equal.into()),
            ("series.moving_share", 0.95.into()),
        ]
    };
    check("telemetry.stuck", &stuck(0.8, 600), &stuck(0.1, 7_000), "");
    let jump = |by_s: f64| vec![("clock.jump_s", by_s.into())];
    check("telemetry.clock_jump", &jump(-3.0), &jump(-4.0), "");
    check("telemetry.clock_jump", &jump(-3.0), &jump(3.0), "side is another");
    check("telemetry.clock_jump", &jump(3.0), &jump(3_600.0), "jump is 1200.0 times as large");
}

#[test]
fn the_next_identical_departure_is_suppressed_and_a_clearly_larger_one_is_not() {
    let then = departure("x", 1.0, 3.0);
    check("metric.anomaly", &then, &departure("x", 1.0, 3.0), "");
    check("metric.anomaly", &then, &departure("x", 1.2, 2.0), "");
    check("metric.anomaly", &then, &departure("x", 1.0, 4.0), "");
    check("metric.anomaly", &then, &departure("x", 1.0, 4.2), "departure is 1.6 times as large");
    check("metric.anomaly", &then, &departure("x", 1.0, -1.0), "side is another");
}

#[test]
fn a_threshold_is_measured_beyond_its_limit_and_a_twentieth_of_it_is_not_much() {
    let worst = |worst: f64| vec![("series.worst", worst.into()), ("threshold.above", Value::from(0.95))];
    check("metric.threshold", &worst(0.951), &worst(0.99), "");
    let most: Vec<(&str, Value)> = vec![("series.worst", 140.0.into()), ("threshold.above", 100.0.into())];
    let more: Vec<(&str, Value)> = vec![("series.worst", 161.0.into()), ("threshold.above", 100.0.into())];
    check("metric.threshold", &most, &more, "distance beyond the limit is 1.5 times as large");
    let below = |worst: f64| vec![("series.worst", worst.into()), ("threshold.below", Value::from(0.1))];
    check("metric.threshold", &below(0.08), &below(0.075), "");
    check("metric.threshold", &below(0.08), &below(0.01), "distance beyond the limit is 4.5 times as large");
}

#[test]
fn a_disk_that_fills_faster_or_is_full_sooner_is_another_matter() {
    let filling = |rate: f64, full_in_s: f64| {
        vec![
            ("filesystem.fill_rate_bytes_per_s", Value::from(rate)),
            ("filesystem.full_in_s", full_in_s.into()),
            ("filesystem.free_bytes", 7_u64.into()),
        ]
    };
    check("disk.filling", &filling(1e6, 7200.0), &filling(1.4e6, 6000.0), "");
    check("disk.filling", &filling(1e6, 7200.0), &filling(2e6, 7200.0), "rate of filling is 2.0 times as large");
    check("disk.filling", &filling(1e6, 7200.0), &filling(1e6, 3600.0), "nearness to full is 2.0 times as large");
}

#[test]
fn what_has_no_size_has_to_be_the_same() {
    let file = |sha256: &str, diff: &str| vec![("file.sha256", Value::from(sha256)), ("file.diff", diff.into())];
    check("file.drift", &file("a", "-x"), &file("a", "-y"), "");
    check("file.drift", &file("a", "-x"), &file("b", "-x"), "file.sha256 is another");
    let unit = |result: &str, id: &str| vec![("unit.result", Value::from(result)), ("unit.invocation_id", id.into())];
    check("unit.failed", &unit("exit-code", "1"), &unit("exit-code", "2"), "");
    check("unit.failed", &unit("exit-code", "1"), &unit("oom-kill", "2"), "unit.result is another");
}

#[test]
fn of_a_kind_that_nobody_knows_everything_has_to_be_about_the_same() {
    let cert = |path: &str, days: i64| vec![("cert.path", Value::from(path)), ("cert.days_left", days.into())];
    check("cert.expiring", &cert("/a", 30), &cert("/a", 28), "");
    check("cert.expiring", &cert("/a", 30), &cert("/a", 10), "cert.days_left is 10.00 instead of 30.00");
    check("cert.expiring", &cert("/a", 30), &cert("/b", 30), "cert.path is another");
    check("cert.expiring", &cert("/a", 30), &[("cert.path", "/a".into())], "what was measured is another");
}

#[test]
fn a_higher_severity_is_a_finding_again() {
    let mut ids = SeededIds(1);
    let (then, now) = (departure("x", 1.0, 3.0), departure("x", 1.0, 3.0));
    let labels =
        Labels::new(vec![label(&detection("metric.anomaly", Severity::Low, &then), Says::FalsePositive, 5, &mut ids)]);
    let found = ruling(&labels, &detection("metric.anomaly", Severity::High, &now));
    assert!(matches!(&found, Ruling::Outgrown { why, .. } if why.contains("severity")), "{found:?}");
    assert!(ruling(&labels, &detection("metric.anomaly", Severity::Low, &now)).suppresses());
}

#[test]
fn another_series_of_the_same_target_is_not_concerned() {
    let mut ids = SeededIds(1);
    let then = detection("metric.anomaly", Severity::Low, &departure("x", 1.0, 3.0));
    let labels = Labels::new(vec![label(&then, Says::FalsePositive, 5, &mut ids)]);
    assert_eq!(
        ruling(&labels, &detection("metric.anomaly", Severity::Low, &departure("y", 1.0, 3.0))),
        Ruling::Unlabelled
    );
}

#[test]
fn a_known_incident_is_not_suppressed_by_a_false_positive_beside_it() {
    let mut ids = SeededIds(1);
    let seen = |extreme| detection("metric.anomaly", Severity::Low, &departure("x", 0.0, extreme));
    let (small, large) =
        (label(&seen(8.0), Says::FalsePositive, 5, &mut ids), label(&seen(10.0), Says::TruePositive, 4, &mut ids));
    let incident = large.finding.clone();
    let mut labels = Labels::new(vec![small, large]);
    assert!(ruling(&labels, &seen(8.0)).suppresses());
    assert!(matches!(ruling(&labels, &seen(9.0)), Ruling::Protected { .. }));
    assert!(matches!(ruling(&labels, &seen(11.0)), Ruling::Protected { .. }));
    assert!(matches!(ruling(&labels, &seen(13.0)), Ruling::Outgrown { .. }));
    labels.take(&incident);
    assert!(ruling(&labels, &seen(11.0)).suppresses());
}

#[test]
fn the_newest_label_that_covers_is_named_and_taking_it_away_leaves_the_older() {
    let mut ids = SeededIds(1);
    let seen = detection("metric.anomaly", Severity::Low, &departure("x", 0.0, 8.0));
    let (old, new) = (label(&seen, Says::FalsePositive, 5, &mut ids), label(&seen, Says::FalsePositive, 9, &mut ids));
    let (first, second) = (old.finding.clone(), new.finding.clone());
    let mut labels = Labels::new(vec![new, old]);
    assert_eq!(ruling(&labels, &seen), Ruling::Suppressed { label: second.clone() });
    labels.take(&second);
    assert_eq!(ruling(&labels, &seen), Ruling::Suppressed { label: first.clone() });
    labels.take(&first);
    assert_eq!((ruling(&labels, &seen), labels.is_empty()), (Ruling::Unlabelled, true));
}

#[test]
fn a_ruling_is_told_once_and_is_no_part_of_what_a_finding_is_like() {
    let mut ids = SeededIds(1);
    let mut then = detection("cert.expiring", Severity::Low, &[("cert.path", "/a".into())]);
    let labels = Labels::new(vec![label(&then, Says::FalsePositive, 5, &mut ids)]);
    for _ in 0..2 {
        let found = ruling(&labels, &then);
        assert!(found.suppresses(), "{found:?}");
        found.tell(&mut then.evidence);
    }
    let names: Vec<&str> = then.evidence.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["cert.path", "label.effect", "label.finding", "label.why"]);
    assert_eq!(label(&then, Says::FalsePositive, 6, &mut ids).evidence.len(), 1);
}

/// Some labelled departures of one series.
fn history() -> impl Strategy<Value = Vec<(f64, bool)>> {
    prop::collection::vec((-100.0_f64..100.0, any::<bool>()), 0..8)
}

fn labels_of(history: &[(f64, bool)]) -> Labels {
    let mut ids = SeededIds(3);
    let one = |(index, (extreme, real)): (usize, &(f64, bool))| {
        let seen = detection("metric.anomaly", Severity::Low, &departure("x", 0.0, *extreme));
        label(&seen, if *real { Says::TruePositive } else { Says::FalsePositive }, index as i64, &mut ids)
    };
    Labels::new(history.iter().enumerate().map(one).collect())
}

proptest! {
    #[test]
    fn a_known_incident_suppresses_nothing_and_is_never_suppressed(history in history(), extreme in -120.0_f64..120.0) {
        let seen = detection("metric.anomaly", Severity::Low, &departure("x", 0.0, extreme));
        let with = ruling(&labels_of(&history), &seen);
        let only_false: Vec<(f64, bool)> = history.iter().copied().filter(|(_, real)| !real).collect();
        let without = ruling(&labels_of(&only_false), &seen);
        prop_assert!(!with.suppresses() || without.suppresses());
        for (incident, _) in history.iter().filter(|(_, real)| *real) {
            let again = detection("metric.anomaly", Severity::Low, &departure("x", 0.0, *incident));
            prop_assert!(!ruling(&labels_of(&history), &again).suppresses());
        }
    }

    #[test]
    fn what_is_more_than_half_as_large_again_as_every_false_positive_is_a_finding(history in history()) {
        let largest = history.iter().fold(0.0_f64, |most, (extreme, _)| most.max(extreme.abs()));
        for sign in [-1.0, 1.0] {
            let extreme = sign * (largest * 1.51 + 0.01);
            let seen = detection("metric.anomaly", Severity::Low, &departure("x", 0.0, extreme));
            prop_assert!(!ruling(&labels_of(&history), &seen).suppresses());
        }
    }

    #[test]
    fn the_order_in_which_labels_are_kept_doesnt_matter(history in history(), extreme in -120.0_f64..120.0) {
        let seen = detection("metric.anomaly", Severity::Low, &departure("x", 0.0, extreme));
        let labels = labels_of(&history);
        let mut turned: Vec<Label> = labels.iter().cloned().collect();
        turned.reverse();
        prop_assert_eq!(ruling(&labels, &seen), ruling(&Labels::new(turned), &seen));
    }
}
