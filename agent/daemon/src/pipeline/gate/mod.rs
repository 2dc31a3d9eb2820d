//! `holdfast gate`: gathers what a verdict is computed from, and shows the verdict to people and pipelines.
//!
//! The verdict itself is [`holdfast_core::gate::judge`]: pure, and the same for the same inputs. What could not be read is an
//! error here and never an empty list.

mod contrast;
mod render;
mod usual;
mod wait;
mod wanted;

use std::time::Duration;

use holdfast_core::gate::{Coverage, GateInputs, GateLimits, GateReport, GateVerdict, UnitFacts};
use holdfast_core::model::{Deployment, DeploymentId, Target, Timestamp, full_unit_name};

use crate::store::{
    ChangeFilter, FindingFilter, IncidentFilter, Query, SeriesFilter, StateReader, StoreError, TelemetryReader,
};

pub use contrast::Pasts;
pub use render::{junit, markdown, progress, text};
pub use wait::{WaitOptions, wait};

/// Findings and incidents that are looked through; the verdict says so when there are more.
const DOCUMENTS_MAX: usize = 5_000;
/// Changes of one unit that are looked through, the latest.
const UNIT_CHANGES_MAX: usize = 2_000;
/// How far back telemetry counts as history of the deployment.
const HISTORY_BACK: Duration = Duration::from_mins(10);
/// How long after the finish telemetry counts as observation.
const OBSERVE_MAX: Duration = Duration::from_mins(30);
/// One of these is brought by every collection; the first that is there tells how long the agent has watched.
const PULSE: [&str; 3] = ["system.uptime", "system.memory.utilization", "system.cpu.time"];

/// What the verdict on a deployment is computed from; `None` when there is no such deployment. `sibling`: a unit that its own are compared
/// with.
pub fn collect_inputs(
    state: &StateReader,
    telemetry: &TelemetryReader,
    pasts: &Pasts,
    (id, sibling): (&DeploymentId, Option<&str>),
    now: Timestamp,
) -> Result<Option<GateInputs>, StoreError> {
    let Some(deployment) = state.deployment(id)? else { return Ok(None) };
    let start = deployment.started_at;
    let limit = DOCUMENTS_MAX;
    // What was detected before the start and is closed says nothing about this deployment.
    let mut incidents = state.incidents(&IncidentFilter { open_only: true, since: None, limit })?;
    let recent = state.incidents(&IncidentFilter { open_only: false, since: Some(start), limit })?;
    let mut complete = incidents.len() < limit && recent.len() < limit;
    incidents.retain(|open| recent.iter().all(|r| r.id != open.id));
    incidents.extend(recent);
    let mut findings = state.findings(&FindingFilter { open_only: true, limit, ..FindingFilter::default() })?;
    let recent = state.findings(&FindingFilter { since: Some(start), limit, ..FindingFilter::default() })?;
    complete &= findings.len() < limit && recent.len() < limit;
    findings.retain(|open| recent.iter().all(|r| r.id != open.id));
    findings.extend(recent);
    let units = deployment.units.iter().map(|name| unit(telemetry, name, now)).collect::<Result<_, _>>()?;
    let release_files = release_files(state, &deployment)?;
    let before = coverage(telemetry, start.minus(HISTORY_BACK), start)?;
    let after = match deployment.finished_at {
        Some(end) => coverage(telemetry, end, now.min(end.plus(OBSERVE_MAX)))?,
        None => Coverage::default(),
    };
    let limits = GateLimits::default();
    let contrast = pasts.contrast((state, telemetry), (&deployment, sibling), now)?;
    Ok(Some(GateInputs {
        deployment,
        at: now,
        limits,
        incidents,
        findings,
        units,
        release_files,
        complete,
        before,
        after,
        contrast,
    }))
}

fn unit(telemetry: &TelemetryReader, name: &str, now: Timestamp) -> Result<UnitFacts, StoreError> {
    let name = full_unit_name(name);
    let changes = telemetry.changes(&ChangeFilter {
        until: Some(now),
        kind: Some("unit.*".to_owned()),
        target: Some(Target::unit(name.clone()).to_string()),
        limit: UNIT_CHANGES_MAX,
        ..ChangeFilter::default()
    })?;
    Ok(UnitFacts { name, now: None, changes })
}

fn release_files(state: &StateReader, deployment: &Deployment) -> Result<Option<u64>, StoreError> {
    let Some(dir) = &deployment.release_dir else { return Ok(None) };
    let below = format!("{}/", dir.trim_end_matches('/'));
    let files = state.baselines()?.into_iter().filter(|file| file.state.path.starts_with(&below));
    Ok(Some(files.count() as u64))
}

fn coverage(telemetry: &TelemetryReader, since: Timestamp, until: Timestamp) -> Result<Coverage, StoreError> {
    for metric in PULSE {
        let filter = SeriesFilter { metric: Some(metric.to_owned()), where_: Vec::new() };
        if telemetry.list_series(&filter).is_empty() {
            continue;
        }
        let series = telemetry.query(&Query::raw(metric, since, until))?;
        let longest = series.into_iter().max_by_key(|s| s.points.len());
        let times: Vec<Timestamp> = longest.into_iter().flat_map(|s| s.points).map(|(at, _)| at).collect();
        return Ok(Coverage::of(&times));
    }
    Ok(Coverage::default())
}

/// What a pipeline goes by: 0 pass, 1 fail, 3 inconclusive.
pub fn exit_code(report: &GateReport) -> u8 {
    match report.verdict {
        GateVerdict::Pass => 0,
        GateVerdict::Fail => 1,
        GateVerdict::Inconclusive => 3,
    }
}

#[cfg(test)]
mod tests;
