//! Asking the local API: what every command of the CLI, and `exec` and `gate`, do.
//!
//! Blocking; one connection a request. Answers are bounded in size and time.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::wire::ErrorDocument;
use crate::request::{Refusal, Request};
use crate::telemetry::Chain;

/// Longest wait for an answer: longer than the agent's own deadlines, so that it is the agent who says what is wrong.
const DEADLINE: Duration = Duration::from_secs(75);
/// Longest wait for the agent to take the connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or this user may not connect.
    #[error("the agent cannot be reached at {socket}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The agent said no.
    #[error("{0}")]
    Refused(Refusal),
    /// The answer is not what this version understands, or it broke off.
    #[error("the agent at {socket} gave no proper answer: {why}")]
    Garbled {
        /// The socket.
        socket: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl ClientError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("this user may not open the socket; ask to be added to its group, or use sudo".to_owned())
            }
            Self::Unreachable { .. } => Some(
                "start it with `systemctl start holdfast`, or with `holdfast run` in another terminal; --socket names another socket"
                    .to_owned(),
            ),
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::Garbled { .. } => Some("see whether the command and the agent are the same version: `holdfast status`".to_owned()),
        }
    }

    /// The exit code of a command that fails with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Garbled { .. } => 4,
            Self::Refused(refusal) => refusal.kind.exit_code(),
        }
    }
}

/// Asks the agent behind one socket.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// Nothing is opened yet. Not for use inside an async runtime: it brings its own.
    pub fn new(socket: impl Into<PathBuf>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { socket: socket.into(), deadline: DEADLINE, runtime })
    }

    /// From now on an answer, the connection included, is waited for at most so long.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Reads `/api/v1` + `path` with these parameters.
    pub fn get<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, String)]) -> Result<T, ClientError> {
        let mut address = format!("/api/v1{}", encode(path, "/"));
        for (index, (name, value)) in parameters.iter().enumerate() {
            address.push(if index == 0 { '?' } else { '&' });
            let _ = write!(address, "{name}={}", encode(value, ""));
        }
        self.send(hyper::Request::get(address).body(Full::default()))
    }

    /// Sends a request to the event loop, and reads its answer.
    pub fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        let body = serde_json::to_vec(request).map_err(|e| self.garbled(&e))?;
        let request = hyper::Request::post("/api/v1/requests").header("content-type", "application/json");
        self.send(request.body(Full::new(Bytes::from(body))))
    }

    fn garbled(&self, why: &dyn std::error::Error) -> ClientError {
        ClientError::Garbled { socket: self.socket.clone(), why: Chain(why).to_string() }
    }

    fn send<T: DeserializeOwned>(
        &self,
        request: Result<hyper::Request<Full<Bytes>>, hyper::http::Error>,
    ) -> Result<T, ClientError> {
        let mut request = request.map_err(|e| self.garbled(&e))?;
        request.headers_mut().insert("host", hyper::header::HeaderValue::from_static("holdfast"));
        let (status, body) = self.runtime.block_on(async {
            match tokio::time::timeout(self.deadline, self.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.unreachable(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))),
            }
        })?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| self.garbled(&e));
        }
        match serde_json::from_slice::<ErrorDocument>(&body) {
            Ok(document) => Err(ClientError::Refused(document.error)),
            Err(error) => Err(self.garbled(&error)),
        }
    }

    fn unreachable(&self, source: io::Error) -> ClientError {
        ClientError::Unreachable { socket: self.socket.clone(), source }
    }

    async fn exchange(&self, request: hyper::Request<Full<Bytes>>) -> Result<(hyper::StatusCode, Bytes), ClientError> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        let connect = tokio::time::timeout(CONNECT_DEADLINE, UnixStream::connect(&self.socket)).await;
        let stream = connect.map_err(late).and_then(|s| s).map_err(|e| self.unreachable(e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.garbled(&e))?;
        let talk = async {
            let answer = sender.send_request(request).await.map_err(|e| self.garbled(&e))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|e| self.garbled(e.as_ref()))?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(talk);
        tokio::select! {
            answer = &mut talk => answer,
            ended = connection => match ended {
                // The connection's end and the answer's end may be seen in either order.
                Ok(()) => talk.await,
                Err(error) => Err(self.garbled(&error)),
            },
        }
    }
}

/// Percent-encodes everything but unreserved characters and `also`.
fn encode(text: &str, also: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
