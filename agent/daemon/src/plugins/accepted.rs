//! What each plugin asked for when its grant was written: an upgrade that asks for more needs another grant.
//!
//! A grant that names a pattern (`*.service`) would give more to a component that asks for more without a word of the operator's. So what
//! was asked for is remembered beside the digest of the grant's text, and more of it is refused until that text changes.

use std::collections::BTreeMap;

use holdfast_core::model::plan::hex;
use holdfast_plugin_host::{Manifest, Proposes, Wants};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Whose state it is in the store; no plugin can have this id.
pub(super) const OWNER: &str = ".accepted";

/// By plugin.
pub(super) type AcceptedAll = BTreeMap<String, Accepted>;

/// One plugin's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Accepted {
    pub(super) wants: Wants,
    pub(super) proposes: Proposes,
    /// SHA-256 of the grant's text.
    pub(super) grant: String,
}

impl Accepted {
    /// What this manifest asks for beyond; nothing when the grant was altered since.
    pub(super) fn widened_by(&self, manifest: &Manifest, grant: &str) -> Vec<String> {
        if hex(&Sha256::digest(grant.as_bytes())) == self.grant {
            manifest.beyond(&self.wants, &self.proposes)
        } else {
            Vec::new()
        }
    }
}

/// As the store has them; what cannot be read any more is as if it had never been.
pub(super) fn read<T: serde::de::DeserializeOwned>(kept: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, T> {
    kept.iter().filter_map(|(id, bytes)| Some((id.clone(), serde_json::from_slice(bytes).ok()?))).collect()
}
