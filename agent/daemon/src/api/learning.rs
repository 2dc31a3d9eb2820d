//! `GET /api/v1/labels`: what people said, and what it suppresses.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use holdfast_core::detect::labels::LARGER;
use holdfast_core::model::{Finding, FindingId, Value};

use super::ApiContext;
use super::params::Params;
use super::read::reading;
use super::routes::Reply;
use super::wire::{LabelDocument, LabelsDocument};
use crate::store::FindingFilter;

/// Suppressed findings that are looked through.
const SUPPRESSED_MAX: usize = 10_000;

/// The finding whose label decides about this one.
pub(super) fn ruled_by(finding: &Finding) -> Option<FindingId> {
    match finding.evidence("label.finding")? {
        Value::Text(id) => id.parse().ok(),
        _ => None,
    }
}

pub(super) async fn labels(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<LabelsDocument> {
    Params::new(pairs).end()?;
    reading(context, |context| {
        let filter = FindingFilter { suppressed_only: true, limit: SUPPRESSED_MAX, ..FindingFilter::default() };
        let mut suppressed: BTreeMap<FindingId, Vec<FindingId>> = BTreeMap::new();
        for finding in context.state.findings(&filter)? {
            if let Some(label) = ruled_by(&finding) {
                suppressed.entry(label).or_default().push(finding.id);
            }
        }
        let one = |label: holdfast_core::model::Label| LabelDocument {
            suppresses: suppressed.remove(&label.finding).unwrap_or_default(),
            label,
        };
        Ok(LabelsDocument { labels: context.state.labels()?.into_iter().map(one).collect(), larger: LARGER })
    })
    .await
}
