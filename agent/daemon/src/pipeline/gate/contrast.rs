//! Series of a deployment's units and of the host, before the start and since the finish, in steps.
//!
//! Bounded: at most [`SERIES_MAX`] series of [`HISTORY_MAX`] steps. The past of a deployment does not change, so it is read and weighed
//! once, and kept for the next question about it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::gate::{Contrast, ContrastSeries, span};
use holdfast_core::model::{Deployment, DeploymentId, MetricKind, Timestamp};
use holdfast_core::stats::placebo::{GAP_MAX, HISTORY_MIN, LOOKS_MAX, Placebo};

use crate::store::{
    Agg, DeploymentFilter, IncidentFilter, Query, SeriesFilter, StateReader, StoreError, TelemetryReader,
};

/// As often as units are read.
const STEP: Duration = Duration::from_secs(10);
/// Steps of the past at most: most of a day.
const HISTORY_MAX: usize = 8_000;
/// Series at most: the more there are, the less each of them can say.
const SERIES_MAX: usize = 13;
/// Units that are looked at, and siblings.
const UNITS_MAX: usize = 2;
/// Steps that are carried over a hole.
const CARRIED_MAX: usize = 6;
/// The past of so many deployments is kept.
const KEPT_MAX: usize = 4;
/// Before a deployment or an incident nothing is usual any more, either.
const MARGIN: Duration = Duration::from_secs(100);

/// One series: its parts are added up.
#[derive(Debug, Clone)]
struct Wanted {
    name: String,
    unit: &'static str,
    least: f64,
    parts: Vec<Part>,
    /// Taken off: the same of a sibling.
    less: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    metric: &'static str,
    where_: Vec<(String, String)>,
}

const MIB: f64 = 1024.0 * 1024.0;
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

/// The past of the deployments that were asked about last.
#[derive(Debug, Default)]
pub struct Pasts(Mutex<Vec<(Asked, Arc<Past>)>>);

/// Which deployment, when it finished, and which sibling was named.
type Asked = (DeploymentId, Timestamp, Option<String>);

#[derive(Debug)]
struct Past {
    wanted: Vec<Wanted>,
    siblings: Vec<String>,
    history: usize,
    placebo: Option<Placebo>,
    why: String,
}

impl Pasts {
    /// What is to be compared for this deployment; `None` when no series is there, or it has not finished.
    pub(super) fn contrast(
        &self,
        (state, telemetry): (&StateReader, &TelemetryReader),
        (deployment, sibling): (&Deployment, Option<&str>),
        now: Timestamp,
    ) -> Result<Option<Contrast>, StoreError> {
        let Some(finish) = deployment.finished_at else { return Ok(None) };
        let asked: Asked = (deployment.id.clone(), finish, sibling.map(str::to_owned));
        let known = |all: &Vec<(Asked, Arc<Past>)>| all.iter().find(|it| it.0 == asked).map(|it| Arc::clone(&it.1));
        let found = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let past = if let Some(past) = found {
            past
        } else {
            // Without the lock: other questions need not wait.
            let past = Arc::new(past(state, telemetry, (deployment, sibling), finish)?);
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|it| it.0 != asked);
            if all.len() >= KEPT_MAX {
                all.remove(0);
            }
            all.push((asked, Arc::clone(&past)));
            past
        };
        if past.wanted.is_empty() && past.why.is_empty() {
            return Ok(None);
        }
        let steps = (now.since(finish).as_secs() / STEP.as_secs()).min(LOOKS_MAX as u64) as usize;
        let mut series = Vec::with_capacity(past.wanted.len());
        for wanted in past.wanted.iter().filter(|_| past.placebo.is_some()) {
            let told = steps_of(telemetry, wanted, finish, steps)?;
            let after = carried(&told).map(|(values, _)| values).unwrap_or_default();
            series.push(ContrastSeries {
                name: wanted.name.clone(),
                unit: wanted.unit.to_owned(),
                least: wanted.least,
                after,
            });
        }
        Ok(Some(Contrast {
            step: STEP,
            history: past.history,
            siblings: past.siblings.clone(),
            series,
            placebo: past.placebo.clone(),
            why: past.why.clone(),
        }))
    }
}

