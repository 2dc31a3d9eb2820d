//! Series of a deployment's units and of the host, before the start and since the finish, in steps.
//!
//! Bounded: at most [`SERIES_MAX`](super::wanted::SERIES_MAX) series of [`HISTORY_MAX`] steps. The past of a deployment does not change, so it is read and weighed
//! once, and kept for the next question about it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::gate::{Contrast, ContrastSeries, SETTLING, span};
use holdfast_core::model::{Deployment, DeploymentId, MetricKind, Timestamp, full_unit_name};
use holdfast_core::stats::placebo::{GAP_MAX, HISTORY_MIN, LOOKS_MAX, Placebo};
use holdfast_core::stats::robust::median;

use super::usual;
use super::wanted::{Part, Wanted, wanted};
use crate::store::{Agg, Query, SeriesFilter, StateReader, StoreError, TelemetryReader};

/// As often as units are read.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// Steps of the past at most: most of a day.
pub(super) const HISTORY_MAX: usize = 8_000;
/// Steps that are carried over a hole.
pub(super) const CARRIED_MAX: usize = 6;
/// Steps before the start that a unit's own level is taken of.
const LEVEL_STEPS: usize = 10;
/// The past of so many deployments is kept.
const KEPT_MAX: usize = 4;
/// The past of the deployments that were asked about last.
#[derive(Debug, Default)]
pub struct Pasts(Mutex<Vec<(Asked, Arc<Past>)>>);

/// Which deployment, when it finished, which sibling was named, and which deployments ran meanwhile.
type Asked = (DeploymentId, Timestamp, Option<String>, Vec<DeploymentId>);

#[derive(Debug)]
struct Past {
    wanted: Vec<Wanted>,
    siblings: Vec<String>,
    history: usize,
    placebo: Option<Placebo>,
    why: String,
    left_out: String,
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
        let others = usual::meanwhile(state, deployment, now)?;
        let ids = others.iter().map(|it| it.id.clone()).collect();
        let asked: Asked = (deployment.id.clone(), finish, sibling.map(str::to_owned), ids);
        let known = |all: &Vec<(Asked, Arc<Past>)>| all.iter().find(|it| it.0 == asked).map(|it| Arc::clone(&it.1));
        let found = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let past = if let Some(past) = found {
            past
        } else {
            // Without the lock: other questions need not wait.
            let past = Arc::new(past(state, telemetry, (deployment, sibling, &others), finish)?);
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
            let told = steps_of(telemetry, (&wanted.parts, &wanted.less), finish, steps)?;
            let after = carried(&told).map(|(values, _)| values).unwrap_or_default();
            series.push(ContrastSeries {
                name: wanted.name.clone(),
                unit: wanted.unit.to_owned(),
                least: wanted.least,
                level: wanted.level,
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
            left_out: past.left_out.clone(),
        }))
    }
}

fn past(
    state: &StateReader,
    telemetry: &TelemetryReader,
    (deployment, sibling, others): (&Deployment, Option<&str>, &[Deployment]),
    finish: Timestamp,
) -> Result<Past, StoreError> {
    let (start, long) = (deployment.started_at, STEP.saturating_mul(HISTORY_MAX as u32));
    let begin = start.minus(long);
    let (mut all, siblings) = wanted(telemetry, (deployment, sibling, others), begin)?;
    for one in &mut all {
        one.level = level(telemetry, one, start)?;
    }
    let any = !all.is_empty();
    let mut kept = Vec::new();
    let mut histories: Vec<Vec<f64>> = Vec::new();
    let (mut longest, mut holes) = (0, Vec::new());
    for one in all {
        let told = steps_of(telemetry, (&one.parts, &one.less), begin, HISTORY_MAX)?;
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
    let mut past =
        Past { wanted: kept, siblings, history, placebo: None, why: String::new(), left_out: usual::said(others) };
    if let Some(named) = sibling.filter(|_| past.siblings.is_empty()) {
        past.why = if others.iter().any(|it| it.names_unit(&full_unit_name(named))) {
            format!("{named}, which the units were to be compared with, was deployed meanwhile")
        } else {
            format!("too little is stored of {named}, which the units were to be compared with")
        };
        return Ok(past);
    }
    if !any {
        past.why.clone_from(&past.left_out);
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
    let mut left_out = usual::left_out(state, deployment, history)?;
    let cut = HISTORY_MAX - history;
    left_out.extend(holes.iter().map(|(at, length)| at.saturating_sub(cut)..(at + length).saturating_sub(cut)));
    let settling = past.wanted.iter().map(|it| if it.settles { SETTLING } else { 0 });
    let histories: Vec<(&[f64], usize)> = histories.iter().map(|it| &it[it.len() - history..]).zip(settling).collect();
    past.placebo = Placebo::settling(&histories, gap, &left_out);
    if past.placebo.is_none() {
        past.why =
            String::from("too much of the past lies near deployments, incidents and silences to say what is usual");
    }
    Ok(past)
}

pub(super) fn filter(part: &Part) -> SeriesFilter {
    SeriesFilter { metric: Some(part.metric.to_owned()), where_: part.where_.clone() }
}

/// Of a series that is set against a sibling's: where it lay itself before the start.
fn level(telemetry: &TelemetryReader, wanted: &Wanted, start: Timestamp) -> Result<Option<f64>, StoreError> {
    if wanted.less.is_empty() {
        return Ok(None);
    }
    let from = start.minus(STEP.saturating_mul(LEVEL_STEPS as u32));
    let mut values = steps_of(telemetry, (&wanted.parts, &[]), from, LEVEL_STEPS)?;
    values.retain(|it| it.is_finite());
    Ok(median(&mut values))
}

/// The values of so many steps from a moment on; what is missing is NaN.
pub(super) fn steps_of(
    telemetry: &TelemetryReader,
    (parts, less): (&[Part], &[Part]),
    from: Timestamp,
    steps: usize,
) -> Result<Vec<f64>, StoreError> {
    let mut sum = vec![0.0; steps];
    for (part, sign) in parts.iter().map(|it| (it, 1.0)).chain(less.iter().map(|it| (it, -1.0))) {
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
