//! Which ticks are stored, for whoever answers a sender only when what it sent is kept.

use std::collections::VecDeque;

use holdfast_core::model::Timestamp;
use tokio::sync::watch;

/// Ticks that are remembered: nobody waits for longer.
const REMEMBERED: usize = 64;

/// The newest ticks in the database, oldest first, by their moments.
#[derive(Debug, Clone, Default)]
pub struct Kept(VecDeque<Timestamp>);

impl Kept {
    /// Whether the tick of this moment is among the newest that are stored.
    pub fn has(&self, at: Timestamp) -> bool {
        self.0.contains(&at)
    }

    pub(crate) fn add(&mut self, at: Timestamp) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(at);
    }
}

/// Tells of the ticks of a transaction that was committed.
pub(super) fn tell(kept: &watch::Sender<Kept>, mut ticks: impl Iterator<Item = Timestamp>) {
    kept.send_if_modified(|kept| {
        let mut any = false;
        for at in ticks.by_ref() {
            kept.add(at);
            any = true;
        }
        any
    });
}
