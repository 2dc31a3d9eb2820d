//! A unit's memory against what it may have, in the words of findings. Pure.

use holdfast_plugin_sdk::{Problem, Severity, evidence, subject, text};

use crate::trend::{Point, trend};

/// A unit's memory grows without an end.
pub const LEAK: &str = "unit.memory_leak";

/// What has to be reached before anything is said; settings in numbers.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// Of history, in nanoseconds.
    pub least_history_ns: u64,
    /// Of the level at the beginning.
    pub grows_by: f64,
    /// In bytes.
    pub grows_bytes: f64,
    /// -1 to 1.
    pub steadiness: f64,
    /// In nanoseconds.
    pub horizon_ns: u64,
}

/// What a unit may still take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Bytes until the end.
    pub bytes: f64,
    /// Its own limit and not the host's memory.
    pub own: bool,
}

/// What is to be said about a unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// Nothing, and why.
    Fine(&'static str),
    /// Nothing can be said, and why.
    TooLittle(&'static str),
    /// It leaks.
    Leak(Box<Leak>),
}

/// A leak in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Leak {
    /// Held now, by the trend, in bytes.
    pub level: f64,
    /// More than at the beginning, in bytes.
    pub growth: f64,
    /// Over this time, in nanoseconds.
    pub span_ns: u64,
    /// Bytes a second.
    pub per_second: f64,
    /// Time to the end, in nanoseconds; by the slower quarter of the slopes it is longer.
    pub left_ns: u64,
    /// By the slower quarter; `None`: that would never end.
    pub left_at_most_ns: Option<u64>,
    /// What of.
    pub room: Room,
    /// How steadily.
    pub steadiness: f64,
}

/// Judges the points since the unit's last start.
pub fn judge(points: &[Point], room: Room, bar: &Bar) -> Judged {
    let Some(trend) = trend(points) else { return Judged::TooLittle("too few points since its last start") };
    if trend.span_ns < bar.least_history_ns {
        return Judged::TooLittle("it has not run for long enough since its last start");
    }
    let start = (trend.level - trend.growth).max(1.0);
    if trend.growth < bar.grows_bytes || trend.growth / start < bar.grows_by {
        return Judged::Fine("it grows too little");
    }
    if trend.steadiness < bar.steadiness {
        return Judged::Fine("it goes up and down");
    }
    // What only began to grow, or has come to rest by now, is no leak: both halves must grow, the later not much less.
    let half = points.len() / 2;
    let slope = |part: &[Point]| trend_of_half(part).unwrap_or(0.0);
    let (early, late) = (slope(&points[..half]), slope(&points[half..]));
    if late < early.max(trend.per_second) * 0.4 {
        return Judged::Fine("it has come to rest");
    }
    let ns = |per_second: f64| (room.bytes.max(0.0) / per_second * 1e9).min(9e18) as u64;
    let left_ns = ns(trend.per_second);
    if left_ns > bar.horizon_ns {
        return Judged::Fine("its end is far away");
    }
    Judged::Leak(Box::new(Leak {
        level: trend.level,
        growth: trend.growth,
        span_ns: trend.span_ns,
        per_second: trend.per_second,
        left_ns,
        left_at_most_ns: (trend.slow_per_second > 0.0).then(|| ns(trend.slow_per_second)),
        room,
        steadiness: trend.steadiness,
    }))
}

fn trend_of_half(points: &[Point]) -> Option<f64> {
    trend(points).map(|it| it.per_second)
}

/// The finding.
pub fn problem(unit: &str, leak: &Leak) -> Problem {
    let whose = if leak.room.own { "its own limit" } else { "the end of the host's memory" };
    let size = |bytes: f64| text::bytes(bytes.max(0.0) as u64);
    let title = format!(
        "{unit} holds {} and has grown by {} in {}, without an end: {whose} is about {} away",
        size(leak.level),
        size(leak.growth),
        text::span(leak.span_ns),
        text::span(leak.left_ns)
    );
    let hours = leak.left_ns as f64 / 3.6e12;
    let severity = match hours {
        it if it < 1.0 => Severity::High,
        it if it < 6.0 => Severity::Medium,
        _ => Severity::Low,
    };
    let mut problem = Problem::new(LEAK, "memory", subject("unit", unit), &title)
        .severity(severity)
        .confidence((0.4 + 0.5 * leak.steadiness).clamp(0.0, 0.9))
        .evidence(evidence("unit.memory.bytes", leak.level.max(0.0) as u64))
        .evidence(evidence("unit.memory.growth_bytes", leak.growth.max(0.0) as u64))
        .evidence(evidence("unit.memory.growth_bytes_per_hour", (leak.per_second * 3_600.0).max(0.0) as u64))
        .evidence(evidence("unit.memory.window_seconds", leak.span_ns / 1_000_000_000))
        .evidence(evidence("unit.memory.steadiness", (leak.steadiness * 1_000.0).round() / 1_000.0))
        .evidence(evidence("unit.memory.room_bytes", leak.room.bytes.max(0.0) as u64))
        .evidence(evidence("unit.memory.limit", if leak.room.own { "unit" } else { "host" }))
        .evidence(evidence("unit.memory.seconds_left", leak.left_ns / 1_000_000_000));
    if let Some(most) = leak.left_at_most_ns {
        problem = problem.evidence(evidence("unit.memory.seconds_left_at_most", most / 1_000_000_000));
    }
    problem
}

/// Pure: whether the restart has brought the level down. `before` was held, of which `growth` had come in the end.
pub fn helped(before: f64, growth: f64, now: Option<f64>) -> Option<bool> {
    now.map(|now| now <= before - growth / 2.0)
}
