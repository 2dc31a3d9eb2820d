//! One destination's loop: read after the position, send, move the position, pause.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::watch;

use super::delivery::{self, Delivery};
use super::{ExportConfig, ExportStatus, STREAMS, Shared, http, wire};
use crate::store::{ExportCursor, Gap, StateReader, StoreError, TelemetryDb};
use crate::telemetry::events::{ExportFailed, ExportRejected, ExportSkipped, Panicked};
use crate::telemetry::{Chain, Event};

/// Records in one request of log records or traces.
const RECORDS_MAX: usize = 256;
/// Pause after a panic of the exporter.
const RESTART_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) config: ExportConfig,
    pub(super) client: http::Client,
    pub(super) telemetry: TelemetryDb,
    pub(super) state: StateReader,
    pub(super) resource: Arc<Resource>,
    pub(super) status: Shared,
    pub(super) positions: BTreeMap<&'static str, u64>,
}

/// One request, ready to be sent.
struct Parcel {
    path: &'static str,
    body: Vec<u8>,
    decode: wire::DecodePartial,
    /// Samples, records or spans in it.
    items: u64,
    /// The position after it.
    next: u64,
    skipped: u64,
    last_at: Option<Timestamp>,
}

enum Turn {
    Sent,
    Idle,
    Wait(Duration),
}

/// Keeps the loop going after a panic, until `shutdown`.
pub(super) async fn supervise(task: Task, mut shutdown: watch::Receiver<bool>) {
    loop {
        let running = tokio::spawn(task.clone().run(shutdown.clone()));
        match running.await {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(error = %error, "Exporter ended.");
                Panicked { task: "exporter" }.emit();
                task.status(|status| {
                    status.last_error = Some("the exporter panicked and was started again".to_owned());
                });
            }
        }
        if stop_within(&mut shutdown, RESTART_PAUSE).await {
            return;
        }
    }
}

/// Waits; true when it is time to stop.
async fn stop_within(shutdown: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        _ = shutdown.wait_for(|stop| *stop) => true,
    }
}

