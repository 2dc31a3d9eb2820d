//! What the receivers of applications need of others: numbers for series, with some kept free for the host's own, and where
//! their token lies.

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_core::model::{SeriesId, SeriesKey};

use super::credential;
use crate::ingest::{IngestConfig, Registry};
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

    fn generation(&self) -> u32 {
        self.0.generation()
    }

    fn room(&self) -> usize {
        self.0.room().saturating_sub(KEPT_FOR_HOST)
    }
}

/// The file that `token-file` names: a path, or a credential of the service manager.
pub(super) fn token(config: &IngestConfig) -> Option<PathBuf> {
    let text = config.token_file.as_deref()?;
    Some(credential::place(text, credential::directory().as_deref()))
}
