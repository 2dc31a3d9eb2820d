//! Times, spans and numbers for people.

use std::time::Duration;

use holdfast_core::model::Timestamp;
use holdfast_core::model::unit::human_bytes;

/// `3m ago`, `in 5m`, `now`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    match (now.since(at), at.since(now)) {
        (past, future) if past.as_secs() == 0 && future.as_secs() == 0 => "now".to_owned(),
        (past, future) if future.is_zero() => format!("{} ago", coarse(past)),
        (_, future) => format!("in {}", coarse(future)),
    }
}

/// One figure: `45s`, `12m`, `5h`, `3d`.
fn coarse(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0..=99 => format!("{s}s"),
        100..=5_999 => format!("{}m", (s + 30) / 60),
        6_000..=172_799 => format!("{}h", (s + 1_800) / 3_600),
        _ => format!("{}d", (s + 43_200) / 86_400),
    }
}

/// Two figures: `1d 4h`, `5m 3s`, `2.50 s`, `350 ms`, `80 us`.
pub(super) fn span(span: Duration) -> String {
    let s = span.as_secs();
    match s {
        0 if span.as_millis() == 0 => format!("{} us", span.as_micros()),
        0 if span.as_millis() < 10 => format!("{:.1} ms", span.as_secs_f64() * 1e3),
        0 => format!("{} ms", span.as_millis()),
        1..=9 => format!("{:.2} s", span.as_secs_f64()),
        10..=59 => format!("{:.1} s", span.as_secs_f64()),
        60..=3_599 => format!("{}m {}s", s / 60, s % 60),
        3_600..=86_399 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// `2026-11-24 14:00:05Z`: to the second.
pub(super) fn stamp(at: Timestamp) -> String {
    let whole = Timestamp::from_secs(at.ns().div_euclid(1_000_000_000)).to_string();
    whole.replacen('T', " ", 1)
}

/// With its age: `2026-11-24 14:00:05Z (3m ago)`.
pub(super) fn dated(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", stamp(at), relative(at, now))
}

/// A number with at most five figures that matter.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let text = if size == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e15).contains(&size) {
        return format!("{value:.4e}");
    } else if size >= 10_000.0 {
        format!("{value:.0}")
    } else {
        let decimals = (4 - size.log10().floor() as i32).clamp(0, 8) as usize;
        format!("{value:.decimals$}")
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number with its UCUM unit.
pub(super) fn measured(value: f64, unit: &str) -> String {
    match unit {
        "By" if value >= 0.0 => human_bytes(value as u64),
        "By/s" if value >= 0.0 => format!("{}/s", human_bytes(value as u64)),
        "1" | "" => number(value),
        unit => format!("{} {unit}", number(value)),
    }
}

/// `0.93` as `93%`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_figure() {
        let now = Timestamp::from_secs(1_000_000);
        for (secs, expected) in
            [(0, "now"), (45, "45s ago"), (150, "3m ago"), (7_200, "2h ago"), (260_000, "3d ago"), (-300, "in 5m")]
        {
            assert_eq!(relative(Timestamp::from_secs(1_000_000 - secs), now), expected);
        }
    }

    #[test]
    fn numbers_keep_the_figures_that_matter() {
        for (value, expected) in [
            (0.0, "0"),
            (0.123_456_7, "0.12346"),
            (12.5, "12.5"),
            (1234.567, "1234.6"),
            (123_456.7, "123457"),
            (-0.5, "-0.5"),
            (1e-9, "1.0000e-9"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_moment_is_printed_to_the_second() {
        assert_eq!(stamp(Timestamp::from_ms(1_760_004_000_250)), "2025-10-09 10:00:00Z");
    }
}
