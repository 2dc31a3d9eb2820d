//! What a departure looks like, and when the series began to leave: a spike so far, a shift to another level, or a trend.
//!
//! From the course of the series: of each minute before and about the departure it is asked how well a jump there, or a straight line from there on,
//! explains what came since; the best of all is the change point. A departure of less than five minutes, or of fewer than five cells, is a spike so far, unless
//! the series had been leaving for some minutes when it was seen: nobody can say more.

use std::time::Duration;

use crate::model::{Course, Detection, Evidence, Timestamp};
use crate::stats::robust::median;

/// What is younger, or has fewer cells with a value, is a spike so far.
const YOUNG: Duration = Duration::from_mins(5);
const CELLS_MIN: usize = 5;
/// Cells before the departure began that the change point may lie in.
const REACH: usize = 60;
/// Cells before those that say how it was.
const LEAD: usize = 30;
/// What rose for so many cells before it was seen is a trend, however young the departure.
const RISING: usize = 3;
/// A line is believed where it leaves less than this part of what the jump leaves unexplained.
const LINE_PART: f64 = 0.7;

/// A cell that holds a value: its place in the course, and the value.
type Cell = (usize, f64);
/// The mean before a moment, how far from it the values are in squares, and the cells from there on.
type Parted<'c> = (f64, f64, &'c [Cell]);
/// What something that begins at a cell leaves unexplained.
type Leaves = fn(&[Cell], usize) -> Option<f64>;

