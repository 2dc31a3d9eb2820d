//! How far a series that departed is from where it was just before a change that is suspected of it.
//!
//! From the finding's own evidence alone: the course of the series that was told with it. The size is what the series is now less the
//! median of the last minutes before the change; its interval is how far such pairs of moments lay apart in the same course before its change point (placebo in time), so it knows how much
//! this series wanders. What of the departure was there before the change cannot be the change's doing: that part, beyond the interval, counts
//! against it. A change long before the departure is neither better nor worse by it, since its effect may be late. Without a course, or with
//! too little of it, there is none, and nothing counts.

use crate::detect::number as short;
use crate::model::{COURSE, Course, Evidence, Finding, Timestamp, Value};
use crate::stats::robust::{Location, median};

/// Cells before a change that stand for how it was.
const BEFORE: usize = 3;
/// They lie within so many cells before it.
const BEFORE_REACH: usize = 6;
/// Pairs of earlier moments without which there is no interval.
const PLACEBOS_MIN: usize = 20;
/// The interval holds so many of them.
const HELD: f64 = 0.95;

/// What is found; in the series' unit where nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Contrast {
    before: f64,
    now: f64,
    /// Half the width of the interval around the difference.
    give: f64,
    /// Robust standard deviations of the series.
    scale: f64,
    /// How much of the departure came after the change, 0 to 1.
    pub(super) share: f64,
}

impl Contrast {
    /// Of the finding's series, before and after a change at this moment.
    pub(super) fn of(finding: &Finding, change: Timestamp) -> Option<Self> {
        let Some(Value::Text(text)) = finding.evidence(COURSE) else { return None };
        let course: Course = text.parse().ok()?;
        // A cell that began before the change holds some of what came after it.
        let changed = usize::try_from(course.cell(change)).ok()?.min(course.cells.len());
        let departed = usize::try_from(course.cell(finding.began_at)).ok()?.min(course.cells.len().checked_sub(1)?);
        let before = middle(&course.cells[changed.saturating_sub(BEFORE_REACH)..changed], BEFORE)?;
        let mut usual: Vec<f64> = course.cells[..departed].iter().copied().flatten().collect();
        let known = Location::of(&mut usual)?;
        let fact = |name: &str| match finding.evidence(name) {
            Some(Value::Number(value)) => Some(*value),
            Some(Value::Integer(value)) => Some(*value as f64),
            _ => None,
        };
        let now = fact("series.now").or_else(|| middle(&course.cells[departed..], usize::MAX))?;
        let level = fact("series.expected").unwrap_or(known.level);
        let scale = fact("series.scale").unwrap_or(known.scale).max(f64::MIN_POSITIVE);
        // Nothing had altered before the change point, as far as anybody can tell.
        let calm = changed_at(finding).and_then(|it| usize::try_from(course.cell(it)).ok());
        let calm = calm.unwrap_or(departed).min(departed);
        let give = placebos(&course.cells[..calm], departed.saturating_sub(changed), course.cells.len() - departed)?;
        let whole = now - level;
        if whole.abs() <= give || !whole.is_finite() {
            return None;
        }
        let by = (now - before) * whole.signum();
        let share = ((by + give) / whole.abs()).clamp(0.0, 1.0);
        Some(Self { before, now, give, scale, share })
    }

    /// What it says, for people and for programs.
    pub(super) fn evidence(self) -> Vec<Evidence> {
        let by = self.now - self.before;
        let (low, high) = (by - self.give, by + self.give);
        let word = if low <= 0.0 && high >= 0.0 { "no clear difference" } else { "a clear difference" };
        let text = format!(
            "{} just before it, {} now: {word} of {} ({} to {}), {} robust deviations; {:.0} % of the departure came after it",
            short(self.before),
            short(self.now),
            short(by),
            short(low),
            short(high),
            short(by / self.scale),
            100.0 * self.share
        );
        vec![
            Evidence::new("suspect.contrast", super::rank::rounded(self.share)),
            Evidence::new("suspect.contrast_reason", text),
            Evidence::new("suspect.shift", by),
            Evidence::new("suspect.shift_low", low),
            Evidence::new("suspect.shift_high", high),
        ]
    }
}

/// When the finding's series began to leave, where that is known.
pub(super) fn changed_at(finding: &Finding) -> Option<Timestamp> {
    match finding.evidence("series.changed_at") {
        Some(Value::Text(text)) => text.parse().ok(),
        _ => None,
    }
}

/// The median of the last cells with a value, so many at most.
fn middle(cells: &[Option<f64>], most: usize) -> Option<f64> {
    let mut values: Vec<f64> = cells.iter().rev().copied().flatten().take(most).collect();
    median(&mut values)
}

/// How far apart the same measure was at earlier moments: three cells, and so many cells as the departure has, `lag` cells later.
fn placebos(cells: &[Option<f64>], lag: usize, length: usize) -> Option<f64> {
    let length = length.min(BEFORE);
    let last = cells.len().checked_sub(lag + length)?;
    let one = |at: usize| {
        let before = middle(&cells[at.saturating_sub(BEFORE_REACH)..at], BEFORE)?;
        Some((middle(&cells[at + lag..at + lag + length], usize::MAX)? - before).abs())
    };
    let mut all: Vec<f64> = (BEFORE..=last).filter_map(one).collect();
    if all.len() < PLACEBOS_MIN {
        return None;
    }
    all.sort_by(f64::total_cmp);
    // The moment itself is one more.
    let place = ((all.len() + 1) as f64 * HELD).ceil() as usize;
    all.get(place.saturating_sub(1).min(all.len() - 1)).copied()
}

#[cfg(test)]
#[path = "contrast_tests.rs"]
mod tests;
