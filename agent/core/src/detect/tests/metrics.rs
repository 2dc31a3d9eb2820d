//! Anomalies and thresholds.

use super::*;
use crate::detect::{Sensitivity, Threshold, Watch};
use crate::model::{Interval, Severity};

fn quiet() -> DetectConfig {
    DetectConfig { standard_thresholds: false, ..DetectConfig::default() }
}

/// Twenty minutes of a host with a little to do.
fn warm(config: DetectConfig) -> Stage {
    let mut stage = Stage::new(config);
    stage.run(&cpu(), 1200, |_, noise| (0.08 + 0.02 * noise).clamp(0.0, 1.0));
    stage
}

#[test]
fn a_quiet_host_says_nothing_for_a_day() {
    let mut stage = Stage::new(DetectConfig::default());
    let load = key("system.cpu.load_average.1m", "{thread}", MetricKind::Gauge, &[]);
    let used = key("system.memory.utilization", "1", MetricKind::Gauge, &[("system.memory.state", "used")]);
    let stall =
        key("system.linux.pressure.stall_time", "s", MetricKind::Counter, &[("holdfast.pressure.kind", "some")]);
    let mut stalled = 0.0;
    for second in 0..86_400_i64 {
        let daily = (second as f64 / 86_400.0 * std::f64::consts::TAU).sin();
        let (a, b, c) = (stage.noise(), stage.noise(), stage.noise());
        // A short job each five minutes, a longer one each hour.
        let job = if second % 300 < 6 { 0.6 } else { 0.0 } + if second % 3600 < 20 { 0.3 } else { 0.0 };
        stalled += (0.001 + 0.0005 * a).max(0.0) + job * 0.05;
        stage.tell(
            &[
                (&cpu(), (0.10 + 0.05 * daily + 0.02 * a + job).clamp(0.0, 1.0)),
                (&load, (0.5 + 0.2 * daily + 0.1 * b).max(0.0)),
                (&used, (0.40 + 0.05 * daily + 0.003 * c).clamp(0.0, 1.0)),
                (&stall, stalled),
            ],
            1,
        );
    }
    stage.silent();
}

#[test]
fn a_spike_of_five_seconds_is_nothing() {
    let mut stage = warm(quiet());
    for _ in 0..20 {
        stage.run(&cpu(), 5, |_, _| 1.0);
        stage.run(&cpu(), 55, |_, noise| 0.08 + 0.02 * noise);
    }
    stage.silent();
}

#[test]
fn a_departure_that_stays_is_reported_within_three_quarters_of_a_minute_and_cleared_afterwards() {
    let mut stage = warm(quiet());
    stage.run(&cpu(), 300, |_, noise| 0.9 + 0.02 * noise);
    stage.run(&cpu(), 300, |_, noise| 0.08 + 0.02 * noise);
    let turns = stage.turns("metric.anomaly");
    assert!(
        matches!(turns[..], [(begun, Presence::Present), (ended, Presence::Cleared)]
            if (1225..=1245).contains(&begun) && (1525..=1545).contains(&ended)),
        "{turns:?}"
    );
    let (_, first) = &stage.said[0];
    assert_eq!(first.target, Target::series("holdfast.cpu.utilization"));
    assert!((first.began_at.ns() / 1_000_000_000 - START_S - 1200).abs() <= 10, "{}", first.began_at);
    assert!(first.severity <= Severity::Medium && first.confidence.get() > 0.4, "{first:?}");
    assert!((fact(&first.evidence, "series.expected") - 0.08).abs() < 0.02, "{first:?}");
}

/// How odd a jump by two fifths of the level is said to be, half a day after one wild value or none.
fn oddness_of_a_jump(wild: bool) -> f64 {
    let queue = key("app.queue.length", "{item}", MetricKind::Gauge, &[]);
    let watch = Watch { metric: queue.metric.clone(), where_: Attributes::new() };
    let mut stage = Stage::new(DetectConfig { watch: vec![watch], ..quiet() });
    stage.run(&queue, 20_000, |_, noise| 100.0 + 3.0 * noise);
    stage.run(&queue, 5, |_, noise| if wild { 10_000.0 } else { 100.0 + 3.0 * noise });
    stage.run(&queue, 40_000, |_, noise| 100.0 + 3.0 * noise);
    stage.run(&queue, 120, |_, noise| 140.0 + 3.0 * noise);
    fact(&stage.last("metric.anomaly").evidence, "series.oddness")
}

