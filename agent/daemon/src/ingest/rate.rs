//! So many requests in a second of one source, twice as many in a burst. Bounded: sources that have been quiet are forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Sources whose rate is remembered; when there are more, all share what one has.
const SOURCES_MAX: usize = 1_024;

/// Token buckets by source.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: AtomicU32,
    buckets: Mutex<HashMap<String, (f64, Duration)>>,
}

impl Rate {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: AtomicU32::new(per_second), buckets: Mutex::default() }
    }

    /// Another limit, from the next request on.
    pub(crate) fn set(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Takes one request of `source`; the error is how long it had better wait.
    pub(crate) fn take(&self, source: &str, now: Duration) -> Result<(), Duration> {
        let per_second = f64::from(self.per_second.load(Ordering::Relaxed).max(1));
        let burst = per_second * 2.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut source = source;
        if !buckets.contains_key(source) && buckets.len() >= SOURCES_MAX {
            // After two seconds a bucket is full again and says nothing.
            buckets.retain(|_, (_, at)| now.saturating_sub(*at) < Duration::from_secs(2));
            if buckets.len() >= SOURCES_MAX {
                source = "";
            }
        }
        let (tokens, at) = buckets.entry(source.to_owned()).or_insert((burst, now));
        *tokens = (*tokens + now.saturating_sub(*at).as_secs_f64() * per_second).min(burst);
        *at = now;
        if *tokens >= 1.0 {
            *tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - *tokens) / per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_the_rate_and_each_source_has_its_own() {
        let rate = Rate::new(10);
        let at = Duration::from_secs(5);
        assert_eq!((0..30).filter(|_| rate.take("a", at).is_ok()).count(), 20);
        assert_eq!(rate.take("a", at), Err(Duration::from_millis(100)));
        assert!(rate.take("b", at).is_ok());
        assert!(rate.take("a", at + Duration::from_millis(101)).is_ok());
    }

    #[test]
    fn made_up_sources_share_one_bucket_once_there_are_too_many() {
        let rate = Rate::new(1);
        let at = Duration::from_secs(5);
        let taken = (0..10_000).filter(|n| rate.take(&n.to_string(), at).is_ok()).count();
        assert_eq!(taken, SOURCES_MAX + 2);
        assert!(rate.buckets.lock().unwrap().len() <= SOURCES_MAX + 1);
    }
}
