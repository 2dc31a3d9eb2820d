//! OTLP/gRPC: one unary call a request, over HTTP/2 ([why by hand](../../../../../docs/adr/0011-grpc-without-a-framework.md)).
//!
//! What a unary client needs of gRPC: a framed message out, one back, and the status in the trailers (or in the head, when
//! there is nothing else).

use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use hyper::{Method, Request, Response};
use prost::Message;

use super::delivery::{GrpcReply, code};
use super::settings::Signal;
use super::{Compression, ExportConfig, body};
use crate::telemetry::http::ANSWER_MAX;

fn method(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

pub(super) fn request(
    config: &ExportConfig,
    base: &str,
    headers: HeaderMap,
    signal: Signal,
    body: Bytes,
) -> hyper::http::Result<Request<Full<Bytes>>> {
    let mut request =
        Request::builder().method(Method::POST).uri(format!("{base}{}", method(signal))).body(Full::new(body))?;
    *request.headers_mut() = headers;
    let map = request.headers_mut();
    map.insert(TE, HeaderValue::from_static("trailers"));
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    // At most eight digits, as gRPC wants.
    let timeout_ms = config.timeout.as_millis().min(99_999_999);
    map.insert("grpc-timeout", HeaderValue::try_from(format!("{timeout_ms}m"))?);
    if config.compression == Compression::Gzip {
        map.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    Ok(request)
}

/// Reads an answer; the error is a connection that broke before the status came.
pub(super) async fn reply(answer: Response<Incoming>) -> Result<GrpcReply, String> {
    let http = answer.status().as_u16();
    if http != 200 {
        return Ok(GrpcReply { message: format!("HTTP {http}"), ..GrpcReply::of(code::from_http(http)) });
    }
    let head = answer.headers().clone();
    if head.contains_key("grpc-status") {
        return Ok(status(&head));
    }
    let unknown = |why: &str| GrpcReply { message: why.to_owned(), ..GrpcReply::of(code::UNKNOWN) };
    let collected = match Limited::new(answer.into_body(), ANSWER_MAX).collect().await {
        Ok(collected) => collected,
        // It came whole, and would again: no reason to send anything twice.
        Err(error) if error.is::<LengthLimitError>() => return Ok(unknown("the answer is too long to be read")),
        Err(error) => return Err(format!("the answer broke off: {error}")),
    };
    let Some(trailers) = collected.trailers().filter(|t| t.contains_key("grpc-status")).cloned() else {
        return Ok(unknown("the answer has no grpc-status"));
    };
    let bytes = collected.to_bytes();
    let body = body::unframe(&bytes).unwrap_or_default().to_vec();
    Ok(GrpcReply { body, ..status(&trailers) })
}

fn status(headers: &HeaderMap) -> GrpcReply {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    GrpcReply {
        code: text("grpc-status").and_then(|t| t.parse().ok()).unwrap_or(code::UNKNOWN),
        message: percent_decoded(text("grpc-message").unwrap_or_default()),
        retry_after: text("grpc-status-details-bin").and_then(base64_decoded).and_then(|b| retry_info(&b)),
        body: Vec::new(),
    }
}

/// `google.rpc.Status`, as far as it is read here.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// What a receiver says in a `google.rpc.Status`, which is what refusals over HTTP carry too.
pub(super) fn status_message(body: &[u8]) -> Option<String> {
    RichStatus::decode(body).ok().map(|status| status.message).filter(|message| !message.is_empty())
}

/// The delay of a `RetryInfo` among the details; zero when it names none.
fn retry_info(details: &[u8]) -> Option<Duration> {
    let status = RichStatus::decode(details).ok()?;
    let detail = status.details.iter().find(|d| d.type_url.rsplit('/').next() == Some("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(detail.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    Some(Duration::new(u64::try_from(delay.seconds).unwrap_or(0), u32::try_from(delay.nanos).unwrap_or(0)))
}

/// Binary metadata: base64 with or without its padding.
fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        held = (held << 6) | u32::from(digit(byte)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}

/// `grpc-message`: what is no plain ASCII is written as `%41`.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(value) = hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            out.push(value);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A `grpc-status-details-bin` that asks for a delay, as a receiver would write it.
#[cfg(test)]
pub(super) fn details_asking_for(delay: Duration) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let delay = Delay { seconds: delay.as_secs() as i64, nanos: delay.subsec_nanos() as i32 };
    let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
    let detail = Detail { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value };
    let bytes = RichStatus { details: vec![detail], ..RichStatus::default() }.encode_to_vec();
    let digits = |three: &[u8]| {
        let held = three.iter().fold(0_u32, |held, b| (held << 8) | u32::from(*b)) << (8 * (3 - three.len()));
        (0..=three.len()).map(|n| DIGITS[(held >> (18 - 6 * n)) as usize & 63] as char).collect::<String>()
    };
    bytes.chunks(3).map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_info_is_found_among_the_details() {
        for ms in [0, 1, 1_500, 61_000, 7] {
            let delay = Duration::from_millis(ms);
            let text = details_asking_for(delay);
            assert_eq!(base64_decoded(&text).and_then(|b| retry_info(&b)), Some(delay), "{text}");
        }
        // RESOURCE_EXHAUSTED with a QuotaFailure says nothing about a retry.
        let other = Detail { type_url: "type.googleapis.com/google.rpc.QuotaFailure".into(), value: vec![] };
        assert_eq!(retry_info(&RichStatus { details: vec![other], ..RichStatus::default() }.encode_to_vec()), None);
        assert_eq!((base64_decoded("aGk="), base64_decoded("a b")), (Some(b"hi".to_vec()), None));
    }

    #[test]
    fn a_message_may_hold_any_text() {
        assert_eq!(percent_decoded("zu gro%C3%9F: 100%25, 5% mehr%"), "zu groß: 100%, 5% mehr%");
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(message in ".{0,40}", details in "[A-Za-z0-9+/=]{0,60}") {
            percent_decoded(&message);
            base64_decoded(&details).and_then(|b| retry_info(&b));
        }
    }
}
