//! Whether a plugin may be called: three failures in a row bench it, ten minutes later one call tries again. Pure.

use std::time::Duration;

/// Failures in a row that bench a plugin.
pub(super) const FAILURES_MAX: u32 = 3;
/// A benched plugin rests so long.
pub(super) const REST: Duration = Duration::from_mins(10);

/// What is known of one plugin's calls.
#[derive(Debug, Default, Clone)]
pub(super) struct Health {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) in_a_row: u32,
    pub(super) last_error: Option<String>,
    pub(super) last_cost: Option<Duration>,
    pub(super) memory_peak_bytes: u64,
    benched_at: Option<Duration>,
}

impl Health {
    /// Why it may not be called now; monotonic time.
    pub(super) fn rests(&self, now: Duration) -> Option<String> {
        let since = now.saturating_sub(self.benched_at?);
        let left = REST.checked_sub(since).filter(|left| !left.is_zero())?;
        let last = self.last_error.as_deref().unwrap_or("unknown");
        Some(format!("{} failures in a row, the last: {last}; tried again in {} s", self.in_a_row, left.as_secs()))
    }

    /// A call ended. `error`: it misbehaved, which counts, or said that it could not, which does not.
    pub(super) fn ended(&mut self, now: Duration, cost: Option<Duration>, memory: u64, error: Option<(String, bool)>) {
        self.calls += 1;
        self.last_cost = cost.or(self.last_cost);
        self.memory_peak_bytes = self.memory_peak_bytes.max(memory);
        let Some((text, misbehaved)) = error else {
            (self.in_a_row, self.benched_at, self.last_error) = (0, None, None);
            return;
        };
        self.failures += 1;
        self.last_error = Some(text);
        if misbehaved {
            self.in_a_row = self.in_a_row.saturating_add(1);
            if self.in_a_row >= FAILURES_MAX {
                self.benched_at = Some(now);
            }
        } else {
            // It ran to its end: it is sound, whatever it says.
            (self.in_a_row, self.benched_at) = (0, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(health: &mut Health, at_s: u64) {
        health.ended(Duration::from_secs(at_s), None, 0, Some(("broke".to_owned(), true)));
    }

    #[track_caller]
    fn check(health: &Health, at_s: u64, rests: bool) {
        assert_eq!(health.rests(Duration::from_secs(at_s)).is_some(), rests, "{health:?}");
    }

    #[test]
    fn three_failures_in_a_row_bench_it_for_ten_minutes() {
        let mut health = Health::default();
        fails(&mut health, 1);
        fails(&mut health, 2);
        check(&health, 2, false);
        fails(&mut health, 3);
        check(&health, 3, true);
        check(&health, 3 + 599, true);
        check(&health, 3 + 600, false);
    }

    #[test]
    fn a_failure_of_the_try_benches_it_again_and_success_frees_it() {
        let mut health = Health::default();
        (1..=3).for_each(|at| fails(&mut health, at));
        fails(&mut health, 700);
        check(&health, 701, true);
        health.ended(Duration::from_secs(1400), None, 0, None);
        fails(&mut health, 1401);
        check(&health, 1401, false);
    }

    #[test]
    fn saying_that_it_cannot_is_no_misbehaviour() {
        let mut health = Health::default();
        for at in 1..10 {
            health.ended(Duration::from_secs(at), None, 0, Some(("no systemd".to_owned(), false)));
        }
        check(&health, 10, false);
        assert_eq!(health.failures, 9);
    }
}
