//! What holds for any input.

use proptest::prelude::*;

use super::*;
use crate::model::SampleBatch;

fn host() -> Vec<SeriesKey> {
    let mount = [("system.filesystem.mountpoint", "/"), ("system.filesystem.state", "free")];
    let share = [("system.filesystem.mountpoint", "/"), ("system.filesystem.state", "used")];
    vec![
        cpu(),
        key("system.disk.io_time", "s", MetricKind::Counter, &[("system.device", "vda")]),
        key("system.filesystem.usage", "By", MetricKind::Gauge, &mount),
        key("system.filesystem.utilization", "1", MetricKind::Gauge, &share),
        key("system.memory.linux.available", "By", MetricKind::Gauge, &[]),
        key("system.memory.limit", "By", MetricKind::Gauge, &[]),
        key("not.watched", "1", MetricKind::Gauge, &[]),
    ]
}

fn config() -> DetectConfig {
    let mut config = DetectConfig { warm_up: crate::model::Interval::secs(60), ..DetectConfig::default() };
    config.threshold.push(crate::detect::Threshold {
        name: "busy".to_owned(),
        metric: "holdfast.cpu.utilization".to_owned(),
        where_: Attributes::new(),
        of: None,
        above: Some(0.5),
        below: None,
        sustained: crate::model::Interval::secs(10),
        severity: crate::model::Severity::Low,
    });
    config
}

/// Any number, with those that hosts and faults bring made likelier.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0_f64..1.0,
        2 => 0.0_f64..1e12,
        1 => any::<f64>(),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX), Just(f64::MIN), Just(-0.0), Just(1e-320)],
    ]
}

/// Runs of one value, so that something is sustained now and then; steps in time forward, long, and back.
fn script() -> impl Strategy<Value = Vec<(Vec<f64>, u8, i64)>> {
    let step = prop_oneof![8 => Just(1_000_i64), 2 => 1_i64..20_000, 1 => 100_000_i64..90_000_000, 1 => -5_000_i64..1];
    prop::collection::vec((prop::collection::vec(value(), 7), 1_u8..40, step), 1..30)
}

#[test]
fn a_divisor_next_to_nothing_leaves_a_state_that_can_be_saved() {
    let tiny = vec![0.0, 0.0, 0.0, 0.0, f64::MIN, 2.3e-309, 0.0];
    let mut detectors = Detectors::new(&config());
    for batch in batches(&[(tiny, 5, 1_000)]) {
        detectors.on_batch(&batch);
    }
    let saved = serde_json::to_string(&detectors.save()).unwrap();
    let restored = Detectors::restore(&config(), &serde_json::from_str(&saved).unwrap());
    assert_eq!(restored.watched(), detectors.watched());
}

fn batches(script: &[(Vec<f64>, u8, i64)]) -> Vec<SampleBatch> {
    let mut at_ms = START_S * 1_000;
    let mut batches = Vec::new();
    for (values, times, step_ms) in script {
        for _ in 0..*times {
            let samples = values.iter().enumerate().map(|(at, value)| (SeriesId(at as u32 + 1), *value)).collect();
            batches.push(SampleBatch { at: Timestamp::from_ms(at_ms), new_series: Vec::new(), samples });
            at_ms += step_ms.min(&60_000_000);
        }
    }
    if let Some(first) = batches.first_mut() {
        first.new_series =
            host().into_iter().enumerate().map(|(at, key)| (SeriesId(at as u32 + 1), Arc::new(key))).collect();
    }
    batches
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_input_makes_it_panic_and_all_that_is_said_is_in_range(script in script()) {
        let mut detectors = Detectors::new(&config());
        for batch in batches(&script) {
            for said in detectors.on_batch(&batch) {
                prop_assert!((0.0..=1.0).contains(&said.confidence.get()));
                prop_assert!(said.began_at <= batch.at, "{:?}", said);
                prop_assert!(!said.title.is_empty());
            }
        }
    }

    #[test]
    fn saved_and_restored_in_the_middle_it_says_the_same(script in script(), cut in 0.0_f64..1.0) {
        let all = batches(&script);
        let cut = (all.len() as f64 * cut) as usize;
        let mut straight = Detectors::new(&config());
        let mut resumed = Detectors::new(&config());
        for (index, batch) in all.iter().enumerate() {
            if index == cut {
                let text = serde_json::to_string(&resumed.save()).unwrap();
                resumed = Detectors::restore(&config(), &serde_json::from_str(&text).unwrap());
            }
            let (a, b) = (straight.on_batch(batch), resumed.on_batch(batch));
            prop_assert_eq!(a, b, "batch {} of {}, cut at {}", index, all.len(), cut);
        }
    }

    #[test]
    fn after_a_problem_is_cleared_it_is_not_cleared_again(script in script()) {
        let mut standing = std::collections::BTreeSet::new();
        let mut detectors = Detectors::new(&config());
        for batch in batches(&script) {
            for said in detectors.on_batch(&batch) {
                match said.presence {
                    Presence::Present => drop(standing.insert(said.fingerprint())),
                    Presence::Cleared => prop_assert!(standing.remove(&said.fingerprint()), "{:?}", said),
                    Presence::Inconclusive => prop_assert!(standing.contains(&said.fingerprint()), "{:?}", said),
                }
            }
        }
    }
}

