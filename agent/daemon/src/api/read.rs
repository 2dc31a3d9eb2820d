//! Answers that are only read: on blocking threads, a few at a time, from the stores' readers.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use holdfast_core::model::{DecisionId, DeploymentId, FindingId, IncidentId, RemediationState, Timestamp};
use tokio::sync::Semaphore;

use super::ApiContext;
use super::params::Params;
use super::routes::{Refused, Reply};
use super::wire::{
    AuditDocument, ChangesDocument, DecisionDocument, DecisionsDocument, DeploymentDocument, DeploymentsDocument,
    FindingDocument, FindingsDocument, IncidentDocument, IncidentsDocument, PluginsDocument, RemediationDocument,
    RemediationsDocument, StepsDocument, VerifyDocument,
};
use crate::request::{Caller, Refusal, RefusalKind, Request};
use crate::status::StatusDocument;
use crate::store::{
    ChangeFilter, DecisionFilter, DeploymentFilter, FindingFilter, IncidentFilter, RemediationFilter, StoreError,
    read_anchors, verify_chain,
};
use crate::telemetry::Chain;

/// Reads at once; others wait for their turn.
static READS: Semaphore = Semaphore::const_new(8);

/// Documents that a list gives when no limit is asked for, and at most.
const LIST: (usize, usize) = (100, 1_000);
/// Changes and audit entries: smaller documents.
const LONG_LIST: (usize, usize) = (1_000, 10_000);
/// Changes of a deployment that are shown.
const DEPLOYMENT_CHANGES_MAX: usize = 1_000;

pub(super) type Pairs = Query<Vec<(String, String)>>;

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let refusal = Self::new(RefusalKind::Failed, Chain(&error).to_string());
        match error.hint() {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    }
}

/// Does `work` on a blocking thread.
pub(super) async fn reading<T: Send + 'static>(
    context: ApiContext,
    work: impl FnOnce(&ApiContext) -> Result<T, Refusal> + Send + 'static,
) -> Reply<T> {
    let stopping = || Refusal::new(RefusalKind::Unavailable, "the agent is stopping");
    let turn = READS.acquire().await.map_err(|_| stopping())?;
    // The turn ends with the work, even when nobody waits for its answer any more.
    let answer = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work(&context)
    })
    .await;
    let answer = answer.map_err(|_| Refusal::new(RefusalKind::Failed, "the answer could not be put together"))?;
    Ok(Json(answer?))
}

pub(super) fn id<T: FromStr>(text: &str) -> Result<T, Refusal>
where
    T::Err: Display,
{
    text.parse().map_err(|e: T::Err| Refusal::new(RefusalKind::Usage, e.to_string()))
}

pub(super) fn found<T>(thing: Option<T>, kind: &str, text: &str) -> Result<T, Refusal> {
    thing.ok_or_else(|| {
        Refusal::new(RefusalKind::NotFound, format!("there is no {kind} {text} here"))
            .hint(format!("`holdfast {kind}s list` shows those that there are"))
    })
}

pub(super) async fn status(
    State(context): State<ApiContext>,
    Extension(caller): Extension<Caller>,
) -> Reply<serde_json::Value> {
    Ok(Json(context.door.ask(caller, Request::Status).await?))
}

pub(super) async fn plugins(
    State(context): State<ApiContext>,
    Extension(caller): Extension<Caller>,
) -> Reply<PluginsDocument> {
    let status = context.door.ask(caller, Request::Status).await?;
    let status: StatusDocument = serde_json::from_value(status)
        .map_err(|e| Refusal::new(RefusalKind::Failed, format!("the agent's status cannot be read: {e}")))?;
    Ok(Json(PluginsDocument { plugins: status.plugins }))
}

