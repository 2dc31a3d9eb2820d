//! CDEvents from pipelines, as CloudEvents over HTTP at `/api/v1/cdevents`, one event a request.
//!
//! Each becomes a change; a service that was deployed, with its environment and artifact, becomes a deployment too. An event
//! that comes twice counts once. What is no event is answered 422 with what is missing, and never taken in silence. What is
//! answered 202 is stored, and its change with the tick that follows it.

mod read;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::model::{Change, Timestamp};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::body::{Fault, Room};
use super::rate::Rate;
use super::server::{Answer, Answering, Handler, full};
use super::stored::Stored;
use super::tally::Tally;
use crate::host::Clock;
use crate::request::{self, Caller, DeployStart, Door, RefusalKind, Role};
use read::{Deployed, Envelope, Noted};

/// Where events are sent.
pub(crate) const PATH: &str = "/api/v1/cdevents";
/// Events that are remembered, so that none counts twice.
const SEEN_MAX: usize = 4_096;
/// Longest wait until the loop has taken an event.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
const JSON: &str = "application/json";

/// What somebody told, for the loop.
#[derive(Debug)]
pub struct Told {
    /// What was altered.
    pub change: Change,
    /// To be used once the change is on its way to the store, before any later tick; false: the store has no room.
    pub taken: oneshot::Sender<bool>,
}

/// How an event that came before stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is on its way.
    Begun,
    /// It was not taken, or nobody knows.
    Failed,
    /// It is stored.
    Stored,
}

/// Events that came before, oldest first, and when each came first.
#[derive(Default)]
struct Seen {
    keys: HashMap<[u8; 32], (Timestamp, Standing)>,
    order: VecDeque<[u8; 32]>,
}

impl Seen {
    /// Begins with an event, for the first time or once more; else how it stands.
    fn begin(&mut self, key: [u8; 32], at: Timestamp) -> Result<(), Standing> {
        match self.keys.get_mut(&key) {
            Some((_, standing @ Standing::Failed)) => *standing = Standing::Begun,
            Some((_, standing)) => return Err(*standing),
            None => {
                self.keys.insert(key, (at, Standing::Begun));
                self.order.push_back(key);
                if self.order.len() > SEEN_MAX
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.keys.remove(&oldest);
                }
            }
        }
        Ok(())
    }
}

/// An event that was begun with; when its sender goes away meanwhile, it may come again.
struct Begun<'s> {
    seen: &'s Mutex<Seen>,
    key: [u8; 32],
    becomes: Standing,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, standing)) = seen.keys.get_mut(&self.key) {
            *standing = self.becomes;
        }
    }
}

/// See the module.
pub(crate) struct CdEvents {
    pub(crate) room: Room,
    pub(crate) rate: Arc<Rate>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tally: Tally,
    pub(crate) changes: mpsc::Sender<Told>,
    pub(crate) door: Door,
    pub(crate) stored: Stored,
    seen: Mutex<Seen>,
}

impl Handler for CdEvents {
    const HTTP2: bool = false;

    fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answering {
        Box::pin(async move { self.take(request).await })
    }
}

fn told(status: StatusCode, what: &str) -> Answer {
    let word = if status.is_success() { "status" } else { "error" };
    full(status, JSON, serde_json::json!({ word: what }).to_string().into_bytes())
}

impl CdEvents {
    pub(crate) fn new(
        (room, rate): (Room, Arc<Rate>),
        clock: Arc<dyn Clock>,
        tally: Tally,
        (changes, door): (mpsc::Sender<Told>, Door),
        stored: Stored,
    ) -> Self {
        Self { room, rate, clock, tally, changes, door, stored, seen: Mutex::default() }
    }

