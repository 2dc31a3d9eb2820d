//! The host's own series.

use crate::Error;
use crate::bindings::host::metrics as wire;
use crate::bindings::host::types::Label;

pub use wire::{Point, Series};

/// Raw points of a metric, of all series with these attributes, between two moments (nanoseconds since the epoch).
pub fn query(name: &str, attributes: &[(&str, &str)], start_ns: u64, end_ns: u64) -> Result<Vec<Series>, Error> {
    query_stepped(name, attributes, start_ns, end_ns, 0)
}

/// As [`query`], with one point for each step (nanoseconds; 0: raw points): the last of those in it, at the step's beginning.
pub fn query_stepped(
    name: &str,
    attributes: &[(&str, &str)],
    start_ns: u64,
    end_ns: u64,
    step_ns: u64,
) -> Result<Vec<Series>, Error> {
    let labels = attributes.iter().map(|(k, v)| Label { key: (*k).to_owned(), value: (*v).to_owned() }).collect();
    wire::query(&wire::Selector { name: name.to_owned(), labels, start: start_ns, end: end_ns, step: step_ns })
}

/// An attribute of a series.
pub fn attribute<'s>(series: &'s Series, key: &str) -> Option<&'s str> {
    series.labels.iter().find(|label| label.key == key).map(|label| label.value.as_str())
}

/// The newest value of a series.
pub fn newest(series: &Series) -> Option<f64> {
    series.points.iter().max_by_key(|point| point.at).map(|point| point.value)
}
