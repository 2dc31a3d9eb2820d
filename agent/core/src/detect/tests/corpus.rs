//! Scenarios: kinds of faults under shapes of traffic beside kinds of deployments, each with what has to be found and that nothing else is.
//!
//! `corpus.toml` says what happens; the samples are made from that, the same ones each time.

use std::time::Duration;

use serde::Deserialize;

use super::*;
use crate::detect::labels::Labels;
use crate::detect::replay::{Replay, Stretch};
use crate::detect::{Objective, Part};
use crate::model::{Interval, Ratio};

/// Seconds between two samples.
const STEP_S: i64 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Corpus {
    pub(super) scenario: Vec<Scenario>,
}

impl Corpus {
    pub(super) fn read() -> Self {
        toml::from_str(include_str!("corpus.toml")).unwrap()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Scenario {
    pub(super) name: String,
    traffic: Traffic,
    fault: Fault,
    deploy: Deploy,
    /// How long in all, and when the fault begins and how long it stays. The deployment is ten minutes before.
    hours: Interval,
    #[serde(default)]
    pub(super) at: Option<Interval>,
    #[serde(default)]
    lasts: Option<Interval>,
    /// `KIND SERIES-OR-LIMIT within SPAN`: a finding that has to be said so soon after the fault began.
    expect: Vec<Expected>,
    /// Kinds, or kinds and series, that may be said as well.
    #[serde(default)]
    may: Vec<String>,
    /// What brought the fault about, ten minutes before it.
    #[serde(default)]
    pub(super) guilty: Option<Guilty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guilty {
    pub(super) kind: String,
    pub(super) target: String,
    /// Units that a deployment names.
    #[serde(default)]
    pub(super) units: String,
    /// The service that it says it is about.
    #[serde(default)]
    pub(super) service: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    finding: String,
    within: Interval,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "kebab-case")]
enum Traffic {
    Steady,
    Daily,
    Bursts,
    Growing,
    HourlyJob,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    None,
    CpuHog,
    MemoryLeak,
    DiskFills,
    Errors,
    Latency,
    DiskStalls,
    FileLeak,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "kebab-case")]
enum Deploy {
    None,
    Rolling,
    BlueGreen,
}

fn part(metric: &str) -> Part {
    Part { metric: metric.to_owned(), where_: Attributes::new() }
}

pub(super) fn config() -> DetectConfig {
    DetectConfig {
        slo: vec![Objective {
            name: "shop".to_owned(),
            objective: Ratio(0.999),
            window: Interval::secs(30 * 86_400),
            total: part("holdfast.app.requests"),
            errors: Some(part("holdfast.app.errors")),
            good: None,
            error_ratio: None,
        }],
        ..DetectConfig::default()
    }
}

struct Host {
    cpu: SeriesKey,
    load: SeriesKey,
    used: SeriesKey,
    available: SeriesKey,
    memory: SeriesKey,
    io: SeriesKey,
    free: SeriesKey,
    limit: SeriesKey,
    share: SeriesKey,
    files: SeriesKey,
    ratio: SeriesKey,
    latency: SeriesKey,
    requests: SeriesKey,
    errors: SeriesKey,
    shop_cpu: SeriesKey,
    shop_memory: SeriesKey,
    batch_cpu: SeriesKey,
    batch_memory: SeriesKey,
    batch_io: SeriesKey,
}

impl Host {
    fn new() -> Self {
        use MetricKind::{Counter, Gauge};
        let service = [("service.name", "shop")];
        let mount = ("system.filesystem.mountpoint", "/");
        let user = ("cpu.mode", "user");
        let [shop, batch] = ["shop.service", "batch.service"].map(|it| ("holdfast.unit.name", it));
        Self {
            cpu: cpu(),
            load: key("system.cpu.load_average.1m", "{thread}", Gauge, &[]),
            used: key("system.memory.utilization", "1", Gauge, &[("system.memory.state", "used")]),
            available: key("system.memory.linux.available", "By", Gauge, &[]),
            memory: key("system.memory.limit", "By", Gauge, &[]),
            io: key("system.disk.io_time", "s", Counter, &[("system.device", "vda")]),
            free: key("system.filesystem.usage", "By", Gauge, &[mount, ("system.filesystem.state", "free")]),
            limit: key("system.filesystem.limit", "By", Gauge, &[mount]),
            share: key("system.filesystem.utilization", "1", Gauge, &[mount, ("system.filesystem.state", "used")]),
            files: key("holdfast.file.utilization", "1", Gauge, &[]),
            ratio: key("holdfast.app.error.ratio", "1", Gauge, &service),
            latency: key("holdfast.app.latency.p95", "s", Gauge, &service),
            requests: key("holdfast.app.requests", "{request}", Counter, &service),
            errors: key("holdfast.app.errors", "{error}", Counter, &service),
            shop_cpu: key("holdfast.unit.cpu.time", "s", Counter, &[user, shop]),
            shop_memory: key("holdfast.unit.memory.usage", "By", Gauge, &[shop]),
            batch_cpu: key("holdfast.unit.cpu.time", "s", Counter, &[user, batch]),
            batch_memory: key("holdfast.unit.memory.usage", "By", Gauge, &[batch]),
            batch_io: key("holdfast.unit.disk.io", "By", Counter, &[("disk.io.direction", "write"), batch]),
        }
    }
}

impl Scenario {
    /// Requests a second.
    fn load(&self, second: f64) -> f64 {
        let wave = (second / 86_400.0 * std::f64::consts::TAU).sin();
        match self.traffic {
            Traffic::Steady | Traffic::HourlyJob => 40.0,
            Traffic::Daily => 40.0 + 20.0 * wave,
            // A minute of twice the load now and then; spikes shorter than what is reported.
            Traffic::Bursts => {
                if second % 900.0 < 20.0 {
                    120.0
                } else {
                    40.0
                }
            }
            Traffic::Growing => 30.0 + second / 3_600.0,
        }
    }

