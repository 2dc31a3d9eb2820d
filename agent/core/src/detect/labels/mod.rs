//! What people said about earlier findings decides about the next one like them: a pure function of the labels and the detection.
//!
//! A false positive suppresses what comes again like it: same kind, same subject, not clearly larger ([`LARGER`]) and not more
//! severe. A true positive protects: what is as large as a known incident, give or take [`SMALLER`], is never suppressed, whatever else
//! was labelled, and no method may come to take it for normal ([`Labels::protected`]). How large a detection is, is said by its kind
//! (`like`); what has no size has to be the same. Nothing here is learnt silently: each ruling names the label that it follows.

mod like;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use crate::model::{Detection, Evidence, Finding, FindingId, LABEL_EVIDENCE, Label, Says, SeriesKey, Severity};

pub use like::{Like, Size};

/// What is more than this many times as large as what was labelled is clearly larger.
pub const LARGER: f64 = 1.5;
/// A known incident that comes again may measure this many times less.
pub const SMALLER: f64 = 1.2;
/// Labels that are kept.
pub const LABELS_MAX: usize = 10_000;

/// What a ruling looks at: a detection, or a finding that was made of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    fingerprint: &'a str,
    kind: &'a str,
    severity: Severity,
    evidence: &'a [Evidence],
}

impl<'a> Seen<'a> {
    /// A detection with its own fingerprint.
    pub fn detection(detection: &'a Detection, fingerprint: &'a str) -> Self {
        Self { fingerprint, kind: &detection.kind, severity: detection.severity, evidence: &detection.evidence }
    }

    /// A finding as last seen.
    pub fn finding(finding: &'a Finding) -> Self {
        Self {
            fingerprint: &finding.fingerprint,
            kind: &finding.kind,
            severity: finding.severity,
            evidence: &finding.evidence,
        }
    }

    fn label(label: &'a Label) -> Self {
        Self { fingerprint: &label.fingerprint, kind: &label.kind, severity: label.severity, evidence: &label.evidence }
    }

    /// Findings about file systems may rest on several series of one.
    fn series(&self) -> Option<&'a Evidence> {
        self.evidence.iter().find(|it| it.name == "series.key")
    }

    fn like(&self) -> Like {
        Like::of(self.kind, self.evidence)
    }
}

/// What the labels say about a detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// No label is about this kind and subject.
    Unlabelled,
    /// It is like a false positive: no problem.
    Suppressed {
        /// Whose label.
        label: FindingId,
    },
    /// There is a false positive of this kind and subject, and this is another matter.
    Outgrown {
        /// Whose label.
        label: FindingId,
        /// What is larger or other, one clause.
        why: String,
    },
    /// A false positive would cover it, and it is like a known incident.
    Protected {
        /// The false positive's label.
        label: FindingId,
        /// The known incident.
        incident: FindingId,
    },
}

impl Ruling {
    /// Whether it is no problem.
    pub fn suppresses(&self) -> bool {
        matches!(self, Self::Suppressed { .. })
    }

    /// The label that it follows.
    pub fn label(&self) -> Option<&FindingId> {
        match self {
            Self::Unlabelled => None,
            Self::Suppressed { label } | Self::Outgrown { label, .. } | Self::Protected { label, .. } => Some(label),
        }
    }

    /// One clause for people.
    pub fn why(&self) -> String {
        match self {
            Self::Unlabelled => "no label is about it".to_owned(),
            Self::Suppressed { label } => format!("like {label}, which was labelled false-positive"),
            Self::Outgrown { label, why } => format!("not like {label}, which was labelled false-positive: {why}"),
            Self::Protected { label, incident } => format!(
                "like {label}, which was labelled false-positive, but also like {incident}, which was labelled true-positive"
            ),
        }
    }

    /// Makes it part of the evidence, in place of an earlier ruling.
    pub fn tell(&self, evidence: &mut Vec<Evidence>) {
        evidence.retain(|it| !it.name.starts_with(LABEL_EVIDENCE));
        let effect = match self {
            Self::Unlabelled => return,
            Self::Suppressed { .. } => "suppressed",
            Self::Outgrown { .. } => "outgrown",
            Self::Protected { .. } => "protected",
        };
        evidence.push(Evidence::new("label.effect", effect));
        evidence.extend(self.label().map(|label| Evidence::new("label.finding", label.as_str())));
        evidence.push(Evidence::new("label.why", self.why()));
    }
}

