//! What a collector measured, checked, in the words of the core.

use std::collections::BTreeSet;

use holdfast_core::model::{Attributes, MetricKind, SeriesKey, Timestamp};

use crate::bindings::collector::{Instrument, Sample};
use crate::grant::Effective;
use crate::guest::{one_line, word};
use crate::limits::SAMPLES_MAX;
use crate::plugin::Run;

/// Attributes of one sample.
const LABELS_MAX: usize = 16;
/// Bytes of a unit, and of an attribute's value.
const UNIT_BYTES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 256;
/// What names the plugin on each of its series.
const PLUGIN: &str = "holdfast.plugin.id";
/// The host's own series are nobody else's: detectors believe them.
const OWN: [&str; 8] = ["system.", "process.", "holdfast.", "container.", "k8s.", "host.", "hw.", "os."];

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collects {
    /// A level, or a sum since some beginning.
    Value,
    /// What was added since the sample before.
    Delta,
}

/// One value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectedSample {
    /// The series; `holdfast.plugin.id` is among its attributes.
    pub key: SeriesKey,
    /// What the value is.
    pub collects: Collects,
    /// A finite number.
    pub value: f64,
    /// When it was so.
    pub at: Timestamp,
}

/// All of them, or what is wrong with one: a plugin that sends nonsense is told so, and nothing of that call is kept.
pub(crate) fn samples(effective: &Effective, run: &Run, samples: &[Sample]) -> Result<Vec<CollectedSample>, String> {
    if samples.len() > SAMPLES_MAX {
        return Err(format!("{} samples; {SAMPLES_MAX} are allowed", samples.len()));
    }
    let mut seen = BTreeSet::new();
    let mut all = Vec::with_capacity(samples.len());
    for it in samples {
        let it = sample(effective, run, it)?;
        if !seen.insert(it.key.clone()) {
            return Err(format!("two samples of one series of `{}`", it.key.metric));
        }
        all.push(it);
    }
    Ok(all)
}

fn sample(effective: &Effective, run: &Run, sample: &Sample) -> Result<CollectedSample, String> {
    let name = word("a sample's name", &sample.name)?;
    if let Some(own) = OWN.iter().find(|own| name.starts_with(**own)) {
        return Err(format!(
            "sample `{name}`: names that begin with `{own}` are the agent's own; use the application's"
        ));
    }
    if sample.unit.len() > UNIT_BYTES_MAX || !sample.unit.bytes().all(|b| b.is_ascii_graphic()) {
        let unit = one_line(&sample.unit, UNIT_BYTES_MAX);
        return Err(format!(
            "sample `{name}`: the unit is `{unit}`; write one of UCUM, such as `s`, `By` or `{{request}}`"
        ));
    }
    if !sample.value.is_finite() {
        return Err(format!("sample `{name}`: the value is {}, which is no number", sample.value));
    }
    let (kind, collects) = match sample.instrument {
        Instrument::Gauge => (MetricKind::Gauge, Collects::Value),
        Instrument::Counter => (MetricKind::Counter, Collects::Value),
        Instrument::Delta => (MetricKind::Counter, Collects::Delta),
    };
    if kind == MetricKind::Counter && sample.value < 0.0 {
        return Err(format!("sample `{name}`: a counter is {}, and never below zero", sample.value));
    }
    if sample.labels.len() > LABELS_MAX {
        return Err(format!("sample `{name}`: {} labels; {LABELS_MAX} are allowed", sample.labels.len()));
    }
    let mut attributes = Attributes::new();
    for label in &sample.labels {
        let key = word(&format!("a label of sample `{name}`"), &label.key)?;
        if key.starts_with("holdfast.") {
            return Err(format!("sample `{name}`: label `{key}` is the agent's own"));
        }
        if label.value.len() > VALUE_BYTES_MAX || label.value.contains(char::is_control) {
            return Err(format!(
                "sample `{name}`: label `{key}` has more than {VALUE_BYTES_MAX} bytes or control characters"
            ));
        }
        if attributes.insert(key.clone(), label.value.clone()).is_some() {
            return Err(format!("sample `{name}`: label `{key}` is there twice"));
        }
    }
    attributes.insert(PLUGIN.to_owned(), effective.manifest.id.clone());
    let at = sample.at.and_then(|ns| i64::try_from(ns).ok()).map_or(run.at, Timestamp::from_ns);
    Ok(CollectedSample {
        key: SeriesKey { metric: name, unit: sample.unit.clone(), kind, attributes },
        collects,
        value: sample.value,
        at,
    })
}
