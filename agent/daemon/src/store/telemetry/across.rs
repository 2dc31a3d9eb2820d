//! Several series as one: what stands for them at each step. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use holdfast_core::model::{Attributes, Timestamp};
use serde::{Deserialize, Serialize};

use super::SeriesPoints;

/// What stands for the series that are joined, at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Across {
    /// Their sum.
    Sum,
    /// Their arithmetic mean.
    Avg,
    /// The smallest of them.
    Min,
    /// The largest of them.
    Max,
    /// How many have a point.
    Count,
}

impl Across {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sum, Self::Avg, Self::Min, Self::Max, Self::Count];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
        }
    }
}

impl FromStr for Across {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is none of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The points of one step, of however many series.
#[derive(Debug, Clone, Copy)]
struct Step {
    count: f64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Step {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn is(self, what: Across) -> f64 {
        match what {
            Across::Sum => self.sum,
            Across::Avg => self.sum / self.count,
            Across::Min => self.min,
            Across::Max => self.max,
            Across::Count => self.count,
        }
    }
}

const NOTHING: Step = Step { count: 0.0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

/// What the joined series of one answer is.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The attributes it was joined by, with their values; one that a series does not have is left out.
    pub attributes: Attributes,
    /// Of the series; a count has `1`.
    pub unit: String,
    /// How many series are in it.
    pub of: usize,
    /// Oldest first. A step in which only some of the series have a point is that of these.
    pub points: Vec<(Timestamp, f64)>,
    /// Of one of them older points were left out: from there on the rest are together.
    pub truncated: bool,
    /// The longest step that points rest on.
    pub resolution: Option<Duration>,
}

impl Across {
    /// Joins series whose attributes `by` agree, and whose unit does. Their points are steps, which lie at the same moments.
    pub fn join(self, all: &[SeriesPoints], by: &[String]) -> Vec<Joined> {
        let mut groups: BTreeMap<(Attributes, &str), Vec<&SeriesPoints>> = BTreeMap::new();
        for series in all {
            let mut name = series.key.attributes.clone();
            name.retain(|attribute, _| by.contains(attribute));
            groups.entry((name, &series.key.unit)).or_default().push(series);
        }
        groups.into_iter().map(|((attributes, unit), series)| self.joined(attributes, unit, &series)).collect()
    }

    fn joined(self, attributes: Attributes, unit: &str, series: &[&SeriesPoints]) -> Joined {
        let mut steps: BTreeMap<Timestamp, Step> = BTreeMap::new();
        for (at, value) in series.iter().flat_map(|it| &it.points) {
            steps.entry(*at).or_insert(NOTHING).add(*value);
        }
        // Where one series begins only because its older points were left out, the sum of the others is not the sum.
        let whole_from = series.iter().filter(|it| it.truncated).filter_map(|it| it.points.first()).map(|(at, _)| *at);
        if let Some(from) = whole_from.max() {
            steps.retain(|at, _| *at >= from);
        }
        Joined {
            attributes,
            unit: if self == Self::Count { "1".to_owned() } else { unit.to_owned() },
            of: series.len(),
            points: steps.into_iter().map(|(at, step)| (at, step.is(self))).collect(),
            truncated: series.iter().any(|it| it.truncated),
            resolution: series.iter().filter_map(|it| it.resolution).max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_core::model::{MetricKind, SeriesId, SeriesKey};

    use super::*;

    fn series(disk: &str, way: &str, points: &[(i64, f64)]) -> SeriesPoints {
        let attributes = [("device", disk), ("direction", way)];
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let key = SeriesKey { metric: "io".to_owned(), unit: "By".to_owned(), kind: MetricKind::Counter, attributes };
        let points = points.iter().map(|(at, value)| (Timestamp::from_secs(*at), *value)).collect();
        SeriesPoints { id: SeriesId(0), key: Arc::new(key), points, truncated: false, resolution: None }
    }

    fn all() -> [SeriesPoints; 3] {
        [
            series("sda", "read", &[(0, 1.0), (10, 2.0)]),
            series("sda", "write", &[(0, 5.0), (10, 6.0)]),
            series("sdb", "read", &[(10, 10.0), (20, 20.0)]),
        ]
    }

    #[track_caller]
    fn check(what: Across, by: &[&str], expected: &[(&str, &[(i64, f64)])]) {
        let by: Vec<String> = by.iter().map(|it| (*it).to_owned()).collect();
        let found: Vec<(String, Vec<(i64, f64)>)> = what
            .join(&all(), &by)
            .into_iter()
            .map(|it| {
                let name: Vec<String> = it.attributes.into_values().collect();
                (name.join(" "), it.points.iter().map(|(at, value)| (at.ns() / 1_000_000_000, *value)).collect())
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(name, points)| ((*name).to_owned(), points.to_vec())).collect();
        assert_eq!(found, expected, "{what:?} by {by:?}");
    }

    #[test]
    fn each_step_is_that_of_the_series_that_have_it() {
        check(Across::Sum, &[], &[("", &[(0, 6.0), (10, 18.0), (20, 20.0)])]);
        check(Across::Avg, &[], &[("", &[(0, 3.0), (10, 6.0), (20, 20.0)])]);
        check(Across::Min, &[], &[("", &[(0, 1.0), (10, 2.0), (20, 20.0)])]);
        check(Across::Max, &[], &[("", &[(0, 5.0), (10, 10.0), (20, 20.0)])]);
        check(Across::Count, &[], &[("", &[(0, 2.0), (10, 3.0), (20, 1.0)])]);
    }

    #[test]
    fn what_it_is_joined_by_stays_apart() {
        let apart: [(&str, &[(i64, f64)]); 2] = [("sda", &[(0, 6.0), (10, 8.0)]), ("sdb", &[(10, 10.0), (20, 20.0)])];
        check(Across::Sum, &["device"], &apart);
        check(Across::Sum, &["none"], &[("", &[(0, 6.0), (10, 18.0), (20, 20.0)])]);
    }

    #[test]
    fn a_series_whose_beginning_was_left_out_takes_that_of_the_whole_away() {
        let mut all = all();
        all[2].truncated = true;
        let joined = Across::Sum.join(&all, &[]).remove(0);
        assert_eq!((joined.points[0], joined.truncated, joined.of), ((Timestamp::from_secs(10), 18.0), true, 3));
    }

    #[test]
    fn what_is_counted_otherwise_is_not_added() {
        let mut all = all();
        Arc::make_mut(&mut all[0].key).unit = "1".to_owned();
        let units: Vec<_> = Across::Sum.join(&all, &[]).into_iter().map(|it| (it.unit, it.of)).collect();
        assert_eq!(units, [("1".to_owned(), 1), ("By".to_owned(), 2)]);
        assert_eq!(Across::Count.join(&all, &[]).remove(1).unit, "1");
    }
}