#[test]
fn one_wild_value_makes_no_later_departure_ordinary() {
    let (after_none, after_one) = (oddness_of_a_jump(false), oddness_of_a_jump(true));
    assert!(after_one > 0.8 * after_none, "{after_one} after a wild value, {after_none} without");
}

#[test]
fn while_it_lasts_it_is_repeated_at_most_once_a_minute() {
    let mut stage = warm(quiet());
    stage.run(&cpu(), 600, |_, noise| 0.9 + 0.02 * noise);
    let repeats = stage.said.len();
    assert!((8..=12).contains(&repeats), "{repeats}");
}

#[test]
fn a_series_that_never_moved_may_move_a_little_and_never_alarms_for_long() {
    let mut stage = Stage::new(quiet());
    stage.run(&cpu(), 1200, |_, _| 0.5);
    stage.run(&cpu(), 600, |_, _| 0.6);
    stage.silent();
    stage.run(&cpu(), 4 * 3600, |_, _| 0.95);
    let turns = stage.turns("metric.anomaly");
    assert!(
        matches!(turns[..], [(_, Presence::Present), (ended, Presence::Cleared)] if ended < 1800 + 3700),
        "{turns:?}"
    );
}

#[test]
fn a_level_that_stays_for_an_hour_becomes_the_new_normal() {
    let mut stage = warm(quiet());
    stage.run(&cpu(), 2 * 3600, |_, noise| 0.7 + 0.02 * noise);
    let turns = stage.turns("metric.anomaly");
    assert!(matches!(turns[..], [(_, Presence::Present), (4790..=4830, Presence::Cleared)]), "{turns:?}");
    assert!(stage.last("metric.anomaly").title.contains("new normal"));
    // From there a departure counts again.
    stage.run(&cpu(), 120, |_, noise| 0.08 + 0.02 * noise);
    let down = stage.last("metric.anomaly");
    assert_eq!((down.presence, down.severity), (Presence::Present, Severity::Informational));
}

#[test]
fn an_hourly_job_is_reported_three_times_and_then_known_until_it_is_larger() {
    let mut stage = warm(quiet());
    for _ in 0..10 {
        stage.run(&cpu(), 120, |_, noise| 0.5 + 0.02 * noise);
        stage.run(&cpu(), 3480, |_, noise| 0.08 + 0.02 * noise);
    }
    let known = stage.turns("metric.anomaly").iter().filter(|(_, it)| *it == Presence::Present).count();
    assert_eq!(known, 3);
    stage.run(&cpu(), 120, |_, noise| 0.95 + 0.02 * noise);
    assert_eq!(stage.last("metric.anomaly").presence, Presence::Present);
}

#[test]
fn nothing_is_said_during_the_warm_up() {
    let mut stage = Stage::new(quiet());
    stage.run(&cpu(), 300, |_, _| 0.1);
    stage.run(&cpu(), 290, |_, _| 0.9);
    stage.silent();
}

#[test]
fn a_counter_that_begins_again_gives_no_spike() {
    let io = key("system.disk.io_time", "s", MetricKind::Counter, &[("system.device", "vda")]);
    let mut stage = Stage::new(quiet());
    let mut total = 1e6;
    stage.run(&io, 1200, |_, noise| {
        total += (0.1 + 0.02 * noise).max(0.0);
        total
    });
    total = 0.0;
    for _ in 0..10 {
        stage.run(&io, 60, |_, noise| {
            total += (0.1 + 0.02 * noise).max(0.0);
            total
        });
        total = 0.0;
    }
    stage.silent();
    // A true change of the rate is still seen.
    stage.run(&io, 60, |_, _| {
        total += 0.95;
        total
    });
    assert!(stage.last("metric.anomaly").title.contains("per second"));
}

