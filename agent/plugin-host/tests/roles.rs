//! Plugins that measure and plugins that judge series: what they are handed, what is taken from them, and what is refused by name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{Attributes, Evidence, MetricKind, Target, Timestamp};
use holdfast_plugin_host::{CallError, Collects, Grant, LoadError, MetricQuery, Plugin, Role, Run, SeriesFacts, World};
use support::{NOW, TestWorld, guest, host, run};

fn loaded(name: &str, grant: &str) -> Plugin {
    host().load(&guest(&format!("guests/{name}.wasm")), Some(Grant::parse(grant).unwrap())).unwrap()
}

fn meter(settings: &str) -> Plugin {
    loaded("meter", &format!("[read]\nfiles = [\"/srv/app\"]\n[settings]\n{settings}\n"))
}

fn judge(settings: &str) -> Plugin {
    loaded("judge", &format!("[read]\nmetrics = true\n[settings]\n{settings}\n"))
}

fn with_files() -> Arc<dyn World> {
    let world = TestWorld::new();
    world.write("/srv/app/a.log", "twelve bytes");
    Arc::new(world)
}

#[test]
fn what_a_collector_measures_is_told_with_its_name_on_it() {
    let plugin = meter("files = [\"/srv/app/a.log\", \"/srv/app/none\"]");
    assert_eq!(plugin.roles(), [Role::Collector]);
    let samples = plugin.collect(&run(), &with_files()).result.unwrap();
    let told: Vec<_> =
        samples.iter().map(|it| (it.key.to_string(), it.key.unit.as_str(), it.value, it.collects)).collect();
    assert_eq!(
        told,
        [
            (
                "app.file.size{file.path=/srv/app/a.log,holdfast.plugin.id=meter}".to_owned(),
                "By",
                12.0,
                Collects::Value
            ),
            ("app.looks{holdfast.plugin.id=meter}".to_owned(), "{look}", 1.0, Collects::Delta),
        ]
    );
    assert_eq!((samples[0].key.kind, samples[1].key.kind), (MetricKind::Gauge, MetricKind::Counter));
    assert!(samples.iter().all(|it| it.at == run().at));
}