/// Says it as evidence of a detection about the series with this course.
pub(super) fn tell(detection: &mut Detection, course: &Course, at: Timestamp) {
    let Some(found) = of(course, detection.began_at, at) else { return };
    detection.evidence.extend([
        Evidence::new("series.shape", found.word),
        Evidence::new("series.changed_at", found.changed_at.to_string()),
        Evidence::new("series.before", found.before),
        Evidence::new("series.after", found.after),
    ]);
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Shape {
    word: &'static str,
    changed_at: Timestamp,
    before: f64,
    after: f64,
}

fn of(course: &Course, began_at: Timestamp, at: Timestamp) -> Option<Shape> {
    let departed = usize::try_from(course.cell(began_at)).ok()?;
    let first = departed.saturating_sub(REACH + LEAD);
    let known: Vec<Cell> =
        course.cells.iter().enumerate().skip(first).filter_map(|(place, it)| Some((place, (*it)?))).collect();
    let middle = |from: usize, until: usize| {
        let mut values: Vec<f64> = known.iter().filter(|it| (from..until).contains(&it.0)).map(|it| it.1).collect();
        median(&mut values)
    };
    let after_all = known.iter().filter(|it| it.0 >= departed).count();
    let fitted = best(&known, departed, jump_leaves).zip(best(&known, departed, line_leaves));
    // It had risen, or fallen, for a while when it was seen: that is no spike, however young.
    let rose = |(jump, line): ((usize, f64), (usize, f64))| line.1 < LINE_PART * jump.1 && line.0 + RISING <= departed;
    if (at.since(began_at) < YOUNG || after_all < CELLS_MIN) && !fitted.is_some_and(rose) {
        let before = middle(departed.saturating_sub(LEAD), departed)?;
        return Some(Shape { word: "spike", changed_at: began_at, before, after: middle(departed, usize::MAX)? });
    }
    let (jump, line) = fitted?;
    if line.1 < LINE_PART * jump.1 {
        let before = middle(line.0.saturating_sub(LEAD), line.0)?;
        return Some(Shape { word: "trend", changed_at: course.begins(line.0), before, after: known.last()?.1 });
    }
    // To the minute the course knows it; the bin in which the departure began is finer where both say the same.
    let changed_at = if jump.0.abs_diff(departed) <= 1 { began_at } else { course.begins(jump.0) };
    let before = middle(jump.0.saturating_sub(LEAD), jump.0)?;
    Some(Shape { word: "level shift", changed_at, before, after: middle(jump.0.max(departed), usize::MAX)? })
}

/// The cell from which on something else explains the series best, and what it leaves unexplained.
fn best(known: &[Cell], departed: usize, leaves: Leaves) -> Option<(usize, f64)> {
    let tried = (departed.saturating_sub(REACH)..=departed + 1).filter_map(|at| Some((at, leaves(known, at)?)));
    tried.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The mean before, and how far from it the values are.
fn before(known: &[Cell], at: usize) -> Option<Parted<'_>> {
    let place = known.partition_point(|it| it.0 < at);
    let (before, after) = known.split_at(place);
    if before.len() < CELLS_MIN || after.is_empty() {
        return None;
    }
    let mean = before.iter().map(|it| it.1).sum::<f64>() / before.len() as f64;
    Some((mean, before.iter().map(|it| (it.1 - mean).powi(2)).sum(), after))
}

fn jump_leaves(known: &[Cell], at: usize) -> Option<f64> {
    let (_, left, after) = before(known, at)?;
    let mean = after.iter().map(|it| it.1).sum::<f64>() / after.len() as f64;
    Some(left + after.iter().map(|it| (it.1 - mean).powi(2)).sum::<f64>())
}

fn line_leaves(known: &[Cell], at: usize) -> Option<f64> {
    let (mean, left, after) = before(known, at)?;
    // A cell stands for its middle.
    let run = |place: usize| (place - at) as f64 + 0.5;
    let square: f64 = after.iter().map(|it| run(it.0).powi(2)).sum();
    let slope = after.iter().map(|it| run(it.0) * (it.1 - mean)).sum::<f64>() / square.max(f64::MIN_POSITIVE);
    Some(left + after.iter().map(|it| (it.1 - mean - slope * run(it.0)).powi(2)).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: i64 = 1_760_004_000;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_secs(T0 + 60 * minute)
    }

    /// A course of so many minutes around 10, with what `more` adds in each; the departure was seen to begin in minute `departed`.
    #[track_caller]
    fn check(
        minutes: i64,
        departed: i64,
        more: impl Fn(i64) -> f64,
        word: &str,
        changed: std::ops::RangeInclusive<i64>,
    ) {
        let noise = |at: i64| 0.1 * ((at * 7919) % 11 - 5) as f64;
        let cells = (0..minutes).map(|at| Some(10.0 + noise(at) + more(at))).collect();
        let course = Course { from: minute(0), cell_s: 60, cells };
        let found = of(&course, minute(departed), minute(minutes)).unwrap();
        let changed_at = (found.changed_at.ns() / 1_000_000_000 - T0) / 60;
        assert!(found.word == word && changed.contains(&changed_at), "{found:?}, in minute {changed_at}");
        assert!((found.before - 10.0).abs() < 0.5, "{found:?}");
    }

    #[test]
    fn a_jump_that_stays_is_a_shift_of_the_level_from_that_minute_on() {
        check(120, 100, |at| if at >= 100 { 5.0 } else { 0.0 }, "level shift", 100..=100);
        // It was seen late, for it came in two steps.
        check(
            140,
            110,
            |at| if at >= 100 { 4.0 } else { 0.0 } + if at >= 110 { 1.0 } else { 0.0 },
            "level shift",
            99..=101,
        );
    }

    #[test]
    fn what_goes_on_rising_is_a_trend_from_where_it_began_and_not_from_where_it_was_seen() {
        check(140, 110, |at| 0.3 * (at - 100).max(0) as f64, "trend", 97..=103);
        check(140, 120, |at| -0.2 * (at - 90).max(0) as f64, "trend", 86..=94);
    }

    #[test]
    fn what_is_young_is_a_spike_so_far() {
        check(103, 100, |at| if at >= 100 { 5.0 } else { 0.0 }, "spike", 100..=100);
    }

    #[test]
    fn what_had_risen_for_minutes_before_it_was_seen_is_no_spike() {
        check(112, 111, |at| 0.3 * (at - 100).max(0) as f64, "trend", 97..=103);
    }

    #[test]
    fn without_a_past_nothing_is_said() {
        let course = Course { from: minute(0), cell_s: 60, cells: vec![Some(1.0); 20] };
        assert_eq!(of(&course, minute(0), minute(20)), None);
        assert_eq!(of(&course, minute(-5), minute(20)), None);
        assert_eq!(of(&Course { cells: vec![None; 40], ..course }, minute(20), minute(40)), None);
    }
}
