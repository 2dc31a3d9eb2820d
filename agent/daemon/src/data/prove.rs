//! Would other settings of the detectors lose an incident that people confirmed? Kept episodes are replayed under both.

use holdfast_core::detect::DetectConfig;
use holdfast_core::detect::labels::Labels;
use holdfast_core::model::{FindingId, Says};

use crate::store::{StateReader, StoreError};

/// Samples that one proof replays, the newest incidents first: a few seconds of computing.
const SAMPLES_MAX: u64 = 10_000_000;

/// Incidents that are found under `before` and not under `after`.
pub fn lost(state: &StateReader, before: &DetectConfig, after: &DetectConfig) -> Result<Vec<FindingId>, StoreError> {
    let labels = Labels::new(state.labels()?);
    let (mut lost, mut samples) = (Vec::new(), 0);
    for head in state.episodes()?.into_iter().filter(|it| it.says == Says::TruePositive) {
        samples += head.samples;
        if samples > SAMPLES_MAX {
            tracing::warn!(
                samples,
                "There are too many kept incidents to replay all of them; older ones were passed over."
            );
            break;
        }
        let Some(episode) = state.episode(&head.finding)? else { continue };
        if episode.replay(before, &labels).found && !episode.replay(after, &labels).found {
            lost.push(head.finding);
        }
    }
    Ok(lost)
}