fn past(
    state: &StateReader,
    telemetry: &TelemetryReader,
    (deployment, sibling): (&Deployment, Option<&str>),
    finish: Timestamp,
) -> Result<Past, StoreError> {
    let (start, long) = (deployment.started_at, STEP.saturating_mul(HISTORY_MAX as u32));
    let begin = start.minus(long);
    let (all, siblings) = wanted(telemetry, deployment, sibling);
    let any = !all.is_empty();
    let mut kept = Vec::new();
    let mut histories: Vec<Vec<f64>> = Vec::new();
    let (mut longest, mut holes) = (0, Vec::new());
    for one in all {
        let told = steps_of(telemetry, &one, begin, HISTORY_MAX)?;
        let Some((values, missing)) = carried(&told) else { continue };
        longest = longest.max(values.len());
        // A series that was often not there says little of what is usual.
        if values.len() < HISTORY_MIN || missing.iter().map(std::ops::Range::len).sum::<usize>() > values.len() / 20 {
            continue;
        }
        holes.extend(missing.into_iter().map(|it| (it.start + HISTORY_MAX - values.len(), it.len())));
        histories.push(values);
        kept.push(one);
    }
    let history = histories.iter().map(Vec::len).min().unwrap_or(longest);
    let mut past = Past { wanted: kept, siblings, history, placebo: None, why: String::new() };
    if let Some(named) = sibling.filter(|_| past.siblings.is_empty()) {
        past.why = format!("nothing is stored of {named}, which the units were to be compared with");
        return Ok(past);
    }
    if !any {
        return Ok(past);
    }
    if histories.is_empty() {
        let steps = |count: usize| span(STEP.saturating_mul(count as u32));
        past.why = format!(
            "{} of series before the start; a contrast with their past wants {}",
            steps(longest),
            steps(HISTORY_MIN)
        );
        return Ok(past);
    }
    let gap = finish.since(start).as_secs().div_ceil(STEP.as_secs()) as usize;
    if gap > GAP_MAX {
        past.why =
            format!("the deployment took {}: too long for before and after to be compared", span(finish.since(start)));
        return Ok(past);
    }
    // In steps of the histories, which all end at the start and have one length.
    let first = start.minus(STEP.saturating_mul(history as u32));
    let place = |at: Timestamp| (at.since(first).as_secs() / STEP.as_secs()) as usize;
    let range = |from: Timestamp, to: Timestamp| place(from.minus(MARGIN))..place(to) + 1;
    let earlier = state.deployments(&DeploymentFilter { since: Some(begin), ..DeploymentFilter::default() })?;
    let incidents = state.incidents(&IncidentFilter { since: Some(begin), ..IncidentFilter::default() })?;
    let mut left_out: Vec<_> = earlier
        .iter()
        .filter(|it| it.id != deployment.id && it.started_at < start)
        .map(|it| range(it.started_at, it.finished_at.unwrap_or(it.started_at).plus(STEP.saturating_mul(30))))
        .collect();
    let before = incidents.iter().filter(|it| it.began_at < start);
    left_out.extend(before.map(|it| range(it.began_at, it.resolved_at.unwrap_or(start).min(start))));
    let cut = HISTORY_MAX - history;
    left_out.extend(holes.iter().map(|(at, length)| at.saturating_sub(cut)..(at + length).saturating_sub(cut)));
    let histories: Vec<&[f64]> = histories.iter().map(|it| &it[it.len() - history..]).collect();
    past.placebo = Placebo::of(&histories, gap, &left_out);
    if past.placebo.is_none() {
        past.why =
            String::from("too much of the past lies near deployments, incidents and silences to say what is usual");
    }
    Ok(past)
}

