use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::detect::{DetectConfig, Detectors};
use crate::model::{
    Attributes, Detection, Evidence, MetricKind, Presence, RELATED_UNITS, SampleBatch, SeriesId, Target, Value,
};

fn key(metric: &str, kind: MetricKind, attributes: &[(&str, &str)]) -> SeriesKey {
    let attributes: Attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    SeriesKey { metric: metric.to_owned(), unit: String::new(), kind, attributes }
}

/// A host with three units that is told every five seconds.
struct Stage {
    detectors: Detectors,
    known: BTreeMap<String, SeriesId>,
    counters: BTreeMap<String, f64>,
    second: i64,
    noise: u64,
}

impl Stage {
    fn new() -> Self {
        let config = DetectConfig::default();
        Self {
            detectors: Detectors::new(&config),
            known: BTreeMap::new(),
            counters: BTreeMap::new(),
            second: 1_760_004_000,
            noise: 1,
        }
    }

    fn noise(&mut self) -> f64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    /// `web` and `db`: the cores that the units use (NaN: the unit has ended); `io`: the share of time that the disk is busy.
    fn run(&mut self, seconds: i64, web: f64, db: f64, io: f64) -> Vec<Detection> {
        let mut said = Vec::new();
        for _ in 0..seconds / 5 {
            let ended = web.is_nan();
            let (web, db) = (if ended { 0.0 } else { web } + 0.01 * self.noise(), db + 0.01 * self.noise());
            let busy = (web + db) / 4.0 + 0.05 + 0.01 * self.noise();
            let mode = |unit| [("cpu.mode", "user"), ("holdfast.unit.name", unit)];
            let told = [
                (key("holdfast.cpu.utilization", MetricKind::Gauge, &[]), busy),
                (key("system.cpu.load_average.1m", MetricKind::Gauge, &[]), 4.0 * busy),
                (key("system.disk.io_time", MetricKind::Counter, &[("system.device", "vda")]), 5.0 * io),
                (key("system.disk.io_time", MetricKind::Counter, &[("system.device", "vdb")]), 5.0 * io),
                (key("holdfast.unit.cpu.time", MetricKind::Counter, &mode("web.service")), 5.0 * web),
                (key("holdfast.unit.cpu.time", MetricKind::Counter, &mode("db.service")), 5.0 * db),
                (key("holdfast.unit.cpu.time", MetricKind::Counter, &mode("system.slice")), 5.0 * (web + db)),
            ];
            let mut batch =
                SampleBatch { at: Timestamp::from_secs(self.second), new_series: Vec::new(), samples: Vec::new() };
            let is_silent = |key: &SeriesKey| ended && key.to_string().contains("web.service");
            for (key, value) in told.into_iter().filter(|it| !is_silent(&it.0)) {
                let name = key.to_string();
                let value = if key.kind == MetricKind::Counter {
                    let sum = self.counters.entry(name.clone()).or_default();
                    *sum += value;
                    *sum
                } else {
                    value
                };
                let next = SeriesId(u32::try_from(self.known.len()).unwrap());
                let id = *self.known.entry(name).or_insert_with(|| {
                    batch.new_series.push((next, Arc::new(key.clone())));
                    next
                });
                batch.samples.push((id, value));
            }
            said.extend(self.detectors.on_batch(&batch));
            self.second += 5;
        }
        said
    }

    fn failed(&self, unit: &str) -> Detection {
        let mut detection = Detection::certain(
            ("unit.failed", "test"),
            Target::unit(unit),
            crate::model::Severity::High,
            (Presence::Present, "failed".to_owned()),
            Vec::new(),
            Timestamp::from_secs(self.second),
        );
        self.detectors.tell_related(&mut detection);
        detection
    }
}

#[track_caller]
fn texts(detection: &Detection, name: &str) -> Vec<String> {
    match detection.evidence.iter().find(|it| it.name == name) {
        Some(Evidence { value: Value::Texts(texts), .. }) => texts.clone(),
        None => Vec::new(),
        other => panic!("{other:?}"),
    }
}

fn cpu(said: &[Detection]) -> &Detection {
    said.iter().rfind(|it| it.target.name == "holdfast.cpu.utilization" && it.presence == Presence::Present).unwrap()
}

