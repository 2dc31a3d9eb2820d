//! One stream of one destination: read after the position, send, move the position, pause.
//!
//! Streams of a destination share its connections and nothing else: one that has to wait holds up none of the others.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use tokio::sync::watch;

use super::delivery::{self, Delivery};
use super::parcel::{Parcel, RECORDS_MAX, ReadError, Source};
use super::sender::Sender;
use super::{ExportConfig, ExportStatus, Shared, Stream};
use crate::store::{Gap, StoreError};
use crate::telemetry::events::{ExportFailed, ExportRejected, ExportSkipped, Panicked};
use crate::telemetry::{Chain, Event};

/// Pause after a panic of the exporter.
const RESTART_PAUSE: Duration = Duration::from_secs(10);

/// What the streams of one destination have in common.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) config: Arc<ExportConfig>,
    pub(super) sender: Sender,
    pub(super) source: Source,
    pub(super) status: Shared,
}

#[derive(Debug, Clone)]
pub(super) struct Task {
    destination: Arc<Destination>,
    stream: Stream,
    /// `None`: as the store says.
    position: Option<u64>,
    /// Samples or records in one request; halved where a request was too large.
    items_max: usize,
    failures: u32,
}

enum Turn {
    Stop,
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
    pub(super) fn new(destination: Arc<Destination>, stream: Stream) -> Self {
        let items_max = match stream {
            Stream::Metrics => destination.config.samples_max.clamp(1, 100_000),
            _ => RECORDS_MAX,
        };
        Self { destination, stream, position: None, items_max, failures: 0 }
    }

    fn status(&self, change: impl FnOnce(&mut ExportStatus)) {
        change(&mut self.destination.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let pause = match self.turn(&mut shutdown).await {
                Turn::Sent => continue,
                Turn::Stop => return,
                Turn::Idle => self.destination.config.interval,
                Turn::Wait(longer) => longer,
            };
            if stop_within(&mut shutdown, pause).await {
                return;
            }
        }
    }

    /// Stops at once while it reads or waits for an answer; what an answer has settled is kept first.
    async fn turn(&mut self, shutdown: &mut watch::Receiver<bool>) -> Turn {
        let prepared = tokio::select! {
            prepared = self.prepare() => prepared,
            _ = shutdown.wait_for(|stop| *stop) => return Turn::Stop,
        };
        let parcel = match prepared {
            Ok(Some(parcel)) => parcel,
            Ok(None) => return Turn::Idle,
            Err(error) => {
                let why = format!("{}: {}", self.stream.as_str(), Chain(&error));
                self.status(|status| status.last_error = Some(why));
                return Turn::Idle;
            }
        };
        // Nothing in it is for sending: ticks without samples, spans that nobody wants.
        let delivery = if parcel.items == 0 {
            Delivery::Accepted { rejected: 0, message: None }
        } else {
            tokio::select! {
                delivery = self.destination.sender.send(self.stream.signal(), parcel.body.clone()) => delivery,
                _ = shutdown.wait_for(|stop| *stop) => return Turn::Stop,
            }
        };
        match delivery {
            Delivery::Retry { after, why } => self.failed(after, why, delivery::BACKOFF_MAX).await,
            Delivery::Held { why } => self.failed(None, why, delivery::HELD_MAX).await,
            Delivery::TooLarge { why } if parcel.parts > 1 => {
                // Not the same request again but smaller ones, down to what cannot be parted.
                let held = usize::try_from(parcel.items).unwrap_or(usize::MAX);
                self.items_max = (self.items_max.min(held) / 2).max(1);
                let (stream, items_max) = (self.stream.as_str(), self.items_max);
                tracing::info!(stream, items_max, error = why, "Requests are made smaller for a receiver.");
                Turn::Sent
            }
            Delivery::Accepted { rejected, message } => {
                let why = message.map(|m| format!("partly rejected: {m}"));
                self.done(parcel, rejected, why).await
            }
            Delivery::Refused { why } | Delivery::TooLarge { why } => {
                // Not every receiver says so in the status: it may be about a token that has been renewed meanwhile.
                self.renew().await;
                let items = parcel.items;
                self.done(parcel, items, Some(why)).await
            }
        }
    }

