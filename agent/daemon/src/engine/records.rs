//! How long closed findings, incidents, remediations, decisions, deployments, step runs and versions of what is accepted are kept.

use std::time::Duration;

use super::{Command, Engine, Moment};
use crate::store::{Sent, StoreError};
use crate::telemetry::Chain;

/// Time between two looks at what is old. The first comes so long after the start: by then a clock that was wrong has been set.
pub(super) const LOOK_EVERY: Duration = Duration::from_hours(1);
/// Pause between two batches, while there is more to delete.
const NEXT_BATCH: Duration = Duration::from_secs(5);

impl Engine {
    /// Deletes a few records that are older than `store.retention-records`, when it is time to.
    pub(super) fn expire_records(&mut self, now: Moment, out: &mut Vec<Command>) {
        if now.mono < self.records_due || self.ledger.failing().is_some() {
            return;
        }
        let before = now.wall.minus(self.config.records);
        let expired = self.sent().and_then(|sent| self.ledger.expire(before, self.blobs.versions_due(), &sent));
        self.records_due = now.mono + LOOK_EVERY;
        match expired {
            Ok(expired) if expired.rows() > 0 => {
                self.records_due = now.mono + NEXT_BATCH;
                tracing::info!(
                    findings = expired.findings,
                    incidents = expired.incidents,
                    remediations = expired.remediations,
                    decisions = expired.decisions,
                    deployments = expired.deployments,
                    step_runs = expired.step_runs,
                    baseline_versions = expired.versions,
                    "Records deleted for their age."
                );
            }
            Ok(_) => self.look_for_removed_releases(out),
            Err(error) => tracing::warn!(error = %Chain(&error), "Old records not deleted."),
        }
    }

    /// What every configured destination has been sent.
    fn sent(&self) -> Result<Sent, StoreError> {
        let (reader, mut sent) = (self.telemetry.reader(), Sent::default());
        for export in self.plugins.exports() {
            let Some(name) = export.get("name").and_then(serde_json::Value::as_str) else { continue };
            let streams = export.get("streams").and_then(serde_json::Value::as_object);
            for stream in streams.into_iter().flatten().map(|(stream, _)| stream.as_str()) {
                let least = match stream {
                    "findings" => &mut sent.findings,
                    "decisions" => &mut sent.decisions,
                    "remediations" => &mut sent.remediations,
                    "steps" => &mut sent.steps,
                    _ => continue,
                };
                let position = reader.export_cursor(name, stream)?;
                *least = Some(least.map_or(position, |it| it.min(position)));
            }
        }
        Ok(sent)
    }
}