#[test]
fn a_busy_host_is_told_with_the_unit_that_uses_more_and_the_series_that_depart_with_it() {
    let mut stage = Stage::new();
    stage.run(4 * 3600, 0.4, 0.4, 0.05);
    let said = stage.run(150, 2.4, 0.4, 0.05);
    let found = cpu(&said);
    assert_eq!(texts(found, RELATED_UNITS), ["web.service 1.00"]);
    let series = texts(found, "related.series");
    assert!(series.first().is_some_and(|it| it.starts_with("system.cpu.load_average.1m: ")), "{series:?}");
    assert!(series.iter().all(|it| !it.starts_with("holdfast.cpu.utilization")), "its own is left out: {series:?}");
    assert!(series.iter().all(|it| !it.starts_with("system.disk")), "what did not move: {series:?}");
}

#[test]
fn two_units_that_use_more_share_it() {
    let mut stage = Stage::new();
    stage.run(4 * 3600, 0.4, 0.4, 0.05);
    let said = stage.run(150, 1.0, 2.2, 0.05);
    let units = texts(cpu(&said), RELATED_UNITS);
    assert!(units[0].starts_with("db.service 0.7") && units[1].starts_with("web.service 0.2"), "{units:?}");
}

#[test]
fn a_unit_that_ended_uses_no_more() {
    let mut stage = Stage::new();
    stage.run(4 * 3600, 0.4, 0.4, 0.05);
    stage.run(60, 2.4, 0.4, 0.05);
    assert!(!texts(&stage.failed("web.service"), "related.series").is_empty());
    let said = stage.run(180, f64::NAN, 3.4, 0.05);
    assert_eq!(texts(cpu(&said), RELATED_UNITS), ["db.service 1.00"]);
    assert!(stage.failed("web.service").evidence.is_empty());
}

#[test]
fn a_failed_unit_is_told_with_its_own_series_and_no_others() {
    let mut stage = Stage::new();
    stage.run(4 * 3600, 0.4, 0.4, 0.05);
    stage.run(60, 2.4, 0.4, 0.9);
    let series = texts(&stage.failed("web.service"), "related.series");
    assert_eq!(series.len(), 1, "{series:?}");
    assert!(series[0].starts_with("holdfast.unit.cpu.time{cpu.mode=user}: 2.4"), "{series:?}");
    assert!(stage.failed("db.service").evidence.is_empty());
    assert!(stage.failed("other.service").evidence.is_empty());
}

#[test]
fn disks_are_added_up_and_before_half_an_hour_nothing_is_said() {
    let mut stage = Stage::new();
    stage.run(1200, 0.4, 0.4, 0.05);
    stage.run(60, 2.4, 0.4, 0.05);
    assert!(stage.failed("web.service").evidence.is_empty());
    let host = &stage.detectors.together.groups[0];
    let disk = places::HOST.iter().position(|it| places::name(it) == "system.disk.io_time").unwrap();
    assert!((host.sums[disk].value.unwrap() - 0.1).abs() < 1e-6, "{:?}", host.sums[disk]);
}

#[test]
fn after_a_restart_all_is_said_as_if_there_had_been_none() {
    let (mut straight, mut resumed) = (Stage::new(), Stage::new());
    straight.run(2 * 3600, 0.4, 0.4, 0.05);
    resumed.run(2 * 3600, 0.4, 0.4, 0.05);
    let text = serde_json::to_string(&resumed.detectors.save()).unwrap();
    let mut again = Detectors::restore(&DetectConfig::default(), &serde_json::from_str(&text).unwrap());
    std::mem::swap(&mut resumed.detectors, &mut again);
    assert_eq!(resumed.detectors.together, again.together);
    let (a, b) = (straight.run(600, 2.4, 0.4, 0.3), resumed.run(600, 2.4, 0.4, 0.3));
    assert_eq!(a, b);
    assert!(!texts(cpu(&a), RELATED_UNITS).is_empty());
}

#[test]
fn units_are_bounded_and_the_long_silent_ones_give_way() {
    let mut all = Together::default();
    let unit = |name: &str| key("holdfast.unit.tasks", MetricKind::Gauge, &[("holdfast.unit.name", name)]);
    let at = Timestamp::from_secs(1_760_004_000);
    all.standing(&key("holdfast.cpu.utilization", MetricKind::Gauge, &[])).unwrap();
    for number in 0..UNITS_MAX {
        let standing = all.standing(&unit(&format!("{number}.service"))).unwrap();
        all.put(standing, at, 1.0);
    }
    assert!(!all.wants(&unit("more.service")) && all.standing(&unit("more.service")).is_none());
    assert!(all.wants(&unit("3.service")));
    assert!(!all.wants(&key("holdfast.unit.tasks", MetricKind::Gauge, &[("holdfast.unit.name", "a.slice")])));
    let late = at.plus(Duration::from_mins(11));
    all.step(late);
    for number in (0..UNITS_MAX).filter(|it| *it != 5) {
        let standing = all.standing(&unit(&format!("{number}.service"))).unwrap();
        assert!(all.put(standing, late, 1.0));
    }
    let gone = all.standing(&unit("5.service")).unwrap();
    let more = all.standing(&unit("more.service")).unwrap();
    assert!(all.put(more, late, 1.0) && all.fits(), "who was silent for eleven minutes gave way");
    assert!(!all.put(gone, late, 1.0), "and what it says late is not the other's");
    assert!(!all.wants(&unit("5.service")) && !all.wants(&unit("even-more.service")));
    all.forget(late.plus(FORGOTTEN_AFTER + Duration::from_secs(1)));
    assert!(all.wants(&unit("even-more.service")) && all.fits());
}

