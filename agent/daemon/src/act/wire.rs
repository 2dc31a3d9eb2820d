//! One connection, one request, one answer, one deadline.

use std::io;
use std::path::Path;
use std::time::Duration;

use holdfast_actuator::protocol::{Answer, LINE_BYTES_MAX, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ActError;

/// Longest wait for the connection itself.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Asks and waits, at most `deadline` once connected.
pub(super) async fn ask(socket: &Path, request: &Request, blob: &[u8], deadline: Duration) -> Result<Answer, ActError> {
    let unreachable = |why: String| ActError::Unreachable { socket: socket.display().to_string(), why };
    let mut line = serde_json::to_vec(request).map_err(|e| ActError::Usage(e.to_string()))?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        return Err(ActError::Usage(format!("a request of {} bytes is too long", line.len())));
    }
    let stream = match timeout(CONNECT_DEADLINE, UnixStream::connect(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("it does not accept connections".into())),
    };
    let no_answer = |why: String| ActError::NoAnswer { request_id: request.request_id.clone(), why };
    match timeout(deadline, exchange(stream, &line, blob)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(no_answer(error.to_string())),
        Err(_) => Err(no_answer(format!("none within {} s", deadline.as_secs()))),
    }
}

async fn exchange(mut stream: UnixStream, line: &[u8], blob: &[u8]) -> io::Result<Answer> {
    // A refusal may come before everything is written (wrong peer, not allowed): the answer counts, not the broken pipe.
    let written = async {
        stream.write_all(line).await?;
        stream.write_all(blob).await
    }
    .await;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream).take(LINE_BYTES_MAX as u64);
    let read = reader.read_until(b'\n', &mut answer).await;
    if answer.last() != Some(&b'\n') {
        written?;
        read?;
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the answer did"));
    }
    serde_json::from_slice(&answer).map_err(io::Error::from)
}