#[track_caller]
fn refused(wrong: &str, words: &str) {
    match meter(&format!("wrong = \"{wrong}\"")).collect(&run(), &with_files()).result {
        Err(CallError::Refused { what }) => assert!(what.contains(words), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_no_collector_should_send_is_refused_by_name() {
    refused("name", "sample `system.cpu.utilization`: names that begin with `system.` are the agent's own");
    refused("value", "sample `app.share`: the value is NaN");
    refused("twice", "two samples of one series of `app.looks`");
    refused("many", "2001 samples; 1000 are allowed");
    refused("label", "label `holdfast.plugin.id` is the agent's own");
    // When a sample was taken is the collector's word; whether that is too late is for the one who keeps it.
    let late = meter("wrong = \"late\"").collect(&run(), &with_files()).result.unwrap();
    assert_eq!(late[1].at, Timestamp::from_ns(1));
    let failed = meter("wrong = \"fail\"").collect(&run(), &with_files()).result.unwrap_err();
    assert!(failed.to_string().contains("it cannot be measured") && !failed.is_misbehaviour(), "{failed}");
    let denied = meter("files = [\"/srv/other\"]").collect(&run(), &with_files()).result.unwrap_err();
    assert!(denied.to_string().contains("files below `/srv/other`"), "{denied}");
}

fn series(path: &str, values: &[f64]) -> SeriesFacts {
    let attributes: Attributes = [("file.path".to_owned(), path.to_owned())].into();
    let at = |index: usize| NOW.minus(Duration::from_secs((values.len() - index) as u64));
    let points = values.iter().enumerate().map(|(index, value)| (at(index), *value)).collect();
    SeriesFacts { metric: "app.file.size".into(), attributes, points, truncated: false }
}

fn with_series() -> Arc<TestWorld> {
    let mut world = TestWorld::new();
    world.series = vec![series("/srv/small", &[5.0, 6.0]), series("/srv/large", &[5.0, 250.0])];
    Arc::new(world)
}

#[test]
fn a_detector_is_handed_the_series_of_its_manifest_and_its_anomalies_are_findings() {
    let world = with_series();
    let plugin = judge("");
    assert_eq!(plugin.roles(), [Role::Detector]);
    let report = plugin.detect(&run(), &(Arc::clone(&world) as Arc<dyn World>)).result.unwrap();
    assert_eq!(report.evaluated, ["anomaly.judge"]);
    let [found] = report.detections.as_slice() else { panic!("{report:?}") };
    assert_eq!((found.kind.as_str(), found.discriminator.as_str()), ("anomaly.judge", "large"));
    assert_eq!((&found.target, found.title.as_str()), (&Target::new("file", "/srv/large"), "/srv/large has 250 bytes"));
    assert_eq!(found.method.name, "plugin:judge");
    for wanted in [Evidence::new("points", 2_u64), Evidence::new("score", 2.5), Evidence::new("expected.high", 100.0)] {
        assert!(found.evidence.contains(&wanted), "{:?}", found.evidence);
    }
    let asked = world.queries.lock().unwrap().clone();
    let names: Vec<&str> = asked.iter().map(|it| it.metric.as_str()).collect();
    assert_eq!(names, ["app.file.size", "app.none"]);
    let MetricQuery { since, until, step, .. } = &asked[0];
    assert_eq!((*since, *until, *step), (run().at.minus(Duration::from_mins(5)), run().at, None));
}

#[test]
fn now_is_a_moment_of_the_call() {
    let world: Arc<dyn World> = with_series();
    // The clock goes on while a detector thinks.
    let earlier = Run { at: NOW.minus(Duration::from_millis(20)), ..run() };
    let report = judge("").detect(&earlier, &world).result.unwrap();
    assert_eq!(report.detections[0].began_at, earlier.at);
}

#[test]
fn what_no_detector_should_answer_is_refused_by_name() {
    for (wrong, words) in [
        ("score", "anomaly `large`: score is inf"),
        ("range", "anomaly `large`: expected is from 2 to 1"),
        ("future", "anomaly `large`: at lies after the call"),
        ("twice", "two anomalies have the same subject and id `large`"),
    ] {
        match judge(&format!("wrong = \"{wrong}\"")).detect(&run(), &(with_series() as Arc<dyn World>)).result {
            Err(CallError::Refused { what }) => assert!(what.contains(words), "{what}"),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    let nothing_high = judge("most = 1000.0").detect(&run(), &(with_series() as Arc<dyn World>)).result.unwrap();
    assert_eq!((nothing_high.detections.len(), nothing_high.evaluated.len()), (0, 1), "what was is over");
}

#[test]
fn a_detector_that_may_not_read_telemetry_is_handed_nothing() {
    let world = with_series();
    let plugin = loaded("judge", "[read]\n");
    let denied = plugin.detect(&run(), &(Arc::clone(&world) as Arc<dyn World>)).result.unwrap_err();
    assert!(denied.to_string().contains("add it to `read` in plugins.d"), "{denied}");
    assert!(world.queries.lock().unwrap().is_empty());
}

#[test]
fn who_has_another_role_is_asked_for_nothing() {
    let (meter, judge) = (meter(""), judge(""));
    let world: Arc<dyn World> = with_series();
    assert_eq!(meter.detect(&run(), &world).result.unwrap_err(), CallError::NoRole { role: "detector" });
    assert_eq!(meter.check(&run(), &world).result.unwrap_err(), CallError::NoRole { role: "check" });
    assert_eq!(judge.collect(&run(), &world).result.unwrap_err(), CallError::NoRole { role: "collector" });
}

#[test]
fn a_manifest_that_claims_another_role_is_not_loaded() {
    let mut other = guest("guests/meter.wasm");
    let at = other.windows(11).rposition(|it| it == b"[\"collector").unwrap();
    other[at..at + 11].copy_from_slice(b"[\"checktor1");
    let error = host().load(&other, None).unwrap_err();
    assert!(matches!(error, LoadError::Roles(_)), "{error}");
    assert!(error.to_string().contains("the component exports [collector]"), "{error}");
}
