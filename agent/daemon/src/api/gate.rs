//! `GET /api/v1/gate?deployment=ID[&sibling=UNIT]`: the verdict on a deployment as of now. The report is the pure judge's own.

use std::time::Duration;

use axum::extract::{Query, State};
use holdfast_core::gate::{GateReport, judge};
use holdfast_core::model::{DeploymentId, UnitState};

use super::ApiContext;
use super::params::Params;
use super::read::{no_deployment, reading};
use super::routes::Reply;
use crate::pipeline::gate::collect_inputs;
use crate::request::{Refusal, RefusalKind};

/// How long asking for all units of a deployment may take.
const UNITS_PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn gate(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<GateReport> {
    let mut params = Params::new(pairs);
    let id: Option<DeploymentId> = params.parsed("deployment")?;
    let sibling = params.text("sibling")?;
    params.end()?;
    let id = id.ok_or_else(|| {
        Refusal::new(RefusalKind::Usage, "the parameter `deployment` is missing")
            .hint("`holdfast deploy list` shows the deployments that there are")
    })?;
    let now = context.clock.wall();
    reading(context, move |context| {
        let inputs =
            collect_inputs(&context.state, &context.telemetry, &context.pasts, (&id, sibling.as_deref()), now)?;
        let mut inputs = inputs.ok_or_else(|| no_deployment(&id))?;
        let end = context.clock.monotonic() + UNITS_PATIENCE;
        let names: Vec<String> = inputs.units.iter().map(|unit| unit.name.clone()).collect();
        for name in names {
            // A host that cannot be asked leaves the recorded changes to speak: the verdict may be inconclusive, never wrong.
            let left = end.saturating_sub(context.clock.monotonic());
            if let Ok(Some(state)) = context.units.unit(&name, left) {
                // An alias is answered under its real name.
                inputs.observe_unit(UnitState { name, ..state });
            }
        }
        Ok(judge(&inputs))
    })
    .await
}
