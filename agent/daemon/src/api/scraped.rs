//! `/metrics` over TCP, for a Prometheus that cannot speak to a socket of this host. Nothing else is there.
//!
//! It tells how the agent itself is doing and asks nobody who they are: whoever reaches the address may read it. Web pages may not: a
//! request with an `Origin` is refused, and so is one for another name than the host's own, which is how a page would reach loopback.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::routes::{Refused, bounded};
use super::serve::respond;
use super::{ApiContext, prometheus};
use crate::request::{Caller, Refusal, RefusalKind, Role};
use crate::telemetry::Chain;

/// Connections at once; a scraper needs one.
const CONNECTIONS_MAX: usize = 16;
/// Longest wait for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Longest life of a connection; it carries one request.
const CONNECTION_DEADLINE: Duration = Duration::from_mins(1);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause before an address that could not be had is tried again, and after a connection that could not be.
const BIND_PAUSE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// No user of this host.
const NOBODY: u32 = u32::MAX;

/// Answers `GET /metrics` at this address until `shutdown` becomes true or its sender is gone. An address that is taken is tried again.
pub async fn serve_metrics(context: ApiContext, address: SocketAddr, mut shutdown: watch::Receiver<bool>) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                tracing::warn!(%address, error = %Chain(&error), "No metrics for Prometheus; it will be tried again.");
                tokio::select! {
                    () = tokio::time::sleep(BIND_PAUSE) => {}
                    _ = shutdown.wait_for(|stop| *stop) => return,
                }
            }
        }
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "Prometheus may scrape /metrics.");
    }
    let router = bounded(Router::new().route("/metrics", get(prometheus::metrics)), context);
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without a seat the connection is closed at once: the scraper sees that.
                let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                    tracing::warn!(%peer, "Too many connections for /metrics; one was closed.");
                    continue;
                };
                let router = router.clone();
                connections.spawn(async move {
                    let _seat = seat;
                    let _ = tokio::time::timeout(CONNECTION_DEADLINE, one(router, stream, peer)).await;
                });
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "Connection for /metrics not accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

async fn one(router: Router, stream: TcpStream, peer: SocketAddr) {
    let caller = Caller { name: format!("a scraper at {}", peer.ip()), uid: NOBODY, role: Role::Viewer };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (caller, router) = (caller.clone(), router.clone());
        async move {
            let answer = match admit(peer.ip(), request.headers()) {
                Ok(()) => respond(Ok(caller), router, request.map(Body::new)).await,
                Err(why) => Refused(Refusal::new(RefusalKind::Denied, why)).into_response(),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(error = %Chain(&error), "Connection for /metrics ended early.");
    }
}

/// Pure: what a page in somebody's browser may have sent is refused.
fn admit(peer: IpAddr, headers: &HeaderMap) -> Result<(), &'static str> {
    if headers.contains_key(ORIGIN) {
        return Err("requests of web pages are not answered");
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if peer.is_loopback() && !is_address && !name.eq_ignore_ascii_case("localhost") {
        return Err("on loopback the host is asked for by an address or as localhost");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, headers: &[(&str, &str)], admitted: bool) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<axum::http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        assert_eq!(admit(peer.parse().unwrap(), &headers).is_ok(), admitted, "{peer} {headers:?}");
    }

    #[test]
    fn scrapers_are_answered_and_web_pages_are_not() {
        for host in ["127.0.0.1:9464", "localhost:9464", "LOCALHOST", "[::1]:9464", "[::1]", "10.0.0.1"] {
            check("127.0.0.1", &[("host", host)], true);
        }
        for host in ["evil.example:9464", "127.0.0.1.evil.example", "", "localhost.evil.example:9464"] {
            check("127.0.0.1", &[("host", host)], false);
            check("::1", &[("host", host)], false);
        }
        check("127.0.0.1", &[("host", "localhost"), ("origin", "http://localhost")], false);
        // From elsewhere a host is called by its name.
        check("192.0.2.7", &[("host", "build-1.example:9464")], true);
        check("192.0.2.7", &[("host", "build-1.example:9464"), ("origin", "null")], false);
    }
}
