//! What is wrong with the telemetry itself: sources that fell silent, values that are stuck, a clock that was set.
//!
//! Such findings say nothing of the host but that less is known of it: severity is low, and what else hangs on the same
//! series is inconclusive meanwhile.

mod clock;
mod sources;
mod stuck;

pub(super) use clock::{Clock, UPTIME};
pub(super) use sources::Sources;
pub(super) use stuck::Stillness;

use crate::model::{Class, Confidence, Detection, Evidence, Method, Presence, Severity, Target, Timestamp};

/// What one of these methods says.
fn detection(
    (kind, method): (&str, &str),
    target: Target,
    (presence, title): (Presence, String),
    evidence: Vec<Evidence>,
    began_at: Timestamp,
) -> Detection {
    Detection {
        kind: kind.to_owned(),
        class: Class::Reliability,
        target,
        discriminator: String::new(),
        presence,
        title,
        severity: Severity::Low,
        // That it is so is read off the numbers; what it means is for others to say.
        confidence: Confidence::CERTAIN,
        method: Method { name: method.to_owned(), version: 1 },
        evidence,
        began_at,
        cause: None,
    }
}

/// Seconds as people say them.
fn span(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60, seconds) {
        (hours @ 2.., ..) => format!("{hours} h"),
        (_, minutes @ 2.., _) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}
