//! What other settings would have said, on stored samples and kept episodes, held against what people said.
//!
//! Only subjects with a false positive are turned, one at a time: a series, a limit, the horizon of file systems. They do not
//! depend on each other, so a few replays (one a level) answer for every mixture of them. **What loses a known incident is never
//! proposed.** An incident that the replay cannot find under the settings of now proves nothing, and is counted apart.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::config::DetectConfig;
use super::super::labels::Labels;
use super::super::replay::{Episode, Replay, Stretch};
use super::subject::{LEVELS, Subject};
use super::{Difference, Tuning};
use crate::model::{FindingId, Says, SeriesKey, Timestamp};

/// A finding of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Which.
    pub finding: FindingId,
    /// See [`Detection::fingerprint`](crate::model::Detection::fingerprint).
    pub fingerprint: String,
    /// The series that it rests on, where it is about one.
    pub about: Option<String>,
    /// When the symptom began.
    pub began_at: Timestamp,
    /// When it was last confirmed, or resolved.
    pub ended_at: Timestamp,
}

/// What is known about the time that is replayed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// Labelled false positives, and what was suppressed because of them.
    pub falses: Vec<Known>,
    /// Labelled true positives.
    pub incidents: Vec<Known>,
}

/// What one setting says of what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// False positives that would be said.
    pub falses: u64,
    /// Known incidents that would be said.
    pub incidents: u64,
    /// Known incidents that would not be said any more.
    pub lost: u64,
    /// Findings in all, known or not.
    pub findings: u64,
}

/// One subject, and what a change of it would bring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// What would be turned: a series, a limit, the horizon of file systems.
    pub subject: String,
    /// Under the settings in force.
    pub before: Tally,
    /// Under the proposed ones; of a refused offer, under those that would silence the most.
    pub after: Tally,
    /// Entries that would be altered.
    pub differences: Vec<Difference>,
    /// Why it is not proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What the proposal rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The samples that were replayed began here.
    pub since: Timestamp,
    /// And ended here.
    pub until: Timestamp,
    /// Samples that were replayed, episodes included.
    pub samples: u64,
    /// Kept episodes that were replayed.
    pub episodes: u64,
    /// Under the settings in force.
    pub before: Tally,
    /// Under the proposed ones.
    pub after: Tally,
    /// False positives that the settings in force would not say either, on these samples: they prove nothing.
    pub falses_unproved: u64,
    /// Known incidents that the settings in force would not say either, on these samples: they prove nothing.
    pub incidents_unproved: u64,
}

/// A change of settings with its proof. Nobody has applied it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The settings that would be in force, those of an earlier tuning included.
    pub tuning: Tuning,
    /// What would be altered by them.
    pub differences: Vec<Difference>,
    /// One a subject.
    pub offers: Vec<Offer>,
    /// What it rests on.
    pub proof: Proof,
}

