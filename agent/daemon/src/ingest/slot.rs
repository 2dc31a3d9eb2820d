//! One thing that runs in the background and can be begun, altered and ended by itself while the others go on.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Wait for what ran before; then it is cut off.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// What runs, and by which settings `K`; at first nothing.
pub(super) struct Slot<K> {
    running: Option<(K, watch::Sender<bool>)>,
    task: Option<JoinHandle<()>>,
    ends_within: Duration,
}

impl<K> Default for Slot<K> {
    fn default() -> Self {
        Self { running: None, task: None, ends_within: ENDS_WITHIN }
    }
}

impl<K: PartialEq> Slot<K> {
    /// Lets it run by these settings, on the caller's runtime; with the same ones it is left alone. What ran by others ends first:
    /// an address can be had by one only. Gives whether something was altered.
    pub(super) fn set<F>(&mut self, wanted: Option<K>, start: impl FnOnce(&K, watch::Receiver<bool>) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.running.as_ref().map(|(settings, _)| settings) == wanted.as_ref() {
            return false;
        }
        // The sender's end is the word to stop.
        self.running = None;
        let (before, ends_within) = (self.task.take(), self.ends_within);
        let next = wanted.map(|settings| {
            let (stop, stopping) = watch::channel(false);
            let work = start(&settings, stopping);
            self.running = Some((settings, stop));
            work
        });
        self.task = Some(tokio::spawn(async move {
            if let Some(mut before) = before
                && tokio::time::timeout(ends_within, &mut before).await.is_err()
            {
                before.abort();
            }
            if let Some(work) = next {
                work.await;
            }
        }));
        true
    }

    /// Ends it.
    pub(super) fn stop(&mut self) {
        self.running = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn the_same_settings_alter_nothing_and_others_wait_for_the_end_of_what_ran() {
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let start = |settings: &u32, mut stopping: watch::Receiver<bool>| {
            let (said, settings) = (Arc::clone(&said), *settings);
            async move {
                said.lock().unwrap().push(format!("{settings} begins"));
                let _ = stopping.wait_for(|stop| *stop).await;
                // 2 hangs for an hour.
                tokio::time::sleep(Duration::from_secs(if settings == 2 { 3_600 } else { 0 })).await;
                said.lock().unwrap().push(format!("{settings} ends"));
            }
        };
        let until = |what: &'static str| {
            let said = Arc::clone(&said);
            async move {
                while !said.lock().unwrap().iter().any(|it| it == what) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let mut slot = Slot { ends_within: Duration::from_millis(20), ..Slot::default() };
        assert!(slot.set(Some(1), start));
        until("1 begins").await;
        assert!(!slot.set(Some(1), start));
        assert!(slot.set(Some(2), start));
        until("2 begins").await;
        assert!(slot.set(None, start));
        assert!(!slot.set(None, start));
        assert!(slot.set(Some(3), start));
        until("3 begins").await;
        slot.stop();
        until("3 ends").await;
        assert_eq!(*said.lock().unwrap(), ["1 begins", "1 ends", "2 begins", "3 begins", "3 ends"]);
    }
}
