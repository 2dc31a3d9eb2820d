//! Bodies of requests: how long, how many at once, how compressed, and what is answered when that is too much.

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies held at once. A body may be as long as `ingest.limits.body-max` before and after it is decompressed.
const BODIES_MAX: usize = 8;
/// Longest wait for a body to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Of a body that is too long so much is still taken, and thrown away, before the answer; and for so long.
const POURED_BYTES_MAX: usize = 64 << 20;
const POUR_DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait for room.
const ROOM_DEADLINE: Duration = Duration::from_secs(1);

/// When what could not be stored may be sent again.
const UNSTORED_PAUSE: Duration = Duration::from_secs(5);

/// Why a request is not taken, whatever the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Longer than this many bytes.
    TooLarge(u64),
    /// It unfolds into more than so many messages.
    TooMany(u64),
    /// It can't be read; why.
    Malformed(String),
    /// Compressed in a way that is not known.
    Compression(String),
    /// It came too slowly.
    Slow,
    /// Not now: it may be sent again after this time.
    Busy(Duration),
    /// It was taken, and is not known to be stored: it should be sent again.
    Unstored,
    /// The receiver itself failed.
    Failed,
}

impl Fault {
    /// The word in `status`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "requests_too_large",
            Self::TooMany(_) => "requests_too_many_items",
            Self::Malformed(_) => "requests_malformed",
            Self::Compression(_) => "requests_compression",
            Self::Slow => "requests_too_slow",
            Self::Busy(_) => "requests_over_rate",
            Self::Unstored => "requests_unstored",
            Self::Failed => "requests_failed",
        }
    }

    /// For the sender.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::TooLarge(bytes) => format!("the body is longer than {bytes} bytes (ingest.limits.body-max)"),
            Self::TooMany(items) => format!("the request holds more than {items} messages; send smaller ones"),
            Self::Malformed(why) => why.clone(),
            Self::Compression(name) => format!("the compression `{name}` is not known; send gzip or none"),
            Self::Slow => format!("the body did not arrive within {} s", BODY_DEADLINE.as_secs()),
            Self::Busy(_) => "too many requests (ingest.limits.requests-per-second); send it again later".to_owned(),
            Self::Unstored => "what was sent is not stored yet, see `holdfast status`; send it again later".to_owned(),
            Self::Failed => "the receiver failed; see the agent's log".to_owned(),
        }
    }

    /// Whole seconds to wait, at least one.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Busy(wait) => Some(wait.as_secs_f64().ceil().max(1.0) as u64),
            Self::Unstored => Some(UNSTORED_PAUSE.as_secs()),
            _ => None,
        }
    }
}

/// Room for bodies; shared by all receivers.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    bodies: Arc<Semaphore>,
    bytes_max: Arc<AtomicU64>,
}

impl Room {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bodies: Arc::new(Semaphore::new(BODIES_MAX)), bytes_max: Arc::new(AtomicU64::new(bytes_max)) }
    }

    /// Another limit, from the next body on.
    pub(crate) fn set_most(&self, bytes: u64) {
        self.bytes_max.store(bytes, Ordering::Relaxed);
    }

    fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Reads a body; the permit is to be kept for as long as its bytes are.
    pub(crate) async fn read<B>(&self, body: B, slack: u64) -> Result<(Bytes, OwnedSemaphorePermit), Fault>
    where
        B: Body<Data = Bytes>,
    {
        let mut body = std::pin::pin!(body);
        let most = self.bytes_max().saturating_add(slack);
        if body.size_hint().lower() > most {
            pour_away(body).await;
            return Err(Fault::TooLarge(self.bytes_max()));
        }
        let waiting = tokio::time::timeout(ROOM_DEADLINE, Arc::clone(&self.bodies).acquire_owned());
        let Ok(Ok(permit)) = waiting.await else { return Err(Fault::Busy(ROOM_DEADLINE)) };
        let mut bytes = Vec::new();
        let reading = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| Fault::Malformed("the body broke off".to_owned()))?;
                let Ok(data) = frame.into_data() else { continue };
                if (bytes.len() + data.len()) as u64 > most {
                    return Err(Fault::TooLarge(self.bytes_max()));
                }
                bytes.extend_from_slice(&data);
            }
            Ok(())
        };
        let read = tokio::time::timeout(BODY_DEADLINE, reading).await.unwrap_or(Err(Fault::Slow));
        if let Err(fault) = read {
            drop((bytes, permit));
            if matches!(fault, Fault::TooLarge(_)) {
                pour_away(body).await;
            }
            return Err(fault);
        }
        Ok((Bytes::from(bytes), permit))
    }

    /// What was compressed, if it was; never more than the limit, however little was sent.
    pub(crate) fn plain(&self, encoding: Option<&str>, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        match encoding.map(str::trim).unwrap_or_default() {
            "" | "identity" => Ok(bytes.to_vec()),
            "gzip" => {
                let mut out = Vec::new();
                let most = self.bytes_max().saturating_add(1);
                flate2::read::MultiGzDecoder::new(bytes)
                    .take(most)
                    .read_to_end(&mut out)
                    .map_err(|error| Fault::Malformed(format!("the body is not gzip: {error}")))?;
                if out.len() as u64 > self.bytes_max() { Err(Fault::TooLarge(self.bytes_max())) } else { Ok(out) }
            }
            other => Err(Fault::Compression(other.chars().take(32).collect())),
        }
    }
}

/// Takes the rest of a body that is too long, within bounds: a sender that still sends would not see the answer.
async fn pour_away<B: Body<Data = Bytes>>(mut body: Pin<&mut B>) {
    let pouring = async {
        let mut poured = 0;
        while let Some(Ok(frame)) = body.frame().await {
            poured += frame.data_ref().map_or(0, Bytes::len);
            if poured > POURED_BYTES_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(POUR_DEADLINE, pouring).await;
}