#[test]
fn who_was_refused_is_taken_up_when_another_gives_way() {
    let mut detectors = Detectors::new(&DetectConfig::default());
    let start = 1_760_004_000;
    for moment in 0..90 {
        let at = Timestamp::from_secs(start + moment * 10);
        let mut batch = SampleBatch { at, new_series: Vec::new(), samples: Vec::new() };
        if moment == 0 {
            let host = key("holdfast.cpu.utilization", MetricKind::Gauge, &[]);
            batch.new_series.push((SeriesId(1000), Arc::new(host)));
        }
        for number in 0..=UNITS_MAX {
            let id = SeriesId(u32::try_from(number).unwrap());
            let name = format!("{number}.service");
            let key = key("holdfast.unit.tasks", MetricKind::Gauge, &[("holdfast.unit.name", &name)]);
            if moment == 0 {
                batch.new_series.push((id, Arc::new(key)));
            }
            // The third ends soon.
            if number != 3 || moment < 5 {
                batch.samples.push((id, 1.0));
            }
        }
        detectors.on_batch(&batch);
        let last = format!("{UNITS_MAX}.service");
        let is_there = detectors.together.groups.iter().any(|it| it.unit == last);
        assert_eq!(is_there, moment >= 65, "{moment}");
    }
}

#[test]
fn all_that_is_known_of_a_full_host_stays_small() {
    let mut all = Together::default();
    let mut keys: Vec<SeriesKey> = places::HOST
        .iter()
        .map(|it| key(places::name(it).split('{').next().unwrap(), MetricKind::Gauge, &[]))
        .collect();
    for number in 0..UNITS_MAX {
        let name = format!("{number}.service");
        keys.push(key("holdfast.unit.tasks", MetricKind::Gauge, &[("holdfast.unit.name", &name)]));
    }
    let standings: Vec<Standing> = keys.iter().filter_map(|it| all.standing(it)).collect();
    for row in 0..300_i64 {
        let at = Timestamp::from_secs(1_760_004_000 + row * 10);
        all.step(at);
        for (index, standing) in standings.iter().enumerate() {
            all.put(*standing, at, (row % 7) as f64 + index as f64);
        }
    }
    let bytes = serde_json::to_vec(&all).unwrap().len();
    assert!(bytes < 700_000, "{bytes}");
}

#[test]
fn a_finding_is_about_what_its_metric_measures_and_not_about_what_things_are_called() {
    use super::places::Resource::{Cpu, Disk, Memory, Tasks};
    for (kind, subject, expected) in [
        ("metric.anomaly", "holdfast.cpu.utilization", Some(Cpu)),
        ("metric.anomaly", "system.cpu.load_average.1m", Some(Cpu)),
        ("metric.anomaly", "system.cpu.utilization{cpu.mode=iowait}", Some(Disk)),
        ("metric.anomaly", "system.linux.pressure.stall_time{holdfast.pressure.resource=io}", Some(Disk)),
        ("metric.anomaly", "system.linux.pressure.stall_time{holdfast.pressure.resource=memory}", Some(Memory)),
        ("metric.anomaly", "system.disk.io_time{system.device=vda}", Some(Disk)),
        ("disk.filling", "/srv/memory ", Some(Disk)),
        ("resource.exhausting", "localhost memory", Some(Memory)),
        ("resource.exhausting", "localhost threads", Some(Tasks)),
        ("resource.exhausting", "/srv/memory inodes of /srv/memory", None),
        ("metric.anomaly", "holdfast.app.latency.p95{service.name=memory-cpu}", None),
        ("metric.anomaly", "system.network.errors", None),
    ] {
        assert_eq!(places::Resource::of(kind, subject), expected, "{kind} {subject}");
    }
}
