//! Accepted contents that nothing refers to any more are deleted, hour by hour, beside the loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::host::Clock;
use crate::store::{Blobs, StateReader, StoreError, Swept};
use crate::telemetry::Chain;

/// The first sweep comes so long after the start: the start is busy enough.
const FIRST: Duration = Duration::from_mins(2);
/// Time between two sweeps.
const EVERY: Duration = Duration::from_hours(1);

/// See the module; ends when `stopping` says so.
pub(super) async fn sweep(
    blobs: Blobs,
    state: StateReader,
    clock: Arc<dyn Clock>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        pause = EVERY;
        let (blobs, state, clock) = (blobs.clone(), state.clone(), Arc::clone(&clock));
        let swept = tokio::task::spawn_blocking(move || -> Result<Swept, StoreError> {
            blobs.sweep(&state.contents_in_use()?, clock.wall())
        });
        match swept.await {
            Ok(Ok(swept)) => {
                tracing::debug!(deleted = swept.deleted, files = swept.files, bytes = swept.bytes, "Contents swept.");
            }
            Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "Contents not swept."),
            Err(_) => tracing::warn!("Contents not swept: it panicked."),
        }
    }
}