/// The series of this deployment, and the units that its own are set against.
fn wanted(telemetry: &TelemetryReader, deployment: &Deployment, named: Option<&str>) -> (Vec<Wanted>, Vec<String>) {
    let part = |metric, name: &str, value: &str| Part { metric, where_: vec![(name.to_owned(), value.to_owned())] };
    let known = telemetry.list_series(&SeriesFilter { metric: Some(OF_UNIT[1].1.to_owned()), where_: Vec::new() });
    let known: Vec<String> =
        known.iter().filter_map(|(_, key)| key.attributes.get("holdfast.unit.name").cloned()).collect();
    let full = |name: &String| if name.contains('.') { name.clone() } else { format!("{name}.service") };
    let own: Vec<String> = deployment.units.iter().map(full).collect();
    let (mut all, mut siblings) = (Vec::new(), Vec::new());
    for unit in own.iter().take(UNITS_MAX) {
        let template = unit.split_once('@').map(|(base, _)| format!("{base}@"));
        let named = named.map(|it| full(&it.to_owned()));
        let is_sibling = |other: &&String| match (&named, &template) {
            (Some(named), _) => *other == named,
            (None, Some(template)) => other.starts_with(template),
            (None, None) => false,
        };
        let sibling = known.iter().filter(|it| !own.contains(it)).find(is_sibling);
        siblings.extend(sibling.cloned());
        for (name, metric, measure, least) in OF_UNIT {
            let beside = sibling.map(|it| part(metric, "holdfast.unit.name", it));
            all.push(Wanted {
                name: format!("{unit} {name}"),
                unit: measure,
                least,
                parts: vec![part(metric, "holdfast.unit.name", unit)],
                less: beside.into_iter().collect(),
            });
        }
    }
    for (name, metric, measure, least) in OF_SERVICE {
        let parts = vec![part(metric, "service.name", &deployment.service)];
        let name = format!("{} {name}", deployment.service);
        all.push(Wanted { name, unit: measure, least, parts, less: Vec::new() });
    }
    for ((name, metric, measure, least), which) in OF_HOST {
        let mut where_: Vec<(String, String)> = which.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        if metric.contains("pressure") {
            where_.push(("holdfast.pressure.kind".to_owned(), "some".to_owned()));
        }
        let parts = vec![Part { metric, where_ }];
        all.push(Wanted { name: name.to_owned(), unit: measure, least, parts, less: Vec::new() });
    }
    all.retain(|it| it.parts.iter().all(|part| !telemetry.list_series(&filter(part)).is_empty()));
    all.truncate(SERIES_MAX);
    (all, siblings)
}

fn filter(part: &Part) -> SeriesFilter {
    SeriesFilter { metric: Some(part.metric.to_owned()), where_: part.where_.clone() }
}

/// The values of so many steps from a moment on; what is missing is NaN.
fn steps_of(
    telemetry: &TelemetryReader,
    wanted: &Wanted,
    from: Timestamp,
    steps: usize,
) -> Result<Vec<f64>, StoreError> {
    let mut sum = vec![0.0; steps];
    for (part, sign) in wanted.parts.iter().map(|it| (it, 1.0)).chain(wanted.less.iter().map(|it| (it, -1.0))) {
        let counter = telemetry.list_series(&filter(part)).iter().any(|it| it.1.kind == MetricKind::Counter);
        let query = Query {
            metric: part.metric.to_owned(),
            where_: part.where_.clone(),
            since: from,
            until: from.plus(STEP.saturating_mul(steps as u32)).minus(Duration::from_nanos(1)),
            step: Some(STEP),
            origin: from,
            agg: if counter { Agg::Rate } else { Agg::Avg },
            limit: steps,
        };
        let mut one = vec![f64::NAN; steps];
        for series in telemetry.query(&query)? {
            for (at, value) in series.points {
                let place = (at.since(from).as_nanos() / STEP.as_nanos()) as usize;
                if let Some(it) = one.get_mut(place) {
                    *it = if it.is_nan() { value } else { *it + value };
                }
            }
        }
        sum.iter_mut().zip(one).for_each(|(sum, it)| *sum += sign * it);
    }
    Ok(sum)
}

/// From the first value on, holes filled with what was before them; longer holes are told. `None`: no value at all.
fn carried(told: &[f64]) -> Option<(Vec<f64>, Vec<std::ops::Range<usize>>)> {
    let first = told.iter().position(|it| it.is_finite())?;
    let (mut values, mut holes, mut begun) = (Vec::with_capacity(told.len() - first), Vec::new(), None);
    for (index, value) in told[first..].iter().enumerate() {
        let last = values.last().copied().unwrap_or(*value);
        values.push(if value.is_finite() { *value } else { last });
        match (value.is_finite(), begun) {
            (false, None) => begun = Some(index),
            (true, Some(from)) => {
                if index - from > CARRIED_MAX {
                    holes.push(from..index);
                }
                begun = None;
            }
            _ => {}
        }
    }
    // What is missing at the end was never there.
    if let Some(from) = begun {
        values.truncate(from);
    }
    Some((values, holes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_holes_are_filled_long_ones_told_and_what_is_missing_at_the_end_is_not_made_up() {
        let nan = f64::NAN;
        assert_eq!(carried(&[nan, nan]), None);
        assert_eq!(carried(&[nan, 1.0, nan, 2.0, nan]), Some((vec![1.0, 1.0, 2.0], vec![])));
        let mut long = vec![5.0];
        long.extend([nan; 7]);
        long.push(6.0);
        let (values, holes) = carried(&long).unwrap();
        assert_eq!((values.len(), holes.len(), holes[0].clone()), (9, 1, 1..8));
    }
}
