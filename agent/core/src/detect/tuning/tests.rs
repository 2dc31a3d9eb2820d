use super::*;
use crate::detect::labels::Labels;
use crate::detect::replay::{Episode, EpisodeSeries, Replay};
use crate::model::{Evidence, FindingId, IdSource, Label, MetricKind, Says, SeededIds, SeriesKey, Severity, Timestamp};
use proptest::prelude::*;

const START: i64 = 1_760_000_000;

fn key(metric: &str) -> SeriesKey {
    SeriesKey { metric: metric.into(), unit: "1".into(), kind: MetricKind::Gauge, attributes: BTreeMap::new() }
}

fn base() -> DetectConfig {
    DetectConfig { standard_thresholds: true, ..DetectConfig::default() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(START + second)
}

/// A host of two series: departures of CPU and of the load, at these seconds for so long and so high.
struct Host {
    cpu: Vec<(i64, i64, f64)>,
    load: Vec<(i64, i64, f64)>,
    seconds: i64,
}

impl Host {
    fn value(busy: &[(i64, i64, f64)], second: i64, noise: f64) -> f64 {
        let height =
            busy.iter().find(|(from, lasts, _)| (*from..from + lasts).contains(&second)).map_or(0.1, |it| it.2);
        height + 0.02 * noise
    }

    fn samples(&self) -> Vec<(Timestamp, [f64; 2])> {
        let mut ids = SeededIds(9);
        let mut noise = || f64::from(u16::from_le_bytes([ids.random()[0], ids.random()[1]])) / 65_536.0 - 0.5;
        (0..self.seconds)
            .map(|second| {
                let (a, b) = (noise(), noise());
                (at(second), [Self::value(&self.cpu, second, a), 10.0 * Self::value(&self.load, second, b)])
            })
            .collect()
    }

    /// What the settings in force say, as findings; each with what a person said, in order of time.
    fn known(&self, config: &DetectConfig) -> Vec<Known> {
        let keys = keys();
        let mut replay = Replay::new(config, &Labels::default());
        for (at, values) in self.samples() {
            replay.tell(at, keys.iter().zip(values));
        }
        let mut ids = SeededIds(4);
        let one = |it: &crate::detect::replay::Stretch| Known {
            finding: FindingId::new(it.said_at, &mut ids),
            fingerprint: it.fingerprint.clone(),
            about: it.series.clone(),
            began_at: it.began_at,
            ended_at: it.ended_at.unwrap_or(it.said_at),
        };
        replay.stretches().iter().map(one).collect()
    }

    fn study(&self, tuning: &Tuning, judged: Judged) -> Proposal {
        let keys = keys();
        let mut study = Study::new(&base(), tuning, &Labels::default(), judged, &keys);
        for (at, values) in self.samples() {
            let wanted: Vec<_> = keys.iter().zip(values).filter(|(key, _)| study.wants(key)).collect();
            study.tell(at, &wanted);
        }
        study.finish()
    }
}

fn keys() -> [SeriesKey; 2] {
    [key("holdfast.cpu.utilization"), key("system.cpu.load_average.1m")]
}

fn hourly(lasts: i64, height: f64, times: i64) -> Vec<(i64, i64, f64)> {
    (0..times).map(|n| (3_600 + n * 7_200, lasts, height)).collect()
}

#[test]
fn short_departures_that_were_nothing_are_silenced_and_the_long_incident_is_kept() {
    let mut cpu = hourly(50, 0.5, 3);
    cpu.push((30_000, 900, 0.9));
    let host = Host { cpu, load: hourly(50, 0.5, 3), seconds: 34_000 };
    let mut all = host.known(&base());
    all.retain(|it| it.about.as_deref() == Some("holdfast.cpu.utilization"));
    assert_eq!(all.len(), 4, "{all:?}");
    let incidents = all.split_off(3);
    let found = host.study(&Tuning::default(), Judged { falses: all, incidents });
    let keys: Vec<(&str, Option<&str>)> =
        found.differences.iter().map(|it| (it.key.as_str(), it.after.as_deref())).collect();
    assert_eq!(keys, [("detect.series.holdfast.cpu.utilization.sustained", Some("1m"))]);
    let (before, after) = (found.proof.before, found.proof.after);
    assert_eq!((before.falses, after.falses, after.incidents, after.lost), (3, 0, 1, 0));
    assert_eq!((found.proof.incidents_unproved, found.proof.falses_unproved), (0, 0));
    assert_eq!(found.offers.len(), 1, "nobody called a finding of the load false: {:?}", found.offers);
}

#[test]
fn what_would_lose_a_known_incident_is_refused_with_the_number() {
    let mut cpu = hourly(50, 0.5, 3);
    cpu.push((30_000, 50, 0.5));
    let host = Host { cpu, load: vec![], seconds: 34_000 };
    // The fourth would be known from habit, were it not labelled an incident; here it is larger.
    let mut louder = host.cpu.clone();
    louder[3].2 = 0.9;
    let host = Host { cpu: louder, ..host };
    let mut all = host.known(&base());
    assert_eq!(all.len(), 4, "{all:?}");
    let incidents = all.split_off(3);
    let found = host.study(&Tuning::default(), Judged { falses: all, incidents });
    assert!(found.differences.is_empty() && found.tuning.is_empty(), "{found:?}");
    assert_eq!(found.offers[0].refused.as_deref(), Some("it would lose 1 of 1 known incidents"));
    assert_eq!((found.proof.after.falses, found.proof.after.lost), (3, 0));
}

#[test]
fn what_the_settings_in_force_dont_say_on_these_samples_proves_nothing() {
    let host = Host { cpu: hourly(50, 0.5, 2), load: vec![], seconds: 20_000 };
    let mut falses = host.known(&base());
    let gone = Known { began_at: at(15_000), ended_at: at(15_100), ..falses[0].clone() };
    let incidents = vec![gone.clone()];
    falses.push(gone);
    let found = host.study(&Tuning::default(), Judged { falses, incidents });
    assert_eq!((found.proof.falses_unproved, found.proof.incidents_unproved), (1, 1));
    assert_eq!((found.proof.before.falses, found.proof.before.incidents), (2, 0));
}

#[test]
fn a_kept_episode_counts_when_its_samples_are_gone_from_the_store() {
    let old = Host { cpu: vec![(1_500, 50, 0.9)], load: vec![], seconds: 2_400 };
    let known = old.known(&base()).remove(0);
    let points: Vec<_> = old.samples().into_iter().map(|(at, values)| (at, values[0])).collect();
    let label = label(&known, Says::TruePositive);
    let episode =
        Episode { series: vec![EpisodeSeries::new(keys()[0].clone(), &points)], ..Episode::of(&label, &base()) };
    // Now: false ones of the same length, smaller.
    let now = Host { cpu: hourly(50, 0.5, 2), load: vec![], seconds: 20_000 };
    let falses = now.known(&base());
    let keys = keys();
    let judged = Judged { falses, incidents: vec![] };
    let mut study = Study::new(&base(), &Tuning::default(), &Labels::default(), judged, &keys);
    study.episode(&episode);
    for (at, values) in now.samples() {
        study.tell(at, &[(&keys[0], values[0])]);
    }
    let found = study.finish();
    assert_eq!((found.proof.episodes, found.proof.before.incidents, found.proof.before.falses), (1, 1, 2));
    assert!(found.offers[0].refused.as_deref().unwrap().contains("lose 1 of 1"), "{found:?}");
}

fn label(known: &Known, says: Says) -> Label {
    Label {
        finding: known.finding.clone(),
        says,
        fingerprint: known.fingerprint.clone(),
        kind: "metric.anomaly".into(),
        target: crate::model::Target::series("holdfast.cpu.utilization"),
        title: String::new(),
        severity: Severity::Low,
        evidence: vec![Evidence::new("series.key", "holdfast.cpu.utilization")],
        began_at: known.began_at,
        ended_at: known.ended_at,
        by: String::new(),
        at: known.ended_at,
        note: String::new(),
        applied: 0,
        applied_at: None,
    }
}

#[test]
fn a_limit_is_turned_by_its_name_and_the_series_of_others_are_not_wanted() {
    let known = Known {
        finding: FindingId::new(at(0), &mut SeededIds(1)),
        fingerprint: "threshold|metric.threshold|series:system.memory.linux.available|memory-short".into(),
        about: Some("system.memory.linux.available".into()),
        began_at: at(0),
        ended_at: at(1),
    };
    let judged = Judged { falses: vec![known], incidents: vec![] };
    let study = Study::new(&base(), &Tuning::default(), &Labels::default(), judged, &[]);
    assert!(study.wants(&key("system.memory.linux.available")) && study.wants(&key("system.memory.limit")));
    assert!(!study.wants(&key("holdfast.cpu.utilization")) && !study.is_empty());
    let found = study.finish();
    assert_eq!(found.offers[0].subject, "limit memory-short");
}

#[test]
fn entries_come_into_force_by_their_names_and_the_rest_stays() {
    let tuning: Tuning = toml::from_str(
        "sustained = \"2m\"\nsensitivity = \"low\"\ndisk-horizon = \"6h\"\nthreshold.cpu-busy = \"20m\"\n\
         [[series]]\nmetric = \"holdfast.cpu.utilization\"\nsustained = \"5m\"\n",
    )
    .unwrap();
    let config = tuning.apply(&base());
    let busy = config.thresholds().into_iter().find(|it| it.name == "cpu-busy").unwrap();
    assert_eq!((busy.sustained, busy.above), (Interval::secs(1_200), Some(0.95)));
    assert_eq!((config.sustained, config.disk.horizon), (Interval::secs(120), Interval::secs(21_600)));
    assert_eq!(config.of_series(&key("holdfast.cpu.utilization")), (9.0, Interval::secs(300)));
    assert_eq!(config.of_series(&key("system.cpu.load_average.1m")), (9.0, Interval::secs(120)));
    assert_eq!(config.warm_up, base().warm_up);
    assert!(tuning.problems(&base()).is_empty());
    let differences: Vec<String> = tuning.differences(&Tuning::default()).into_iter().map(|it| it.key).collect();
    assert_eq!(
        differences,
        [
            "detect.disk.horizon",
            "detect.sensitivity",
            "detect.series.holdfast.cpu.utilization.sustained",
            "detect.sustained",
            "detect.threshold.cpu-busy.sustained",
        ]
    );
    assert!(Tuning::default().differences(&Tuning::default()).is_empty());
}

#[test]
fn what_cannot_be_meant_is_named() {
    let unknown = Tuning { threshold: [("none".to_owned(), Interval::secs(5))].into(), ..Tuning::default() };
    assert_eq!(unknown.problems(&base()), ["there is no limit named `none`"]);
    let never = Tuning { disk_horizon: Some(Interval::secs(0)), ..Tuning::default() };
    assert_eq!(never.problems(&base()).len(), 1);
    assert!(toml::from_str::<Tuning>("sustaind = \"2m\"").is_err());
}

fn tuning() -> impl Strategy<Value = Tuning> {
    let interval = || prop::option::of((1_u64..10_000).prop_map(Interval::secs));
    let level = prop::option::of(prop_oneof![Just(Sensitivity::Low), Just(Sensitivity::High)]);
    let series = prop::collection::vec((0_usize..2, interval()), 0..3).prop_map(|all| {
        let one = |(index, sustained): (usize, Option<Interval>)| SeriesSettings {
            metric: keys()[index].metric.clone(),
            sustained,
            ..SeriesSettings::default()
        };
        all.into_iter().map(one).collect::<Vec<_>>()
    });
    (level, interval(), interval(), series).prop_map(|(sensitivity, sustained, disk_horizon, series)| {
        let all = Tuning { sensitivity, sustained, disk_horizon, ..Tuning::default() };
        all.with(&Tuning { series, ..Tuning::default() })
    })
}

proptest! {
    #[test]
    fn a_tuning_over_another_has_its_own_entries_and_keeps_the_rest(a in tuning(), b in tuning()) {
        let (both, first, second) = (a.with(&b).entries(), a.entries(), b.entries());
        for (key, value) in &both {
            prop_assert_eq!(Some(value), second.get(key).or(first.get(key)), "{}", key);
        }
        prop_assert_eq!(a.with(&Tuning::default()).entries(), first);
        let text = serde_json::to_string(&b).unwrap();
        prop_assert_eq!(serde_json::from_str::<Tuning>(&text).unwrap(), b);
    }

    #[test]
    fn settings_of_one_series_say_nothing_about_another(
        first in prop::collection::vec((1_200_i64..3_000, 20_i64..300, 0.3_f64..1.0), 0..3),
        second in prop::collection::vec((1_200_i64..3_000, 20_i64..300, 0.3_f64..1.0), 0..3),
        turned in tuning(),
    ) {
        let host = Host { cpu: first, load: second, seconds: 3_200 };
        let only = |about: &str, config: &DetectConfig| -> Vec<_> {
            host.known(config).into_iter().filter(|it| it.about.as_deref() == Some(about)).map(|it| it.began_at).collect()
        };
        let mine: Vec<SeriesSettings> =
            turned.series.iter().filter(|it| it.metric == keys()[0].metric).cloned().collect();
        let config = Tuning { series: mine, ..Tuning::default() }.apply(&base());
        prop_assert_eq!(only("system.cpu.load_average.1m", &config), only("system.cpu.load_average.1m", &base()));
    }
}
