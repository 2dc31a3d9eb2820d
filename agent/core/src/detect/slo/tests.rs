//! Traffic shapes, minute by minute, against an objective.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::detect::Detectors;
use crate::detect::config::DetectConfig;
use crate::model::{Attributes, Interval, Ratio, SampleBatch, SeriesId};

const START: i64 = 1_760_000_000;

fn objective(objective: f64) -> Objective {
    let part = |metric: &str| Part { metric: metric.into(), where_: service() };
    Objective {
        name: "checkout".into(),
        objective: Ratio(objective),
        window: Interval::secs(30 * 86_400),
        total: part("holdfast.app.requests"),
        errors: Some(part("holdfast.app.errors")),
        good: None,
        error_ratio: None,
    }
}

fn service() -> Attributes {
    [("service.name".to_owned(), "shop".to_owned())].into()
}

fn key(metric: &str, kind: MetricKind) -> SeriesKey {
    SeriesKey { metric: metric.into(), unit: "{request}".into(), kind, attributes: service() }
}

/// A service that is told each ten seconds how many requests it had and how many failed.
struct Service {
    detectors: Detectors,
    at: Timestamp,
    requests: f64,
    errors: f64,
    said: Vec<(i64, Detection)>,
    told: bool,
}

impl Service {
    fn new(slo: Objective) -> Self {
        let config =
            DetectConfig { slo: vec![slo], anomalies: false, standard_thresholds: false, ..DetectConfig::default() };
        let (at, said) = (Timestamp::from_secs(START), Vec::new());
        Self { detectors: Detectors::new(&config), at, requests: 0.0, errors: 0.0, said, told: false }
    }

    fn minutes(&mut self, minutes: i64, each_s: f64, failing: f64) {
        for _ in 0..minutes * 6 {
            self.at = self.at.plus(Duration::from_secs(10));
            self.requests += each_s * 10.0;
            self.errors += each_s * 10.0 * failing;
            self.tell();
        }
    }

    fn tell(&mut self) {
        let new_series = if std::mem::replace(&mut self.told, true) {
            vec![]
        } else {
            let one = |id, metric: &str| (SeriesId(id), Arc::new(key(metric, MetricKind::Counter)));
            vec![one(1, "holdfast.app.requests"), one(2, "holdfast.app.errors")]
        };
        let samples = vec![(SeriesId(1), self.requests), (SeriesId(2), self.errors)];
        let minute = (self.at.ns() / 1_000_000_000 - START) / 60;
        let said = self.detectors.on_batch(&SampleBatch { at: self.at, new_series, samples });
        self.said.extend(said.into_iter().map(|it| (minute, it)));
    }

    fn turns(&self) -> Vec<(i64, Presence, Severity)> {
        let mut turns: Vec<(i64, Presence, Severity)> = Vec::new();
        for (minute, it) in &self.said {
            if turns.last().is_none_or(|last| (last.1, last.2) != (it.presence, it.severity)) {
                turns.push((*minute, it.presence, it.severity));
            }
        }
        turns
    }
}

#[test]
fn an_hour_of_two_percent_errors_is_critical_within_the_hour_and_over_when_it_is() {
    let mut shop = Service::new(objective(0.999));
    shop.minutes(180, 20.0, 0.0001);
    shop.minutes(90, 20.0, 0.02);
    shop.minutes(120, 20.0, 0.0);
    let turns = shop.turns();
    let begun = turns.iter().find(|it| it.2 == Severity::Critical).unwrap().0;
    // 14.4 times the budget of an hour is spent after 43 minutes of 20 times.
    assert!((220..=228).contains(&begun), "{turns:?}");
    assert_eq!(turns.last().unwrap().1, Presence::Cleared, "{turns:?}");
    let (_, first) = shop.said.iter().find(|(_, it)| it.severity == Severity::Critical).unwrap();
    assert_eq!((first.target.to_string().as_str(), first.discriminator.as_str()), ("service:shop", "checkout"));
    let rate = first.evidence.iter().find(|it| it.name == "slo.burn_rate").unwrap();
    assert!(matches!(rate.value, crate::model::Value::Number(n) if (14.4..16.5).contains(&n)), "{rate:?}");
}

