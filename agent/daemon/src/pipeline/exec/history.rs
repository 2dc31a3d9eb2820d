//! One run of a step against the former ones. Pure.
//!
//! Only runs that ended well count: one that failed early says nothing about how long the step takes. Fewer than five are
//! shown but never called unusual.

use crate::request::StepMeasurement;

/// Runs below which nothing is called unusual.
const RUNS_MIN: usize = 5;
/// More than so many medians is far more than usual, if it is also beyond the largest by the share and the step below.
const TIMES_MEDIAN: f64 = 2.0;
const TIMES_LARGEST: f64 = 1.25;
/// Differences below these are not worth a word.
const DURATION_STEP_S: f64 = 1.0;
const MEMORY_STEP_BYTES: f64 = 32.0 * 1024.0 * 1024.0;

/// Middle and range of some figure over the former runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// Smallest.
    pub least: f64,
    /// Largest.
    pub most: f64,
    /// Runs.
    pub runs: usize,
}

/// How a run compares with the former ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// Durations in seconds; `None` without history.
    pub duration: Option<Spread>,
    /// Peak memory in bytes, of the runs where it is known.
    pub memory: Option<Spread>,
    /// This run's duration in medians, when it is far longer than usual.
    pub far_longer: Option<f64>,
    /// This run's peak memory in medians, when it is far more than usual.
    pub far_larger: Option<f64>,
    /// Why the former runs could not be read.
    pub unknown: Option<String>,
}

impl Comparison {
    /// The former runs could not be read.
    pub(super) fn unknown(why: &str) -> Self {
        Self { unknown: Some(why.to_owned()), ..Self::default() }
    }
}

fn spread(values: impl Iterator<Item = f64>) -> Option<Spread> {
    let mut values: Vec<f64> = values.filter(|v| v.is_finite() && *v >= 0.0).collect();
    values.sort_by(f64::total_cmp);
    let (least, most) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let median = if values.len().is_multiple_of(2) { f64::midpoint(*values.get(middle - 1)?, upper) } else { upper };
    Some(Spread { median, least, most, runs: values.len() })
}

fn far(value: f64, usual: Option<Spread>, step: f64) -> Option<f64> {
    let usual = usual.filter(|s| s.runs >= RUNS_MIN)?;
    let far = value > usual.median * TIMES_MEDIAN && value > usual.most * TIMES_LARGEST && value > usual.median + step;
    far.then(|| value / usual.median)
}

pub(super) fn compare(run: &StepMeasurement, history: &[StepMeasurement]) -> Comparison {
    let good = || history.iter().filter(|former| former.exit_code == 0);
    let duration = spread(good().map(|former| former.duration_s));
    let memory = spread(good().filter_map(|former| former.peak_memory_bytes).map(|bytes| bytes as f64));
    Comparison {
        duration,
        memory,
        far_longer: far(run.duration_s, duration, DURATION_STEP_S),
        far_larger: run.peak_memory_bytes.and_then(|bytes| far(bytes as f64, memory, MEMORY_STEP_BYTES)),
        unknown: None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use holdfast_core::model::Timestamp;

    pub(in super::super) fn run(duration_s: f64, peak_mib: Option<u64>, exit_code: i32) -> StepMeasurement {
        StepMeasurement {
            run: None,
            step: "build".into(),
            program: "make".into(),
            exit_code,
            started_at: Timestamp::from_secs(1_800_000_000),
            duration_s,
            cpu_s: duration_s * 2.0,
            peak_memory_bytes: peak_mib.map(|mib| mib << 20),
            read_bytes: Some(0),
            written_bytes: Some(1 << 20),
            trace: None,
        }
    }

    #[track_caller]
    fn check(duration_s: f64, former: &[f64], far_longer: bool) {
        let former: Vec<StepMeasurement> = former.iter().map(|d| run(*d, Some(100), 0)).collect();
        let compared = compare(&run(duration_s, Some(100), 0), &former);
        assert_eq!(compared.far_longer.is_some(), far_longer, "{compared:?}");
    }

    #[test]
    fn far_longer_needs_enough_runs_and_a_clear_distance() {
        check(30.0, &[10.0, 11.0, 9.0, 10.0, 10.0], true);
        check(30.0, &[10.0, 11.0, 9.0, 10.0], false);
        check(19.0, &[10.0, 11.0, 9.0, 10.0, 10.0], false);
        check(30.0, &[10.0, 11.0, 9.0, 10.0, 29.0], false);
        check(0.4, &[0.1, 0.1, 0.1, 0.1, 0.1], false);
        check(30.0, &[], false);
    }

    #[test]
    fn runs_that_failed_are_no_measure() {
        let former = [run(1.0, None, 1), run(10.0, None, 0), run(12.0, None, 0)];
        let compared = compare(&run(10.0, None, 0), &former);
        assert_eq!(compared.duration, Some(Spread { median: 11.0, least: 10.0, most: 12.0, runs: 2 }));
        assert_eq!(compared.memory, None);
    }

    #[test]
    fn far_more_memory_is_told_too() {
        let former: Vec<StepMeasurement> = (0..6).map(|n| run(10.0, Some(200 + n), 0)).collect();
        let compared = compare(&run(10.0, Some(800), 0), &former);
        assert!(compared.far_larger.is_some_and(|times| times > 3.9 && times < 4.0), "{compared:?}");
        assert_eq!(compare(&run(10.0, None, 0), &former).far_larger, None);
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let former = [run(f64::NAN, None, 0), run(-1.0, None, 0), run(5.0, None, 0)];
        assert_eq!(compare(&run(5.0, None, 0), &former).duration.map(|s| s.runs), Some(1));
    }
}