    async fn take(&self, request: Request<Incoming>) -> Answer {
        if request.uri().path() != PATH {
            self.tally.reject("requests_elsewhere", 1);
            return told(StatusCode::NOT_FOUND, &format!("CDEvents are taken at {PATH}"));
        }
        if request.method() != Method::POST {
            self.tally.reject("requests_elsewhere", 1);
            let mut answer = told(StatusCode::METHOD_NOT_ALLOWED, "events are sent with POST");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        let (head, body) = request.into_parts();
        match self.event(&head.headers, body).await {
            Ok(what) => told(StatusCode::ACCEPTED, what),
            Err(fault) => self.refuse(&fault),
        }
    }

    async fn event(&self, headers: &HeaderMap, body: Incoming) -> Result<&'static str, Fault> {
        let (envelope, data) = self.read(headers, body).await?;
        let (key, seen) = (read::key(&envelope), || self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        // An event without a time has that of its first coming, so that it stays the same event.
        let now = seen().keys.get(&key).map_or_else(|| self.clock.wall(), |(at, _)| *at);
        let noted = read::noted(&envelope, &data, now).map_err(Fault::Malformed)?;
        self.rate.take(&envelope.source, self.clock.monotonic()).map_err(Fault::Busy)?;
        let begun = seen().begin(key, now);
        match begun {
            Ok(()) => {}
            Err(Standing::Stored) => {
                self.tally.reject("duplicates", 1);
                return Ok("duplicate");
            }
            Err(_) => return Err(Fault::Busy(Duration::from_secs(1))),
        }
        let mut begun = Begun { seen: &self.seen, key, becomes: Standing::Failed };
        self.pass(noted, &envelope).await?;
        begun.becomes = Standing::Stored;
        self.tally.request(1);
        Ok("accepted")
    }

    /// The event; its body holds no room any more.
    async fn read(&self, headers: &HeaderMap, body: Incoming) -> Result<(Envelope, serde_json::Value), Fault> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (bytes, _permit) = self.room.read(body, 0).await?;
        let body = self.room.plain(header(CONTENT_ENCODING.as_str()), &bytes)?;
        let kind = header(CONTENT_TYPE.as_str()).and_then(|it| it.split(';').next()).unwrap_or_default().trim();
        let text = |name: &str| header(name).unwrap_or_default().to_owned();
        let event = match kind {
            "application/cloudevents+json" => read::structured(&body),
            JSON | "" if headers.contains_key("ce-type") => {
                let envelope = Envelope {
                    specversion: text("ce-specversion"),
                    id: text("ce-id"),
                    source: text("ce-source"),
                    kind: text("ce-type"),
                    time: header("ce-time").map(str::to_owned),
                };
                read::binary(envelope, &body)
            }
            _ => Err("send a CloudEvent: its attributes in ce- headers and application/json, or application/cloudevents+json"
                .to_owned()),
        };
        event.map_err(Fault::Malformed)
    }

    /// A deployment goes the way of all deployments, everything else is a change.
    async fn pass(&self, noted: Noted, envelope: &Envelope) -> Result<(), Fault> {
        if let Some(deployed) = noted.deployed
            && self.deploy(deployed, &envelope.source).await?
        {
            return self.stored.wait(self.stored.next()).await;
        }
        let (taken, is_taken) = oneshot::channel();
        let told = Told { change: noted.change, taken };
        self.changes.try_send(told).map_err(|_| Fault::Busy(Duration::from_secs(1)))?;
        match tokio::time::timeout(TAKEN_WITHIN, is_taken).await {
            Ok(Ok(true)) => self.stored.wait(self.stored.next()).await,
            _ => Err(Fault::Unstored),
        }
    }

    /// Whether the deployment is recorded; when it can't be, its change still is.
    async fn deploy(&self, it: Deployed, source: &str) -> Result<bool, Fault> {
        let Ok(id) = it.id.parse::<holdfast_core::model::DeploymentId>() else { return Ok(false) };
        let caller = || Caller {
            name: format!("cdevents {}", read::short(source)),
            uid: rustix::process::geteuid().as_raw(),
            role: Role::Operator,
        };
        let start = DeployStart {
            id: Some(id.clone()),
            service: it.service,
            version: it.version,
            environment: Some(it.environment),
            artifact: it.artifact,
            revision: None,
            release_dir: None,
            units: Vec::new(),
            paths: Vec::new(),
        };
        let finish = request::Request::DeployFinish { id, succeeded: true };
        for step in [request::Request::DeployStart(start), finish] {
            match self.door.ask(caller(), step).await {
                Ok(_) => {}
                // The agent was started again since the event came first.
                Err(refusal) if refusal.kind == RefusalKind::Conflict => return Ok(true),
                Err(refusal) if refusal.kind == RefusalKind::Unavailable => {
                    return Err(Fault::Busy(Duration::from_secs(5)));
                }
                Err(refusal) => {
                    self.tally.error(&format!("deployment not recorded: {refusal}"));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn refuse(&self, fault: &Fault) -> Answer {
        self.tally.reject(fault.word(), 1);
        self.tally.error(&fault.text());
        let status = match fault {
            Fault::TooLarge(_) | Fault::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::Malformed(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Fault::Compression(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Fault::Slow => StatusCode::REQUEST_TIMEOUT,
            Fault::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Fault::Unstored => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut answer = told(status, &fault.text());
        if let Some(seconds) = fault.retry_after_s() {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

#[cfg(test)]
mod tests;
