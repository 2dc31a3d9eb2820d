//! How many new names a collector may give series to: what is named by others (processes, units, containers) has no end of names.

use std::collections::HashMap;
use std::time::Duration;

/// New names at once, as at the start of the agent.
const BURST: f64 = 256.0;
/// After that, new names an hour.
const PER_HOUR: f64 = 30.0;
/// Names that are remembered; beyond them none is new until one of them was silent for [`SILENT`].
const NAMES_MAX: usize = 8_192;
/// A name that nobody asked for in this time is forgotten: it is new when it comes back.
const SILENT: Duration = Duration::from_hours(1);
/// Time between two looks for silent names.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// The names that have series, and room for more.
#[derive(Debug)]
pub(crate) struct Names {
    /// By name, when it was asked for last.
    known: HashMap<String, Duration>,
    room: f64,
    /// Time that has passed, now and when silent names were looked for.
    now: Duration,
    swept: Duration,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), room: BURST, now: Duration::ZERO, swept: Duration::ZERO }
    }

    /// Time has passed.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.room = (self.room + PER_HOUR * time.as_secs_f64() / 3600.0).min(BURST);
        self.now = self.now.saturating_add(time);
        if self.now.saturating_sub(self.swept) >= SWEEP_EVERY {
            self.swept = self.now;
            let now = self.now;
            self.known.retain(|_, asked| now.saturating_sub(*asked) < SILENT);
        }
    }

    /// Whether this name may have series: it had before, or there is room for a new one.
    pub(crate) fn admit(&mut self, name: &str) -> bool {
        if let Some(asked) = self.known.get_mut(name) {
            *asked = self.now;
            return true;
        }
        if self.room < 1.0 || self.known.len() >= NAMES_MAX {
            return false;
        }
        self.room -= 1.0;
        self.known.insert(name.to_owned(), self.now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_end_get_series_slowly_and_known_ones_keep_theirs() {
        let mut names = Names::new();
        let admitted = (0..10_000).filter(|number| names.admit(&format!("job-{number}"))).count();
        assert_eq!(admitted, 256);
        assert!(names.admit("job-7") && !names.admit("nginx"));
        names.pass(Duration::from_mins(2));
        assert!(names.admit("nginx") && !names.admit("another"));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut names = Names::new();
        for number in 0..20_000 {
            names.room = BURST;
            names.admit(&number.to_string());
        }
        assert_eq!(names.known.len(), NAMES_MAX);
    }

    #[test]
    fn names_that_come_and_go_use_up_no_room_of_those_that_come_later() {
        let mut names = Names::new();
        let minute = Duration::from_mins(1);
        // A job a minute under a name of its own, for a fortnight, beside one that stays.
        for number in 0..14 * 24 * 60 {
            names.pass(minute);
            names.admit("nginx");
            names.admit(&format!("job-{number}"));
        }
        assert!(names.known.len() <= 61, "{}", names.known.len());
        assert!(names.known.contains_key("nginx"));
        names.pass(2 * minute);
        assert!(names.admit("another"));
    }
}
