use super::*;
use crate::detect::DetectConfig;
use crate::model::{Interval, Label, MetricKind, Says, Target};

const START: i64 = 1_760_000_000;

fn cpu() -> SeriesKey {
    SeriesKey {
        metric: "holdfast.cpu.utilization".into(),
        unit: "1".into(),
        kind: MetricKind::Gauge,
        attributes: std::collections::BTreeMap::new(),
    }
}

/// A quiet series that is busy between these seconds.
fn samples(seconds: i64, busy: &[(i64, i64)]) -> Vec<(Timestamp, f64)> {
    let mut noise = 7_u64;
    let mut next = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let level = |second: i64| if busy.iter().any(|(from, to)| (*from..*to).contains(&second)) { 0.8 } else { 0.1 };
    (0..seconds).map(|second| (Timestamp::from_secs(START + second), level(second) + 0.05 * next())).collect()
}

fn second(at: Timestamp) -> i64 {
    at.ns() / 1_000_000_000 - START
}

fn quiet() -> DetectConfig {
    DetectConfig { standard_thresholds: false, ..DetectConfig::default() }
}

fn told(points: &[(Timestamp, f64)], config: &DetectConfig) -> Vec<Stretch> {
    let mut replay = Replay::new(config, &Labels::default());
    for (at, value) in points {
        replay.tell(*at, [(&cpu(), *value)]);
    }
    replay.stretches().to_vec()
}

fn episode(busy: (i64, i64), says: Says) -> Episode {
    let points = samples(1_800, &[busy]);
    let stretch = told(&points, &quiet()).remove(0);
    let label = Label {
        finding: "fnd_0199d3b0c8007a9c8d2f6c1e5b4a3210".parse().unwrap(),
        says,
        fingerprint: stretch.fingerprint.clone(),
        kind: stretch.kind.clone(),
        target: Target::series("holdfast.cpu.utilization"),
        title: "busy".into(),
        severity: stretch.severity,
        evidence: vec![crate::model::Evidence::new("series.key", "holdfast.cpu.utilization")],
        began_at: stretch.began_at,
        ended_at: stretch.ended_at.unwrap(),
        by: "alice".into(),
        at: Timestamp::from_secs(START + 1_800),
        note: String::new(),
        applied: 0,
        applied_at: None,
    };
    let series = vec![EpisodeSeries::new(cpu(), &points)];
    Episode { series, ..Episode::of(&label, &quiet()) }
}

#[test]
fn a_stretch_is_what_a_finding_would_have_been() {
    let all = told(&samples(3_600, &[(1_200, 1_320), (1_600, 1_700), (3_000, 3_100)]), &quiet());
    // The second comes within ten minutes of the end of the first: the same finding, opened again.
    let times: Vec<(i64, i64)> = all.iter().map(|it| (second(it.said_at), second(it.ended_at.unwrap()))).collect();
    assert!(matches!(times[..], [(1_225..=1_245, 1_725..=1_745), (3_025..=3_045, 3_125..=3_145)]), "{times:?}");
    assert_eq!(all[0].series.as_deref(), Some("holdfast.cpu.utilization"));
}

#[test]
fn the_same_samples_give_the_same_stretches() {
    let points = samples(3_600, &[(1_200, 1_320), (3_000, 3_100)]);
    assert_eq!(told(&points, &quiet()), told(&points, &quiet()));
}

#[test]
fn an_episode_is_found_under_the_settings_of_its_time_and_a_short_one_not_under_more_patience() {
    let patient = DetectConfig { sustained: Interval::secs(180), ..quiet() };
    for (busy, expected) in [((1_200, 1_300), false), ((1_200, 1_600), true)] {
        let it = episode(busy, Says::TruePositive);
        assert!(it.replay(&it.detect, &Labels::default()).found, "{busy:?}");
        assert_eq!(it.replay(&patient, &Labels::default()).found, expected, "{busy:?}");
    }
}

#[test]
fn what_is_said_at_another_time_or_of_another_series_is_not_the_episode() {
    let it = episode((1_200, 1_400), Says::TruePositive);
    let found = it.replay(&it.detect, &Labels::default()).stretches.remove(0);
    assert!(it.is(&found));
    assert!(!it.is(&Stretch { series: Some("another".into()), ..found.clone() }));
    let later = it.ended_at.plus(Duration::from_mins(5));
    assert!(!it.is(&Stretch { said_at: later, ended_at: None, ..found.clone() }));
    assert!(!it.is(&Stretch { ended_at: Some(it.began_at.minus(Duration::from_mins(5))), ..found }));
}

#[test]
fn an_episode_survives_being_written_and_what_is_none_is_refused() {
    let it = episode((1_200, 1_400), Says::FalsePositive);
    let text = serde_json::to_string(&it).unwrap();
    assert_eq!(Episode::parse(&text).unwrap(), it);
    assert!(text.len() < 26 * it.samples() + 3_000, "{} bytes for {} samples", text.len(), it.samples());
    assert!(matches!(Episode::parse("{}"), Err(EpisodeError::Malformed(_))));
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(matches!(Episode::parse(&newer), Err(EpisodeError::Newer(2))));
    let mut uneven = it;
    uneven.series[0].values.pop();
    assert!(matches!(Episode::parse(&serde_json::to_string(&uneven).unwrap()), Err(EpisodeError::Uneven(_))));
}

#[test]
fn times_come_back_to_the_millisecond_whatever_they_were() {
    let points: Vec<(Timestamp, f64)> = [5, 7, 7, 1_000_000_000_123].map(|ms| (Timestamp::from_ms(ms), 0.1)).to_vec();
    let series = EpisodeSeries::new(cpu(), &points);
    assert_eq!(series.points().collect::<Vec<_>>(), points);
}

#[test]
fn a_finding_rests_on_the_series_that_it_names_and_on_what_it_divides_by() {
    let key = |metric: &str, mount: Option<&str>| SeriesKey {
        metric: metric.into(),
        unit: "By".into(),
        kind: MetricKind::Gauge,
        attributes: mount.map(|it| ("system.filesystem.mountpoint".to_owned(), it.to_owned())).into_iter().collect(),
    };
    let config = DetectConfig::default();
    let mut label = Label {
        kind: "metric.threshold".into(),
        evidence: vec![
            crate::model::Evidence::new("series.key", "system.memory.linux.available"),
            crate::model::Evidence::new("threshold.name", "memory-short"),
        ],
        ..from(&episode((1_200, 1_400), Says::TruePositive))
    };
    assert!(rests_on(&label, &config, &key("system.memory.linux.available", None)));
    assert!(rests_on(&label, &config, &key("system.memory.limit", None)));
    assert!(!rests_on(&label, &config, &key("system.memory.usage", None)));
    label.kind = "disk.full".into();
    label.target = Target::filesystem("/srv");
    label.evidence.clear();
    assert!(rests_on(&label, &config, &key("system.filesystem.limit", Some("/srv"))));
    assert!(!rests_on(&label, &config, &key("system.filesystem.limit", Some("/"))));
}

fn from(it: &Episode) -> Label {
    Label {
        finding: it.finding.clone(),
        says: it.says,
        fingerprint: it.fingerprint.clone(),
        kind: it.kind.clone(),
        target: it.target.clone(),
        title: it.title.clone(),
        severity: Severity::Low,
        evidence: Vec::new(),
        began_at: it.began_at,
        ended_at: it.ended_at,
        by: String::new(),
        at: it.ended_at,
        note: String::new(),
        applied: 0,
        applied_at: None,
    }
}
