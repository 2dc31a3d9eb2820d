//! Steps without samples: left out, shown as such, or bridged when that is what was asked for. Pure.
//!
//! A bridged step is an invention, so nothing here is done unless it is asked for, and nothing before the first point or behind
//! the last one is ever made up, but for `previous`, which goes on to the end.

use std::str::FromStr;
use std::time::Duration;

use holdfast_core::model::Timestamp;
use serde::{Deserialize, Serialize};

/// What stands for a step without samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Nothing: the step is left out.
    #[default]
    None,
    /// The step, without a value.
    Null,
    /// The value before it.
    Previous,
    /// What lies on the line between the values before and after it.
    Linear,
}

impl FromStr for Fill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "null" => Ok(Self::Null),
            "previous" => Ok(Self::Previous),
            "linear" => Ok(Self::Linear),
            other => Err(format!("`{other}` is none of none, null, previous, linear")),
        }
    }
}

impl Fill {
    /// Points of steps from the first to the last of a window, at most the latest `limit` of them. `first` and `last` are starts of
    /// steps, `points` come by rising start.
    pub fn fill(
        self,
        points: &[(Timestamp, f64)],
        (first, last): (Timestamp, Timestamp),
        step: Duration,
        limit: usize,
    ) -> Vec<(Timestamp, Option<f64>)> {
        let step = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX);
        if self == Self::None || step <= 0 {
            return points.iter().map(|(at, value)| (*at, Some(*value))).collect();
        }
        let count = usize::try_from(last.ns().saturating_sub(first.ns()) / step).unwrap_or(0).saturating_add(1);
        let mut next = points.iter().peekable();
        let mut before: Option<(i64, f64)> = None;
        let mut found = Vec::with_capacity(count.min(limit));
        for index in count.saturating_sub(limit)..count {
            let at = first.ns().saturating_add(step.saturating_mul(index as i64));
            while let Some((then, value)) = next.next_if(|(then, _)| then.ns() <= at) {
                before = Some((then.ns(), *value));
            }
            let value = match (self, before, next.peek()) {
                (_, Some((then, value)), _) if then == at => Some(value),
                (Self::Previous, Some((_, value)), _) => Some(value),
                (Self::Linear, Some((then, value)), Some((after, goal))) => {
                    let share = (at - then) as f64 / (after.ns() - then) as f64;
                    Some(value + (goal - value) * share)
                }
                _ => None,
            };
            found.push((Timestamp::from_ns(at), value));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fill: Fill, limit: usize, expected: &[(i64, Option<f64>)]) {
        let points = [(20, 2.0), (50, 8.0)].map(|(at, value)| (Timestamp::from_secs(at), value));
        let window = (Timestamp::from_secs(10), Timestamp::from_secs(60));
        let found = fill.fill(&points, window, Duration::from_secs(10), limit);
        let found: Vec<_> = found.into_iter().map(|(at, value)| (at.ns() / 1_000_000_000, value)).collect();
        assert_eq!(found, expected, "{fill:?}");
    }

    #[test]
    fn each_way_of_filling_says_what_its_name_says() {
        check(Fill::None, 9, &[(20, Some(2.0)), (50, Some(8.0))]);
        let none: [(i64, Option<f64>); 6] =
            [(10, None), (20, Some(2.0)), (30, None), (40, None), (50, Some(8.0)), (60, None)];
        check(Fill::Null, 9, &none);
        let mut bridged = none;
        (bridged[2].1, bridged[3].1) = (Some(4.0), Some(6.0));
        check(Fill::Linear, 9, &bridged);
        (bridged[2].1, bridged[3].1, bridged[5].1) = (Some(2.0), Some(2.0), Some(8.0));
        check(Fill::Previous, 9, &bridged);
    }

    #[test]
    fn the_latest_steps_are_kept_and_know_what_came_before() {
        check(Fill::Previous, 3, &[(40, Some(2.0)), (50, Some(8.0)), (60, Some(8.0))]);
    }

    #[test]
    fn a_series_without_points_is_filled_with_nothing() {
        let window = (Timestamp::from_secs(0), Timestamp::from_secs(10));
        let found = Fill::Linear.fill(&[], window, Duration::from_secs(10), 9);
        assert_eq!(found.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [None, None]);
    }
}
