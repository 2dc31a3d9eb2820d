use super::*;
use crate::model::{Class, Confidence, FindingId, FindingState, Method, SeededIds, Severity, Target};

const T0: i64 = 1_760_004_000;

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_secs(T0 + 60 * minute)
}

/// A series that departed in minute 140, by its cells.
fn finding(cells: Vec<Option<f64>>) -> Finding {
    let course = Course { from: minute(0), cell_s: 60, cells };
    Finding {
        id: FindingId::new(minute(141), &mut SeededIds(1)),
        fingerprint: String::new(),
        kind: "metric.anomaly".to_owned(),
        class: Class::Reliability,
        target: Target::series("x"),
        title: String::new(),
        severity: Severity::Low,
        confidence: Confidence::CERTAIN,
        method: Method { name: "test".to_owned(), version: 1 },
        evidence: vec![Evidence::new(COURSE, course.to_string())],
        state: FindingState::New,
        count: 1,
        began_at: minute(140),
        detected_at: minute(141),
        last_seen_at: minute(141),
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

/// Around 10 and a little about it, and in each minute what `more` adds.
fn series(more: impl Fn(i64) -> f64) -> Vec<Option<f64>> {
    (0..145).map(|at| Some(10.0 + 0.1 * ((at * 7919) % 11 - 5) as f64 + more(at))).collect()
}

fn jump(at: i64) -> f64 {
    if at >= 140 { 20.0 } else { 0.0 }
}

#[test]
fn all_of_a_jump_came_after_what_came_before_it_with_its_size_and_an_interval() {
    for changed in [60, 120, 139] {
        let found = Contrast::of(&finding(series(jump)), minute(changed)).unwrap();
        let by = found.now - found.before;
        assert!((by - 20.0).abs() <= found.give && found.give < 2.0, "{changed}: {found:?}");
        assert_eq!(found.share, 1.0, "{changed}: {found:?}");
    }
    let evidence = Contrast::of(&finding(series(jump)), minute(139)).unwrap().evidence();
    let text = evidence.iter().find(|it| it.name == "suspect.contrast_reason").unwrap().value.to_string();
    assert!(text.contains("a clear difference") && text.contains("100 % of the departure came after it"), "{text}");
}

#[test]
fn what_was_there_before_the_change_is_not_its_doing() {
    // Since minute 120 it rises, and crossed the limit in minute 140.
    let ramp = |at: i64| (at - 120).max(0) as f64;
    let since = |at: i64, mut finding: Finding| {
        finding.evidence.push(Evidence::new("series.changed_at", minute(at).to_string()));
        finding
    };
    let share = |changed: i64| Contrast::of(&since(120, finding(series(ramp))), minute(changed)).unwrap().share;
    assert_eq!(share(119), 1.0);
    assert!((0.5..0.75).contains(&share(130)), "{}", share(130));
    assert!(share(139) < 0.35, "{}", share(139));
    // All of it.
    let early = finding(series(|at| if at >= 130 { 20.0 } else { 0.0 }));
    let early = Contrast::of(&since(130, early), minute(139)).unwrap();
    assert!(early.share < 0.1, "{early:?}");
    let text = early.evidence().remove(1).value.to_string();
    assert!(text.contains("no clear difference"), "{text}");
}

#[test]
fn a_fall_is_measured_like_a_rise() {
    let found = Contrast::of(&finding(series(|at| -0.4 * jump(at))), minute(139)).unwrap();
    assert!((found.now - found.before + 8.0).abs() <= found.give && found.share == 1.0, "{found:?}");
}

#[test]
fn with_too_little_of_a_course_or_no_departure_in_it_nothing_is_said() {
    let none = |cells: Vec<Option<f64>>, changed: i64| assert_eq!(Contrast::of(&finding(cells), minute(changed)), None);
    none(series(|_| 0.0), 139);
    none(series(jump), -1);
    none(series(jump), 0);
    none(series(jump).into_iter().map(|_| None).collect(), 139);
    none(Vec::new(), 139);
    // Nothing was measured around the change.
    none(series(jump).into_iter().enumerate().map(|(at, it)| it.filter(|_| !(100..139).contains(&at))).collect(), 130);
    let mut bare = finding(series(jump));
    bare.evidence[0] = Evidence::new(COURSE, "nothing");
    assert_eq!(Contrast::of(&bare, minute(139)), None);
}

#[test]
fn a_series_that_wanders_has_a_wide_interval() {
    let wave = |at: i64| 3.0 * (at as f64 / 8.0).sin();
    let (calm, wild) = (finding(series(jump)), finding(series(|at| wave(at) + jump(at))));
    let give = |it: &Finding| Contrast::of(it, minute(125)).unwrap().give;
    assert!(give(&wild) > 2.0 * give(&calm), "{} {}", give(&wild), give(&calm));
}

#[test]
fn a_course_that_somebody_made_up_gives_finite_figures_or_none() {
    let far = format!("1700-01-01T00:00:00Z 1s {}", ["1"; 40].join(" "));
    let huge = |at: i64| if at < 140 { Some(if at % 2 == 0 { 1e300 } else { 1.1e300 }) } else { Some(-1.7e308) };
    let mut all =
        vec![finding((0..145).map(huge).collect()), finding(vec![Some(f64::MAX); 145]), finding(series(jump))];
    all[2].evidence = vec![Evidence::new(COURSE, far)];
    let mut edges = finding((0..145).map(|at| Some(if at < 140 { f64::MAX } else { 0.0 })).collect());
    edges.evidence.push(Evidence::new("series.expected", 1.0));
    edges.evidence.push(Evidence::new("series.now", f64::MIN));
    all.push(edges);
    for (at, it) in all.iter().enumerate() {
        let Some(found) = Contrast::of(it, minute(139)) else { continue };
        let finite = |one: &Evidence| !matches!(one.value, Value::Number(value) if !value.is_finite());
        assert!(found.share.is_finite() && found.evidence().iter().all(finite), "{at}: {found:?}");
    }
}
