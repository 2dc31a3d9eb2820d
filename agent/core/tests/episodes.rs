//! Labelled episodes of hosts, as `holdfast findings episodes --export` writes them: each line below `tests/episodes` through the detectors of now, under the
//! settings of its time.
//!
//! What a person confirmed has to be found, and no label may suppress it. What was a false alarm has to be found, too, or its label would
//! prove nothing; then its own label suppresses all of it, and no other label of the corpus any of it.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::detect::Detectors;
use holdfast_core::detect::labels::{Labels, Ruling, Seen};
use holdfast_core::detect::replay::{Episode, moments};
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{Detection, Finding, Label, Presence, SampleBatch, Says, SeriesId, SeriesKey, Timestamp};

/// What is said so long before or after the labelled time still belongs to it.
const SLACK: Duration = Duration::from_mins(2);

struct Case {
    name: String,
    episode: Episode,
    /// What stood, moment by moment.
    said: Vec<(Timestamp, Detection)>,
}

impl Case {
    fn new(name: String, episode: Episode) -> Self {
        let said = said(&episode);
        Self { name, episode, said }
    }

    /// What was said of the labelled finding at its time.
    fn own(&self) -> impl Iterator<Item = &(Timestamp, Detection)> {
        let it = &self.episode;
        let (from, until) = (it.began_at.minus(SLACK), it.ended_at.plus(SLACK));
        let series =
            |said: &Detection| said.evidence.iter().find(|it| it.name == "series.key").map(|it| it.value.to_string());
        self.said.iter().filter(move |(at, said)| {
            said.fingerprint() == it.fingerprint && series(said) == it.about && (from..=until).contains(at)
        })
    }

    /// The person's word, about what the detectors of now found last; `None`: they find nothing.
    fn label(&self) -> Option<Label> {
        let (at, last) = self.own().last()?;
        let mut finding = Finding::opened(last, *at, &mut SeededIds(1));
        finding.id = self.episode.finding.clone();
        Some(Label::of(&finding, self.episode.says, "corpus", *at, &self.episode.note))
    }
}

fn said(episode: &Episode) -> Vec<(Timestamp, Detection)> {
    let mut detectors = Detectors::new(&episode.detect);
    let mut known: Vec<SeriesKey> = Vec::new();
    let mut all = Vec::new();
    for (at, samples) in moments(&episode.series) {
        let mut batch = SampleBatch { at, new_series: Vec::new(), samples: Vec::new() };
        for (key, value) in samples {
            let place = known.iter().position(|it| it == key).unwrap_or_else(|| {
                known.push(key.clone());
                batch.new_series.push((SeriesId(known.len() as u32 - 1), Arc::new(key.clone())));
                known.len() - 1
            });
            batch.samples.push((SeriesId(place as u32), value));
        }
        all.extend(
            detectors.on_batch(&batch).into_iter().filter(|it| it.presence == Presence::Present).map(|it| (at, it)),
        );
    }
    all
}

fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/episodes");
    let mut files = std::fs::read_dir(folder)?.map(|it| Ok(it?.path())).collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|it| it.extension().is_some_and(|it| it == "jsonl"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        for (number, line) in text.lines().enumerate().filter(|it| !it.1.is_empty()) {
            let name = format!("{file}:{}", number + 1);
            let episode = Episode::parse(line).map_err(|error| format!("{name}: {error}"))?;
            cases.push(Case::new(name, episode));
        }
    }
    Ok(cases)
}

#[test]
fn every_labelled_episode_is_found_and_what_was_a_false_alarm_is_suppressed_by_its_own_label_alone()
-> Result<(), Box<dyn Error>> {
    let cases = cases()?;
    let labels: Vec<Option<Label>> = cases.iter().map(Case::label).collect();
    let mut wrong = Vec::new();
    for (place, (case, label)) in cases.iter().zip(&labels).enumerate() {
        let Some(label) = label else {
            wrong.push(format!("{}: {} is not found any more", case.name, case.episode.title));
            continue;
        };
        let others = labels.iter().enumerate().filter(|it| it.0 != place).filter_map(|it| it.1.clone()).collect();
        let (others, own) = (Labels::new(others), Labels::new(vec![label.clone()]));
        for (at, said) in case.own() {
            let fingerprint = said.fingerprint();
            let ruling = |labels: &Labels| labels.rule(&Seen::detection(said, &fingerprint));
            if ruling(&others).suppresses() {
                wrong.push(format!("{}: at {at} another label suppresses it: {}", case.name, ruling(&others).why()));
            }
            let wanted = match case.episode.says {
                Says::FalsePositive => Ruling::Suppressed { label: label.finding.clone() },
                Says::TruePositive => Ruling::Unlabelled,
            };
            if ruling(&own) != wanted {
                wrong.push(format!("{}: at {at} its own label says: {}", case.name, ruling(&own).why()));
            }
        }
        let beside = case.said.iter().filter(|(_, it)| it.fingerprint() != case.episode.fingerprint);
        for (at, said) in beside {
            if own.rule(&Seen::detection(said, &said.fingerprint())).suppresses() {
                wrong.push(format!("{}: at {at} its label suppresses {} as well", case.name, said.title));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for says in [Says::TruePositive, Says::FalsePositive] {
        assert!(cases.iter().any(|it| it.episode.says == says), "there is no {says} among {} episodes", cases.len());
    }
    Ok(())
}