pub(super) async fn changes(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<ChangesDocument> {
    let now = context.clock.wall();
    let mut params = Params::new(pairs);
    let filter = ChangeFilter {
        since: params.moment("since", now)?,
        until: params.moment("until", now)?,
        kind: params.text("kind")?,
        target: params.text("target")?,
        limit: params.limit(LONG_LIST.0, LONG_LIST.1)?,
    };
    params.end()?;
    reading(context, move |context| Ok(ChangesDocument { changes: context.telemetry.changes(&filter)? })).await
}

pub(super) async fn findings(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<FindingsDocument> {
    let now = context.clock.wall();
    let mut params = Params::new(pairs);
    let filter = FindingFilter {
        open_only: params.parsed("open")?.unwrap_or(false),
        suppressed_only: params.parsed("suppressed")?.unwrap_or(false),
        since: params.moment("since", now)?,
        kind: params.text("kind")?,
        limit: params.limit(LIST.0, LIST.1)?,
    };
    params.end()?;
    reading(context, move |context| Ok(FindingsDocument { findings: context.state.findings(&filter)? })).await
}

pub(super) async fn finding(State(context): State<ApiContext>, Path(text): Path<String>) -> Reply<FindingDocument> {
    let id: FindingId = id(&text)?;
    reading(context, move |context| {
        let finding = found(context.state.finding(&id)?, "finding", &text)?;
        let about = || Some(id.clone());
        let remediations = context.state.remediations(&RemediationFilter {
            finding: about(),
            limit: LIST.0,
            ..RemediationFilter::default()
        })?;
        let decisions = context.state.decisions(&DecisionFilter {
            finding: about(),
            limit: LIST.0,
            ..DecisionFilter::default()
        })?;
        let label = context.state.label(&id)?;
        let other = super::learning::ruled_by(&finding).filter(|other| *other != id);
        let ruled_by = other.map(|other| context.state.label(&other)).transpose()?.flatten();
        Ok(FindingDocument { finding, remediations, decisions, label, ruled_by })
    })
    .await
}

pub(super) async fn incidents(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<IncidentsDocument> {
    let now = context.clock.wall();
    let mut params = Params::new(pairs);
    let filter = IncidentFilter {
        open_only: params.parsed("open")?.unwrap_or(false),
        since: params.moment("since", now)?,
        limit: params.limit(LIST.0, LIST.1)?,
    };
    params.end()?;
    reading(context, move |context| Ok(IncidentsDocument { incidents: context.state.incidents(&filter)? })).await
}

pub(super) async fn incident(State(context): State<ApiContext>, Path(text): Path<String>) -> Reply<IncidentDocument> {
    let id: IncidentId = id(&text)?;
    reading(context, move |context| {
        let incident = found(context.state.incident(&id)?, "incident", &text)?;
        let (mut findings, mut remediations) = (Vec::new(), Vec::new());
        for finding in incident.findings.iter().take(LIST.1) {
            findings.extend(context.state.finding(finding)?);
            let filter =
                RemediationFilter { finding: Some(finding.clone()), limit: LIST.0, ..RemediationFilter::default() };
            remediations.extend(context.state.remediations(&filter)?);
        }
        remediations.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(IncidentDocument { incident, findings, remediations })
    })
    .await
}

fn remediation_state(text: &str) -> Result<RemediationState, Refusal> {
    let word = serde_json::Value::String(text.replace('-', "_"));
    serde_json::from_value(word).map_err(|_| {
        Refusal::new(RefusalKind::Usage, format!("`{text}` is not a state of a remediation"))
            .hint("for example awaiting_approval, running, succeeded, failed, undone")
    })
}

pub(super) async fn remediations(
    State(context): State<ApiContext>,
    Query(pairs): Pairs,
) -> Reply<RemediationsDocument> {
    let now = context.clock.wall();
    let mut params = Params::new(pairs);
    let filter = RemediationFilter {
        open_only: params.parsed("open")?.unwrap_or(false),
        state: params.text("state")?.map(|s| remediation_state(&s)).transpose()?,
        finding: params.parsed("finding")?,
        since: params.moment("since", now)?,
        limit: params.limit(LIST.0, LIST.1)?,
    };
    params.end()?;
    reading(context, move |context| Ok(RemediationsDocument { remediations: context.state.remediations(&filter)? }))
        .await
}

pub(super) async fn remediation(
    State(context): State<ApiContext>,
    Path(text): Path<String>,
) -> Reply<RemediationDocument> {
    let id = id(&text)?;
    reading(context, move |context| {
        let remediation = found(context.state.remediation(&id)?, "remediation", &text)?;
        let finding = context.state.finding(&remediation.finding)?;
        Ok(RemediationDocument { remediation, finding })
    })
    .await
}

pub(super) async fn decisions(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<DecisionsDocument> {
    let now = context.clock.wall();
    let mut params = Params::new(pairs);
    let filter = DecisionFilter {
        finding: params.parsed("finding")?,
        since: params.moment("since", now)?,
        limit: params.limit(LIST.0, LIST.1)?,
    };
    params.end()?;
    reading(context, move |context| Ok(DecisionsDocument { decisions: context.state.decisions(&filter)? })).await
}

pub(super) async fn decision(State(context): State<ApiContext>, Path(text): Path<String>) -> Reply<DecisionDocument> {
    let id: DecisionId = id(&text)?;
    reading(context, move |context| {
        let decision = context.state.decision(&id)?;
        let missing = || Refusal::new(RefusalKind::NotFound, format!("there is no decision {text} here"));
        Ok(DecisionDocument { decision: decision.ok_or_else(missing)? })
    })
    .await
}

pub(super) async fn deployments(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<DeploymentsDocument> {
    let now = context.clock.wall();
    let mut params = Params::new(pairs);
    let filter = DeploymentFilter {
        open_only: params.parsed("open")?.unwrap_or(false),
        service: params.text("service")?,
        since: params.moment("since", now)?,
        limit: params.limit(LIST.0, LIST.1)?,
    };
    params.end()?;
    reading(context, move |context| Ok(DeploymentsDocument { deployments: context.state.deployments(&filter)? })).await
}

pub(super) async fn deployment(
    State(context): State<ApiContext>,
    Path(text): Path<String>,
) -> Reply<DeploymentDocument> {
    let id: DeploymentId = id(&text)?;
    reading(context, move |context| {
        let deployment = context.state.deployment(&id)?.ok_or_else(|| no_deployment(&id))?;
        let started = deployment.started_at;
        let window = ChangeFilter { since: Some(started), limit: LONG_LIST.1, ..ChangeFilter::default() };
        let mut changes = context.telemetry.changes(&window)?;
        changes.retain(|c| c.deployment.as_ref() == Some(&id));
        changes.truncate(DEPLOYMENT_CHANGES_MAX);
        let since = IncidentFilter { since: Some(started), limit: LIST.1, ..IncidentFilter::default() };
        let mut incidents = context.state.incidents(&since)?;
        incidents.retain(|i| i.suspects.iter().any(|s| s.deployment.as_ref() == Some(&id)));
        Ok(DeploymentDocument { deployment, changes, incidents })
    })
    .await
}

/// The refusal for a deployment that nobody announced.
pub(super) fn no_deployment(id: &DeploymentId) -> Refusal {
    Refusal::new(RefusalKind::NotFound, format!("there is no deployment `{id}` here"))
        .hint("`holdfast deploy list` shows those that there are; `holdfast deploy start` records one")
}

pub(super) async fn audit(State(context): State<ApiContext>, Query(pairs): Pairs) -> Reply<AuditDocument> {
    let mut params = Params::new(pairs);
    let subject = params.text("subject")?;
    let after = params.parsed::<u64>("after")?;
    let limit = params.limit(LIST.0, LONG_LIST.1)?;
    let since: Option<Timestamp> = params.moment("since", context.clock.wall())?;
    params.end()?;
    reading(context, move |context| {
        let mut entries = match (&subject, after) {
            (Some(subject), _) => context.state.audit_about(subject, limit)?,
            (None, Some(after)) => context.state.audit(after, limit)?,
            // Without a place to start from: the latest.
            (None, None) => context.state.audit(context.state.audit_head()?.seq.saturating_sub(limit as u64), limit)?,
        };
        let last = entries.last().map(|e| e.seq);
        entries.retain(|e| since.is_none_or(|s| e.at >= s));
        let more = subject.is_none() && last.is_some_and(|seq| seq < context.state.audit_head().map_or(0, |h| h.seq));
        Ok(AuditDocument { entries, next_after: last.filter(|_| more) })
    })
    .await
}

pub(super) async fn verify(State(context): State<ApiContext>) -> Reply<VerifyDocument> {
    reading(context, |context| {
        let anchors = read_anchors(&context.data_dir)?;
        Ok(VerifyDocument { report: verify_chain(&context.state, &context.audit_key, &anchors)? })
    })
    .await
}

pub(super) async fn steps(
    State(context): State<ApiContext>,
    Path(step): Path<String>,
    Query(pairs): Pairs,
) -> Reply<StepsDocument> {
    let mut params = Params::new(pairs);
    let limit = params.limit(LIST.0, LIST.1)?;
    params.end()?;
    reading(context, move |context| {
        let runs = context.state.step_history(&step, limit)?;
        Ok(StepsDocument { step, runs })
    })
    .await
}

/// Kept so that handlers may use `?` on both kinds of errors.
impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}
