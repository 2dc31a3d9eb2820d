//! The socket: who is let in, how many at once, and for how long.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::routes::{Refused, router};
use super::{ApiContext, Directory, Peer};
use crate::request::{Caller, Refusal, RefusalKind};
use crate::telemetry::Chain;

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;
/// Connections at once of one user other than root, so that nobody can shut the others out.
const CONNECTIONS_PER_USER_MAX: usize = 16;
/// Longest wait for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Longest life of a connection; it carries one request.
const CONNECTION_DEADLINE: Duration = Duration::from_mins(2);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Wait for requests under way when the agent stops.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// Pause after an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its directory.
    #[error("cannot make the directory `{path}` of the API socket")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another agent answers there.
    #[error("another agent answers at `{path}`")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket lies there.
    #[error("`{path}` exists and is not a socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket itself.
    #[error("cannot make the API socket `{path}`")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("stop it, or give this one its own --socket and --data-dir".to_owned()),
            Self::NotASocket { path } => {
                Some(format!("remove `{}`, or name another path with --socket", path.display()))
            }
            Self::Directory { .. } | Self::Socket { .. } => {
                Some("name a path that this user may write with --socket".to_owned())
            }
        }
    }
}

/// Makes the API's socket with these permission bits, in a directory that is made when there is none. A socket that
/// nobody answers at any more is removed first; anything else at the path is left alone.
///
/// Needs a tokio runtime.
pub fn bind(path: &Path, mode: u32) -> Result<UnixListener, BindError> {
    let socket = |source| BindError::Socket { path: path.to_owned(), source };
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(|source| BindError::Directory { path: parent.to_owned(), source })?;
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(socket(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket { path: path.to_owned() }),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(socket)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(socket(error)),
            _ => return Err(BindError::InUse { path: path.to_owned() }),
        },
    }
    // Made under another, short name and moved into place with its final permissions. Whoever connects before that gains
    // nothing: what a caller may do follows from who it is.
    let draft = path.with_file_name(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft).map_err(socket)?;
    let placed = std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(mode & 0o777))
        .and_then(|()| std::fs::rename(&draft, path));
    if let Err(error) = placed {
        let _ = std::fs::remove_file(&draft);
        return Err(socket(error));
    }
    Ok(listener)
}

/// Connections by user.
#[derive(Debug, Clone, Default)]
struct Seats(Arc<Mutex<HashMap<u32, usize>>>);

/// One connection's place; given back when it ends.
struct Seat(Seats, u32);

impl Seats {
    fn take(&self, uid: u32) -> Option<Seat> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = seats.values().sum();
        let mine = seats.entry(uid).or_default();
        if all >= CONNECTIONS_MAX || (uid != 0 && *mine >= CONNECTIONS_PER_USER_MAX) {
            return None;
        }
        *mine += 1;
        Some(Seat(self.clone(), uid))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = seats.get_mut(&self.1) {
            *mine -= 1;
            if *mine == 0 {
                seats.remove(&self.1);
            }
        }
    }
}

/// Serves until `shutdown` becomes true or its sender is gone; requests under way get a moment to finish.
pub async fn serve(context: ApiContext, listener: UnixListener, mut shutdown: watch::Receiver<bool>) {
    let seats = Seats::default();
    let mut connections = JoinSet::new();
    let router = router(context.clone());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let Ok(peer) = stream.peer_cred().map(|c| Peer { uid: c.uid(), gid: c.gid() }) else { continue };
                // Without a seat the connection is closed at once: the caller sees that, and may try again.
                let Some(seat) = seats.take(peer.uid) else {
                    tracing::warn!(uid = peer.uid, "Too many API connections; one was closed.");
                    continue;
                };
                let (context, router) = (context.clone(), router.clone());
                connections.spawn(async move {
                    let _seat = seat;
                    let _ = tokio::time::timeout(CONNECTION_DEADLINE, one(context, router, stream, peer)).await;
                });
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "API connection not accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_DEADLINE, finish).await;
    connections.shutdown().await;
}

async fn one(context: ApiContext, router: axum::Router, stream: UnixStream, peer: Peer) {
    let access = context.access.borrow().clone();
    let fs = context.fs.clone();
    let caller = tokio::task::spawn_blocking(move || access.caller(peer, &Directory::read(&fs)))
        .await
        .unwrap_or_else(|_| Err(Refusal::new(RefusalKind::Failed, "the agent could not look up who is asking")));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (caller, router) = (caller.clone(), router.clone());
        async move { Ok::<_, Infallible>(respond(caller, router, request.map(Body::new)).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(error = %Chain(&error), "API connection ended early.");
    }
}

/// Whoever has no role never reaches a route.
pub(super) async fn respond(
    caller: Result<Caller, Refusal>,
    router: axum::Router,
    mut request: hyper::Request<Body>,
) -> axum::response::Response {
    match caller {
        Err(refusal) => Refused(refusal).into_response(),
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            match router.oneshot(request).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            }
        }
    }
}