#[test]
fn series_that_nobody_asked_for_are_not_watched() {
    let other = key("some.queue.length", "{item}", MetricKind::Gauge, &[("queue", "a")]);
    let mut stage = Stage::new(quiet());
    stage.run(&other, 900, |_, _| 1.0);
    stage.run(&other, 300, |_, _| 1e6);
    stage.silent();
    let watch = vec![Watch { metric: "some.queue.length".to_owned(), where_: Attributes::new() }];
    let mut stage = Stage::new(DetectConfig { watch, ..quiet() });
    stage.run(&other, 900, |_, _| 1.0);
    stage.run(&other, 60, |_, _| 1e6);
    assert_eq!(stage.turns("metric.anomaly").len(), 1);
}

#[test]
fn a_deployment_nearby_halves_the_confidence_and_is_named() {
    let confidence = |with: bool| {
        let mut stage = warm(quiet());
        if with {
            stage.detectors.note_activity(&change("service.deployed", Target::deployment("d1"), stage.at));
        }
        stage.run(&cpu(), 60, |_, _| 0.9);
        stage.last("metric.anomaly").clone()
    };
    let (alone, near) = (confidence(false), confidence(true));
    assert!((near.confidence.get() - alone.confidence.get() / 2.0).abs() < 0.02, "{alone:?} {near:?}");
    assert!(near.evidence.iter().any(|it| it.name == "context.activity"));
}

/// What is named beside a departure that begins so long after `note`.
fn context(after_s: i64, note: impl FnOnce(&mut Stage)) -> Option<String> {
    let mut stage = warm(quiet());
    note(&mut stage);
    stage.run(&cpu(), after_s, |_, noise| 0.08 + 0.02 * noise);
    stage.run(&cpu(), 60, |_, _| 0.9);
    let said = stage.last("metric.anomaly");
    said.evidence.iter().find(|it| it.name == "context.activity").map(|it| it.value.to_string())
}

#[test]
fn a_deployment_that_runs_or_failed_is_context() {
    for kind in ["deployment.started", "deployment.failed", "service.deployed"] {
        let named = context(60, |it| it.detectors.note_activity(&change(kind, Target::deployment("d1"), it.at)));
        assert_eq!(named, Some(format!("{kind} happened")));
    }
    assert_eq!(context(60, |it| it.detectors.note_activity(&change("file.modified", Target::file("/a"), it.at))), None);
}

#[test]
fn the_agents_own_start_is_context_for_a_while() {
    let named = |after_s| context(after_s, |it| it.detectors.note_start(it.at));
    assert_eq!(named(60).as_deref(), Some("the agent was started"));
    assert_eq!(named(660), None);
}

#[test]
fn a_boot_is_context_and_read_off_the_uptime() {
    let uptime = key("system.uptime", "s", MetricKind::Gauge, &[]);
    for (up_s, wanted) in [(400.0, Some("the host was booted")), (90_000.0, None)] {
        let named = context(60, |it| {
            it.tell(&[(&uptime, up_s)], 1);
            it.tell(&[(&uptime, up_s + 1.0)], 1);
        });
        assert_eq!(named.as_deref(), wanted, "{up_s} s after the boot");
    }
}

#[test]
fn a_series_that_goes_silent_leaves_the_question_open() {
    let mut stage = warm(quiet());
    stage.run(&cpu(), 60, |_, _| 0.9);
    let other = key("other", "1", MetricKind::Gauge, &[]);
    stage.run(&other, 600, |_, _| 0.0);
    let turns = stage.turns("metric.anomaly");
    assert!(matches!(turns[..], [(_, Presence::Present), (_, Presence::Inconclusive)]), "{turns:?}");
    assert_eq!(stage.said.iter().filter(|(_, it)| it.presence == Presence::Inconclusive).count(), 1);
}

#[test]
fn sensitivity_is_how_far_it_may_depart() {
    let alarms = |sensitivity| {
        let mut stage = warm(DetectConfig { sensitivity, ..quiet() });
        stage.run(&cpu(), 120, |_, _| 0.19);
        stage.said.len()
    };
    assert_eq!(alarms(Sensitivity::Low), 0);
    assert!(alarms(Sensitivity::High) > 0);
}

