//! Series that are known for days: oddness decides what is said, habits are known, and what is new is said all the same.

use super::*;
use crate::detect::Watch;
use crate::detect::labels::Labels;
use crate::model::{Finding, Label, Says};

const DAY_S: i64 = 86_400;

fn quiet() -> DetectConfig {
    DetectConfig { standard_thresholds: false, ..DetectConfig::default() }
}

/// Each five seconds, what `value` says of the second and a noise.
fn run(stage: &mut Stage, key: &SeriesKey, seconds: i64, mut value: impl FnMut(i64, f64) -> f64) {
    for _ in 0..seconds / 5 {
        let (second, noise) = (stage.second(), stage.noise());
        stage.tell(&[(key, value(second, noise))], 5);
    }
}

/// A daily wave, a job of twenty seconds each hour.
fn usual(second: i64, noise: f64) -> f64 {
    let wave = (second as f64 / DAY_S as f64 * std::f64::consts::TAU).sin();
    let job = if second % 3600 < 20 { 0.6 } else { 0.0 };
    (0.15 + 0.05 * wave + 0.02 * noise + job).clamp(0.0, 1.0)
}

fn known(days: i64) -> Stage {
    let mut stage = Stage::new(quiet());
    run(&mut stage, &cpu(), days * DAY_S, usual);
    stage
}

/// Days on which something was first said.
fn days(stage: &Stage) -> Vec<i64> {
    let begun = stage.turns("metric.anomaly").into_iter().filter(|(_, it)| *it == Presence::Present);
    begun.map(|(second, _)| second / DAY_S).collect()
}

#[test]
fn days_of_the_usual_say_nothing_and_then_trouble_is_said_within_a_minute() {
    let mut stage = known(3);
    stage.silent();
    run(&mut stage, &cpu(), 600, |_, noise| 0.9 + 0.02 * noise);
    let turns = stage.turns("metric.anomaly");
    assert!(matches!(turns[..], [(at, Presence::Present)] if at < 3 * DAY_S + 60), "{turns:?}");
    let said = stage.last("metric.anomaly");
    assert!(fact(&said.evidence, "series.alarm") >= 0.2 || fact(&said.evidence, "series.oddness") >= 0.6, "{said:?}");
    assert!(said.confidence.get() >= 0.2, "{said:?}");
}

#[test]
fn a_spike_of_five_seconds_is_nothing_however_odd() {
    let mut stage = known(3);
    run(&mut stage, &cpu(), 600, usual);
    run(&mut stage, &cpu(), 5, |_, _| 1.0);
    run(&mut stage, &cpu(), 1800, usual);
    stage.silent();
}

#[test]
fn a_nightly_job_is_reported_twice_and_then_known_until_it_is_larger_or_at_another_time() {
    let mut stage = Stage::new(quiet());
    let job = |second: i64, from: i64, height: f64| {
        if (from..from + 1200).contains(&(second % DAY_S)) { height } else { 0.0 }
    };
    run(&mut stage, &cpu(), 3 * DAY_S, usual);
    run(&mut stage, &cpu(), 14 * DAY_S, |second, noise| usual(second, noise) + job(second, 10_000, 0.3));
    assert_eq!(days(&stage), [3, 4], "{:?}", stage.turns("metric.anomaly"));
    // Twice as much in the same night, and then in the afternoon.
    run(&mut stage, &cpu(), DAY_S, |second, noise| usual(second, noise) + job(second, 10_000, 0.75));
    run(&mut stage, &cpu(), DAY_S, |second, noise| {
        usual(second, noise) + job(second, 10_000, 0.3) + job(second, 50_000, 0.3)
    });
    assert_eq!(days(&stage), [3, 4, 17, 18], "{:?}", stage.turns("metric.anomaly"));
}

#[test]
fn what_a_person_confirmed_is_said_though_it_is_odd_no_more() {
    let said = |confirmed: bool| {
        let mut stage = known(2);
        let mut labels = Labels::default();
        for time in 0..30 {
            run(&mut stage, &cpu(), 120, |_, noise| 0.6 + 0.02 * noise);
            if time == 0 {
                let first = stage.said.iter().find(|(_, it)| it.presence == Presence::Present).unwrap();
                let finding = Finding::opened(&first.1, stage.at, &mut SeededIds(5));
                labels = Labels::new(vec![Label::of(&finding, Says::TruePositive, "alice", stage.at, "")]);
            }
            if confirmed {
                stage.detectors.protect(&labels);
            }
            run(&mut stage, &cpu(), 3480, |_, noise| 0.15 + 0.02 * noise);
        }
        days(&stage).len()
    };
    assert_eq!(said(true), 30);
    assert!(said(false) <= 4);
}

#[test]
fn of_a_slow_series_one_reading_may_be_an_alarm_and_is_said_at_once() {
    let queue = key("app.queue.length", "{item}", MetricKind::Gauge, &[]);
    let watch = Watch { metric: queue.metric.clone(), where_: Attributes::new() };
    let mut stage = Stage::new(DetectConfig { watch: vec![watch], ..quiet() });
    for _ in 0..6 * 288 {
        let noise = stage.noise();
        stage.tell(&[(&queue, 100.0 + 3.0 * noise)], 300);
    }
    stage.silent();
    stage.tell(&[(&queue, 400.0)], 300);
    let turns = stage.turns("metric.anomaly");
    assert!(matches!(turns[..], [(at, Presence::Present)] if at == 6 * DAY_S), "{turns:?}");
    stage.tell(&[(&queue, 101.0)], 300);
    assert_eq!(stage.last("metric.anomaly").presence, Presence::Cleared);
}

#[test]
fn a_level_that_is_left_without_being_odd_is_adopted_in_silence() {
    let mut stage = Stage::new(quiet());
    // A quarter of an hour down, one up: after two days neither is odd.
    let level = |second: i64| if second / 900 % 2 == 0 { 0.2 } else { 0.4 };
    run(&mut stage, &cpu(), 2 * DAY_S, |second, noise| level(second) + 0.02 * noise);
    let before = days(&stage);
    assert_eq!(before, [0, 0, 0], "known from habit after three");
    run(&mut stage, &cpu(), 5400, |_, noise| 0.4 + 0.02 * noise);
    assert_eq!(days(&stage), before, "{:?}", stage.said.last());
    // What is new is said, and against the level at which the series has come to stay.
    run(&mut stage, &cpu(), 900, |_, noise| 0.97 + 0.01 * noise);
    assert_eq!(days(&stage).len(), before.len() + 1);
    let expected = fact(&stage.last("metric.anomaly").evidence, "series.expected");
    assert!((expected - 0.4).abs() < 0.05, "{expected}");
}
