//! What a detector finds unusual about the series that it was handed.

use crate::bindings::detector as wire;
use crate::text::{line, plain};
use crate::{Evidence, Subject};

/// One unusual thing about one subject. It becomes a finding of the kind `anomaly.PLUGIN`, which closes when a later call names it no more.
///
/// ```
/// use holdfast_plugin_sdk::{Anomaly, evidence, subject};
///
/// let anomaly = Anomaly::new("backlog", subject("service", "mail"), "mail has 900 messages waiting, 20 to 60 are usual")
///     .expected(20.0, 60.0)
///     .score(14.0)
///     .confidence(0.8)
///     .since(1_800_000_000_000_000_000)
///     .evidence(evidence("queue", "deferred"));
/// assert_eq!((anomaly.id(), anomaly.explanation()), ("backlog", "mail has 900 messages waiting, 20 to 60 are usual"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly(wire::Anomaly);

impl Anomaly {
    /// `id` tells two anomalies of one subject apart and must be the same at every call: a short word of letters, digits and `._-:/@+`.
    /// Score and confidence are 1 until stated, and it began now.
    pub fn new(id: &str, subject: Subject, explanation: &str) -> Self {
        let subject = Subject { kind: subject.kind, name: plain(&subject.name, crate::text::NAME_BYTES_MAX) };
        Self(wire::Anomaly {
            id: id.to_owned(),
            at: 0,
            subject,
            score: 1.0,
            confidence: 1.0,
            expected: None,
            explanation: line(explanation),
            evidence: vec![],
        })
    }

    /// How far from usual, in the detector's own measure.
    #[must_use]
    pub fn score(mut self, score: f64) -> Self {
        self.0.score = score;
        self
    }

    /// How likely true, 0 to 1.
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.0.confidence = confidence.clamp(0.0, 1.0);
        self
    }

    /// From where to where it would be usual.
    #[must_use]
    pub fn expected(mut self, low: f64, high: f64) -> Self {
        self.0.expected = Some((low, high));
        self
    }

    /// Since when, in nanoseconds since the epoch.
    #[must_use]
    pub fn since(mut self, ns: u64) -> Self {
        self.0.at = ns;
        self
    }

    /// A fact that it rests on.
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        self.0.evidence.push(evidence);
        self
    }

    /// What tells it from others of its subject.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The words for people.
    pub fn explanation(&self) -> &str {
        &self.0.explanation
    }

    #[doc(hidden)]
    pub fn into_wire(mut self, now_ns: u64) -> wire::Anomaly {
        if self.0.at == 0 {
            self.0.at = now_ns;
        }
        self.0
    }
}
