//! Series that vary more or less than they did, at the same level.

use super::*;
use crate::model::Severity;

const DAY_S: i64 = 86_400;

fn quiet() -> DetectConfig {
    DetectConfig { standard_thresholds: false, ..DetectConfig::default() }
}

/// Half busy, with this standard deviation; each five seconds for so long.
fn vary(stage: &mut Stage, seconds: i64, deviation: impl Fn(i64) -> f64) {
    for _ in 0..seconds / 5 {
        let (second, noise) = (stage.second(), stage.noise());
        stage.tell(&[(&cpu(), (0.5 + deviation(second) * noise).clamp(0.0, 1.0))], 5);
    }
}

fn known(deviation: f64) -> Stage {
    let mut stage = Stage::new(quiet());
    vary(&mut stage, DAY_S, |_| deviation);
    stage.silent();
    stage
}

fn told(stage: &Stage) -> Vec<(i64, Presence)> {
    stage.turns("metric.spread")
}

#[test]
fn nine_times_the_variance_at_the_same_level_is_told_with_its_figures_and_is_over_when_it_is() {
    let mut stage = known(0.02);
    vary(&mut stage, 1800, |_| 0.06);
    vary(&mut stage, 3600, |_| 0.02);
    let turns = told(&stage);
    assert!(
        matches!(turns[..], [(begun, Presence::Present), (ended, Presence::Cleared)]
            if begun < DAY_S + 900 && (DAY_S + 1800..DAY_S + 2700).contains(&ended)),
        "{turns:?}"
    );
    let (_, first) = stage.said.iter().find(|(_, it)| it.kind == "metric.spread").unwrap();
    assert!((first.began_at.ns() / 1_000_000_000 - START_S - DAY_S).abs() <= 120, "{}", first.began_at);
    assert!(first.evidence.contains(&Evidence::new("series.shape", "spread grew")), "{first:?}");
    let (before, now) = (fact(&first.evidence, "series.spread_before"), fact(&first.evidence, "series.spread"));
    assert!((before - 0.02).abs() < 0.004 && (now - 0.06).abs() < 0.015, "{first:?}");
    assert_eq!(first.severity, Severity::Low);
    assert!(first.title.contains("varies by"), "{}", first.title);
}

#[test]
fn who_does_not_want_to_know_of_it_is_told_nothing() {
    let mut stage = Stage::new(DetectConfig { spread: false, ..quiet() });
    vary(&mut stage, DAY_S, |_| 0.02);
    vary(&mut stage, 1800, |_| 0.06);
    assert_eq!(told(&stage), []);
}

#[test]
fn a_ninth_of_the_variance_is_told_as_worth_knowing() {
    let mut stage = known(0.09);
    vary(&mut stage, 1800, |_| 0.03);
    let said = stage.last("metric.spread");
    assert_eq!((said.presence, said.severity), (Presence::Present, Severity::Informational));
    assert!(said.evidence.contains(&Evidence::new("series.shape", "spread shrank")), "{said:?}");
}

#[test]
fn what_stays_is_taken_for_normal_and_from_there_a_change_counts_again() {
    let mut stage = known(0.02);
    vary(&mut stage, 3 * 3600, |_| 0.06);
    assert!(stage.last("metric.spread").title.contains("new normal"), "{:?}", told(&stage));
    vary(&mut stage, 3600, |_| 0.02);
    assert_eq!(stage.last("metric.spread").severity, Severity::Informational);
}

#[test]
fn half_as_much_again_what_nobody_would_notice_a_wave_bursts_and_a_young_series_say_nothing() {
    let mut stage = known(0.02);
    vary(&mut stage, 2 * 3600, |_| 0.03);
    stage.silent();
    let mut stage = known(0.001);
    vary(&mut stage, 2 * 3600, |_| 0.009);
    stage.silent();
    // More by day than by night, and a burst of a minute in each hour.
    let mut stage = Stage::new(quiet());
    let by_day = |second: i64| 0.02 * (1.5 + (second as f64 / DAY_S as f64 * std::f64::consts::TAU).sin());
    vary(&mut stage, 3 * DAY_S, |second| if second % 3600 < 60 { 0.08 } else { by_day(second) });
    assert_eq!(told(&stage), []);
    let mut stage = Stage::new(quiet());
    vary(&mut stage, 2 * 3600, |_| 0.02);
    vary(&mut stage, 3600, |_| 0.06);
    assert_eq!(told(&stage), []);
}

#[test]
fn another_level_is_one_finding_and_what_it_varies_by_there_is_none() {
    let mut stage = known(0.02);
    for _ in 0..3 * 720 {
        let noise = stage.noise();
        stage.tell(&[(&cpu(), (0.8 + 0.08 * noise).clamp(0.0, 1.0))], 5);
    }
    assert_eq!(stage.turns("metric.anomaly").len(), 2);
    assert_eq!(told(&stage), []);
}

#[test]
fn a_restart_in_the_midst_of_it_alters_nothing() {
    let play = |restart: bool| {
        let mut stage = known(0.02);
        vary(&mut stage, 300, |_| 0.06);
        if restart {
            stage.detectors = Detectors::restore(&stage.config, &stage.detectors.save());
        }
        vary(&mut stage, 900, |_| 0.06);
        vary(&mut stage, 2400, |_| 0.02);
        stage.said
    };
    assert!(!play(false).is_empty());
    assert_eq!(play(true), play(false));
}