fn limit(above: Option<f64>, below: Option<f64>) -> DetectConfig {
    let threshold = Threshold {
        name: "t".to_owned(),
        metric: "m".to_owned(),
        where_: Attributes::new(),
        of: None,
        above,
        below,
        sustained: Interval::secs(3),
        severity: Severity::High,
    };
    DetectConfig { threshold: vec![threshold], standard_thresholds: false, ..DetectConfig::default() }
}

#[track_caller]
fn check_limit(values: &[f64], expected: &[(i64, Presence)]) {
    let metric = key("m", "1", MetricKind::Gauge, &[]);
    let mut stage = Stage::new(limit(Some(90.0), None));
    for value in values {
        stage.tell(&[(&metric, *value)], 1);
    }
    assert_eq!(stage.turns("metric.threshold"), expected, "values: {values:?}");
}

#[test]
fn one_spike_is_not_a_breach() {
    check_limit(&[10.0, 99.0, 99.0, 10.0, 99.0, 99.0, 10.0], &[]);
}

#[test]
fn three_seconds_without_a_break_are() {
    check_limit(&[10.0, 99.0, 98.0, 97.0, 99.0], &[(4, Presence::Present)]);
}

#[test]
fn exactly_at_the_limit_is_fine() {
    check_limit(&[90.0; 8], &[]);
}

#[test]
fn not_a_number_restarts_the_count() {
    check_limit(&[99.0, 99.0, 99.0, f64::NAN, 99.0, 99.0, 99.0], &[]);
}

#[test]
fn it_is_cleared_only_well_on_the_good_side() {
    let mut values = vec![99.0; 4];
    values.extend([89.0; 10]);
    check_limit(&values, &[(3, Presence::Present)]);
    values.extend([80.0; 5]);
    check_limit(&values, &[(3, Presence::Present), (17, Presence::Cleared)]);
}

#[test]
fn a_gap_restarts_the_count() {
    let metric = key("m", "1", MetricKind::Gauge, &[]);
    let mut stage = Stage::new(limit(Some(90.0), None));
    stage.tell(&[(&metric, 99.0)], 1);
    stage.tell(&[(&metric, 99.0)], 60);
    stage.tell(&[(&metric, 99.0)], 1);
    stage.tell(&[(&metric, 99.0)], 1);
    stage.silent();
}

#[test]
fn little_available_memory_is_reported_by_the_standard_limits() {
    let available = key("system.memory.linux.available", "By", MetricKind::Gauge, &[]);
    let total = key("system.memory.limit", "By", MetricKind::Gauge, &[]);
    let mut stage = Stage::new(DetectConfig::default());
    for second in 0..200 {
        let left = if second < 100 { 4e9 } else { 0.3e9 };
        stage.tell(&[(&available, left), (&total, 8e9)], 1);
    }
    let turns = stage.turns("metric.threshold");
    assert_eq!(turns, [(160, Presence::Present)]);
    let said = stage.last("metric.threshold");
    assert_eq!(said.discriminator, "memory-short");
    assert!(said.title.contains("below 0.05"), "{}", said.title);
}

#[test]
fn a_limit_of_ones_own_replaces_the_standard_one_of_its_name() {
    let text =
        "threshold = [{ name = \"cpu-busy\", metric = \"holdfast.cpu.utilization\", above = 0.5, sustained = \"2m\" }]";
    let config: DetectConfig = toml::from_str(text).unwrap();
    let all = config.thresholds();
    assert_eq!(all.iter().filter(|it| it.name == "cpu-busy").count(), 1);
    assert_eq!(all[0].above, Some(0.5));
    assert!(config.problems().is_empty());
}

#[test]
fn limits_that_cannot_be_meant_are_named() {
    let config = limit(None, None);
    assert!(config.problems()[0].contains("neither"), "{:?}", config.problems());
    assert!(toml::from_str::<DetectConfig>("threshhold = []").is_err());
    assert!(toml::from_str::<DetectConfig>("disk = { horizon = \"24h\", full-above = \"97%\" }").is_ok());
}
