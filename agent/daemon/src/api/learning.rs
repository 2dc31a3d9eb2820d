//! `GET /api/v1/labels`, `/episodes` and `/tuning`: what people said, what it suppresses, the samples that are kept of it, and the
//! settings that were put over those of the configuration.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use holdfast_core::detect::labels::LARGER;
use holdfast_core::detect::replay::Episode;
use holdfast_core::model::{Finding, FindingId, Value};

use super::ApiContext;
use super::params::Params;
use super::read::{id, reading};
use super::routes::Reply;
use super::wire::{EpisodesDocument, LabelDocument, LabelsDocument, TuningDocument};
use crate::request::{Refusal, RefusalKind};
use crate::store::{EPISODES_BYTES_MAX, FindingFilter};

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

pub(super) async fn episodes(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<EpisodesDocument> {
    Params::new(pairs).end()?;
    reading(context, |context| {
        let episodes = context.state.episodes()?;
        let bytes = episodes.iter().map(|it| it.bytes).sum();
        Ok(EpisodesDocument { episodes, bytes, bytes_max: EPISODES_BYTES_MAX })
    })
    .await
}

pub(super) async fn episode(State(context): State<ApiContext>, Path(text): Path<String>) -> Reply<Episode> {
    let finding: FindingId = id(&text)?;
    reading(context, move |context| {
        context.state.episode(&finding)?.ok_or_else(|| {
            Refusal::new(RefusalKind::NotFound, format!("there is no episode of {text} here")).hint(
                "`holdfast findings episodes` lists those that there are; a label keeps one, where there are samples",
            )
        })
    })
    .await
}

pub(super) async fn tuning(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<TuningDocument> {
    Params::new(pairs).end()?;
    reading(context, |context| {
        let mut versions = context.state.tunings()?;
        versions.reverse();
        let tuning = versions.first().map(|it| it.tuning.clone()).unwrap_or_default();
        let base = context.detect.as_ref().clone();
        Ok(TuningDocument { in_force: tuning.apply(&base), base, tuning, versions })
    })
    .await
}
