//! `GET /api/v1/data/quality`, `/data/retention` and `/data/lineage/FINDING`: about the data themselves.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use holdfast_core::model::FindingId;

use super::ApiContext;
use super::params::Params;
use super::read::{found, id, reading};
use super::routes::Reply;
use super::wire::RetentionDocument;
use crate::data::{Lineage, Quality, QualityOptions};
use crate::request::{Refusal, RefusalKind};

/// What a report without `since` looks at.
const WINDOW: Duration = Duration::from_hours(1);
/// The longest window: every sample of it is read.
const WINDOW_MAX: Duration = Duration::from_hours(24);

pub(super) async fn quality(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<Quality> {
    let until = context.clock.wall();
    let mut params = Params::new(pairs);
    let since = params.moment("since", until)?.unwrap_or_else(|| until.minus(WINDOW));
    let metric = params.text("metric")?;
    let all = params.parsed("all")?.unwrap_or(false);
    params.end()?;
    if since > until || until.since(since) > WINDOW_MAX {
        let message = format!("the window begins at {since}; it may go back {} h at most", WINDOW_MAX.as_secs() / 3600);
        return Err(Refusal::new(RefusalKind::Usage, message).into());
    }
    let required = context.required.as_ref().clone();
    let options = QualityOptions { since, until, metric, all, required };
    reading(context, move |context| Ok(crate::data::quality(&context.telemetry, &options)?)).await
}

pub(super) async fn retention(State(context): State<ApiContext>) -> Reply<RetentionDocument> {
    reading(context, |context| {
        let (telemetry, mut state) =
            (context.telemetry.retention()?, context.state.retention(context.retention_records)?);
        // What has reached its age and is still there stays for another reason, or goes within the hour.
        let now = context.clock.wall();
        for it in &mut state {
            it.due = it.due.filter(|due| *due > now);
        }
        Ok(RetentionDocument { telemetry, state, contents: context.blobs.plan() })
    })
    .await
}

pub(super) async fn lineage(State(context): State<ApiContext>, Path(text): Path<String>) -> Reply<Lineage> {
    let id: FindingId = id(&text)?;
    reading(context, move |context| {
        let finding = context.state.finding(&id)?;
        found(crate::data::lineage(&context.state, &context.telemetry, finding)?, "finding", &text)
    })
    .await
}
