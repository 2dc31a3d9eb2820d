//! The gap ledger's rows before they are written: what was lost is told, also when telling it has to wait.

use std::collections::VecDeque;

use holdfast_core::model::Timestamp;

use super::Gap;

/// Rows that may wait; from then on what is lost is added to the newest of its stream.
const WAITING_MAX: usize = 64;

/// Why samples and changes were not written.
pub(super) const QUEUE_FULL: &str = "the queue to the database was full";
pub(super) const WAITED_TOO_LONG: &str = "waited too long for the database to become writable";

/// A loss of the store itself.
pub(super) fn lost(at: Timestamp, count: u64, reason: impl Into<String>) -> Gap {
    Gap { at, stream: "store".to_owned(), count, reason: reason.into() }
}

/// Rows that are yet to be written, oldest first. Those of one stream and one reason are one.
#[derive(Debug, Default)]
pub(super) struct Owed(VecDeque<Gap>);

impl Owed {
    pub(super) fn add(&mut self, gap: Gap) {
        let same = self.0.iter_mut().find(|it| it.stream == gap.stream && it.reason == gap.reason);
        if let Some(known) = same {
            known.count = known.count.saturating_add(gap.count);
        } else if self.0.len() < WAITING_MAX {
            self.0.push_back(gap);
        } else if let Some(at) = self.0.iter().rposition(|it| it.stream == gap.stream).or(self.0.len().checked_sub(1))
            && let Some(known) = self.0.get_mut(at)
        {
            known.count = known.count.saturating_add(gap.count);
            "further losses, whose reasons were too many to wait".clone_into(&mut known.reason);
        }
    }

    pub(super) fn take(&mut self) -> VecDeque<Gap> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_for_one_reason_is_one_row_and_rows_have_an_end_but_counts_do_not() {
        let mut owed = Owed::default();
        for n in 0..1_000 {
            owed.add(lost(Timestamp::from_secs(n), 2, QUEUE_FULL));
        }
        for n in 0..1_000 {
            owed.add(lost(Timestamp::from_secs(n), 1, format!("reason {n}")));
        }
        let all = owed.take();
        assert_eq!((all.len(), all[0].count, all[0].at), (WAITING_MAX, 2_000, Timestamp::from_secs(0)));
        assert_eq!(all.iter().map(|gap| gap.count).sum::<u64>(), 3_000);
        assert!(owed.take().is_empty());
    }
}
