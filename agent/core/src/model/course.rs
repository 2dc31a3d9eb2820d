//! What a series was like lately, cell by cell, as it is told with a finding.
//!
//! Written as one text, so that it is a piece of evidence like others: when it begins, how long a cell is, and the mean of each, with `-`
//! where nothing was measured: `2026-11-27T04:00:00Z 60s 0.081 0.079 - 0.93`.

use std::fmt;
use std::str::FromStr;

use super::time::Timestamp;

/// The evidence that holds it.
pub const COURSE: &str = "series.course";
/// Cells of one; more is refused.
const CELLS_MAX: usize = 1_000;

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// When the first cell begins.
    pub from: Timestamp,
    /// How long a cell is, in seconds; not 0.
    pub cell_s: u32,
    /// The mean of each, in the series' unit, oldest first; `None`: nothing was measured.
    pub cells: Vec<Option<f64>>,
}

/// A text that is no course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a course: a time, the seconds of a cell and the values of the cells are wanted")]
pub struct CourseError;

impl Course {
    /// The cell in which this moment lies; before the first it is negative.
    pub fn cell(&self, at: Timestamp) -> i64 {
        at.ns().saturating_sub(self.from.ns()).div_euclid(i64::from(self.cell_s.max(1)) * 1_000_000_000)
    }

    /// When a cell begins.
    pub fn begins(&self, cell: usize) -> Timestamp {
        self.from.plus(std::time::Duration::from_secs(u64::from(self.cell_s) * cell as u64))
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}s", self.from, self.cell_s)?;
        self.cells.iter().try_for_each(|cell| match cell {
            Some(value) if (1e-3..1e7).contains(&value.abs()) || *value == 0.0 => write!(f, " {value}"),
            Some(value) => write!(f, " {value:e}"),
            None => f.write_str(" -"),
        })
    }
}

impl FromStr for Course {
    type Err = CourseError;

    fn from_str(text: &str) -> Result<Self, CourseError> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(CourseError);
        let from = next()?.parse().map_err(|_| CourseError)?;
        let cell_s = next()?.strip_suffix('s').and_then(|it| it.parse().ok()).filter(|it| *it > 0);
        let cell_s = cell_s.ok_or(CourseError)?;
        let cell = |word: &str| match word {
            "-" => Ok(None),
            word => word.parse().ok().filter(|it: &f64| it.is_finite()).map(Some).ok_or(CourseError),
        };
        let cells: Vec<Option<f64>> = words.take(CELLS_MAX + 1).map(cell).collect::<Result<_, _>>()?;
        if cells.len() > CELLS_MAX { Err(CourseError) } else { Ok(Self { from, cell_s, cells }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_written_and_read() {
        let text = "2026-11-27T04:00:00Z 60s 0.081 0 - -1.5e-7 1.6e10";
        let course: Course = text.parse().unwrap();
        assert_eq!((course.cell_s, course.cells.len(), course.cells[2]), (60, 5, None));
        assert_eq!(course.to_string(), text);
        assert_eq!(
            (course.cell(course.from), course.cell(course.begins(3).minus(std::time::Duration::from_secs(1)))),
            (0, 2)
        );
        assert_eq!(course.cell(course.from.minus(std::time::Duration::from_secs(1))), -1);
    }

    #[test]
    fn a_moment_far_away_is_in_no_cell_and_nothing_overflows() {
        let course = Course { from: Timestamp::from_ns(i64::MIN), cell_s: 1, cells: vec![None] };
        assert!(course.cell(Timestamp::from_ns(i64::MAX)) > 1_000_000);
        let course = Course { from: Timestamp::from_ns(i64::MAX), ..course };
        assert!(course.cell(Timestamp::from_ns(i64::MIN)) < -1_000_000);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "now 60s 1",
            "2026-11-27T04:00:00Z",
            "2026-11-27T04:00:00Z 0s 1",
            "2026-11-27T04:00:00Z 60s 1 x",
            "2026-11-27T04:00:00Z 60s inf",
        ] {
            assert_eq!(text.parse::<Course>(), Err(CourseError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_values_come_back(cells in prop::collection::vec(prop::option::of(-1e30_f64..1e30), 0..200)) {
            let course = Course { from: Timestamp::from_secs(1_760_000_000), cell_s: 60, cells };
            prop_assert_eq!(course.to_string().parse::<Course>().unwrap(), course);
        }
    }
}