impl Task {
    fn status(&self, change: impl FnOnce(&mut ExportStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut failures = 0;
        loop {
            let mut pause = Some(self.config.interval);
            for stream in STREAMS {
                let turn = tokio::select! {
                    turn = self.turn(stream, &mut failures) => turn,
                    _ = shutdown.wait_for(|stop| *stop) => return,
                };
                match turn {
                    Turn::Sent => pause = None,
                    Turn::Idle => {}
                    Turn::Wait(longer) => {
                        pause = Some(longer);
                        break;
                    }
                }
            }
            if let Some(pause) = pause
                && stop_within(&mut shutdown, pause).await
            {
                return;
            }
        }
    }

    async fn turn(&mut self, stream: &'static str, failures: &mut u32) -> Turn {
        let parcel = match self.prepare(stream).await {
            Ok(Some(parcel)) => parcel,
            Ok(None) => return Turn::Idle,
            // One stream that cannot be read holds up none of the others.
            Err(error) => {
                let why = Chain(&error).to_string();
                self.status(|status| status.last_error = Some(format!("{stream}: {why}")));
                return Turn::Idle;
            }
        };
        let reply = self.client.post(parcel.path, parcel.body).await;
        let (accepted, rejected, error) = match delivery::judge(reply, parcel.decode) {
            Delivery::Retry { after, why } => return self.failed(failures, after, why),
            Delivery::Accepted { rejected, message } => {
                (parcel.items.saturating_sub(rejected), rejected, message.map(|m| format!("partly rejected: {m}")))
            }
            Delivery::Refused { why } => (0, parcel.items, Some(why)),
        };
        *failures = 0;
        let at = parcel.last_at.or(self.telemetry.stats().newest).unwrap_or_default();
        if rejected > 0 {
            let why = error.clone().unwrap_or_else(|| "rejected by the receiver".to_owned());
            ExportRejected { endpoint: &self.config.endpoint, stream, count: rejected, error: &why }.emit();
            self.gap(stream, at, rejected, format!("{}: {why}", self.config.endpoint));
        }
        if parcel.skipped > 0 {
            ExportSkipped { endpoint: &self.config.endpoint, ticks: parcel.skipped }.emit();
            self.gap(
                stream,
                at,
                parcel.skipped,
                format!("{}: ticks deleted before they were sent", self.config.endpoint),
            );
        }
        self.status(|status| {
            let counts = status.streams.entry(stream.to_owned()).or_default();
            counts.sent += accepted;
            counts.rejected += rejected;
            counts.skipped += parcel.skipped;
            counts.position = parcel.next;
            status.exported_until = parcel.last_at.or(status.exported_until);
            status.failures = 0;
            status.last_error = error;
        });
        self.positions.insert(stream, parcel.next);
        let (telemetry, destination, next) = (self.telemetry.clone(), self.config.endpoint.clone(), parcel.next);
        let kept = blocking(move || telemetry.set_export_cursor(&destination, stream, next)).await;
        if let Err(error) = kept {
            // Delivered all the same; after a crash now it would be sent again.
            tracing::warn!(stream, error = %Chain(&error), "Export position not kept.");
        }
        Turn::Sent
    }

    fn failed(&self, failures: &mut u32, asked: Option<Duration>, why: String) -> Turn {
        *failures = failures.saturating_add(1);
        ExportFailed { endpoint: &self.config.endpoint, in_a_row: *failures, error: &why }.emit();
        let count = *failures;
        self.status(|status| {
            status.failures = count;
            status.last_error = Some(why);
        });
        let luck = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
        Turn::Wait(delivery::pause(self.config.backoff, count, asked, luck))
    }

    fn gap(&self, stream: &str, at: Timestamp, count: u64, reason: String) {
        self.telemetry.record_gap(Gap { at, stream: stream.to_owned(), count, reason });
    }

    async fn prepare(&mut self, stream: &'static str) -> Result<Option<Parcel>, StoreError> {
        let (task, known) = (self.clone(), self.positions.get(stream).copied());
        let (position, parcel) = blocking(move || {
            let position = match known {
                Some(position) => position,
                None => task.telemetry.reader().export_cursor(&task.config.endpoint, stream)?,
            };
            Ok((position, task.read(stream, position)?))
        })
        .await?;
        self.positions.insert(stream, position);
        Ok(parcel)
    }

    /// What follows `after` in a stream.
    fn read(&self, stream: &str, after: u64) -> Result<Option<Parcel>, StoreError> {
        let resource = &self.resource;
        let logs = |records: Vec<_>, next: Option<u64>| {
            let items = records.len() as u64;
            next.map(|next| Parcel {
                path: "/v1/logs",
                body: wire::logs(resource, records),
                decode: wire::rejected_records,
                items,
                next,
                skipped: 0,
                last_at: None,
            })
        };
        Ok(match stream {
            "metrics" => {
                let samples_max = self.config.samples_max.clamp(1, 100_000);
                let slice = self.telemetry.reader().export_after(ExportCursor(after), samples_max)?;
                (slice.next_cursor.0 > after).then(|| Parcel {
                    path: "/v1/metrics",
                    items: slice.samples,
                    next: slice.next_cursor.0,
                    skipped: slice.skipped_ticks,
                    last_at: slice.last_at,
                    body: wire::metrics(resource, slice.series),
                    decode: wire::rejected_points,
                })
            }
            "findings" => {
                let found = self.state.findings_after(after, RECORDS_MAX)?;
                logs(found.iter().map(|r| wire::finding(&r.document)).collect(), found.last().map(|r| r.revision))
            }
            "decisions" => {
                let found = self.state.decisions_after(after, RECORDS_MAX)?;
                logs(found.iter().map(|r| wire::decision(&r.document)).collect(), found.last().map(|r| r.revision))
            }
            "audit" => {
                let found = self.state.audit(after, RECORDS_MAX)?;
                logs(found.iter().map(wire::audit_head).collect(), found.last().map(|e| e.seq))
            }
            _ => {
                let found = self.state.finished_after(after, RECORDS_MAX / 8)?;
                let spans: Vec<_> = found.iter().flat_map(|r| wire::remediation(&r.document)).collect();
                found.last().map(|last| Parcel {
                    path: "/v1/traces",
                    items: spans.len() as u64,
                    body: wire::traces(resource, spans),
                    decode: wire::rejected_spans,
                    next: last.revision,
                    skipped: 0,
                    last_at: None,
                })
            }
        })
    }
}

/// Databases block; the exporter's task must not.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Closed),
        },
    }
}
