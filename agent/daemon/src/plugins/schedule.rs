//! When checks run by themselves. Pure: time and randomness are arguments.
//!
//! Each check waits for a part of its interval first and varies by a tenth afterwards, so that plugins with the same schedule, and hosts
//! that were started together, do not run at the same moment. What was missed while the machine slept is not made up for.

use std::collections::BTreeMap;
use std::time::Duration;

/// Share of an interval by which a run may come earlier or later.
const VARIES: f64 = 0.1;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Due {
    every: Duration,
    at: Duration,
}

/// The next run of every check that has a schedule.
#[derive(Debug, Default)]
pub struct Schedule(BTreeMap<String, Due>);

impl Schedule {
    /// The checks that are due at this monotonic moment. `scheduled`: all that have a schedule now, and how often each wants to run;
    /// `random`: a number from 0 to 1, another one each time.
    pub fn due(
        &mut self,
        now: Duration,
        scheduled: &[(String, Duration)],
        random: &mut dyn FnMut() -> f64,
    ) -> Vec<String> {
        self.0.retain(|id, due| scheduled.iter().any(|(other, every)| other == id && *every == due.every));
        let mut ready = Vec::new();
        for (id, every) in scheduled {
            match self.0.get_mut(id) {
                None => {
                    let at = now + every.mul_f64(0.1 + 0.9 * random());
                    self.0.insert(id.clone(), Due { every: *every, at });
                }
                Some(due) if due.at <= now => {
                    due.at = now + every.mul_f64(1.0 - VARIES + 2.0 * VARIES * random());
                    ready.push(id.clone());
                }
                Some(_) => {}
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(
        schedule: &mut Schedule,
        seconds: std::ops::Range<u64>,
        every: &[(String, Duration)],
        random: f64,
    ) -> Vec<(u64, String)> {
        seconds
            .flat_map(|s| {
                schedule.due(Duration::from_secs(s), every, &mut || random).into_iter().map(move |id| (s, id))
            })
            .collect()
    }

    fn every(id: &str, seconds: u64) -> (String, Duration) {
        (id.to_owned(), Duration::from_secs(seconds))
    }

    #[test]
    fn a_check_runs_once_in_its_interval_give_or_take_a_tenth() {
        for (random, first, gap) in [(0.0, 10, 90), (0.5, 55, 100), (1.0, 100, 110)] {
            let found = runs(&mut Schedule::default(), 0..1_000, &[every("a", 100)], random);
            let times: Vec<u64> = found.iter().map(|(second, _)| *second).collect();
            assert_eq!(times[0], first);
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == gap), "{times:?}");
        }
    }

    #[test]
    fn a_machine_that_slept_runs_each_check_once() {
        let mut schedule = Schedule::default();
        runs(&mut schedule, 0..200, &[every("a", 100)], 0.5);
        assert_eq!(runs(&mut schedule, 100_000..100_050, &[every("a", 100)], 0.5).len(), 1);
    }

    #[test]
    fn a_plugin_that_goes_runs_no_more_and_another_interval_counts_from_now() {
        let mut schedule = Schedule::default();
        runs(&mut schedule, 0..50, &[every("a", 100), every("b", 100)], 0.5);
        let found = runs(&mut schedule, 50..90, &[every("b", 20)], 0.5);
        assert_eq!(found, [(61, "b".to_owned()), (81, "b".to_owned())]);
    }
}
