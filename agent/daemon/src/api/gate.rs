//! `GET /api/v1/gate?deployment=ID`: the verdict on a deployment as of now. The report is the pure judge's own.

use axum::extract::{Query, State};
use holdfast_core::gate::{GateReport, judge};
use holdfast_core::model::DeploymentId;

use super::ApiContext;
use super::params::Params;
use super::read::{no_deployment, reading};
use super::routes::Reply;
use crate::pipeline::gate::collect_inputs;
use crate::request::{Refusal, RefusalKind};

pub(super) async fn gate(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<GateReport> {
    let mut params = Params::new(pairs);
    let id: Option<DeploymentId> = params.parsed("deployment")?;
    params.end()?;
    let id = id.ok_or_else(|| {
        Refusal::new(RefusalKind::Usage, "the parameter `deployment` is missing")
            .hint("`holdfast deploy list` shows the deployments that there are")
    })?;
    let now = context.clock.wall();
    reading(context, move |context| {
        let inputs = collect_inputs(&context.state, &context.telemetry, &id, now)?;
        Ok(judge(&inputs.ok_or_else(|| no_deployment(&id))?))
    })
    .await
}
