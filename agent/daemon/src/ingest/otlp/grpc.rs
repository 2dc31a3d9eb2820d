//! OTLP over gRPC: three unary methods on HTTP/2, which need no more of gRPC than its frame, its trailers and its codes.
//!
//! Written out here so that a body's size is bounded before and after decompression and a request is refused before it is
//! decoded, by the same code as over HTTP: see docs/adr/0008.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::super::body::Fault;
use super::super::server::{Answer, Answering, Handler, UNKNOWN, full};
use super::super::tally::Tally;
use super::{Encoding, Shared, Signal};

const TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// Flag and length before a message.
const FRAME_HEAD: usize = 5;
/// gRPC's codes.
const INVALID_ARGUMENT: i32 = 3;
const DEADLINE_EXCEEDED: i32 = 4;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// See the module.
pub(crate) struct Grpc {
    pub(crate) shared: Shared,
    pub(crate) tally: Tally,
}

impl Handler for Grpc {
    const HTTP2: bool = true;

    fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answering {
        Box::pin(async move { self.take(request).await })
    }

    fn unknown() -> Answer {
        failed(UNAUTHENTICATED, UNKNOWN, None)
    }
}

impl Grpc {
    async fn take(&self, request: Request<Incoming>) -> Answer {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let kind = header("content-type").unwrap_or_default();
        if request.method() != Method::POST || !kind.starts_with("application/grpc") {
            self.tally.reject("requests_elsewhere", 1);
            return full(StatusCode::UNSUPPORTED_MEDIA_TYPE, "text/plain", b"gRPC is spoken here".to_vec());
        }
        let signal = match request.uri().path() {
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
            _ => {
                self.tally.reject("requests_elsewhere", 1);
                return failed(UNIMPLEMENTED, "OTLP's metrics, traces and logs are taken here", None);
            }
        };
        let compression = header("grpc-encoding").map(str::to_owned);
        match self.message(signal, compression, request.into_body()).await {
            Ok(message) => done(&message),
            Err(fault) => {
                self.tally.reject(fault.word(), 1);
                self.tally.error(&fault.text());
                let code = match fault {
                    Fault::TooLarge(_) | Fault::TooMany(_) | Fault::Busy(_) => RESOURCE_EXHAUSTED,
                    Fault::Malformed(_) => INVALID_ARGUMENT,
                    Fault::Compression(_) => UNIMPLEMENTED,
                    Fault::Slow => DEADLINE_EXCEEDED,
                    Fault::Unstored => UNAVAILABLE,
                    Fault::Failed => INTERNAL,
                };
                failed(code, &fault.text(), fault.retry_after_s())
            }
        }
    }

    async fn message(&self, signal: Signal, compression: Option<String>, body: Incoming) -> Result<Vec<u8>, Fault> {
        let (bytes, permit) = self.shared.room.read(body, FRAME_HEAD as u64).await?;
        let (compressed, message) = frame(&bytes)?;
        let compression = if compressed { Some(compression.as_deref().unwrap_or("unnamed")) } else { None };
        let body = self.shared.room.plain(compression, message)?;
        let taken = self.shared.take(signal, Encoding::Protobuf, body, &self.tally).await?;
        drop((bytes, permit));
        self.shared.settled(taken).await
    }
}

/// The one message of a unary request, and whether it is compressed. Pure.
fn frame(bytes: &[u8]) -> Result<(bool, &[u8]), Fault> {
    let wrong = |why: &str| Fault::Malformed(why.to_owned());
    let (head, rest) = bytes.split_first_chunk::<FRAME_HEAD>().ok_or_else(|| wrong("there is no gRPC message"))?;
    let [flag, length @ ..] = *head;
    if rest.len() as u64 != u64::from(u32::from_be_bytes(length)) {
        return Err(wrong("the gRPC message has not the length that it states"));
    }
    match flag {
        0 => Ok((false, rest)),
        1 => Ok((true, rest)),
        _ => Err(wrong("the gRPC message has an unknown flag")),
    }
}

fn done(message: &[u8]) -> Answer {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    framed.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut answer = Response::new(body.boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, TYPE);
    // What senders may compress with.
    answer.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    answer
}

/// An error is told in the head, without a body.
fn failed(code: i32, message: &str, retry_after_s: Option<u64>) -> Answer {
    let mut answer = Response::new(http_body_util::Empty::new().boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, TYPE);
    headers.insert(STATUS, HeaderValue::from(code));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    if let Ok(value) = HeaderValue::from_str(&percent(message)) {
        headers.insert(MESSAGE, value);
    }
    if retry_after_s.is_some()
        && let Ok(value) = HeaderValue::from_str(&base64(&status_message(code, message, retry_after_s)))
    {
        headers.insert(DETAILS, value);
    }
    answer
}

/// `google.rpc.Status`, with `google.rpc.RetryInfo` when there is a delay: what tells a sender to try again.
pub(super) fn status_message(code: i32, message: &str, retry_after_s: Option<u64>) -> Vec<u8> {
    fn varint(out: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    fn number(out: &mut Vec<u8>, field: u8, value: u64) {
        out.push(field << 3);
        varint(out, value);
    }
    fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
        out.push(field << 3 | 2);
        varint(out, value.len() as u64);
        out.extend_from_slice(value);
    }
    let mut out = Vec::new();
    number(&mut out, 1, u64::try_from(code).unwrap_or(0));
    bytes(&mut out, 2, message.as_bytes());
    if let Some(seconds) = retry_after_s {
        let (mut delay, mut info, mut any) = (Vec::new(), Vec::new(), Vec::new());
        number(&mut delay, 1, seconds);
        bytes(&mut info, 1, &delay);
        bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
        bytes(&mut any, 2, &info);
        bytes(&mut out, 3, &any);
    }
    out
}

/// As gRPC writes messages in a header.
fn percent(text: &str) -> String {
    let plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'%';
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// As gRPC writes bytes in a header: the standard alphabet, without padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let three = [0, 1, 2].map(|i| u32::from(chunk.get(i).copied().unwrap_or(0)));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        for place in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc_without_its_padding() {
        for (plain, coded) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_frame_has_the_length_it_states() {
        assert_eq!(frame(&[0, 0, 0, 0, 2, 7, 8]), Ok((false, &[7, 8][..])));
        assert_eq!(frame(&[1, 0, 0, 0, 0]), Ok((true, &[][..])));
        for wrong in [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 3, 1], &[2, 0, 0, 0, 0], &[0, 255, 255, 255, 255, 1]] {
            assert!(frame(wrong).is_err(), "{wrong:?}");
        }
    }
}
