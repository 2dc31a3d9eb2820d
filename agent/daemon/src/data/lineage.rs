//! `data lineage`: from a finding back to the rows and rules that it and what followed rest on.

use std::time::Duration;

use holdfast_core::model::{
    Attributes, Change, Decision, DecisionId, Finding, Method, PlanDigest, RemediationId, SeriesKey, Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::store::{
    BaselineFile, ChangeFilter, DecisionFilter, Query, RemediationFilter, SeriesFilter, StateReader, StoreError,
    TelemetryReader, VERSIONS_READ_MAX,
};

/// Samples before the symptom that are named: what a baseline of the last hour rests on.
const BEFORE: Duration = Duration::from_hours(1);
/// Changes about the target that are named.
const CHANGES_BEFORE: Duration = Duration::from_hours(24);
/// Documents of one kind.
const DOCUMENTS_MAX: usize = 200;

/// Stored rows of one series that a finding rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The series' number in `telemetry.db`.
    pub series: u32,
    /// The metric.
    pub metric: String,
    /// What distinguishes it.
    pub attributes: Attributes,
    /// From here on.
    pub from: Timestamp,
    /// Up to and with here.
    pub until: Timestamp,
    /// Samples held within.
    pub samples: usize,
    /// When none is held any more: they were older than the store keeps.
    pub gone: bool,
}

/// What policy said, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionStep {
    /// The decision; `holdfast policy explain ID` shows the whole of it.
    pub id: DecisionId,
    /// When.
    pub at: Timestamp,
    /// The rule.
    pub rule: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// SHA-256 of the policy that was in force.
    pub policy_digest: String,
    /// The plan that it was about.
    pub plan: Option<PlanDigest>,
}

/// Where a finding comes from, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The finding.
    pub finding: Finding,
    /// The method that found it, and its version.
    pub method: Method,
    /// Digests of the plugin components whose plans followed.
    pub plugins: Vec<String>,
    /// Samples.
    pub rows: Vec<Rows>,
    /// Changes about its target, oldest first.
    pub changes: Vec<Change>,
    /// What its file was held against.
    pub baseline: Option<BaselineFile>,
    /// Decisions, oldest first.
    pub decisions: Vec<DecisionStep>,
    /// What was tried.
    pub remediations: Vec<RemediationId>,
}

/// Gathers it; `None`: there is no such finding.
pub fn lineage(
    state: &StateReader,
    telemetry: &TelemetryReader,
    finding: Option<Finding>,
) -> Result<Option<Lineage>, StoreError> {
    let Some(finding) = finding else { return Ok(None) };
    let (since, until) = (finding.began_at.minus(BEFORE), finding.last_seen_at);
    let mut rows = Vec::new();
    for (id, key) in telemetry.list_series(&SeriesFilter::default()) {
        if !concerns(&key, &finding) {
            continue;
        }
        let where_ = key.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let query = Query { where_, limit: usize::MAX, ..Query::raw(&key.metric, since, until) };
        let found = telemetry.query(&query)?;
        let points = found.iter().find(|series| series.id == id).map(|series| series.points.as_slice());
        let (samples, first, last) = match points {
            Some([first, .., last]) => (points.map_or(0, <[_]>::len), first.0, last.0),
            Some([only]) => (1, only.0, only.0),
            _ => (0, since, until),
        };
        rows.push(Rows {
            series: id.0,
            metric: key.metric.clone(),
            attributes: key.attributes.clone(),
            from: first,
            until: last,
            samples,
            gone: samples == 0,
        });
    }
    let changes = telemetry.changes(&ChangeFilter {
        since: Some(finding.began_at.minus(CHANGES_BEFORE)),
        until: Some(until),
        target: Some(finding.target.to_string()),
        limit: DOCUMENTS_MAX,
        ..ChangeFilter::default()
    })?;
    let baseline = held_against(state, &finding)?;
    let filter =
        DecisionFilter { finding: Some(finding.id.clone()), limit: DOCUMENTS_MAX, ..DecisionFilter::default() };
    let mut decisions: Vec<DecisionStep> = state.decisions(&filter)?.into_iter().map(step).collect();
    decisions.reverse();
    let filter =
        RemediationFilter { finding: Some(finding.id.clone()), limit: DOCUMENTS_MAX, ..RemediationFilter::default() };
    let tried = state.remediations(&filter)?;
    let mut plugins: Vec<String> = tried.iter().map(|it| it.plan.body().plugin_digest.clone()).collect();
    plugins.sort();
    plugins.dedup();
    let remediations = tried.into_iter().map(|it| it.id).collect();
    let method = finding.method.clone();
    Ok(Some(Lineage { finding, method, plugins, rows, changes, baseline, decisions, remediations }))
}

