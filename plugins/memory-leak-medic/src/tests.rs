//! Each file in `tables/` is what a unit held, every five minutes, and what a careful operator would say about it.

use std::fs;
use std::path::Path;

use super::*;

const MIB: f64 = 1_048_576.0;
const EVERY_NS: u64 = 300_000_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[expect(dead_code, reason = "for people")]
    story: String,
    /// In MiB, the oldest first.
    held: Vec<f64>,
    /// What it may still take, in MiB.
    room: f64,
    /// `fine: why`, `too little: why`, or `leak`
    expect: String,
    /// Minutes to the end, from and to.
    #[serde(default)]
    minutes: Option<(f64, f64)>,
}

fn settings() -> Settings {
    let manifest: toml::Table = include_str!("../plugin.toml").parse().unwrap();
    serde_json::from_value(serde_json::to_value(&manifest["settings"]).unwrap()).unwrap()
}

fn bar() -> Bar {
    MemoryLeakMedic { settings: settings() }.bar()
}

fn points(held: &[f64]) -> Vec<Point> {
    (1..).zip(held).map(|(at, mib)| (at * EVERY_NS, mib * MIB)).collect()
}

#[test]
fn every_unit_is_judged_as_its_story_says() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables")).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let case: Case = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let judged = judge(&points(&case.held), Room { bytes: case.room * MIB, own: true }, &bar());
        let said = match &judged {
            Judged::Fine(why) => format!("fine: {why}"),
            Judged::TooLittle(why) => format!("too little: {why}"),
            Judged::Leak(_) => "leak".to_owned(),
        };
        assert_eq!(said, case.expect, "{judged:?}");
        if let (Judged::Leak(leak), Some((from, to))) = (&judged, case.minutes) {
            let minutes = leak.left_ns as f64 / 6e10;
            assert!((from..=to).contains(&minutes), "{minutes} minutes");
            assert!(leak.left_at_most_ns.is_none_or(|most| most >= leak.left_ns));
            let problem = problem("web.service", leak);
            assert!(problem.finding().title.contains("web.service holds"), "{}", problem.finding().title);
        }
        count += 1;
    }
    assert!(count >= 9, "{count} cases");
}

#[test]
fn odd_points_do_not_move_the_slope() {
    let mut values: Vec<f64> = (0..60).map(|at| 500.0 + f64::from(at) * 2.0).collect();
    let clean = trend::trend(&points(&values)).unwrap();
    (values[10], values[30], values[55]) = (0.0, 90_000.0, 1.0);
    let odd = trend::trend(&points(&values)).unwrap();
    assert!((odd.per_second / clean.per_second - 1.0).abs() < 0.05, "{odd:?} {clean:?}");
}

#[test]
fn a_trend_is_what_the_numbers_are() {
    let clean = trend::trend(&points(&(0..50).map(f64::from).collect::<Vec<_>>())).unwrap();
    assert!((clean.per_second * 300.0 / MIB - 1.0).abs() < 1e-9 && (clean.steadiness - 1.0).abs() < 1e-9);
    assert!((clean.growth / MIB - 49.0).abs() < 1e-6 && (clean.level / MIB - 49.0).abs() < 1e-6);
    assert_eq!(trend::trend(&points(&[1.0; 7])), None, "too few");
    assert_eq!(trend::trend(&[]), None);
}

#[test]
fn a_restart_has_helped_when_half_of_the_growth_is_gone() {
    assert_eq!(helped(1000.0, 400.0, Some(700.0)), Some(true));
    assert_eq!(helped(1000.0, 400.0, Some(900.0)), Some(false));
    assert_eq!(helped(1000.0, 400.0, None), None);
}

#[test]
fn what_a_unit_held_before_its_last_start_does_not_count() {
    assert_eq!(since(&[(1, 9.0), (2, 9.0), (3, 1.0)], 2), [(3, 1.0)]);
}
