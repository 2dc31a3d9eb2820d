//! What an answer means for what was sent. Pure.
//!
//! OTLP 1.11: 429, 502, 503 and 504 and lost connections are tried again; every other 4xx and 5xx is not; a partial
//! success is a success whose rejected part must not be sent again.

use std::time::Duration;

use super::http::Reply;
use super::wire;

/// Longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// Longest pause of our own.
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// The fate of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Received; `rejected` items of it were not taken.
    Accepted { rejected: u64, message: Option<String> },
    /// To be tried again: at the earliest after `after`, when the receiver said so.
    Retry { after: Option<Duration>, why: String },
    /// Refused for good.
    Refused { why: String },
}

pub(super) fn judge(reply: Result<Reply, String>, decode: wire::DecodePartial) -> Delivery {
    let reply = match reply {
        Ok(reply) => reply,
        Err(why) => return Delivery::Retry { after: None, why },
    };
    let said =
        || String::from_utf8_lossy(&reply.body).chars().filter(|c| !c.is_control()).take(200).collect::<String>();
    match reply.status {
        200..=299 => {
            let (rejected, message) = decode(&reply.body);
            Delivery::Accepted { rejected, message: Some(message).filter(|m| !m.is_empty()) }
        }
        429 | 502 | 503 | 504 => {
            let seconds = reply.retry_after.as_deref().and_then(|text| text.trim().parse::<u64>().ok());
            let after = seconds.map(|s| Duration::from_secs(s).min(RETRY_AFTER_MAX));
            Delivery::Retry { after, why: format!("HTTP {}", reply.status) }
        }
        status => Delivery::Refused { why: format!("HTTP {status}: {}", said()) },
    }
}

/// Pause before the next attempt: doubled with each failure in a row, never shorter than the receiver asked for.
/// `luck` from 0 to 1 spreads many agents by up to a quarter.
pub(super) fn pause(first: Duration, failures: u32, asked: Option<Duration>, luck: f64) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let own = doubled.mul_f64(0.75 + 0.25 * luck.clamp(0.0, 1.0));
    asked.map_or(own, |asked| asked.max(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(status: u16, retry_after: Option<&str>) -> Delivery {
        let reply = Reply { status, retry_after: retry_after.map(str::to_owned), body: b"no".to_vec() };
        judge(Ok(reply), |_| (0, String::new()))
    }

    #[test]
    fn exactly_four_codes_and_lost_connections_are_tried_again() {
        let again: Vec<u16> = (200..600).filter(|s| matches!(fate(*s, None), Delivery::Retry { .. })).collect();
        assert_eq!(again, [429, 502, 503, 504]);
        assert!(matches!(judge(Err("refused".into()), |_| (0, String::new())), Delivery::Retry { after: None, .. }));
        let accepted: Vec<u16> = (200..600).filter(|s| matches!(fate(*s, None), Delivery::Accepted { .. })).collect();
        assert_eq!((accepted.first(), accepted.last(), accepted.len()), (Some(&200), Some(&299), 100));
    }

    #[test]
    fn what_the_receiver_asks_for_is_waited() {
        let Delivery::Retry { after, .. } = fate(503, Some("7")) else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert_eq!(pause(Duration::from_secs(1), 1, after, 1.0), Duration::from_secs(7));
        assert_eq!(pause(Duration::from_secs(1), 6, after, 1.0), Duration::from_secs(32));
        assert!(matches!(fate(503, Some("soon")), Delivery::Retry { after: None, .. }));
        assert!(matches!(fate(503, Some("999999999")), Delivery::Retry { after: Some(RETRY_AFTER_MAX), .. }));
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute() {
        let pauses: Vec<u64> =
            [1, 2, 3, 7, 40].into_iter().map(|n| pause(Duration::from_secs(1), n, None, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 60, 60]);
    }
}
