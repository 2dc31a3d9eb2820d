//! What is not usual in a past: the time around other deployments, and around incidents that moved the figures that are compared.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use holdfast_core::model::{Deployment, Incident, IncidentId, Timestamp};

use super::contrast::{HISTORY_MAX, STEP};
use crate::store::{DeploymentFilter, IncidentFilter, StateReader, StoreError};

/// Before a deployment or an incident nothing is usual any more, either.
const MARGIN: Duration = Duration::from_secs(100);
/// An incident that stays open is how things are from then on.
const OPEN_MAX: Duration = Duration::from_hours(1);
/// Kinds of findings about what is compared; an account or a file moves no figure.
const MOVING: [&str; 4] = ["metric.", "resource.", "unit.", "disk."];

/// Other deployments that ran between this one's start and now.
pub(super) fn meanwhile(
    state: &StateReader,
    deployment: &Deployment,
    now: Timestamp,
) -> Result<Vec<Deployment>, StoreError> {
    let start = deployment.started_at;
    let ran = |it: &Deployment| {
        it.id != deployment.id && it.started_at <= now && it.finished_at.is_none_or(|end| end >= start)
    };
    Ok(deployments(state, start)?.into_iter().filter(ran).collect())
}

/// What was left out because of them, for people.
pub(super) fn said(others: &[Deployment]) -> String {
    match others {
        [] => String::new(),
        [one] => format!("the host and what {} deploys are left out: it ran meanwhile", one.id),
        [one, more @ ..] => {
            format!("the host and what {} and {} more deploy are left out: they ran meanwhile", one.id, more.len())
        }
    }
}

/// Stretches of the last `history` steps before the start that are not usual.
pub(super) fn left_out(
    state: &StateReader,
    deployment: &Deployment,
    history: usize,
) -> Result<Vec<Range<usize>>, StoreError> {
    let start = deployment.started_at;
    let first = start.minus(STEP.saturating_mul(history as u32));
    let place = |at: Timestamp| (at.since(first).as_secs() / STEP.as_secs()) as usize;
    let range = |from: Timestamp, to: Timestamp| place(from.minus(MARGIN))..place(to.min(start)) + 1;
    let earlier = deployments(state, start)?.into_iter().filter(|it| it.id != deployment.id && it.started_at < start);
    let mut all: Vec<Range<usize>> = earlier
        .map(|it| range(it.started_at, it.finished_at.unwrap_or(it.started_at).plus(STEP.saturating_mul(30))))
        .collect();
    let since = IncidentFilter { since: Some(begin(start)), ..IncidentFilter::default() };
    let mut incidents = state.incidents(&since)?;
    let open = state.incidents(&IncidentFilter { open_only: true, ..IncidentFilter::default() })?;
    let known: BTreeSet<IncidentId> = incidents.iter().map(|it| it.id.clone()).collect();
    incidents.extend(open.into_iter().filter(|it| !known.contains(&it.id)));
    for incident in incidents.iter().filter(|it| it.began_at < start) {
        let end = incident.resolved_at.unwrap_or_else(|| incident.began_at.plus(OPEN_MAX));
        if end >= first && moves(state, incident)? {
            all.push(range(incident.began_at, end));
        }
    }
    Ok(all)
}

/// The deployments that may reach into the past of one that started then, or beside it.
fn deployments(state: &StateReader, start: Timestamp) -> Result<Vec<Deployment>, StoreError> {
    let filter = DeploymentFilter { since: Some(begin(start)), ..DeploymentFilter::default() };
    let mut all = state.deployments(&filter)?;
    let open = state.deployments(&DeploymentFilter { open_only: true, ..DeploymentFilter::default() })?;
    all.extend(open.into_iter().filter(|it| it.started_at < begin(start)));
    Ok(all)
}

fn begin(start: Timestamp) -> Timestamp {
    start.minus(STEP.saturating_mul(HISTORY_MAX as u32))
}

fn moves(state: &StateReader, incident: &Incident) -> Result<bool, StoreError> {
    for id in &incident.findings {
        let kind = state.finding(id)?.map(|it| it.kind).unwrap_or_default();
        if MOVING.iter().any(|it| kind.starts_with(it)) {
            return Ok(true);
        }
    }
    Ok(false)
}
