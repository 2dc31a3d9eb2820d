//! Which series a deployment is judged by, and what they are set against.

use holdfast_core::model::{Deployment, Timestamp, full_unit_name};
use holdfast_core::stats::placebo::HISTORY_MIN;

use super::contrast::{CARRIED_MAX, HISTORY_MAX, filter, steps_of};
use crate::store::{SeriesFilter, StoreError, TelemetryReader};

/// Series at most: the more there are, the less each of them can say.
pub(super) const SERIES_MAX: usize = 13;
/// Units that are looked at, and siblings.
const UNITS_MAX: usize = 2;
/// Instances that are looked at for a sibling.
const CANDIDATES_MAX: usize = 8;

/// One series: its parts are added up.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) least: f64,
    /// Every start costs it.
    pub(super) settles: bool,
    /// The unit's own level, where something is taken off.
    pub(super) level: Option<f64>,
    pub(super) parts: Vec<Part>,
    /// Taken off: the same of a sibling.
    pub(super) less: Vec<Part>,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) metric: &'static str,
    pub(super) where_: Vec<(String, String)>,
}

const MIB: f64 = 1024.0 * 1024.0;
/// Of which every start costs something.
const SETTLES: [&str; 4] =
    ["holdfast.unit.cpu.time", "holdfast.unit.disk.io", "holdfast.cpu.utilization", "system.linux.pressure.stall_time"];
type Figure = (&'static str, &'static str, &'static str, f64);
/// Of a unit: what people call it, the metric, the unit, and what matters to nobody. Series of one metric are added up.
const OF_UNIT: [Figure; 4] = [
    ("CPU time", "holdfast.unit.cpu.time", "{core}", 0.05),
    ("memory", "holdfast.unit.memory.usage", "By", 16.0 * MIB),
    ("disk I/O", "holdfast.unit.disk.io", "By/s", MIB),
    ("tasks", "holdfast.unit.tasks", "{task}", 5.0),
];
/// Of the host, with the attribute that says which.
const OF_HOST: [(Figure, Option<(&str, &str)>); 4] = [
    (("the host's CPU", "holdfast.cpu.utilization", "1", 0.05), None),
    (("the host's memory", "system.memory.utilization", "1", 0.05), Some(("system.memory.state", "used"))),
    (
        ("time stalled for memory", "system.linux.pressure.stall_time", "1", 0.02),
        Some(("holdfast.pressure.resource", "memory")),
    ),
    (
        ("time stalled for I/O", "system.linux.pressure.stall_time", "1", 0.05),
        Some(("holdfast.pressure.resource", "io")),
    ),
];
/// Of the service.
const OF_SERVICE: [Figure; 3] = [
    ("latency (95 %)", "holdfast.app.latency.p95", "s", 0.005),
    ("errors", "holdfast.app.error.ratio", "1", 0.005),
    ("HTTP errors", "holdfast.app.http.error.ratio", "1", 0.005),
];

/// The series of this deployment, and the units that its own are set against. `others`: deployments that ran meanwhile, with which the
/// host has to do as well, and what they name.
pub(super) fn wanted(
    telemetry: &TelemetryReader,
    (deployment, named, others): (&Deployment, Option<&str>, &[Deployment]),
    begin: Timestamp,
) -> Result<(Vec<Wanted>, Vec<String>), StoreError> {
    let part = |metric, name: &str, value: &str| Part { metric, where_: vec![(name.to_owned(), value.to_owned())] };
    let known = telemetry.list_series(&SeriesFilter { metric: Some(OF_UNIT[1].1.to_owned()), where_: Vec::new() });
    let known: Vec<String> =
        known.iter().filter_map(|(_, key)| key.attributes.get("holdfast.unit.name").cloned()).collect();
    let own: Vec<String> = deployment.units.iter().map(|it| full_unit_name(it)).collect();
    let one = |name: String, (metric, unit, least): (&str, &'static str, f64), parts, less| Wanted {
        name,
        unit,
        least,
        settles: SETTLES.contains(&metric),
        level: None,
        parts,
        less,
    };
    let named = named.map(full_unit_name);
    let (mut all, mut siblings) = (Vec::new(), Vec::new());
    for unit in own.iter().take(UNITS_MAX) {
        let template = unit.split_once('@').map(|(base, _)| format!("{base}@"));
        let is_sibling = |other: &&String| match (&named, &template) {
            (Some(named), _) => *other == named,
            (None, Some(template)) => other.starts_with(template),
            (None, None) => false,
        };
        let left_alone = |it: &&String| !deployment.names_unit(it) && !others.iter().any(|other| other.names_unit(it));
        let mut sibling = None;
        for candidate in known.iter().filter(left_alone).filter(is_sibling).take(CANDIDATES_MAX) {
            if is_there(telemetry, &part(OF_UNIT[1].1, "holdfast.unit.name", candidate), begin)? {
                sibling = Some(candidate);
                break;
            }
        }
        siblings.extend(sibling.cloned());
        for (name, metric, measure, least) in OF_UNIT {
            let beside = sibling.map(|it| part(metric, "holdfast.unit.name", it)).into_iter().collect();
            let parts = vec![part(metric, "holdfast.unit.name", unit)];
            all.push(one(format!("{unit} {name}"), (metric, measure, least), parts, beside));
        }
    }
    for (name, metric, measure, least) in OF_SERVICE {
        let parts = vec![part(metric, "service.name", &deployment.service)];
        all.push(one(format!("{} {name}", deployment.service), (metric, measure, least), parts, Vec::new()));
    }
    for ((name, metric, measure, least), which) in OF_HOST.into_iter().filter(|_| others.is_empty()) {
        let mut where_: Vec<(String, String)> = which.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        if metric.contains("pressure") {
            where_.push(("holdfast.pressure.kind".to_owned(), "some".to_owned()));
        }
        all.push(one(name.to_owned(), (metric, measure, least), vec![Part { metric, where_ }], Vec::new()));
    }
    all.retain(|it| it.parts.iter().all(|part| !telemetry.list_series(&filter(part)).is_empty()));
    all.truncate(SERIES_MAX);
    Ok((all, siblings))
}

/// Whether a unit can stand beside another: it had values in most of the past, and to its end.
fn is_there(telemetry: &TelemetryReader, part: &Part, begin: Timestamp) -> Result<bool, StoreError> {
    let told = steps_of(telemetry, (std::slice::from_ref(part), &[]), begin, HISTORY_MAX)?;
    let lately = told[HISTORY_MAX - CARRIED_MAX..].iter().any(|it| it.is_finite());
    Ok(lately && told.iter().filter(|it| it.is_finite()).count() >= HISTORY_MIN)
}
