//! Whether a plugin may be called, and what its calls have cost. Pure.
//!
//! Three failures in a row bench it: ten minutes at first, twice as long each further time, a day at most. Then one call tries again:
//! when it fails, the next rest begins; when it goes well the plugin is in use, and after three good calls in a row its past is forgotten.
//! What decides this survives a restart; what is only counted does not.

use std::time::Duration;

use holdfast_core::model::Timestamp;
use holdfast_plugin_host::CallCost;
use serde::{Deserialize, Serialize};

/// Failures in a row that bench a plugin, and good calls in a row after which earlier rests no longer count.
pub(super) const IN_A_ROW: u32 = 3;
/// The first rest.
pub(super) const REST: Duration = Duration::from_mins(10);
/// The longest rest.
pub(super) const REST_MAX: Duration = Duration::from_hours(24);
/// Ends of the agent with this plugin's call under way, of unknown cause and one after the other, that bench it.
const SUSPECTED_MAX: u32 = 2;

/// What is known of one plugin's calls.
#[derive(Debug, Default, Clone)]
pub(super) struct Health {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) last_error: Option<String>,
    pub(super) last: Option<CallCost>,
    pub(super) total: Total,
    pub(super) circuit: Circuit,
    rest: Option<Rest>,
    /// Since when a call that is no longer waited for has not come back.
    hangs: Option<Duration>,
    /// The circuit as it is not kept yet.
    unkept: bool,
}

/// What all calls since the start have cost together.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Total {
    pub(super) elapsed: Duration,
    pub(super) memory_peak_bytes: u64,
    pub(super) returned_bytes: u64,
    pub(super) host_calls: u64,
    pub(super) host_calls_denied: u64,
}

/// What is kept across restarts.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Circuit {
    /// Failures since the last good call.
    pub(super) in_a_row: u32,
    good_in_a_row: u32,
    /// Rests since it was last forgiven.
    pub(super) rests: u32,
    suspected: u32,
    /// Since when and how long it rests.
    benched: Option<Benched>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Benched {
    at: Timestamp,
    rest_s: u64,
    why: String,
}

/// The same on this process's monotonic clock.
#[derive(Debug, Clone)]
struct Rest {
    until: Duration,
}

/// The circuit of one component, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// SHA-256 of the component: another one begins anew.
    pub(super) digest: String,
    pub(super) circuit: Circuit,
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) wall: Timestamp,
    pub(super) mono: Duration,
}

/// How a call ended that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) text: String,
    /// It misbehaved, which counts; or it said that it could not, which does not.
    pub(super) misbehaved: bool,
}

impl Health {
    /// Why it may not be called now.
    pub(super) fn rests(&self, mono: Duration) -> Option<String> {
        let left = self.rest.as_ref()?.until.checked_sub(mono).filter(|left| !left.is_zero())?;
        let why = self.circuit.benched.as_ref().map_or("unknown", |it| it.why.as_str());
        Some(format!("{why}; tried again in {} s", left.as_secs().max(1)))
    }

    /// When it is tried again, for people.
    pub(super) fn until(&self, now: Now) -> Option<Timestamp> {
        let left = self.rest.as_ref()?.until.checked_sub(now.mono).filter(|left| !left.is_zero())?;
        Some(now.wall.plus(left))
    }

    /// Whether the next call is the one that tries again.
    pub(super) fn is_on_trial(&self, mono: Duration) -> bool {
        self.rest.is_some() && self.rests(mono).is_none()
    }

    /// Why it cannot be called now, quarantine aside: a call hangs in the host.
    pub(super) fn hangs(&self, mono: Duration) -> Option<String> {
        let since = mono.saturating_sub(self.hangs?).as_secs();
        Some(format!(
            "a call of it has hung for {since} s: something that it reads does not answer, such as a network file system whose server is \
             gone; until that answers it cannot be called"
        ))
    }

    /// A call is waited for no longer, and has not ended.
    pub(super) fn hung(&mut self, now: Now) {
        self.hangs = Some(now.mono);
    }

    /// The call that hung has ended after all.
    pub(super) fn came_back(&mut self) {
        self.hangs = None;
    }

