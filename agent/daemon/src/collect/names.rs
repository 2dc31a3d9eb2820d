//! How many new names a collector may give series to: what is named by others (processes, units, containers) has no end of names.

use std::collections::HashSet;
use std::time::Duration;

/// New names at once, as at the start of the agent.
const BURST: f64 = 256.0;
/// After that, new names an hour.
const PER_HOUR: f64 = 30.0;
/// Names that are remembered; beyond them none is new any more until the agent starts again.
const NAMES_MAX: usize = 8_192;

/// The names that have series, and room for more.
#[derive(Debug)]
pub(crate) struct Names {
    known: HashSet<String>,
    room: f64,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { known: HashSet::new(), room: BURST }
    }

    /// Time has passed.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.room = (self.room + PER_HOUR * time.as_secs_f64() / 3600.0).min(BURST);
    }

    /// Whether this name may have series: it had before, or there is room for a new one.
    pub(crate) fn admit(&mut self, name: &str) -> bool {
        if self.known.contains(name) {
            return true;
        }
        if self.room < 1.0 || self.known.len() >= NAMES_MAX {
            return false;
        }
        self.room -= 1.0;
        self.known.insert(name.to_owned())
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
            names.pass(Duration::from_hours(24));
            names.admit(&number.to_string());
        }
        assert_eq!(names.known.len(), NAMES_MAX);
    }
}
