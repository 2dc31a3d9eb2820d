//! OTLP/HTTP with protobuf: one POST a request, the answer read within bounds. Redirects are not followed.

use std::time::{Duration, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response};

use holdfast_core::model::Timestamp;

use super::delivery::HttpReply;
use super::settings::Signal;
use super::{Compression, ExportConfig, grpc};
use crate::telemetry::http::ANSWER_MAX;

fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/v1/metrics",
        Signal::Logs => "/v1/logs",
        Signal::Traces => "/v1/traces",
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
        Request::builder().method(Method::POST).uri(format!("{base}{}", path(signal))).body(Full::new(body))?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let encoding = match config.compression {
        Compression::None => return Ok(request),
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    Ok(request)
}

/// Reads an answer at the moment `now`.
pub(super) async fn reply(answer: Response<Incoming>, now: Timestamp) -> HttpReply {
    let retry_after = retry_after(answer.headers(), now);
    let status = answer.status().as_u16();
    let protobuf =
        answer.headers().get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/x-protobuf"));
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
    // A 2xx whose body breaks off was still received: what it says counts.
    let mut body = body.map(|b| b.to_bytes().to_vec()).unwrap_or_default();
    if protobuf
        && !(200..=299).contains(&status)
        && let Some(message) = grpc::status_message(&body)
    {
        body = message.into_bytes();
    }
    HttpReply { status, retry_after, body }
}

/// `Retry-After` as seconds or as a date. A date is seen from the receiver's own `Date`, where it gives one: the two clocks
/// may differ. A date that has passed asks for no wait.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let date = |text| Some(httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default());
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let from = text(DATE).and_then(date).unwrap_or(now.since(Timestamp::from_ns(0)));
    Some(date(asked)?.saturating_sub(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: Option<u64>) {
        let pairs = headers.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)));
        // Sun, 06 Nov 1994 08:49:37 GMT
        let found = retry_after(&pairs.collect(), Timestamp::from_secs(784_111_777));
        assert_eq!(found, expected.map(Duration::from_secs), "{headers:?}");
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        check(&[], None);
        check(&[("retry-after", " 120 ")], Some(120));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")], Some(30));
        check(&[("retry-after", "Sunday, 06-Nov-94 08:50:07 GMT")], Some(30));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0));
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "-1")], None);
    }

    #[test]
    fn a_receivers_date_is_seen_from_its_own_clock() {
        let date = ("date", "Sun, 06 Nov 1994 10:00:00 GMT");
        check(&[date, ("retry-after", "Sun, 06 Nov 1994 10:00:05 GMT")], Some(5));
    }
}