/// All labels, one a finding at most.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    all: BTreeMap<FindingId, Label>,
    by_fingerprint: HashMap<String, Vec<FindingId>>,
}

impl Labels {
    /// As they were stored.
    pub fn new(stored: Vec<Label>) -> Self {
        let mut all = Self::default();
        for label in stored {
            all.put(label);
        }
        all
    }

    /// Takes a label in; the one that it replaces.
    pub fn put(&mut self, label: Label) -> Option<Label> {
        let before = self.take(&label.finding);
        self.by_fingerprint.entry(label.fingerprint.clone()).or_default().push(label.finding.clone());
        self.all.insert(label.finding.clone(), label);
        before
    }

    /// Takes a finding's label away.
    pub fn take(&mut self, finding: &FindingId) -> Option<Label> {
        let label = self.all.remove(finding)?;
        if let Some(ids) = self.by_fingerprint.get_mut(&label.fingerprint) {
            ids.retain(|id| id != finding);
            if ids.is_empty() {
                self.by_fingerprint.remove(&label.fingerprint);
            }
        }
        Some(label)
    }

    /// A finding's own label.
    pub fn get(&self, finding: &FindingId) -> Option<&Label> {
        self.all.get(finding)
    }

    /// All, oldest finding first.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.all.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody has labelled anything.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What the labels say about this.
    pub fn rule(&self, seen: &Seen<'_>) -> Ruling {
        let Some(ids) = self.by_fingerprint.get(seen.fingerprint) else { return Ruling::Unlabelled };
        let about = |it: &&Label| Seen::label(it).series().map(|it| &it.value) == seen.series().map(|it| &it.value);
        let mut labels: Vec<&Label> = ids.iter().filter_map(|id| self.all.get(id)).filter(about).collect();
        // The newest word first.
        labels.sort_by(|a, b| (b.at, &b.finding).cmp(&(a.at, &a.finding)));
        let now = seen.like();
        let mut outgrown = None;
        for label in labels.iter().filter(|it| it.says == Says::FalsePositive) {
            let id = label.finding.clone();
            match larger(seen, &now, label) {
                None => {
                    let known = labels.iter().find(|it| it.says == Says::TruePositive && is_known(&now, it));
                    return match known {
                        Some(known) => Ruling::Protected { label: id, incident: known.finding.clone() },
                        None => Ruling::Suppressed { label: id },
                    };
                }
                Some(why) if outgrown.is_none() => outgrown = Some(Ruling::Outgrown { label: id, why }),
                Some(_) => {}
            }
        }
        outgrown.unwrap_or(Ruling::Unlabelled)
    }

    /// From which departure of a series on, upwards and downwards, no method may take it for normal: it is a known incident.
    /// `fingerprint`: that of the series' anomalies.
    pub fn protected(&self, fingerprint: &str, key: &SeriesKey) -> [Option<f64>; 2] {
        let (mut least, name) = ([None::<f64>; 2], key.to_string());
        for label in self.incidents(fingerprint) {
            let seen = Seen::label(label);
            if seen.series().is_none_or(|it| it.value.to_string() != name) {
                continue;
            }
            let like = seen.like();
            let up = like.fact(like::SIDE) == Some(like::ABOVE);
            if let Some(size) = like.sizes.first().map(|it| it.value / SMALLER) {
                let least = &mut least[usize::from(!up)];
                *least = Some(least.map_or(size, |it| it.min(size)));
            }
        }
        least
    }

    /// Known incidents with this fingerprint.
    pub fn incidents(&self, fingerprint: &str) -> impl Iterator<Item = &Label> {
        let ids = self.by_fingerprint.get(fingerprint).into_iter().flatten();
        ids.filter_map(|id| self.all.get(id)).filter(|it| it.says == Says::TruePositive)
    }
}

/// What is clearly larger or other than what was labelled; `None`: it is like it.
fn larger(seen: &Seen<'_>, now: &Like, label: &Label) -> Option<String> {
    if seen.severity > label.severity {
        return Some(format!("its severity is {} instead of {}", seen.severity, label.severity));
    }
    Seen::label(label).like().outgrown_by(now)
}

/// Whether this may be a labelled incident come again, or a larger one.
fn is_known(now: &Like, incident: &Label) -> bool {
    Seen::label(incident).like().known_in(now)
}
