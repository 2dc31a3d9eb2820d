//! What a sender is told was taken is in the database by then.
//!
//! A request's points lie in memory until the next tick carries them to the store. Its answer waits for that: a sender that
//! was told yes may forget what it sent, even when the agent is killed a moment later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use tokio::sync::watch;

use super::body::Fault;
use crate::store::Kept;

/// Ticks that are remembered: nobody waits for longer.
const REMEMBERED: usize = 64;
/// What storing may take after the tick, until the sender is told to try again.
const SLACK: Duration = Duration::from_secs(4);

/// How many ticks have been handed on, and the newest of them.
#[derive(Debug, Default)]
struct Ticks {
    count: u64,
    newest: VecDeque<(u64, Timestamp)>,
}

/// See the module; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    ticks: Arc<watch::Sender<Ticks>>,
    /// Held while points leave the intake, so that it is certain which tick has which.
    leaving: Arc<Mutex<()>>,
    kept: watch::Receiver<Kept>,
    /// Longest wait for a tick and its storing.
    deadline: Duration,
}

impl Stored {
    /// `every` is the time between two ticks.
    pub(crate) fn new(kept: watch::Receiver<Kept>, every: Duration) -> Self {
        let deadline = every.saturating_mul(2).saturating_add(SLACK);
        Self { ticks: Arc::default(), leaving: Arc::default(), kept, deadline }
    }

    /// Carries points into the tick of this moment.
    pub(crate) fn tick(&self, at: Timestamp, carry: impl FnOnce()) {
        let _leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        carry();
        self.ticks.send_modify(|ticks| {
            ticks.count += 1;
            if ticks.newest.len() == REMEMBERED {
                ticks.newest.pop_front();
            }
            ticks.newest.push_back((ticks.count, at));
        });
    }

    /// The number of a tick that carries, or follows on, what was put into the intake before. Blocks while a tick is filled.
    pub(crate) fn next(&self) -> u64 {
        let _leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        self.ticks.borrow().count + 1
    }

    /// Waits until the tick of this number is stored.
    ///
    /// Errors: [`Fault::Unstored`] when it was lost on its way, or is not stored in time; it may be stored later.
    pub(crate) async fn wait(&self, number: u64) -> Result<(), Fault> {
        tokio::time::timeout(self.deadline, self.arrival(number)).await.unwrap_or(Err(Fault::Unstored))
    }

    async fn arrival(&self, number: u64) -> Result<(), Fault> {
        let (mut ticks, mut kept) = (self.ticks.subscribe(), self.kept.clone());
        let at = {
            let ticks = ticks.wait_for(|ticks| ticks.count >= number).await.map_err(|_| Fault::Unstored)?;
            ticks.newest.iter().find(|(count, _)| *count == number).map(|(_, at)| *at).ok_or(Fault::Unstored)?
        };
        loop {
            {
                let kept = kept.borrow_and_update();
                if kept.has(at) {
                    return Ok(());
                }
                // Ticks are stored in their order: what a later one has overtaken was lost.
                if ticks.borrow().newest.iter().any(|(count, later)| *count > number && kept.has(*later)) {
                    return Err(Fault::Unstored);
                }
            }
            kept.changed().await.map_err(|_| Fault::Unstored)?;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(second)
    }

    /// One that stores each tick at once, without the intake: for tests of the receivers.
    pub(crate) fn at_once() -> Stored {
        let (keep, kept) = watch::channel(Kept::default());
        let stored = Stored::new(kept, Duration::from_secs(1));
        store_at_once(stored.clone(), keep);
        stored
    }

    /// Stores each tick at once.
    pub(crate) fn store_at_once(stored: Stored, keep: watch::Sender<Kept>) {
        tokio::spawn(async move {
            for second in 0.. {
                tokio::time::sleep(Duration::from_millis(2)).await;
                stored.tick(at(second), || {});
                keep.send_modify(|kept| kept.add(at(second)));
            }
        });
    }

    /// One whose store is the sender, and which waits for so long.
    pub(crate) fn waiting(deadline: Duration) -> (watch::Sender<Kept>, Stored) {
        let (keep, kept) = watch::channel(Kept::default());
        (keep, Stored { deadline, ..Stored::new(kept, Duration::from_secs(1)) })
    }

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn an_answer_waits_until_its_tick_is_stored() {
        let (keep, stored) = waiting(LONG);
        stored.tick(at(1), || {});
        keep.send_modify(|kept| kept.add(at(1)));
        let number = stored.next();
        let answer = tokio::spawn({
            let stored = stored.clone();
            async move { stored.wait(number).await }
        });
        tokio::time::sleep(SHORT).await;
        stored.tick(at(2), || {});
        tokio::time::sleep(SHORT).await;
        assert!(!answer.is_finished(), "the tick left, and is not stored");
        keep.send_modify(|kept| kept.add(at(2)));
        assert_eq!(answer.await.unwrap(), Ok(()));
        assert_eq!(stored.wait(number).await, Ok(()), "and whoever asks later knows it");
    }

    #[tokio::test]
    async fn what_is_lost_is_not_acknowledged() {
        let (keep, stored) = waiting(LONG);
        let number = stored.next();
        stored.tick(at(1), || {});
        stored.tick(at(2), || {});
        keep.send_modify(|kept| kept.add(at(2)));
        assert_eq!(stored.wait(number).await, Err(Fault::Unstored), "the next was stored");
        // A clock that was set back makes no later tick an earlier one.
        let number = stored.next();
        stored.tick(at(-50), || {});
        keep.send_modify(|kept| kept.add(at(-50)));
        assert_eq!(stored.wait(number).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_late_is_not_acknowledged() {
        let (keep, stored) = waiting(SHORT);
        let number = stored.next();
        assert_eq!(stored.wait(number).await, Err(Fault::Unstored), "no tick any more");
        stored.tick(at(1), || {});
        assert_eq!(stored.wait(number).await, Err(Fault::Unstored), "nothing is stored");
        drop(keep);
        assert_eq!(stored.wait(number).await, Err(Fault::Unstored), "the store has ended");
    }

    #[tokio::test]
    async fn points_that_come_while_a_tick_is_filled_wait_for_the_next() {
        let (_keep, stored) = waiting(LONG);
        let other = stored.clone();
        let (inside, entered) = std::sync::mpsc::sync_channel(1);
        let filling = std::thread::spawn(move || {
            other.tick(at(1), || {
                inside.send(()).unwrap();
                std::thread::sleep(SHORT);
            });
        });
        entered.recv().unwrap();
        assert_eq!(stored.next(), 2);
        filling.join().unwrap();
    }
}
