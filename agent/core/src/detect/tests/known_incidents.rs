//! What a person confirmed is never taken for normal, neither by habit nor by patience.

use super::*;
use crate::detect::labels::Labels;
use crate::model::{Finding, Label, Says};

/// The label of the last thing said of a kind.
fn confirmed(stage: &Stage, kind: &str) -> Labels {
    let said = stage.said.iter().rev().find(|(_, it)| it.kind == kind && it.presence == Presence::Present);
    let finding = Finding::opened(&said.unwrap().1, stage.at, &mut SeededIds(5));
    Labels::new(vec![Label::of(&finding, Says::TruePositive, "alice", stage.at, "")])
}

fn warm() -> Stage {
    let mut stage = Stage::new(DetectConfig { standard_thresholds: false, ..DetectConfig::default() });
    stage.run(&cpu(), 1200, |_, noise| (0.08 + 0.02 * noise).clamp(0.0, 1.0));
    stage
}

fn hourly(stage: &mut Stage, times: u32, height: f64) {
    for _ in 0..times {
        stage.run(&cpu(), 120, |_, noise| height + 0.02 * noise);
        stage.run(&cpu(), 3480, |_, noise| 0.08 + 0.02 * noise);
    }
}

fn reports(stage: &Stage) -> usize {
    stage.turns("metric.anomaly").iter().filter(|(_, it)| *it == Presence::Present).count()
}

#[test]
fn a_confirmed_departure_is_reported_however_often_it_comes() {
    let mut stage = warm();
    hourly(&mut stage, 1, 0.5);
    let labels = confirmed(&stage, "metric.anomaly");
    stage.detectors.protect(&labels);
    hourly(&mut stage, 9, 0.5);
    assert_eq!(reports(&stage), 10);
    let said = stage.said.iter().rev().find(|(_, it)| it.presence == Presence::Present).unwrap();
    assert!(said.1.evidence.contains(&Evidence::new("series.known_incident", true)), "{said:?}");
}

#[test]
fn the_confirmation_of_a_large_one_doesnt_bring_back_small_ones() {
    let mut stage = warm();
    hourly(&mut stage, 1, 0.9);
    let labels = confirmed(&stage, "metric.anomaly");
    // The large one has faded from the series' own memory by then.
    stage.run(&cpu(), 4 * 86_400, |_, noise| 0.08 + 0.02 * noise);
    stage.detectors.protect(&labels);
    let before = reports(&stage);
    hourly(&mut stage, 8, 0.4);
    // Known for days, the series says the first ones, which are news or odd.
    assert_eq!(reports(&stage) - before, 2);
}

#[test]
fn a_confirmed_departure_that_stays_is_not_adopted_and_one_without_a_label_is() {
    for protected in [true, false] {
        let mut stage = warm();
        hourly(&mut stage, 1, 0.7);
        if protected {
            let labels = confirmed(&stage, "metric.anomaly");
            stage.detectors.protect(&labels);
        }
        stage.run(&cpu(), 3 * 3600, |_, noise| 0.7 + 0.02 * noise);
        let adopted = stage.said.iter().any(|(_, it)| it.title.contains("new normal"));
        assert_eq!(adopted, !protected);
        let standing = stage.last("metric.anomaly").presence == Presence::Present;
        assert_eq!(standing, protected);
    }
}

#[test]
fn when_the_label_is_taken_back_it_is_adopted_at_once() {
    let mut stage = warm();
    hourly(&mut stage, 1, 0.7);
    let labels = confirmed(&stage, "metric.anomaly");
    stage.detectors.protect(&labels);
    stage.run(&cpu(), 2 * 3600, |_, noise| 0.7 + 0.02 * noise);
    stage.detectors.protect(&Labels::default());
    stage.run(&cpu(), 10, |_, noise| 0.7 + 0.02 * noise);
    assert!(stage.last("metric.anomaly").title.contains("new normal"), "{:?}", stage.said.last());
}

#[test]
fn a_series_that_is_known_later_is_protected_too_and_so_is_one_that_was_restored() {
    let mut stage = warm();
    hourly(&mut stage, 1, 0.7);
    let labels = confirmed(&stage, "metric.anomaly");
    let mut fresh = warm();
    fresh.detectors = Detectors::restore(&fresh.config, &fresh.detectors.save());
    fresh.detectors.protect(&labels);
    fresh.run(&cpu(), 3 * 3600, |_, noise| 0.7 + 0.02 * noise);
    assert_eq!(fresh.last("metric.anomaly").presence, Presence::Present);
    let mut late = Stage::new(fresh.config.clone());
    late.detectors.protect(&labels);
    late.run(&cpu(), 1200, |_, noise| 0.08 + 0.02 * noise);
    late.run(&cpu(), 3 * 3600, |_, noise| 0.7 + 0.02 * noise);
    assert_eq!(late.last("metric.anomaly").presence, Presence::Present);
}
