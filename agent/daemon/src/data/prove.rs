//! Would other settings of the detectors lose an incident that people confirmed? Kept episodes are replayed under both.

use holdfast_core::detect::DetectConfig;
use holdfast_core::detect::labels::Labels;
use holdfast_core::model::Says;

use crate::answers::Replayed;
use crate::store::{StateReader, StoreError};

/// Samples that one proof replays, the newest incidents first: a few seconds of computing.
pub const REPLAYED_MAX: u64 = 10_000_000;

/// Incidents that are found under the first settings and not under the second, and how many were not tried because they hold more
/// samples, with the others, than `samples_max`.
pub fn replayed(
    state: &StateReader,
    (before, after): (&DetectConfig, &DetectConfig),
    samples_max: u64,
) -> Result<Replayed, StoreError> {
    let labels = Labels::new(state.labels()?);
    let (mut all, mut samples) = (Replayed { lost: Vec::new(), not_replayed: 0 }, 0_u64);
    for head in state.episodes()?.into_iter().filter(|it| it.says == Says::TruePositive) {
        // A smaller one that comes after may still find its place.
        if samples.saturating_add(head.samples) > samples_max {
            all.not_replayed += 1;
            continue;
        }
        samples += head.samples;
        let Some(episode) = state.episode(&head.finding)? else { continue };
        if episode.replay(before, &labels).found && !episode.replay(after, &labels).found {
            all.lost.push(head.finding);
        }
    }
    if all.not_replayed > 0 {
        tracing::warn!(
            not_replayed = all.not_replayed,
            samples,
            "There are too many kept incidents to replay all of them."
        );
    }
    Ok(all)
}
