//! What one receiver took and what it refused, by reason: for `status`. Bounded: reasons are words of the code.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::status::ReceiverStatus;
use crate::telemetry::events::Counter;

/// Characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 240;

/// Counts of one receiver; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tally(Arc<Mutex<ReceiverStatus>>);

impl Tally {
    pub(crate) fn new(name: &str, address: String) -> Self {
        Self(Arc::new(Mutex::new(ReceiverStatus {
            name: name.to_owned(),
            address,
            failing: None,
            requests: 0,
            accepted: 0,
            rejected: BTreeMap::new(),
            attributes_left_out: 0,
            last_error: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, ReceiverStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request or scrape, with the items that were taken from it.
    pub(crate) fn request(&self, accepted: u64) {
        let mut it = self.lock();
        it.requests += 1;
        it.accepted += accepted;
    }

    /// Items (or requests) that were refused.
    pub(crate) fn reject(&self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.lock().rejected.entry(reason.to_owned()).or_default() += count;
            Counter::IngestRejected.add(count);
        }
    }

    /// Attributes of resources that were not kept, though their points were.
    pub(crate) fn leave_out(&self, attributes: u64) {
        self.lock().attributes_left_out += attributes;
    }

    /// What went wrong last; stays after a recovery.
    pub(crate) fn error(&self, text: &str) {
        self.lock().last_error = Some(text.chars().take(ERROR_CHARS_MAX).collect());
    }

    /// Whether it works at all, now.
    pub(crate) fn failing(&self, why: Option<String>) {
        if let Some(why) = &why {
            self.error(why);
        }
        self.lock().failing = why;
    }

    /// The address that it really has (port 0 was asked for).
    pub(crate) fn listens(&self, address: String) {
        self.lock().address = address;
    }

    pub(crate) fn status(&self) -> ReceiverStatus {
        self.lock().clone()
    }
}