#[test]
fn what_was_spent_before_is_not_there_to_spend() {
    let number = |said: &Detection, name: &str| match said.evidence.iter().find(|it| it.name == name).unwrap().value {
        crate::model::Value::Number(n) => n,
        crate::model::Value::Integer(n) => n as f64,
        _ => panic!("{name}"),
    };
    let day_s = 86_400.0;
    // Twenty times what is allowed for six hours: a sixth of the budget of 30 days is gone.
    let mut fresh = Service::new(objective(0.999));
    fresh.minutes(360, 20.0, 0.02);
    let last = &fresh.said.last().unwrap().1;
    let (spent, rate) = (number(last, "slo.budget_spent_share"), number(last, "slo.burn_rate"));
    assert!((0.15..0.18).contains(&spent), "{spent}");
    let gone_s = number(last, "slo.budget_gone_in_s");
    assert!((gone_s - 30.0 * day_s * (1.0 - spent) / rate).abs() < 0.001 * gone_s, "{gone_s}");
    // Once it is all spent nothing is left, whatever the rate.
    fresh.minutes(2 * 1_440, 20.0, 0.02);
    let last = &fresh.said.last().unwrap().1;
    assert_eq!((number(last, "slo.budget_spent_share"), number(last, "slo.budget_gone_in_s")), (1.0, 0.0));
}

#[test]
fn a_slow_burn_is_a_low_finding_after_days_and_none_before() {
    let mut shop = Service::new(objective(0.999));
    // One and a half times what the budget allows.
    shop.minutes(4 * 1_440, 5.0, 0.0015);
    let turns = shop.turns();
    assert!(matches!(turns[..], [(minute, Presence::Present, Severity::Low)] if minute > 2_000), "{turns:?}");
}

#[test]
fn what_the_budget_allows_is_nothing() {
    let mut shop = Service::new(objective(0.999));
    shop.minutes(4 * 1_440, 5.0, 0.0009);
    assert!(shop.said.is_empty(), "{:?}", shop.turns());
}

#[test]
fn one_failed_request_at_night_is_nothing() {
    let mut shop = Service::new(objective(0.999));
    for _ in 0..8 {
        // Nine requests in a quarter of an hour, and one of them fails.
        shop.minutes(15, 0.01, 0.0);
        shop.errors += 1.0;
        shop.requests += 1.0;
        shop.tell();
        shop.minutes(240, 0.0, 0.0);
    }
    assert!(shop.said.is_empty(), "{:?}", shop.turns());
}

#[test]
fn without_events_a_finding_is_inconclusive_and_with_them_again_it_is_cleared() {
    let mut shop = Service::new(objective(0.99));
    shop.minutes(120, 20.0, 0.0);
    shop.minutes(90, 20.0, 0.5);
    // Half a day without a request: nobody can say that it goes well.
    shop.minutes(720, 0.0, 0.0);
    assert_eq!(shop.said.last().unwrap().1.presence, Presence::Inconclusive, "{:?}", shop.turns());
    shop.minutes(180, 20.0, 0.0);
    assert_eq!(shop.said.last().unwrap().1.presence, Presence::Cleared, "{:?}", shop.turns());
}

#[test]
fn a_restarted_counter_and_a_long_gap_make_no_errors() {
    let mut shop = Service::new(objective(0.999));
    shop.minutes(120, 20.0, 0.0);
    (shop.requests, shop.errors) = (0.0, 0.0);
    shop.minutes(60, 20.0, 0.0);
    shop.errors += 50_000.0;
    shop.requests += 50_000.0;
    shop.at = shop.at.plus(Duration::from_hours(2));
    shop.minutes(60, 20.0, 0.0);
    assert!(shop.said.is_empty(), "{:?}", shop.turns());
}

