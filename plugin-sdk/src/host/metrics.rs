//! The host's own series.

use crate::Error;
use crate::bindings::host::metrics as wire;
use crate::bindings::host::types::Label;

pub use wire::{Point, Series};

/// Raw points of a metric, of all series with these attributes, between two moments (nanoseconds since the epoch).
///
/// ```
/// use holdfast_plugin_sdk::host::metrics::{self, Point, Series};
/// use holdfast_plugin_sdk::Error;
///
/// /// Pure: the share of points above a limit.
/// fn above(series: &Series, limit: f64) -> f64 {
///     series.points.iter().filter(|it| it.value > limit).count() as f64 / series.points.len().max(1) as f64
/// }
///
/// fn busy(now_ns: u64) -> Result<Vec<f64>, Error> {
///     let hour = now_ns.saturating_sub(3_600_000_000_000);
///     let found = metrics::query("system.cpu.utilization", &[("state", "user")], hour, now_ns)?; // asks the host
///     Ok(found.iter().map(|it| above(it, 0.9)).collect())
/// }
///
/// let points = vec![Point { at: 1, value: 0.5 }, Point { at: 2, value: 0.95 }];
/// let series = Series { name: "x".into(), labels: vec![], points, truncated: false };
/// assert_eq!((above(&series, 0.9), metrics::newest(&series), metrics::attribute(&series, "state")), (0.5, Some(0.95), None));
/// # let _ = busy;
/// ```
pub fn query(name: &str, attributes: &[(&str, &str)], start_ns: u64, end_ns: u64) -> Result<Vec<Series>, Error> {
    query_stepped(name, attributes, start_ns, end_ns, 0)
}

/// As [`query`], with one point for each step (nanoseconds; 0: raw points): the last of those in it, at the step's beginning.
///
/// ```
/// use holdfast_plugin_sdk::host::metrics::{self, Series};
/// use holdfast_plugin_sdk::Error;
///
/// /// A week, one point an hour: 168 of them instead of some 600 000.
/// fn week(now_ns: u64) -> Result<Vec<Series>, Error> {
///     let hour = 3_600_000_000_000;
///     metrics::query_stepped("system.memory.usage", &[], now_ns.saturating_sub(168 * hour), now_ns, hour)
/// }
/// # let _ = week; // asks the host
/// ```
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
