//! What a detector found unusual, checked, in the words of the core; and what it is handed.

use std::collections::BTreeSet;

use holdfast_core::model::{Class, Detection, Evidence, Method, Presence, Severity, Timestamp};

use crate::bindings::detector::Anomaly;
use crate::bindings::metrics;
use crate::grant::Effective;
use crate::guest::{confidence, evidence, line, target, word};
use crate::limits::FINDINGS_MAX;
use crate::plugin::Run;
use crate::report::CheckReport;
use crate::services::{Answer, Room};

/// Points of one series of a window.
const POINTS_MAX: u64 = 1_000;

/// The one rule of a detector: `anomaly.queue-watch`.
fn rule(effective: &Effective) -> String {
    format!("anomaly.{}", effective.manifest.id)
}

/// Anomalies as a check's report: what was not named again is gone.
pub(crate) fn report(
    effective: &Effective,
    (run, answered): (&Run, Timestamp),
    anomalies: &[Anomaly],
) -> Result<CheckReport, String> {
    if anomalies.len() > FINDINGS_MAX {
        return Err(format!("{} anomalies; {FINDINGS_MAX} are allowed", anomalies.len()));
    }
    let mut seen = BTreeSet::new();
    let mut detections = Vec::with_capacity(anomalies.len());
    for anomaly in anomalies {
        let detection = detection(effective, (run, answered), anomaly)?;
        if !seen.insert(detection.fingerprint()) {
            return Err(format!("two anomalies have the same subject and id `{}`", detection.discriminator));
        }
        detections.push(detection);
    }
    Ok(CheckReport { detections, evaluated: vec![rule(effective)], skipped: Vec::new() })
}

fn detection(
    effective: &Effective,
    (run, answered): (&Run, Timestamp),
    anomaly: &Anomaly,
) -> Result<Detection, String> {
    let id = word("an anomaly's id", &anomaly.id)?;
    let name = |field: &str| format!("anomaly `{id}`: {field}");
    let mut proof = evidence(&name("evidence"), &anomaly.evidence)?;
    let mut number = |key: &str, value: f64| {
        if !value.is_finite() {
            return Err(format!("{} is {value}, which is no number", name(key)));
        }
        proof.push(Evidence::new(key, value));
        Ok(())
    };
    number("score", anomaly.score)?;
    if let Some((low, high)) = anomaly.expected {
        number("expected.low", low)?;
        number("expected.high", high)?;
        if low > high {
            return Err(format!("{} is from {low} to {high}", name("expected")));
        }
    }
    let began = i64::try_from(anomaly.at).map_or(run.at, Timestamp::from_ns);
    if began > answered {
        return Err(format!("{} lies after the call", name("at")));
    }
    Ok(Detection {
        kind: rule(effective),
        class: Class::Reliability,
        target: target(&name("subject"), &anomaly.subject)?,
        presence: Presence::Present,
        title: line(&name("explanation"), &anomaly.explanation)?,
        // The contract gives anomalies no severity: what one does about them is the operator's policy.
        severity: Severity::Medium,
        confidence: confidence(&name("confidence"), anomaly.confidence)?,
        method: Method { name: format!("plugin:{}", effective.manifest.id), version: effective.manifest.major() },
        evidence: proof,
        // "Now" is a moment of the call, and what it says is said of its beginning.
        began_at: began.min(run.at),
        cause: None,
        discriminator: id,
    })
}

impl Room {
    /// The series that the manifest names, from the window's beginning to `until`, with a point for each of at most [`POINTS_MAX`] steps:
    /// asked for at the one door, as the plugin's own questions are.
    pub(crate) fn window(&mut self, until: Timestamp) -> Answer<Vec<metrics::Series>> {
        let detects = self.effective.manifest.detects.clone();
        let ns = |at: Timestamp| u64::try_from(at.ns()).unwrap_or(0);
        let step_s = detects.window.0.as_secs().div_ceil(POINTS_MAX);
        let mut all = Vec::new();
        for name in detects.metrics {
            let selector = metrics::Selector {
                name,
                labels: Vec::new(),
                start: ns(until.minus(detects.window.0)),
                end: ns(until),
                // Every sample where that is few enough.
                step: if step_s > 1 { step_s * 1_000_000_000 } else { 0 },
            };
            match metrics::Host::query(self, selector)? {
                Ok(found) => all.extend(found),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(all))
    }
}
