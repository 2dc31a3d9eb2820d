//! What an answer means for what was sent. Pure.
//!
//! OTLP 1.11: over HTTP 429, 502, 503 and 504, over gRPC six codes and RESOURCE_EXHAUSTED with a `RetryInfo`, and over both
//! lost connections are tried again; no other request is. A partial success is a success whose rejected part must not be sent
//! again. A request that is too large (HTTP 413) is not tried again either: smaller ones take its place. An answer that is about
//! the address or the credentials and not about what was sent holds the destination up, and nothing is dropped
//! ([why](../../../../../docs/adr/0017-a-wrong-token-holds-an-export.md)).

use std::time::Duration;

use super::settings::Signal;
use super::wire;

/// Longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// Longest pause of our own.
pub(super) const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// Longest pause while a destination refuses whatever it is sent: somebody has to do something first.
pub(super) const HELD_MAX: Duration = Duration::from_mins(5);
/// Characters of a receiver's own words that are kept.
const SAID_MAX: usize = 200;

/// An answer over HTTP, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpReply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// An answer over gRPC, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GrpcReply {
    pub(super) code: u8,
    pub(super) message: String,
    /// From a `RetryInfo`.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl GrpcReply {
    pub(super) fn of(code: u8) -> Self {
        Self { code, message: String::new(), retry_after: None, body: Vec::new() }
    }
}

/// gRPC's status codes.
pub(super) mod code {
    pub(crate) const UNKNOWN: u8 = 2;
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    pub(super) fn name(code: u8) -> &'static str {
        NAMES.get(usize::from(code)).copied().unwrap_or("UNKNOWN")
    }

    /// What an HTTP status means when no gRPC status came with it, by gRPC's own table.
    pub(crate) fn from_http(status: u16) -> u8 {
        match status {
            400 => 13,
            403 => 7,
            // But 401 and 404 not in the table, which says UNKNOWN: no server of gRPC answers like that.
            401 | 407 => 16,
            300..=399 | 404 | 405 | 410 | 415 | 421 => 12,
            429 | 502 | 503 | 504 => 14,
            _ => UNKNOWN,
        }
    }
}

/// The fate of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Received; `rejected` items of it were not taken.
    Accepted { rejected: u64, message: Option<String> },
    /// To be tried again: at the earliest after `after`, when the receiver said so.
    Retry { after: Option<Duration>, why: String },
    /// Refused whatever it holds: for the credentials or the address. Somebody has to do something first.
    Held { why: String },
    /// Refused for its size alone.
    TooLarge { why: String },
    /// Refused for good.
    Refused { why: String },
}

impl Delivery {
    /// No answer: the connection failed, broke or took too long.
    pub(super) fn lost(why: String) -> Self {
        Self::Retry { after: None, why }
    }
}

/// What to do where the credentials are wrong.
const CREDENTIALS: &str = "nothing is dropped: put right what headers-file, headers or tls of this destination say, and it goes on within \
                           five minutes, or at once on reload";

/// What to do where nobody takes this signal.
fn address(signal: Signal) -> String {
    let name = match signal {
        Signal::Metrics => "metrics",
        Signal::Logs => "logs (findings, decisions, audit)",
        Signal::Traces => "traces (remediations, steps)",
    };
    format!(
        "nothing is dropped: look at endpoint, protocol and compression of this destination, or leave out the streams of {name} there if it \
         takes none"
    )
}

fn said(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SAID_MAX).collect()
}

fn accepted(signal: Signal, body: &[u8]) -> Delivery {
    let (rejected, message) = wire::rejected(signal, body);
    Delivery::Accepted { rejected, message: Some(said(&message)).filter(|m| !m.is_empty()) }
}

pub(super) fn judge_http(reply: HttpReply, signal: Signal) -> Delivery {
    let words = || said(&String::from_utf8_lossy(&reply.body));
    match reply.status {
        200..=299 => accepted(signal, &reply.body),
        429 | 502 | 503 | 504 => {
            let after = reply.retry_after.map(|asked| asked.min(RETRY_AFTER_MAX));
            Delivery::Retry { after, why: format!("HTTP {}", reply.status) }
        }
        413 => Delivery::TooLarge { why: format!("HTTP 413: {}", words()) },
        status @ 300..=399 => {
            let why = format!("HTTP {status}: redirects are not followed; name the address itself as the endpoint");
            Delivery::Held { why }
        }
        status @ (401 | 403 | 407) => Delivery::Held { why: format!("HTTP {status}: {}; {CREDENTIALS}", words()) },
        status @ (404 | 405 | 410 | 415 | 421) => {
            Delivery::Held { why: format!("HTTP {status}: {}; {}", words(), address(signal)) }
        }
        status => Delivery::Refused { why: format!("HTTP {status}: {}", words()) },
    }
}