    /// It was asked and could not be called, which says nothing about how it behaves.
    pub(super) fn turned_away(&mut self, why: String) {
        self.failures += 1;
        self.last_error = Some(why);
    }

    /// A call ended.
    pub(super) fn ended(&mut self, now: Now, cost: Option<CallCost>, failed: Option<Failed>) {
        self.calls += 1;
        if let Some(cost) = cost {
            self.total.elapsed += cost.elapsed;
            self.total.memory_peak_bytes = self.total.memory_peak_bytes.max(cost.memory_peak_bytes);
            self.total.returned_bytes = self.total.returned_bytes.saturating_add(cost.returned_bytes);
            self.total.host_calls = self.total.host_calls.saturating_add(cost.host_calls);
            self.total.host_calls_denied = self.total.host_calls_denied.saturating_add(cost.host_calls_denied);
            self.last = Some(cost);
        }
        let before = self.circuit.clone();
        match failed {
            Some(Failed { text, misbehaved: true }) => {
                self.failures += 1;
                self.circuit.good_in_a_row = 0;
                self.circuit.in_a_row = self.circuit.in_a_row.saturating_add(1);
                if self.circuit.in_a_row >= IN_A_ROW {
                    self.bench(now, format!("{} failures in a row, the last: {text}", self.circuit.in_a_row));
                }
                self.last_error = Some(text);
            }
            // It ran to its end: it is sound, whatever it says.
            other => {
                let good = self.circuit.good_in_a_row.saturating_add(1).min(IN_A_ROW);
                let rests = if good >= IN_A_ROW { 0 } else { self.circuit.rests };
                self.circuit = Circuit { good_in_a_row: good, rests, ..Circuit::default() };
                self.rest = None;
                self.failures += u64::from(other.is_some());
                self.last_error = other.map(|failed| failed.text);
            }
        }
        // Good calls alone are not worth a write: they count only after a rest.
        let matters = |circuit: &Circuit| (circuit.in_a_row, circuit.rests, circuit.suspected, circuit.benched.clone());
        self.unkept |= matters(&before) != matters(&self.circuit);
    }

    fn bench(&mut self, now: Now, why: String) {
        let rest = REST.saturating_mul(1 << self.circuit.rests.min(16)).min(REST_MAX);
        self.circuit.rests = self.circuit.rests.saturating_add(1);
        self.circuit.benched = Some(Benched { at: now.wall, rest_s: rest.as_secs(), why });
        self.rest = Some(Rest { until: now.mono + rest });
        self.unkept = true;
    }

    /// The agent ended in the middle of its call. `sure`: the end is its doing as far as anybody can tell. Answers whether it is benched.
    pub(super) fn suspect(&mut self, now: Now, sure: bool, how: &str) -> bool {
        self.circuit.suspected = self.circuit.suspected.saturating_add(1);
        self.circuit.good_in_a_row = 0;
        self.unkept = true;
        let benched = sure || self.circuit.suspected >= SUSPECTED_MAX;
        if benched {
            // One failure of the call that tries again is enough for the next rest.
            self.circuit.in_a_row = self.circuit.in_a_row.max(IN_A_ROW);
            self.bench(now, format!("the agent ended during its call ({how})"));
        }
        benched
    }

    /// The operator says that it may be called again. Answers whether it was benched.
    pub(super) fn lift(&mut self, mono: Duration) -> bool {
        let rested = self.rests(mono).is_some();
        self.begin_anew();
        rested
    }

    /// Another component came in its place: it has done nothing wrong yet.
    pub(super) fn begin_anew(&mut self) {
        self.unkept |= self.circuit != Circuit::default();
        (self.circuit, self.rest) = (Circuit::default(), None);
    }

    /// As it was kept. A wall clock that was set back makes a rest no longer than it was.
    pub(super) fn restore(&mut self, kept: Circuit, now: Now) {
        self.rest = kept.benched.as_ref().map(|benched| {
            let rest = Duration::from_secs(benched.rest_s).min(REST_MAX);
            Rest { until: now.mono + rest.saturating_sub(now.wall.since(benched.at)) }
        });
        self.circuit = kept;
    }

