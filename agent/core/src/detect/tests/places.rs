//! More series than there are places.

use super::*;
use crate::detect::Watch;

const PLACES: usize = 2048;

fn config() -> DetectConfig {
    let watch = vec![Watch { metric: "app.busy".to_owned(), where_: Attributes::new() }];
    DetectConfig { watch, standard_thresholds: false, ..DetectConfig::default() }
}

fn busy(number: usize) -> SeriesKey {
    key("app.busy", "1", MetricKind::Gauge, &[("container.id", &number.to_string())])
}

/// These series, each minute.
fn minutes(stage: &mut Stage, keys: &[SeriesKey], minutes: usize) {
    for _ in 0..minutes {
        let samples: Vec<(&SeriesKey, f64)> = keys.iter().map(|it| (it, 0.5)).collect();
        stage.tell(&samples, 60);
    }
}

#[test]
fn the_silent_give_way_to_those_that_wait_and_are_taken_up_when_they_come_back() {
    let mut stage = Stage::new(config());
    let old: Vec<SeriesKey> = (0..PLACES).map(busy).collect();
    let new: Vec<SeriesKey> = (PLACES..PLACES + 100).map(busy).collect();
    minutes(&mut stage, &old, 2);
    assert_eq!((stage.detectors.watched(), stage.detectors.left_out()), (PLACES, 0));
    let (gone, stay) = old.split_at(150);
    let now: Vec<SeriesKey> = stay.iter().chain(&new).cloned().collect();
    minutes(&mut stage, &now, 50);
    assert_eq!((stage.detectors.watched(), stage.detectors.left_out()), (PLACES, 100));
    minutes(&mut stage, &now, 15);
    assert_eq!((stage.detectors.watched(), stage.detectors.left_out()), (PLACES - 50, 0));
    // Their numbers are not announced again.
    let all: Vec<SeriesKey> = now.iter().chain(&gone[..60]).cloned().collect();
    minutes(&mut stage, &all, 2);
    assert_eq!((stage.detectors.watched(), stage.detectors.left_out()), (PLACES, 10));
}

#[test]
fn what_waited_and_is_gone_is_not_counted_for_long() {
    let mut stage = Stage::new(config());
    let all: Vec<SeriesKey> = (0..PLACES + 5).map(busy).collect();
    minutes(&mut stage, &all, 2);
    assert_eq!(stage.detectors.left_out(), 5);
    minutes(&mut stage, &all[..PLACES], 62);
    assert_eq!((stage.detectors.watched(), stage.detectors.left_out()), (PLACES, 0));
}

#[test]
fn with_room_nothing_gives_way_before_a_day_is_over() {
    let mut stage = Stage::new(config());
    let all: Vec<SeriesKey> = (0..10).map(busy).collect();
    minutes(&mut stage, &all, 2);
    minutes(&mut stage, &all[..5], 23 * 60);
    assert_eq!(stage.detectors.watched(), 10);
    minutes(&mut stage, &all[..5], 65);
    assert_eq!(stage.detectors.watched(), 5);
    minutes(&mut stage, &all, 1);
    assert_eq!(stage.detectors.watched(), 10, "what comes back is watched again");
}
