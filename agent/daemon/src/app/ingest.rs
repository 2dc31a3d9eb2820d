//! The numbers that the store gives to series of applications, and what is kept free for the host's own.

use std::sync::Arc;

use holdfast_core::model::{SeriesId, SeriesKey};

use crate::ingest::Registry;
use crate::store::SeriesRegistry;

/// Series numbers that applications never get.
const KEPT_FOR_HOST: usize = 5_000;

/// See the module.
pub(super) struct Numbers(pub(super) Arc<SeriesRegistry>);

impl Registry for Numbers {
    fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.0.find(key)
    }

    fn intern(&self, key: &SeriesKey) -> SeriesId {
        self.0.intern(key).0
    }

    fn room(&self) -> usize {
        self.0.room().saturating_sub(KEPT_FOR_HOST)
    }
}