    /// The circuit, when it has changed since it was last kept.
    pub(super) fn take_unkept(&mut self) -> Option<Circuit> {
        std::mem::take(&mut self.unkept).then(|| self.circuit.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000;

    fn at(seconds: u64) -> Now {
        Now { wall: Timestamp::from_secs((START + seconds) as i64), mono: Duration::from_secs(seconds) }
    }

    fn fails(health: &mut Health, seconds: u64) {
        health.ended(at(seconds), None, Some(Failed { text: "broke".to_owned(), misbehaved: true }));
    }

    #[track_caller]
    fn check(health: &Health, seconds: u64, rests: bool) {
        assert_eq!(health.rests(at(seconds).mono).is_some(), rests, "{health:?}");
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
        assert!(health.is_on_trial(at(603).mono));
    }

    #[test]
    fn each_failed_trial_doubles_the_rest_up_to_a_day_and_success_frees_it() {
        let mut health = Health::default();
        (1..=3).for_each(|second| fails(&mut health, second));
        let mut now = 3;
        for rest in [600_u64, 1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 76_800, 86_400, 86_400] {
            check(&health, now + rest - 1, true);
            check(&health, now + rest, false);
            now += rest;
            fails(&mut health, now);
        }
        health.ended(at(now + 86_400), None, None);
        fails(&mut health, now + 86_401);
        check(&health, now + 86_401, false);
    }

    #[test]
    fn a_past_of_rests_is_forgotten_after_three_good_calls_and_not_before() {
        for (good, rest) in [(1, 1_200), (2, 1_200), (3, 600)] {
            let mut health = Health::default();
            (1..=3).for_each(|second| fails(&mut health, second));
            (0..good).for_each(|n| health.ended(at(700 + n), None, None));
            (800..803).for_each(|second| fails(&mut health, second));
            check(&health, 802 + rest - 1, true);
            check(&health, 802 + rest, false);
        }
    }

    #[test]
    fn saying_that_it_cannot_is_no_misbehaviour() {
        let mut health = Health::default();
        for second in 1..10 {
            health.ended(at(second), None, Some(Failed { text: "no systemd".to_owned(), misbehaved: false }));
        }
        check(&health, 10, false);
        assert_eq!(health.failures, 9);
        assert_eq!(health.take_unkept(), None, "nothing is worth a write");
    }

    #[test]
    fn a_rest_goes_on_after_a_restart_for_what_is_left_of_it() {
        let mut health = Health::default();
        (1..=3).for_each(|second| fails(&mut health, second));
        let kept: Circuit =
            serde_json::from_str(&serde_json::to_string(&health.take_unkept().unwrap()).unwrap()).unwrap();
        // A new process: 200 s later by the wall, its monotonic clock at zero.
        let mut after = Health::default();
        after.restore(kept.clone(), Now { wall: at(203).wall, mono: Duration::ZERO });
        assert!(after.rests(Duration::from_secs(399)).is_some());
        assert!(after.rests(Duration::from_secs(400)).is_none());
        // The wall clock was set back by a year.
        after.restore(kept, Now { wall: Timestamp::from_secs(START as i64 - 31_536_000), mono: Duration::ZERO });
        assert!(after.rests(Duration::from_secs(601)).is_none());
    }

    #[test]
    fn an_end_that_is_its_doing_benches_it_at_once_and_one_of_unknown_cause_only_when_it_comes_again() {
        let mut health = Health::default();
        assert!(health.suspect(at(1), true, "SEGV"));
        check(&health, 1, true);
        let mut health = Health::default();
        assert!(!health.suspect(at(1), false, "unknown cause"));
        check(&health, 1, false);
        let mut innocent = health.clone();
        innocent.ended(at(2), None, None);
        assert!(!innocent.suspect(at(3), false, "unknown cause"), "a good call in between clears it");
        assert!(health.suspect(at(3), false, "unknown cause"));
        assert!(health.rests(at(3).mono).unwrap().starts_with("the agent ended during its call (unknown cause)"));
    }

    #[test]
    fn an_operator_can_lift_it() {
        let mut health = Health::default();
        (1..=3).for_each(|second| fails(&mut health, second));
        assert!(health.lift(at(4).mono));
        check(&health, 4, false);
        assert!(!health.lift(at(4).mono));
        fails(&mut health, 5);
        check(&health, 5, false);
    }
}