#[test]
fn the_state_stays_bounded_however_long_and_however_many_series() {
    let mut detectors = Detectors::new(&config());
    let watched = |n: u32| key("system.disk.io_time", "s", MetricKind::Counter, &[("system.device", &format!("d{n}"))]);
    let many: Vec<_> = (1..=3_000).map(|n| (SeriesId(n), Arc::new(watched(n)))).collect();
    let at = |s: i64| Timestamp::from_secs(START_S + s);
    detectors.on_batch(&SampleBatch { at: at(0), new_series: many, samples: Vec::new() });
    assert_eq!((detectors.watched(), detectors.left_out()), (2_048, 952));

    let mut stage = Stage::new(config());
    let size = |stage: &Stage| serde_json::to_vec(&stage.detectors.save()).unwrap().len();
    let free = key(
        "system.filesystem.usage",
        "By",
        MetricKind::Gauge,
        &[("system.filesystem.mountpoint", "/"), ("system.filesystem.state", "free")],
    );
    let mut sizes = Vec::new();
    for hour in 0..20 {
        for second in 0..3_600 {
            let wild = if second % 700 < 90 { 0.9 } else { 0.1 };
            let noise = stage.noise();
            stage.tell(&[(&cpu(), wild + 0.02 * noise), (&free, 1e10 + 1e7 * noise)], 1);
        }
        stage.detectors.note_activity(&change(
            "package.upgraded",
            Target::new("package", format!("p{hour}")),
            stage.at,
        ));
        sizes.push(size(&stage));
    }
    assert!(sizes[19] <= sizes[10] * 6 / 5 && sizes[19] < 44_000, "{sizes:?}");
}

#[test]
fn a_state_of_another_version_or_a_damaged_one_begins_afresh() {
    let mut stage = Stage::new(config());
    stage.run(&cpu(), 100, |_, _| 0.2);
    let mut saved = stage.detectors.save();
    assert_eq!(Detectors::restore(&config(), &saved).watched(), 1);
    saved["version"] = 99.into();
    assert_eq!(Detectors::restore(&config(), &saved).watched(), 0);
    assert_eq!(Detectors::restore(&config(), &serde_json::json!({"version": 1, "series": 3})).watched(), 0);
    assert_eq!(Detectors::restore(&config(), &serde_json::Value::Null).watched(), 0);
}

#[test]
fn a_series_keeps_its_past_when_the_store_numbers_it_anew() {
    let mut stage = Stage::new(DetectConfig { standard_thresholds: false, ..DetectConfig::default() });
    stage.run(&cpu(), 1_200, |_, noise| 0.1 + 0.01 * noise);
    let mut detectors = Detectors::restore(&stage.config, &stage.detectors.save());
    let load = key("system.cpu.load_average.1m", "{thread}", MetricKind::Gauge, &[]);
    // Number 1 belongs to another series now, and the CPU has number 7.
    let mut said = Vec::new();
    for second in 0..60 {
        let new_series = if second == 0 {
            vec![(SeriesId(1), Arc::new(load.clone())), (SeriesId(7), Arc::new(cpu()))]
        } else {
            vec![]
        };
        let samples = vec![(SeriesId(1), 0.5), (SeriesId(7), 0.9)];
        said.extend(detectors.on_batch(&SampleBatch { at: stage.at, new_series, samples }));
        stage.at = stage.at.plus(std::time::Duration::from_secs(1));
    }
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].target, Target::series("holdfast.cpu.utilization"));
}