/// What was accepted of the finding's file when it was found, which may not be what is accepted now.
fn held_against(state: &StateReader, finding: &Finding) -> Result<Option<BaselineFile>, StoreError> {
    if finding.target.kind != "file" {
        return Ok(None);
    }
    let path = &finding.target.name;
    let Some(then) = finding.evidence("file.accepted_sha256").map(ToString::to_string) else {
        return state.baseline(path);
    };
    let is_it = |it: &BaselineFile| it.state.sha256.as_deref().unwrap_or("absent") == then;
    if let Some(now) = state.baseline(path)?.filter(is_it) {
        return Ok(Some(now));
    }
    let versions = state.baseline_versions(0, VERSIONS_READ_MAX)?;
    let of_file = versions.into_iter().rev().flat_map(|it| it.entries).filter(|it| it.subject == *path);
    let values = of_file.flat_map(|it| [it.after, it.before]).flatten();
    Ok(values.filter_map(|it| serde_json::from_value(it).ok()).find(is_it))
}

fn step(decision: Decision) -> DecisionStep {
    let Decision { id, at, rule, verdict, policy_digest, plan, .. } = decision;
    DecisionStep { id, at, rule, verdict, policy_digest, plan }
}

/// Whether a finding can rest on a series: it is its target, or it measures its target.
fn concerns(key: &SeriesKey, finding: &Finding) -> bool {
    let (kind, name) = (finding.target.kind.as_str(), finding.target.name.as_str());
    let says = |attribute: &str| key.attributes.get(attribute).is_some_and(|value| value == name);
    match kind {
        "series" => key.to_string() == name,
        "filesystem" => key.metric.starts_with("system.filesystem.") && says("system.filesystem.mountpoint"),
        "unit" => says("systemd.unit") || says("holdfast.unit.name"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::world::{World, finding_id};

    #[test]
    fn a_finding_leads_back_to_its_changes_decisions_and_attempts() {
        let world = World::new();
        let state = world.state();
        let finding = state.finding(&finding_id()).unwrap().unwrap();
        let found = lineage(state, &world.telemetry.reader(), Some(finding.clone())).unwrap().unwrap();
        assert_eq!(found.method, finding.method);
        assert!(
            !found.decisions.is_empty() && found.decisions.iter().all(|it| it.policy_digest.len() == 64),
            "{found:?}"
        );
        assert!(!found.remediations.is_empty() && !found.plugins.is_empty(), "{found:?}");
        assert!(found.changes.iter().all(|it| it.target == finding.target));
        assert_eq!(lineage(state, &world.telemetry.reader(), None).unwrap(), None);
    }

    #[test]
    fn a_file_was_held_against_what_was_accepted_then() {
        use holdfast_core::model::audit::AuditKey;
        use holdfast_core::model::{Evidence, FileState, Target};
        let dir = tempfile::tempdir().unwrap();
        let mut db = crate::store::StateDb::open(dir.path(), AuditKey::new([7; 32])).unwrap();
        let accepted = |digit: char| BaselineFile {
            state: FileState {
                path: "/etc/web.conf".into(),
                sha256: Some(digit.to_string().repeat(64)),
                bytes: 1,
                mode: 0o644,
                uid: 0,
                gid: 0,
                modified_at: None,
            },
            blob: None,
            accepted_at: Timestamp::from_secs(1_800_000_000),
            accepted_by: "alice".into(),
            reason: format!("number {digit}"),
        };
        for digit in ['a', 'b'] {
            let writes = crate::store::Writes { baselines: vec![accepted(digit)], ..Default::default() };
            db.commit(writes).unwrap();
        }
        let world = World::new();
        let mut finding = world.state().finding(&finding_id()).unwrap().unwrap();
        finding.target = Target::file("/etc/web.conf");
        for digit in ['a', 'b'] {
            finding.evidence = vec![Evidence::new("file.accepted_sha256", digit.to_string().repeat(64))];
            let found = held_against(&db.reader(), &finding).unwrap().unwrap();
            assert_eq!(found.reason, format!("number {digit}"));
        }
        finding.evidence = vec![Evidence::new("file.accepted_sha256", "c".repeat(64))];
        assert_eq!(held_against(&db.reader(), &finding).unwrap(), None, "kept no more");
    }

    #[test]
    fn a_series_concerns_what_it_measures() {
        let world = World::new();
        let mut finding = world.state().finding(&finding_id()).unwrap().unwrap();
        let key = |metric: &str, name: &str, value: &str| SeriesKey {
            metric: metric.to_owned(),
            unit: "1".to_owned(),
            kind: holdfast_core::model::MetricKind::Gauge,
            attributes: Attributes::from([(name.to_owned(), value.to_owned())]),
        };
        finding.target = holdfast_core::model::Target::filesystem("/home");
        assert!(concerns(&key("system.filesystem.usage", "system.filesystem.mountpoint", "/home"), &finding));
        assert!(!concerns(&key("system.filesystem.usage", "system.filesystem.mountpoint", "/"), &finding));
        finding.target = holdfast_core::model::Target::series("a{b=c}");
        assert!(concerns(&key("a", "b", "c"), &finding) && !concerns(&key("a", "b", "d"), &finding));
    }
}