pub(super) fn judge_grpc(reply: GrpcReply, signal: Signal) -> Delivery {
    let why = || format!("gRPC {}: {}", code::name(reply.code), said(&reply.message));
    let after = reply.retry_after.map(|asked| asked.min(RETRY_AFTER_MAX));
    match reply.code {
        0 => accepted(signal, &reply.body),
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
        1 | 4 | 10 | 11 | 14 | 15 => Delivery::Retry { after, why: why() },
        // PERMISSION_DENIED, UNAUTHENTICATED
        7 | 16 => Delivery::Held { why: format!("{}; {CREDENTIALS}", why()) },
        // UNIMPLEMENTED
        12 => Delivery::Held { why: format!("{}; {}", why(), address(signal)) },
        // RESOURCE_EXHAUSTED: only where the receiver says that it can recover.
        8 if after.is_some() => Delivery::Retry { after, why: why() },
        _ => Delivery::Refused { why: why() },
    }
}

/// Pause before the next attempt: doubled with each failure in a row, up to `most`, never shorter than the receiver asked for.
/// `luck` from 0 to 1 spreads many agents by up to a quarter.
pub(super) fn pause(first: Duration, failures: u32, asked: Option<Duration>, most: Duration, luck: f64) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most);
    let own = doubled.mul_f64(0.75 + 0.25 * luck.clamp(0.0, 1.0));
    asked.map_or(own, |asked| asked.max(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: u16, retry_after_s: Option<u64>) -> Delivery {
        let retry_after = retry_after_s.map(Duration::from_secs);
        judge_http(HttpReply { status, retry_after, body: b"no".to_vec() }, Signal::Metrics)
    }

    fn grpc(code: u8, retry_after_s: Option<u64>) -> Delivery {
        let retry_after = retry_after_s.map(Duration::from_secs);
        judge_grpc(GrpcReply { retry_after, ..GrpcReply::of(code) }, Signal::Metrics)
    }

    #[test]
    fn over_http_exactly_four_codes_are_tried_again() {
        let again: Vec<u16> = (200..600).filter(|s| matches!(http(*s, None), Delivery::Retry { .. })).collect();
        assert_eq!(again, [429, 502, 503, 504]);
        let accepted: Vec<u16> = (200..600).filter(|s| matches!(http(*s, None), Delivery::Accepted { .. })).collect();
        assert_eq!((accepted.first(), accepted.last(), accepted.len()), (Some(&200), Some(&299), 100));
        let smaller: Vec<u16> = (200..600).filter(|s| matches!(http(*s, None), Delivery::TooLarge { .. })).collect();
        assert_eq!(smaller, [413]);
        assert!(matches!(http(307, None), Delivery::Held { why } if why.contains("not followed")));
    }

    #[test]
    fn what_is_about_the_address_or_the_credentials_holds_and_a_refused_payload_does_not() {
        let held = |all: &[u16]| -> Vec<u16> {
            all.iter().copied().filter(|s| matches!(http(*s, None), Delivery::Held { .. })).collect()
        };
        let all: Vec<u16> = (400..600).collect();
        assert_eq!(held(&all), [401, 403, 404, 405, 407, 410, 415, 421]);
        assert_eq!(held(&(300..400).collect::<Vec<_>>()).len(), 100);
        let calls: Vec<u8> = (0..=20).filter(|c| matches!(grpc(*c, None), Delivery::Held { .. })).collect();
        assert_eq!(calls, [7, 12, 16]);
        assert_eq!([401, 403, 302, 404, 407, 415].map(code::from_http), [16, 7, 12, 12, 16, 12]);
        assert!(matches!(http(401, None), Delivery::Held { why } if why.contains("HTTP 401: no; nothing is dropped")));
        assert!(matches!(http(404, None), Delivery::Held { why } if why.contains("streams of metrics")));
    }

    #[test]
    fn over_grpc_exactly_the_codes_of_the_specification_are_tried_again() {
        let again =
            |asked| -> Vec<u8> { (0..=20).filter(|c| matches!(grpc(*c, asked), Delivery::Retry { .. })).collect() };
        assert_eq!(again(None), [1, 4, 10, 11, 14, 15]);
        assert_eq!(again(Some(3)), [1, 4, 8, 10, 11, 14, 15]);
        let accepted: Vec<u8> = (0..=20).filter(|c| matches!(grpc(*c, None), Delivery::Accepted { .. })).collect();
        assert_eq!(accepted, [0]);
        assert!(matches!(grpc(16, None), Delivery::Held { why } if why.starts_with("gRPC UNAUTHENTICATED")));
    }

    #[test]
    fn what_the_receiver_asks_for_is_waited() {
        for fate in [http(503, Some(7)), grpc(14, Some(7)), grpc(8, Some(7))] {
            let Delivery::Retry { after, .. } = fate else { panic!("{fate:?}") };
            assert_eq!(after, Some(Duration::from_secs(7)));
            assert_eq!(pause(Duration::from_secs(1), 1, after, BACKOFF_MAX, 1.0), Duration::from_secs(7));
            assert_eq!(pause(Duration::from_secs(1), 6, after, BACKOFF_MAX, 1.0), Duration::from_secs(32));
        }
        assert!(matches!(http(503, Some(999_999_999)), Delivery::Retry { after: Some(RETRY_AFTER_MAX), .. }));
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute() {
        let pauses = |most| [1, 2, 3, 7, 40].map(|n| pause(Duration::from_secs(1), n, None, most, 1.0).as_secs());
        assert_eq!(pauses(BACKOFF_MAX), [1, 2, 4, 60, 60]);
        assert_eq!(pauses(HELD_MAX), [1, 2, 4, 64, 300]);
    }
}
