//! The scenarios of the corpus through the whole path: detectors, lifecycle, correlation. What is one trouble is one incident, and its
//! first suspect is what brought it about.

use std::time::Duration;

use super::corpus::{Corpus, Guilty, Scenario, config};
use super::*;
use crate::correlate::correlate;
use crate::detect::lifecycle::{FindingEvent, Lifecycle};
use crate::model::{Finding, Incident, RELATED_UNITS, Severity};

const BEFORE: Duration = Duration::from_mins(10);

fn target(text: &str) -> Target {
    let (kind, name) = text.split_once(':').unwrap();
    Target::new(kind, name)
}

fn guilty(it: &Guilty, at: Timestamp) -> Change {
    let mut change = change(&it.kind, target(&it.target), at);
    if !it.units.is_empty() {
        change.deployment = change.target.name.parse().ok();
        change.attributes.insert("deployment.units".to_owned(), it.units.clone());
    }
    if !it.service.is_empty() {
        change.attributes.insert("service.name".to_owned(), it.service.clone());
    }
    change
}

/// What else may go on at a host without being the cause: closer to the fault than what is.
fn innocents(at: Timestamp) -> Vec<Change> {
    let mut other = change("service.deployed", Target::deployment("mail-3"), at.minus(Duration::from_mins(8)));
    other.deployment = "mail-3".parse().ok();
    other.attributes.insert("deployment.units".to_owned(), "mail.service".to_owned());
    vec![
        change("package.upgraded", Target::new("package", "tzdata"), at.minus(Duration::from_mins(4))),
        change("file.modified", Target::file("/etc/motd"), at.minus(Duration::from_secs(20))),
        change("unit.restarted", Target::unit("cron.service"), at.minus(Duration::from_secs(5))),
        change("pipeline_run.finished", Target::new("pipeline_run", "lint"), at.minus(Duration::from_mins(1))),
        other,
    ]
}

impl Scenario {
    fn begins(&self) -> Timestamp {
        Timestamp::from_secs(START_S).plus(self.at.map_or(Duration::ZERO, |it| it.0))
    }

    /// Everything that the detectors say.
    fn said(&self) -> Vec<(Timestamp, Detection)> {
        let mut detectors = Detectors::new(&config());
        let mut guilty = self.guilty.as_ref().map(|it| guilty(it, self.begins().minus(BEFORE)));
        let mut ids: BTreeMap<SeriesKey, SeriesId> = BTreeMap::new();
        let mut said = Vec::new();
        self.samples(|at, samples| {
            if let Some(change) = guilty.take_if(|it| it.at <= at) {
                detectors.note_activity(&change);
            }
            let mut batch = SampleBatch { at, new_series: Vec::new(), samples: Vec::new() };
            for (key, value) in samples {
                let id = ids.get(*key).copied().unwrap_or_else(|| {
                    let id = SeriesId(ids.len() as u32);
                    ids.insert((*key).clone(), id);
                    batch.new_series.push((id, Arc::new((*key).clone())));
                    id
                });
                batch.samples.push((id, *value));
            }
            said.extend(detectors.on_batch(&batch).into_iter().map(|it| (at, it)));
        });
        said
    }
}

/// As the agent does it with what is detected.
fn incidents(said: &[(Timestamp, Detection)], changes: &[Change]) -> (Vec<Incident>, Vec<Finding>) {
    let (mut lifecycle, mut ids) = (Lifecycle::default(), SeededIds(7));
    let mut all: BTreeMap<String, Incident> = BTreeMap::new();
    for (at, detection) in said {
        if let Some(FindingEvent::Opened(mut finding)) = lifecycle.observe(detection, *at, &mut ids) {
            let open: Vec<Incident> = all.values().cloned().collect();
            let siblings: Vec<Finding> = lifecycle.open().filter(|it| it.id != finding.id).cloned().collect();
            let known: Vec<Change> = changes.iter().filter(|it| it.at <= *at).cloned().collect();
            let incident = correlate(&finding, &open, &siblings, &known, *at, &mut ids);
            finding.incident = Some(incident.id.clone());
            lifecycle.replace(finding);
            all.insert(incident.id.to_string(), incident);
        }
    }
    (all.into_values().collect(), lifecycle.open().cloned().collect())
}

#[test]
fn each_scenario_is_one_incident_and_of_two_changes_the_guilty_one_comes_first() {
    use std::fmt::Write as _;
    let (mut cases, mut first, mut plain, mut wrong, mut table) = (0, 0, 0, Vec::new(), String::new());
    let mut bad: Vec<String> = Vec::new();
    for scenario in &Corpus::read().scenario {
        let said = scenario.said();
        let Some(it) = &scenario.guilty else {
            let (incidents, _) = incidents(&said, &innocents(scenario.begins()));
            assert!(incidents.is_empty(), "{}: {incidents:#?}", scenario.name);
            continue;
        };
        let guilty = guilty(it, scenario.begins().minus(BEFORE));
        let alone = incidents(&said, std::slice::from_ref(&guilty)).0;
        let titles: Vec<&str> = alone.iter().map(|it| it.title.as_str()).collect();
        let suspect = alone.first().and_then(|it| it.suspects.first());
        if alone.len() != 1 || suspect.is_none_or(|it| it.change != guilty.id) {
            bad.push(format!("{}: {titles:#?} {suspect:#?}", scenario.name));
        }
        let mut bare = said.clone();
        for (_, it) in &mut bare {
            it.evidence.retain(|it| it.name != RELATED_UNITS);
        }
        let (mut won, innocents) = (0, innocents(scenario.begins()));
        for innocent in &innocents {
            let mut changes = vec![guilty.clone(), innocent.clone()];
            changes.sort_by_key(|it| it.at);
            let found = incidents(&said, &changes).0;
            cases += 1;
            let told = incidents(&bare, &changes).0;
            plain += usize::from(told.iter().any(|it| it.suspects.first().is_some_and(|it| it.change == guilty.id)));
            if found.len() == 1 && found[0].suspects.first().is_some_and(|it| it.change == guilty.id) {
                won += 1;
            } else {
                wrong.push(format!("{}: before {}", scenario.name, innocent.summary));
            }
        }
        first += won;
        let _ = writeln!(table, "{won} of {}: {}", innocents.len(), scenario.name);
    }
    let _ = writeln!(table, "{first} of {cases} in all, {plain} without the units that use more");
    assert!(bad.is_empty(), "{bad:#?}\n{table}\n{wrong:#?}");
    insta::assert_snapshot!(table);
    assert!(cases >= 80 && first * 10 >= cases * 9, "{wrong:#?}");
}

#[test]
fn a_hundred_events_of_one_trouble_are_one_incident_with_the_count_of_a_hundred() {
    let at = |s: i64| Timestamp::from_secs(START_S + s);
    let failed = |s: i64| {
        let says = (Presence::Present, "web.service failed".to_owned());
        Detection::certain(
            ("unit.failed", "test"),
            Target::unit("web.service"),
            Severity::High,
            says,
            Vec::new(),
            at(s),
        )
    };
    let said: Vec<(Timestamp, Detection)> = (0..100).map(|s| (at(s), failed(0))).collect();
    let (incidents, findings) = incidents(&said, &[]);
    assert_eq!((incidents.len(), findings.len(), findings[0].count), (1, 1, 100));
}