    fn play(&self) -> Vec<Stretch> {
        let mut replay = Replay::new(&config(), &Labels::default());
        self.samples(|at, samples| replay.tell(at, samples.iter().map(|(key, value)| (*key, *value))));
        replay.stretches().to_vec()
    }

    /// Moment by moment.
    pub(super) fn samples(&self, mut tell: impl FnMut(Timestamp, &[(&SeriesKey, f64)])) {
        let host = Host::new();
        let mut dice = Stage::new(config());
        for _ in 0..self.name.len() {
            dice.noise();
        }
        let (mut requests, mut errors, mut io, mut free, mut files) = (0.0, 0.0, 0.0, 60e9, 0.3);
        let (mut shop_cpu, mut batch_cpu, mut batch_io) = (0.0, 0.0, 0.0);
        let at_s = self.at.map_or(f64::INFINITY, |it| it.0.as_secs_f64());
        let lasts_s = self.lasts.map_or(f64::INFINITY, |it| it.0.as_secs_f64());
        let step = STEP_S as f64;
        for number in 0..self.hours.0.as_secs() as i64 / STEP_S {
            let second = (number * STEP_S) as f64;
            let fault = if (at_s..at_s + lasts_s).contains(&second) { self.fault } else { Fault::None };
            let since = second - at_s;
            let deployed = second - (at_s - 600.0);
            // A restart takes a few seconds and costs a little; a second set of instances costs it twice.
            let restarting = match self.deploy {
                Deploy::None => false,
                Deploy::Rolling => (0.0..20.0).contains(&deployed),
                Deploy::BlueGreen => (0.0..20.0).contains(&deployed) || (60.0..75.0).contains(&deployed),
            };
            if self.deploy != Deploy::None && (0.0..step).contains(&deployed) {
                (requests, errors) = (0.0, 0.0);
            }
            let rate = self.load(second) * (1.0 + 0.05 * dice.noise());
            let job = self.traffic == Traffic::HourlyJob && second % 3_600.0 < 20.0;
            let failing = if fault == Fault::Errors { 0.3 } else { 0.0002 };
            requests += rate * step;
            errors += rate * step * failing;
            let mut busy = 0.05 + rate / 400.0 + 0.01 * dice.noise() + if job { 0.5 } else { 0.0 };
            if restarting {
                busy += 0.4;
            }
            if fault == Fault::CpuHog {
                busy += 0.8;
            }
            let busy = busy.clamp(0.0, 1.0);
            let used = match fault {
                Fault::MemoryLeak => 0.5 + since / 3_600.0 * 0.5,
                _ => 0.5,
            } + 0.002 * dice.noise();
            let used = used.clamp(0.0, 0.99);
            let stalled = if fault == Fault::DiskStalls { 0.9 } else { 0.05 + 0.01 * dice.noise().abs() };
            io += stalled * step;
            if fault == Fault::DiskFills {
                free = (free - 60e9 / 3_600.0 * step).max(0.0);
            } else {
                free -= 1_000.0 * step;
            }
            if fault == Fault::FileLeak {
                files = (files + step / 7_200.0 * 0.7).min(1.0);
            }
            // Four cores: what the units have of it.
            shop_cpu += rate / 100.0 * step;
            batch_cpu += step * (0.1 + if fault == Fault::CpuHog { 3.2 } else { 0.0 } + if job { 2.0 } else { 0.0 });
            batch_io += step
                * match fault {
                    Fault::DiskFills => 60e9 / 3_600.0,
                    Fault::DiskStalls => 200e6,
                    _ => 20e3,
                };
            let slow = if fault == Fault::Latency { 5.0 } else { 1.0 };
            let samples = [
                (&host.cpu, busy),
                (&host.load, 4.0 * busy),
                (&host.used, used),
                (&host.available, 16e9 * (1.0 - used)),
                (&host.memory, 16e9),
                (&host.io, io),
                (&host.free, free),
                (&host.limit, 100e9),
                (&host.share, 1.0 - free / 100e9),
                (&host.files, (files + 0.001 * dice.noise()).clamp(0.0, 1.0)),
                (&host.ratio, failing),
                (&host.latency, slow * (0.12 + 0.005 * dice.noise())),
                (&host.requests, requests),
                (&host.errors, errors),
                (&host.shop_cpu, shop_cpu),
                (&host.shop_memory, 16e9 * (used - 0.3)),
                (&host.batch_cpu, batch_cpu),
                (&host.batch_memory, 200e6),
                (&host.batch_io, batch_io),
            ];
            tell(Timestamp::from_secs(START_S + number * STEP_S), &samples);
        }
    }
}

/// `metric.anomaly holdfast.cpu.utilization`, `metric.threshold cpu-busy`, `disk.filling`.
fn name(it: &Stretch) -> String {
    let last = it.fingerprint.rsplit('|').next().unwrap_or_default();
    match (last, &it.series) {
        ("", Some(series)) => format!("{} {}", it.kind, series.split('{').next().unwrap_or_default()),
        ("", None) => it.kind.clone(),
        (other, _) => format!("{} {other}", it.kind),
    }
}

#[test]
fn every_scenario_of_the_corpus_is_found_as_expected_and_nothing_else_is() {
    let corpus = Corpus::read();
    assert!(corpus.scenario.len() >= 20, "{} scenarios", corpus.scenario.len());
    let mut wrong = Vec::new();
    let mut covered = std::collections::BTreeSet::new();
    for it in &corpus.scenario {
        covered.insert(format!("traffic {:?}", it.traffic));
        covered.insert(format!("fault {:?}", it.fault));
        covered.insert(format!("deploy {:?}", it.deploy));
        let said = it.play();
        let at = Timestamp::from_secs(START_S).plus(it.at.map_or(Duration::ZERO, |it| it.0));
        for wanted in &it.expect {
            let soon = |one: &&Stretch| {
                name(one) == wanted.finding && one.said_at >= at && one.said_at <= at.plus(wanted.within.0)
            };
            if !said.iter().any(|one| soon(&one)) {
                wrong.push(format!("{}: {} was not said within {}", it.name, wanted.finding, wanted.within));
            }
        }
        for one in &said {
            let known = name(one);
            let allowed = it.expect.iter().map(|it| &it.finding).chain(&it.may).any(|it| *it == known);
            if !allowed || one.said_at < at {
                let second = one.said_at.since(Timestamp::from_secs(START_S)).as_secs();
                wrong.push(format!("{}: {known} was said after {second} s", it.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(covered.len(), 16, "every shape, fault and deployment is played: {covered:?}");
}
