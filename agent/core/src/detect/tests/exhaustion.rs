//! What runs out, and how well the time to the end is told.

use super::*;
use crate::detect::{DiskConfig, ExhaustionConfig};
use crate::model::Severity;

fn files() -> SeriesKey {
    key("holdfast.file.utilization", "1", MetricKind::Gauge, &[])
}

fn config() -> DetectConfig {
    DetectConfig { anomalies: false, standard_thresholds: false, ..DetectConfig::default() }
}

/// Each ten seconds, what `used` says.
fn run(stage: &mut Stage, key: &SeriesKey, seconds: i64, used: impl Fn(f64) -> f64, noise: f64) {
    for step in 0..seconds / 10 {
        let wobble = noise * stage.noise();
        stage.tell(&[(key, (used(step as f64 * 10.0) + wobble).clamp(0.0, 1.0))], 10);
    }
}

const KIND: &str = "resource.exhausting";

#[test]
fn open_files_that_leak_are_reported_before_they_are_gone_with_an_interval() {
    let mut stage = Stage::new(config());
    run(&mut stage, &files(), 1_800, |_| 0.55, 0.002);
    stage.silent();
    // The rest is gone in two hours.
    run(&mut stage, &files(), 3_600, |s| 0.55 + s / 7_200.0 * 0.45, 0.002);
    let (second, first) = stage.said.iter().find(|(_, it)| it.kind == KIND).unwrap();
    assert!(*second < 1_800 + 3_000, "{second}");
    assert_eq!((first.target.clone(), first.discriminator.as_str()), (Target::host(), "open files"));
    let told = fact(&first.evidence, "resource.full_in_s");
    let (low, high) =
        (fact(&first.evidence, "resource.full_in_s_low"), fact(&first.evidence, "resource.full_in_s_high"));
    assert!(low <= told && told <= high, "{low} {told} {high}");
    let left = (1_800 + 7_200 - second) as f64;
    assert!((told / left - 1.0).abs() < 0.35, "told {told}, left {left}");
    assert!(first.severity <= Severity::Medium, "{first:?}");
    // It stays: no flapping while it goes on.
    assert_eq!(stage.turns(KIND).len(), 1, "{:?}", stage.turns(KIND));
}

#[test]
fn it_is_cleared_when_the_leak_is_stopped_and_what_is_plenty_is_nothing() {
    let mut stage = Stage::new(config());
    run(&mut stage, &files(), 3_600, |s| 0.5 + s / 10_000.0, 0.001);
    assert_eq!(stage.last(KIND).presence, Presence::Present);
    run(&mut stage, &files(), 1_200, |_| 0.2, 0.001);
    assert_eq!(stage.last(KIND).presence, Presence::Cleared);
    let mut plenty = Stage::new(config());
    run(&mut plenty, &files(), 3_600, |s| 0.02 + s / 10_000.0, 0.0005);
    plenty.silent();
}

#[test]
fn a_sawtooth_is_usual_after_three_turns_and_lower_than_ever_is_news() {
    let mut stage = Stage::new(config());
    for _ in 0..8 {
        run(&mut stage, &files(), 2_400, |s| 0.5 + s / 2_400.0 * 0.3, 0.001);
    }
    let reports = stage.turns(KIND).iter().filter(|(_, it)| *it == Presence::Present).count();
    assert!(reports <= 3, "{:?}", stage.turns(KIND));
    run(&mut stage, &files(), 4_000, |s| 0.5 + s / 4_000.0 * 0.45, 0.001);
    assert_eq!(stage.last(KIND).presence, Presence::Present);
}

#[test]
fn threads_and_memory_are_judged_by_their_limits_and_inodes_by_mount() {
    let threads = key("holdfast.thread.count", "{thread}", MetricKind::Gauge, &[]);
    let threads_max = key("holdfast.thread.limit", "{thread}", MetricKind::Gauge, &[]);
    let available = key("system.memory.linux.available", "By", MetricKind::Gauge, &[]);
    let memory = key("system.memory.limit", "By", MetricKind::Gauge, &[]);
    let inodes = key(
        "holdfast.filesystem.inode_utilization",
        "1",
        MetricKind::Gauge,
        &[("system.filesystem.mountpoint", "/srv")],
    );
    let mut stage = Stage::new(DetectConfig {
        disk: DiskConfig { ignore: vec!["/srv".to_owned()], ..DiskConfig::default() },
        ..config()
    });
    for step in 0..360_i64 {
        let part = 0.55 + step as f64 / 360.0 * 0.3;
        let wobble = 0.0005 * stage.noise();
        stage.tell(
            &[
                (&threads, 30_000.0 * (part + wobble)),
                (&threads_max, 30_000.0),
                (&available, 8e9 * (1.0 - part + wobble)),
                (&memory, 8e9),
                (&inodes, part + wobble),
            ],
            10,
        );
    }
    let mut found: Vec<String> =
        stage.said.iter().filter(|(_, it)| it.kind == KIND).map(|(_, it)| it.discriminator.clone()).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, ["inodes of /srv", "memory", "threads"]);
    assert!(stage.said.iter().any(|(_, it)| it.target == Target::filesystem("/srv")));
}

