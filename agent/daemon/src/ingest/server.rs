//! A listener on TCP for one receiver: how many connections, how long each may wait, and a clean end.
//!
//! Without a token receivers ask nobody who they are. So they listen on loopback unless told otherwise, and refuse what a web
//! page in somebody's browser may have sent (a request with an `Origin`).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::tally::Tally;
use super::token::Token;
use crate::telemetry::Chain;

/// Connections at once of one receiver.
const CONNECTIONS_MAX: usize = 64;
/// Longest wait for the head of a request, and between two requests.
const HEAD_DEADLINE: Duration = Duration::from_mins(1);
/// Longest life of a connection; senders open another.
const CONNECTION_DEADLINE: Duration = Duration::from_hours(1);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 16;
/// Pause before an address that could not be had is tried again, and after a connection that could not be.
const BIND_PAUSE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Wait for requests under way when the agent stops.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// What a sender without the token is told.
pub(crate) const UNKNOWN: &str = "send `Authorization: Bearer TOKEN`, with the token of ingest.token-file";

/// The body of an answer.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
/// An answer that is being made.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a receiver does with one request.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Over HTTP/2 without TLS (as gRPC), or HTTP/1.1.
    const HTTP2: bool;
    /// Takes it and answers.
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answering;
    /// The answer to who shows no token, or another.
    fn unknown() -> Answer {
        let mut answer = full(StatusCode::UNAUTHORIZED, "text/plain", UNKNOWN.as_bytes().to_vec());
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        answer
    }
}

/// An answer of bytes.
pub(crate) fn full(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(http_body_util::Full::new(Bytes::from(body)).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    answer
}

/// Listens until `stopping`; an address that is taken is tried again, and said.
pub(crate) async fn listen<H: Handler>(
    (address, token): (SocketAddr, Option<Token>),
    handler: Arc<H>,
    tally: Tally,
    mut stopping: watch::Receiver<bool>,
) {
    let listener = loop {
        match bind(address, token.clone()).await {
            Ok(listener) => break listener,
            Err(why) => {
                tracing::warn!(address = %address, error = why, "Receiver cannot listen; it will be tried again.");
                tally.failing(Some(why));
                tokio::select! {
                    () = tokio::time::sleep(BIND_PAUSE) => {}
                    _ = stopping.wait_for(|stop| *stop) => return,
                }
            }
        }
    };
    tally.failing(None);
    if let Ok(at) = listener.local_addr() {
        tally.listens(at.to_string());
        tracing::info!(receiver = tally.status().name, address = %at, "Receiver listens.");
    }
    serve(listener, token, handler, tally, stopping).await;
}

/// A receiver whose token cannot be read does not listen: it would have to refuse everybody.
async fn bind(address: SocketAddr, token: Option<Token>) -> Result<TcpListener, String> {
    if let Some(token) = token {
        let read = tokio::task::spawn_blocking(move || token.read()).await;
        read.unwrap_or_else(|_| Err("reading the token ended badly".to_owned()))?;
    }
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen: {}", Chain(&error)))
}

async fn serve<H: Handler>(
    listener: TcpListener,
    token: Option<Token>,
    handler: Arc<H>,
    tally: Tally,
    mut stopping: watch::Receiver<bool>,
) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Without a seat the connection is closed at once: the sender sees that, and tries again.
                let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                    tally.reject("connections", 1);
                    continue;
                };
                let (handler, token, tally) = (Arc::clone(&handler), token.clone(), tally.clone());
                connections.spawn(async move {
                    let _seat = seat;
                    let _ = tokio::time::timeout(CONNECTION_DEADLINE, one(stream, token, handler, tally)).await;
                });
            }
            Err(error) => {
                tally.error(&format!("connection not accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_DEADLINE, finish).await;
    connections.shutdown().await;
}

async fn one<H: Handler>(stream: TcpStream, token: Option<Token>, handler: Arc<H>, tally: Tally) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, token, tally) = (Arc::clone(&handler), token.clone(), tally.clone());
        async move {
            if request.headers().contains_key(ORIGIN) {
                let why = b"requests of web pages are not taken".to_vec();
                return Ok::<_, Infallible>(full(StatusCode::FORBIDDEN, "text/plain", why));
            }
            if let Some(token) = token {
                let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
                if !token.admits(shown).await {
                    tally.reject("requests_without_token", 1);
                    return Ok(H::unknown());
                }
            }
            Ok(handler.answer(request).await)
        }
    });
    let io = TokioIo::new(stream);
    let ended = if H::HTTP2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .keep_alive_interval(HEAD_DEADLINE)
            .serve_connection(io, service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service)
            .await
    };
    if let Err(error) = ended {
        tracing::debug!(error = %Chain(&error), "Connection of a sender ended early.");
    }
}
