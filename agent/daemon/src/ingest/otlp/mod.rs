//! OTLP from the host's own applications, over HTTP and over gRPC: metrics are kept, spans and log records are counted.
//!
//! Both transports give the bytes of a request to [`take`]; what is refused of it is told as the protocol wants, in
//! `partial_success`, 413, 429 with Retry-After or `RESOURCE_EXHAUSTED` with its delay. Nothing is refused in silence.

mod grpc;
mod http;
mod size;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::body::{Fault, Room};
use super::intake::{Intake, Reason};
use super::rate::Rate;
use super::stored::Stored;
use super::tally::Tally;
use crate::host::Clock;

pub(crate) use grpc::Grpc;
pub(crate) use http::Http;

/// Requests decoded at the same time: decoded, one is many times as large as its bytes.
const DECODING_MAX: usize = 1;

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Traces,
    Logs,
}

impl Signal {
    /// What its items are called.
    fn items(self) -> &'static str {
        match self {
            Self::Metrics => "data points",
            Self::Traces => "spans",
            Self::Logs => "log records",
        }
    }
}

/// How the messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// What a request has come to.
struct Taken {
    answer: Vec<u8>,
    /// The tick that carries its data points into the store. Spans and log records are counted, and their counts are stored when
    /// their window is over: nobody waits for that.
    tick: Option<u64>,
}

/// What both transports share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) intake: Intake,
    pub(crate) stored: Stored,
    pub(crate) room: Room,
    pub(crate) rate: Arc<Rate>,
    pub(crate) clock: Arc<dyn Clock>,
    decoding: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new((intake, stored): (Intake, Stored), room: Room, rate: Arc<Rate>, clock: Arc<dyn Clock>) -> Self {
        Self { intake, stored, room, rate, clock, decoding: Arc::new(Semaphore::new(DECODING_MAX)) }
    }

    /// Takes one request's message and gives the answer's, in the same encoding.
    async fn take(&self, signal: Signal, encoding: Encoding, body: Vec<u8>, tally: &Tally) -> Result<Taken, Fault> {
        let Ok(permit) = Arc::clone(&self.decoding).acquire_owned().await else {
            return Err(Fault::Busy(Duration::from_secs(1)));
        };
        let (shared, tally) = (self.clone(), tally.clone());
        let work = move || {
            let _permit = permit;
            if size::is_too_much(signal, encoding, &body) {
                return Err(Fault::TooMany(size::ITEMS_MAX));
            }
            let now = shared.clock.monotonic();
            let limit = |source: &str| shared.rate.take(source, now);
            let taken = wire::take(signal, encoding, &body, &shared.intake, &limit)
                .map_err(|why| Fault::Malformed(why.to_string()))?;
            if let (0, Some(wait)) = (taken.accepted, taken.wait)
                && taken.refused.0.len() == 1
            {
                // All of it may be sent again later.
                return Err(Fault::Busy(wait));
            }
            tally.request(taken.accepted);
            for (reason, count) in &taken.refused.0 {
                tally.reject(reason.word(), *count);
            }
            let message = taken.refused.message(signal.items());
            if !message.is_empty() {
                tally.error(&message);
            }
            tally.leave_out(taken.attributes_dropped);
            let put = taken.accepted > 0 || taken.refused.0.contains_key(&Reason::Superseded);
            let waits = signal == Signal::Metrics && put;
            let tick = waits.then(|| shared.stored.next());
            Ok(Taken { answer: wire::answer(signal, encoding, taken.refused.total(), message), tick })
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(Fault::Failed))
    }

    /// The answer, once what was taken is stored.
    async fn settled(&self, taken: Taken) -> Result<Vec<u8>, Fault> {
        if let Some(tick) = taken.tick {
            self.stored.wait(tick).await?;
        }
        Ok(taken.answer)
    }
}

#[cfg(test)]
mod tests;