#[test]
fn shares_and_good_events_say_the_same_as_errors() {
    for (what, kind) in [("good", MetricKind::Counter), ("ratio", MetricKind::Gauge)] {
        let part = |metric: &str| Some(Part { metric: metric.into(), where_: service() });
        let slo = match what {
            "good" => Objective { errors: None, good: part("app.good"), ..objective(0.999) },
            _ => Objective { errors: None, error_ratio: part("app.ratio"), ..objective(0.999) },
        };
        let config = DetectConfig { slo: vec![slo], ..DetectConfig::default() };
        assert!(config.problems().is_empty());
        let mut detectors = Detectors::new(&config);
        let (mut requests, mut good, mut said) = (0.0, 0.0, Vec::new());
        let metric = if what == "good" { "app.good" } else { "app.ratio" };
        for step in 0..6 * 150_i64 {
            let failing = if step < 6 * 60 { 0.0 } else { 0.02 };
            requests += 200.0;
            good += 200.0 * (1.0 - failing);
            let new_series = match step {
                0 => vec![
                    (SeriesId(1), Arc::new(key("holdfast.app.requests", MetricKind::Counter))),
                    (SeriesId(2), Arc::new(key(metric, kind))),
                ],
                _ => vec![],
            };
            let other = if what == "good" { good } else { failing };
            let samples = vec![(SeriesId(1), requests), (SeriesId(2), other)];
            let at = Timestamp::from_secs(START + step * 10);
            said.extend(detectors.on_batch(&SampleBatch { at, new_series, samples }));
        }
        assert!(said.iter().any(|it| it.severity == Severity::Critical), "{what}: {said:?}");
    }
}

#[test]
fn what_was_counted_survives_a_restart() {
    let run = |restarts: bool| {
        let mut shop = Service::new(objective(0.999));
        shop.minutes(100, 20.0, 0.0);
        shop.minutes(20, 20.0, 0.02);
        if restarts {
            let config = DetectConfig {
                slo: vec![objective(0.999)],
                anomalies: false,
                standard_thresholds: false,
                ..DetectConfig::default()
            };
            shop.detectors = Detectors::restore(&config, &shop.detectors.save());
        }
        shop.minutes(60, 20.0, 0.02);
        shop.turns()
    };
    assert_eq!(run(true), run(false));
    assert!(!run(true).is_empty());
}

#[test]
fn what_cannot_be_meant_is_named() {
    let problems = |slo: Objective| DetectConfig { slo: vec![slo], ..DetectConfig::default() }.problems();
    assert!(problems(objective(1.0))[0].contains("no error budget"));
    assert!(problems(Objective { errors: None, ..objective(0.9) })[0].contains("exactly one of"));
    assert!(problems(Objective { window: Interval::secs(60), ..objective(0.9) })[0].contains("less than an hour"));
}

proptest! {
    #[test]
    fn fewer_than_a_hundred_events_are_never_an_alarm(
        events in prop::collection::vec((0_u8..4, 0_u8..4), 1..60),
        at_s in 0_i64..200_000,
    ) {
        let mut shop = Service::new(objective(0.999));
        shop.at = shop.at.plus(Duration::from_secs(at_s.unsigned_abs()));
        let mut budget = 99;
        for (good, bad) in events {
            let (good, bad) = (f64::from(good).min(f64::from(budget)), f64::from(bad));
            if good + bad > f64::from(budget) {
                break;
            }
            budget -= (good + bad) as i32;
            shop.requests += good + bad;
            shop.errors += bad;
            shop.at = shop.at.plus(Duration::from_secs(61));
            shop.tell();
        }
        prop_assert!(shop.said.is_empty(), "{:?}", shop.turns());
    }
}