/// See the module.
#[derive(Debug)]
pub struct Study {
    base: DetectConfig,
    current: Tuning,
    subjects: Vec<Subject>,
    configs: Vec<DetectConfig>,
    replays: Vec<Replay>,
    labels: Labels,
    judged: Judged,
    /// What replays of episodes said, a level each: finding, what a person said, whether it was found.
    episodes: Vec<(Subject, Says, Vec<bool>)>,
    unproved: (u64, u64),
    samples: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Study {
    /// `base`: the configuration without `current`. `keys`: the series that there are.
    pub fn new(base: &DetectConfig, current: &Tuning, labels: &Labels, judged: Judged, keys: &[SeriesKey]) -> Self {
        let keys: BTreeMap<String, SeriesKey> = keys.iter().map(|key| (key.to_string(), key.clone())).collect();
        let of = |it: &Known| Subject::of(&it.fingerprint, it.about.as_deref(), &keys);
        let labelled = labels.iter().filter(|it| it.says == Says::FalsePositive).filter_map(|it| {
            let about = it.evidence.iter().find(|it| it.name == "series.key").map(|it| it.value.to_string());
            Subject::of(&it.fingerprint, about.as_deref(), &keys)
        });
        let subjects: BTreeSet<Subject> = judged.falses.iter().filter_map(of).chain(labelled).collect();
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        let now = current.apply(base);
        let configs: Vec<DetectConfig> = LEVELS
            .iter()
            .map(|level| {
                let turned = subjects.iter().fold(Tuning::default(), |all, it| all.with(&it.turned(*level, &now)));
                turned.apply(&now)
            })
            .collect();
        let replays = configs.iter().map(|config| Replay::new(config, labels)).collect();
        Self {
            base: base.clone(),
            current: current.clone(),
            subjects,
            configs,
            replays,
            labels: labels.clone(),
            judged,
            episodes: Vec::new(),
            unproved: (0, 0),
            samples: 0,
            span: None,
        }
    }

    /// Whether there is anything to turn.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Whether the samples of this series matter.
    pub fn wants(&self, key: &SeriesKey) -> bool {
        let limits = self.configs[0].thresholds();
        self.subjects.iter().any(|it| match it {
            Subject::Series(wanted) => wanted == key,
            Subject::Limit(name) => limits.iter().any(|limit| {
                limit.name == *name && (limit.metric == key.metric || limit.of.as_deref() == Some(key.metric.as_str()))
            }),
            Subject::Horizon => super::super::disk::role(key).is_some(),
        })
    }

    /// A kept episode: it counts in place of the finding itself. Those about what is not turned are passed over.
    pub fn episode(&mut self, episode: &Episode) {
        let subject = self.subjects.iter().find(|it| it.concerns(&episode.fingerprint, episode.about.as_deref()));
        let Some(subject) = subject.cloned() else { return };
        if episode.series.is_empty() {
            return;
        }
        let said = self.configs.iter().map(|config| episode.replay(config, &self.labels).found).collect();
        self.samples += episode.samples() as u64;
        self.judged.falses.retain(|it| it.finding != episode.finding);
        self.judged.incidents.retain(|it| it.finding != episode.finding);
        self.episodes.push((subject, episode.says, said));
    }

    /// All samples of one moment, those that are wanted.
    pub fn tell(&mut self, at: Timestamp, samples: &[(&SeriesKey, f64)]) {
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        self.samples += samples.len() as u64;
        for replay in &mut self.replays {
            replay.tell(at, samples.iter().copied());
        }
    }

    fn tally(&self, subject: &Subject, level: usize) -> Tally {
        let mut tally = Tally::default();
        let of = |replay: &Replay| -> Vec<Stretch> {
            let own = |it: &&Stretch| subject.concerns(&it.fingerprint, it.series.as_deref());
            replay.stretches().iter().filter(own).cloned().collect()
        };
        let (base, turned) = (of(&self.replays[0]), of(&self.replays[level]));
        tally.findings = turned.len() as u64;
        let mut count = |says: Says, before: bool, after: bool| match says {
            Says::FalsePositive => tally.falses += u64::from(before && after),
            Says::TruePositive => {
                tally.incidents += u64::from(before && after);
                tally.lost += u64::from(before && !after);
            }
        };
        for (all, says) in [(&self.judged.falses, Says::FalsePositive), (&self.judged.incidents, Says::TruePositive)] {
            for it in all.iter().filter(|it| subject.concerns(&it.fingerprint, it.about.as_deref())) {
                count(says, is_said(it, &base), is_said(it, &turned));
            }
        }
        for (_, says, said) in self.episodes.iter().filter(|(own, ..)| own == subject) {
            count(*says, said[0], said[level]);
        }
        tally
    }

    /// Counts what the settings in force do not say on these samples.
    fn count_unproved(&mut self) {
        let base = self.replays[0].stretches();
        let unsaid = |all: &[Known]| {
            let own = |it: &&Known| {
                self.subjects.iter().any(|subject| subject.concerns(&it.fingerprint, it.about.as_deref()))
            };
            all.iter().filter(own).filter(|it| !is_said(it, base)).count() as u64
        };
        let (mut falses, mut incidents) = (unsaid(&self.judged.falses), unsaid(&self.judged.incidents));
        for (_, says, _) in self.episodes.iter().filter(|(.., said)| !said[0]) {
            match says {
                Says::FalsePositive => falses += 1,
                Says::TruePositive => incidents += 1,
            }
        }
        self.unproved = (falses, incidents);
    }

    /// The least change of each subject that silences the most without losing a known incident.
    pub fn finish(mut self) -> Proposal {
        self.count_unproved();
        let (mut offers, mut change) = (Vec::new(), Tuning::default());
        let (mut before_all, mut after_all) = (Tally::default(), Tally::default());
        let now = self.current.apply(&self.base);
        for subject in self.subjects.clone() {
            let tallies: Vec<Tally> = (0..LEVELS.len()).map(|level| self.tally(&subject, level)).collect();
            let before = tallies[0];
            let least = |allowed: &dyn Fn(&Tally) -> bool| {
                let fit = tallies.iter().enumerate().filter(|(_, it)| allowed(it) && it.falses < before.falses);
                fit.min_by_key(|(level, it)| (it.falses, *level)).map(|(level, it)| (level, *it))
            };
            let (level, after, refused) = match (least(&|it| it.lost == 0), least(&|_| true)) {
                (Some((level, after)), _) => (level, after, None),
                (None, Some((level, after))) => {
                    let known = after.incidents + after.lost;
                    (level, after, Some(format!("it would lose {} of {known} known incidents", after.lost)))
                }
                (None, None) if before.falses == 0 => {
                    (0, before, Some("no false positive of it is said on these samples".to_owned()))
                }
                (None, None) => (0, before, Some("no setting that is tried would silence one".to_owned())),
            };
            let turned = subject.turned(LEVELS[level], &now);
            let counted = if refused.is_none() { after } else { before };
            add(&mut before_all, before);
            add(&mut after_all, counted);
            offers.push(Offer {
                subject: subject.name(),
                before,
                after,
                differences: self.current.with(&turned).differences(&self.current),
                refused: refused.clone(),
            });
            if refused.is_none() {
                change = change.with(&turned);
            }
        }
        let tuning = self.current.with(&change);
        let (since, until) = self.span.unwrap_or_default();
        Proposal {
            differences: tuning.differences(&self.current),
            tuning,
            offers,
            proof: Proof {
                since,
                until,
                samples: self.samples,
                episodes: self.episodes.len() as u64,
                before: before_all,
                after: after_all,
                falses_unproved: self.unproved.0,
                incidents_unproved: self.unproved.1,
            },
        }
    }
}

fn add(all: &mut Tally, one: Tally) {
    all.falses += one.falses;
    all.incidents += one.incidents;
    all.lost += one.lost;
    all.findings += one.findings;
}

/// What is said so long around it is still it.
fn is_said(known: &Known, stretches: &[Stretch]) -> bool {
    let slack = std::time::Duration::from_mins(2);
    stretches.iter().any(|it| {
        it.fingerprint == known.fingerprint
            && it.series == known.about
            && it.touches(known.began_at.minus(slack), known.ended_at.plus(slack))
    })
}
