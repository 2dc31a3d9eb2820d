//! What a series was like in the last two and a half hours, minute by minute.
//!
//! It is told with each finding about the series, so that what lay before and after a change can be looked at from the finding alone, whenever the
//! change is told. One addition a sample, 1.2 KB a series. A minute without a sample is none, not 0.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Course, Timestamp};

const CELL: Duration = Duration::from_mins(1);
/// Changes are suspected for two hours; what came before the first of them is to be seen, too.
const CELLS_MAX: usize = 150;
/// Figures of a value that are kept.
const FIGURES: i32 = 5;

/// See the module.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Recent {
    /// Minutes since the epoch of the cell under way.
    minute: i64,
    sum: f64,
    count: u32,
    /// The finished ones before it, oldest first.
    cells: VecDeque<Option<f32>>,
}

impl Recent {
    /// One value, or rate.
    pub(super) fn push(&mut self, at: Timestamp, value: f64) {
        let minute = at.ns().div_euclid(CELL.as_nanos() as i64);
        if self.count > 0 && minute != self.minute {
            let passed = minute - self.minute;
            if passed < 0 || passed > CELLS_MAX as i64 {
                // The clock was set, or nothing was measured for longer than is remembered.
                self.cells.clear();
            } else {
                self.keep(self.mean());
                (1..passed).for_each(|_| self.keep(None));
            }
            (self.sum, self.count) = (0.0, 0);
        }
        self.minute = minute;
        self.sum += value;
        self.count = self.count.saturating_add(1);
    }

    fn keep(&mut self, cell: Option<f32>) {
        if self.cells.len() >= CELLS_MAX {
            self.cells.pop_front();
        }
        self.cells.push_back(cell);
    }

    fn mean(&self) -> Option<f32> {
        (self.count > 0).then(|| short(self.sum / f64::from(self.count)))
    }

    /// With the cell under way as the last. `None`: nothing is known yet.
    pub(super) fn course(&self) -> Option<Course> {
        let last = self.mean()?;
        let cells = self.cells.iter().copied().chain([Some(last)]).map(|it| it.map(wide)).collect();
        let from = Timestamp::from_secs(60 * (self.minute - self.cells.len() as i64));
        Some(Course { from, cell_s: CELL.as_secs() as u32, cells })
    }
}

/// To five figures: nobody reads more, and it is saved with each series.
fn short(value: f64) -> f32 {
    let value = value.clamp(f64::from(f32::MIN), f64::from(f32::MAX));
    if value == 0.0 {
        return 0.0;
    }
    let step = 10_f64.powi(value.abs().log10().floor() as i32 + 1 - FIGURES);
    let rounded = (value / step).round() * step;
    if rounded.is_finite() { rounded.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32 } else { value as f32 }
}

/// The same figures, without what is behind them in binary.
fn wide(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seconds: &[(i64, f64)]) -> Course {
        let mut recent = Recent::default();
        for (second, value) in seconds {
            recent.push(Timestamp::from_secs(1_760_004_000 + second), *value);
        }
        recent.course().unwrap()
    }

    #[test]
    fn minutes_are_means_and_those_without_a_sample_are_none() {
        let course = told(&[(0, 1.0), (30, 2.0), (60, 7.0), (185, 0.123_456_78)]);
        assert_eq!(course.cells, [Some(1.5), Some(7.0), None, Some(0.12346)]);
        assert_eq!(course.from, Timestamp::from_secs(1_760_004_000));
    }

    #[test]
    fn two_and_a_half_hours_are_kept_and_nothing_from_before_a_long_silence_or_a_clock_that_was_set_back() {
        let all: Vec<(i64, f64)> = (0..400).map(|minute| (60 * minute, minute as f64)).collect();
        let course = told(&all);
        assert_eq!((course.cells.len(), course.cells[0]), (CELLS_MAX + 1, Some(249.0)));
        assert_eq!(course.cell(Timestamp::from_secs(1_760_004_000 + 399 * 60)), CELLS_MAX as i64);
        assert_eq!(told(&[(0, 1.0), (60 * 200, 2.0)]).cells, [Some(2.0)]);
        assert_eq!(told(&[(600, 1.0), (0, 2.0)]).cells, [Some(2.0)]);
    }

    #[test]
    fn what_is_huge_or_tiny_stays_a_number() {
        for value in [1e100, -1e100, 1e-60, -3e-42, f64::MIN_POSITIVE, 3.402_823_4e38] {
            let course = told(&[(0, value)]);
            assert!(course.cells[0].is_some_and(f64::is_finite), "{value}: {course:?}");
        }
    }
}