#[test]
fn what_is_to_be_ignored_is_and_what_goes_silent_is_inconclusive() {
    let ignore = ExhaustionConfig { ignore: vec!["open files".to_owned()], ..ExhaustionConfig::default() };
    let mut stage = Stage::new(DetectConfig { exhaustion: ignore, ..config() });
    run(&mut stage, &files(), 3_600, |s| 0.5 + s / 10_000.0, 0.001);
    stage.silent();
    let mut stage = Stage::new(config());
    run(&mut stage, &files(), 3_600, |s| 0.5 + s / 10_000.0, 0.001);
    let load = key("system.cpu.load_average.1m", "{thread}", MetricKind::Gauge, &[]);
    run(&mut stage, &load, 600, |_| 0.5, 0.0);
    assert_eq!(stage.last(KIND).presence, Presence::Inconclusive);
}

/// Fills of many speeds, noises and shapes: how far the told time is from the true one, once a minute while it is told.
fn errors(noise: f64, bursts: bool) -> (Vec<f64>, f64, f64, usize, usize) {
    let mut widths = Vec::new();
    let (mut errors, mut inside, mut told, mut silent) = (Vec::new(), 0_usize, 0_usize, 0_usize);
    for run in 0..40_u64 {
        let mut stage = Stage::new(config());
        for _ in 0..run {
            stage.noise();
        }
        // The second half is gone in between half an hour and five hours.
        let whole_s = 1_800.0 * 10.0_f64.powf(run as f64 / 40.0);
        for step in 0..(whole_s / 10.0) as i64 {
            let s = step as f64 * 10.0;
            let level = 0.5 + 0.5 * s / whole_s;
            // What comes in bursts of five minutes: twice the speed, then none.
            let phase = s % 600.0;
            let ahead = if bursts { (phase.min(600.0 - phase) - 150.0) / 600.0 * 300.0 / whole_s } else { 0.0 };
            let wobble = noise * stage.noise();
            stage.tell(&[(&files(), (level + ahead + wobble).clamp(0.0, 0.9999))], 10);
        }
        let before = told;
        for (second, it) in stage.said.iter().filter(|(_, it)| it.kind == KIND && it.presence == Presence::Present) {
            let left = whole_s - *second as f64;
            if left < 60.0 {
                continue;
            }
            let full_in_s = fact(&it.evidence, "resource.full_in_s");
            errors.push((full_in_s / left - 1.0).abs());
            let low = fact(&it.evidence, "resource.full_in_s_low");
            let high = fact(&it.evidence, "resource.full_in_s_high");
            inside += usize::from((low..=high).contains(&left));
            widths.push((high - low) / left);
            told += 1;
        }
        silent += usize::from(told == before);
    }
    errors.sort_by(f64::total_cmp);
    widths.sort_by(f64::total_cmp);
    (errors, inside as f64 / told.max(1) as f64, quantile(&widths, 0.5), told, silent)
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

#[test]
fn the_time_to_the_end_is_told_within_these_errors() {
    use std::fmt::Write as _;
    let mut table = String::new();
    for (name, noise, bursts) in
        [("steady", 0.0005, false), ("noisy", 0.005, false), ("in bursts of five minutes", 0.0005, true)]
    {
        let (errors, inside, width, told, silent) = errors(noise, bursts);
        let _ = writeln!(
            table,
            "{name}: {told} forecasts of 40 fills ({silent} untold), error half {:.0}% nine of ten {:.0}%, true time inside {:.0}%, half of the intervals narrower than {:.0}% of it",
            100.0 * quantile(&errors, 0.5),
            100.0 * quantile(&errors, 0.9),
            100.0 * inside,
            100.0 * width
        );
    }
    insta::assert_snapshot!(table, @r"
    steady: 3453 forecasts of 40 fills (0 untold), error half 1% nine of ten 3%, true time inside 96%, half of the intervals narrower than 15% of it
    noisy: 3452 forecasts of 40 fills (0 untold), error half 5% nine of ten 17%, true time inside 97%, half of the intervals narrower than 51% of it
    in bursts of five minutes: 3411 forecasts of 40 fills (0 untold), error half 4% nine of ten 18%, true time inside 88%, half of the intervals narrower than 87% of it
    ");
}