    /// A request that will not be sent again: what became of it is counted and the position moves on.
    async fn done(&mut self, parcel: Parcel, rejected: u64, error: Option<String>) -> Turn {
        let Parcel { items, next, skipped, nameless, first_at, last_at, .. } = parcel;
        let from = self.position.unwrap_or_default();
        let destination = Arc::clone(&self.destination);
        let (name, stream) = (&destination.config.name, self.stream.as_str());
        let at = last_at.or(destination.source.telemetry.stats().newest).unwrap_or_default();
        let gap = |count, reason| Gap { at, stream: stream.to_owned(), count, reason };
        let mut gaps = Vec::new();
        if rejected > 0 {
            let why = error.as_deref().unwrap_or("rejected by the receiver");
            ExportRejected { endpoint: name, stream, count: rejected, error: why }.emit();
            gaps.push(gap(rejected, format!("{name}: {why}")));
        }
        if skipped > 0 {
            ExportSkipped { endpoint: name, ticks: skipped }.emit();
            gaps.push(gap(skipped, format!("{name}: {}", deleted(from, skipped, first_at))));
        }
        if nameless > 0 {
            gaps.push(gap(nameless, format!("{name}: samples of series that were forgotten before they were sent")));
        }
        self.failures = 0;
        self.status(|status| {
            let counts = status.streams.entry(stream.to_owned()).or_default();
            counts.sent += items.saturating_sub(rejected);
            counts.rejected += rejected;
            counts.skipped += skipped;
            counts.position = next;
            counts.failures = 0;
            status.exported_until = last_at.or(status.exported_until);
            status.tell(error);
        });
        self.position = Some(next);
        let (telemetry, kept_for) = (destination.source.telemetry.clone(), name.clone());
        let kept = blocking(move || telemetry.settle_export(gaps, &kept_for, stream, next)).await;
        if let Err(error) = kept {
            // Delivered all the same; after a crash now it would be sent again.
            tracing::warn!(stream, error = %Chain(&error), "Export position not kept.");
        }
        Turn::Sent
    }

    async fn failed(&mut self, asked: Option<Duration>, why: String, most: Duration) -> Turn {
        self.failures = self.failures.saturating_add(1);
        let (in_a_row, stream) = (self.failures, self.stream.as_str());
        let config = &self.destination.config;
        let mut known = false;
        self.status(|status| {
            // A destination that is away is told of once, not once a stream.
            known = status.streams.iter().any(|(other, counts)| other != stream && counts.failures > 0);
            status.streams.entry(stream.to_owned()).or_default().failures = in_a_row;
            status.tell(Some(why.clone()));
        });
        ExportFailed { endpoint: &config.name, in_a_row: in_a_row + u32::from(known), error: &why }.emit();
        self.renew().await;
        let luck = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
        Turn::Wait(delivery::pause(config.backoff, in_a_row, asked, most, luck))
    }

    async fn renew(&self) {
        let destination = Arc::clone(&self.destination);
        let _ = tokio::task::spawn_blocking(move || {
            if let Err(error) = destination.sender.renew() {
                let name = &destination.config.name;
                tracing::warn!(destination = name, error = %Chain(&error), "Files of an export cannot be read again.");
            }
        })
        .await;
    }

    async fn prepare(&mut self) -> Result<Option<Parcel>, ReadError> {
        let (task, known) = (self.clone(), self.position);
        let (position, parcel) = blocking(move || {
            let Destination { config, source, .. } = task.destination.as_ref();
            let position = match known {
                Some(position) => position,
                None => task.kept_position()?,
            };
            Ok::<_, ReadError>((position, source.read(config, task.stream, position, task.items_max)?))
        })
        .await?;
        self.position = Some(position);
        Ok(parcel)
    }

    /// The position under the destination's name, or under its former one.
    fn kept_position(&self) -> Result<u64, StoreError> {
        let (reader, config) = (self.destination.source.telemetry.reader(), &self.destination.config);
        let stream = self.stream.as_str();
        let position = match (reader.export_cursor(&config.name, stream)?, &config.formerly) {
            (0, Some(former)) => reader.export_cursor(former, stream)?,
            (position, _) => position,
        };
        match self.destination.source.end(self.stream)? {
            // It was lost with a damaged database, and what it counted is all there: it was sent before.
            Some(end) if position == 0 && end > 0 && reader.export_cursors_lost()? => {
                tracing::warn!(
                    destination = config.name,
                    stream,
                    position = end,
                    "Export position lost; begun at the end."
                );
                let telemetry = &self.destination.source.telemetry;
                let at = telemetry.stats().newest.unwrap_or_else(|| self.destination.sender.now());
                let reason = format!(
                    "{}: its position was lost with a damaged database; what is up to number {end} is not sent again",
                    config.name
                );
                let gap = Gap { at, stream: stream.to_owned(), count: 0, reason };
                telemetry.settle_export(vec![gap], &config.name, stream, end)?;
                Ok(end)
            }
            _ => Ok(position),
        }
    }
}

/// Which ticks are missing: those after position `from`, up to what was sent next.
fn deleted(from: u64, skipped: u64, next_at: Option<Timestamp>) -> String {
    let which = format!("ticks {} to {} were deleted before they were sent", from + 1, from + skipped);
    match next_at {
        Some(at) => format!("{which}; they are older than {at}"),
        None => which,
    }
}

/// Databases block; the exporter's task must not.
async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::Closed.into()),
        },
    }
}
