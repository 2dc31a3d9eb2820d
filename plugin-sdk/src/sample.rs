//! What a collector measures: a value of a series, each time it is asked.

use crate::bindings::collector as wire;
use crate::bindings::host::types::Label;

/// Filled by [`Collector::collect`](crate::Collector::collect).
///
/// ```
/// use holdfast_plugin_sdk::Samples;
///
/// let mut samples = Samples::default();
/// samples.gauge("mail.queue.length", "{message}", 12.0).label("queue", "deferred");
/// samples.counter("mail.delivered", "{message}", 48_211.0);
/// assert_eq!(samples.all().len(), 2);
/// assert_eq!((samples.all()[0].name(), samples.all()[0].value()), ("mail.queue.length", 12.0));
/// ```
#[derive(Debug, Default)]
pub struct Samples(Vec<Sample>);

/// One value of one series.
///
/// ```
/// use holdfast_plugin_sdk::{Sample, Samples};
///
/// let mut samples = Samples::default();
/// let sample: &mut Sample = samples.gauge("mail.queue.length", "{message}", 12.0);
/// sample.label("queue", "deferred");
/// assert_eq!((sample.name(), sample.value(), sample.labels()), ("mail.queue.length", 12.0, vec![("queue", "deferred")]));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sample(wire::Sample);

impl Samples {
    /// A level, which goes up and down. Names are dotted words that begin with the application's own, units are those of UCUM: `s`, `By`,
    /// `1`, `{request}`.
    pub fn gauge(&mut self, name: &str, unit: &str, value: f64) -> &mut Sample {
        self.push(name, unit, wire::Instrument::Gauge, value)
    }

    /// A sum since some beginning, which only grows, or begins again.
    ///
    /// ```
    /// let mut samples = holdfast_plugin_sdk::Samples::default();
    /// samples.counter("mail.delivered", "{message}", 48_211.0);
    /// ```
    pub fn counter(&mut self, name: &str, unit: &str, value: f64) -> &mut Sample {
        self.push(name, unit, wire::Instrument::Counter, value)
    }

    /// What was added since the last time; the agent sums up.
    ///
    /// ```
    /// let mut samples = holdfast_plugin_sdk::Samples::default();
    /// samples.delta("mail.bounced", "{message}", 3.0);
    /// ```
    pub fn delta(&mut self, name: &str, unit: &str, value: f64) -> &mut Sample {
        self.push(name, unit, wire::Instrument::Delta, value)
    }

    fn push(&mut self, name: &str, unit: &str, instrument: wire::Instrument, value: f64) -> &mut Sample {
        let at = self.0.len();
        let (name, unit) = (name.to_owned(), unit.to_owned());
        self.0.push(Sample(wire::Sample { name, unit, instrument, value, labels: vec![], at: None }));
        &mut self.0[at]
    }

    /// What was measured so far.
    pub fn all(&self) -> &[Sample] {
        &self.0
    }

    #[doc(hidden)]
    pub fn into_wire(self) -> Vec<wire::Sample> {
        self.0.into_iter().map(|it| it.0).collect()
    }
}

impl Sample {
    /// What tells this series from others of its name. A label that is there already is replaced.
    ///
    /// ```
    /// let mut samples = holdfast_plugin_sdk::Samples::default();
    /// let sample = samples.gauge("mail.queue.length", "{message}", 12.0).label("queue", "active").label("queue", "deferred");
    /// assert_eq!(sample.labels(), [("queue", "deferred")]);
    /// ```
    pub fn label(&mut self, key: &str, value: &str) -> &mut Self {
        self.0.labels.retain(|label| label.key != key);
        self.0.labels.push(Label { key: key.to_owned(), value: value.to_owned() });
        self
    }

    /// When it was so, in nanoseconds since the epoch, at most a minute ago. Without it: now.
    ///
    /// ```
    /// let mut samples = holdfast_plugin_sdk::Samples::default();
    /// samples.gauge("mail.queue.length", "{message}", 12.0).at(1_800_000_000_000_000_000);
    /// ```
    pub fn at(&mut self, ns: u64) -> &mut Self {
        self.0.at = Some(ns);
        self
    }

    /// The metric.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The value.
    pub fn value(&self) -> f64 {
        self.0.value
    }

    /// Its labels, in the order in which they were put.
    pub fn labels(&self) -> Vec<(&str, &str)> {
        self.0.labels.iter().map(|label| (label.key.as_str(), label.value.as_str())).collect()
    }
}
