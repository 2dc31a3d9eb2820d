//! The audit chain: append-only, hash-chained, keyed.
//!
//! Each entry's hash covers its content and the hash before it (SHA-256); its MAC (HMAC-SHA-256) covers the hash, so that
//! whoever can write the database but has no key cannot make a chain that verifies. Truncation at the end is visible
//! only against an anchor kept elsewhere (journald, OTLP): integrity and completeness are two verdicts.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::plan::hex;
use super::time::Timestamp;

/// What an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// The agent started, with versions and digests.
    AgentStarted,
    /// The agent stopped cleanly.
    AgentStopped,
    /// Configuration or policy was loaded or replaced.
    PolicyLoaded,
    /// A finding was opened, resolved or labelled.
    Finding,
    /// An incident was opened or resolved.
    Incident,
    /// A plan was proposed.
    Plan,
    /// Policy decided.
    Decision,
    /// A person said yes or no.
    Approval,
    /// A step is about to run: durable before it does.
    Intent,
    /// A step was executed, refused or failed.
    Outcome,
    /// A step was taken back.
    Undo,
    /// The symptom was looked at again.
    Verification,
    /// A remediation reached its end.
    Remediation,
    /// Somebody paused or resumed.
    Pause,
    /// A baseline was captured or accepted.
    Baseline,
    /// A deployment was started or finished.
    Deployment,
    /// A plugin was loaded, refused, quarantined or released.
    Plugin,
    /// Telemetry was purged by subject.
    Data,
    /// Settings of the detectors were altered, or taken back.
    Tuning,
}

/// One entry of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// 1, 2, 3, … without a gap.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What it records.
    pub kind: AuditKind,
    /// On whose authority: `agent`, `alice (uid 1000)`, `policy:web.toml`.
    pub actor: String,
    /// The id of what it is about.
    pub subject: String,
    /// The facts, as JSON.
    pub body: serde_json::Value,
    /// Hash of the entry before; 64 zeros for the first.
    pub prev: String,
    /// Hash of this entry.
    pub hash: String,
    /// MAC of the hash.
    pub mac: String,
}

/// What the first entry names as its predecessor.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The key of the chain: 32 random bytes, kept apart from the database.
#[derive(Clone)]
pub struct AuditKey([u8; 32]);

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditKey(secret)")
    }
}

impl AuditKey {
    /// From 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key for another purpose: it leads back neither to this one nor to that of another purpose (HMAC-SHA256 as a
    /// one-step key derivation, NIST SP 800-108).
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        mac.update(b"holdfast-derived-1\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn mac(&self, hash: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(b"holdfast-audit-1\0");
        mac.update(hash.as_bytes());
        Some(mac)
    }
}

/// The end of a chain, as it is anchored elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Sequence number of the last entry; 0 for an empty chain.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl Head {
    /// The head of an empty chain.
    pub fn empty() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }
}

/// What an entry is made of, before it is chained.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// When.
    pub at: Timestamp,
    /// What it records.
    pub kind: AuditKind,
    /// On whose authority.
    pub actor: String,
    /// The id of what it is about.
    pub subject: String,
    /// The facts.
    pub body: serde_json::Value,
}

fn hash_of(seq: u64, draft: &Draft, prev: &str) -> String {
    // A JSON array fixes the order and escapes every separator: no two contents share a text.
    let text =
        serde_json::json!([seq, draft.at.ns(), draft.kind, draft.actor, draft.subject, draft.body, prev]).to_string();
    hex(&Sha256::digest(text.as_bytes()))
}

/// Chains a draft to a head.
pub fn seal(head: &Head, draft: Draft, key: &AuditKey) -> AuditEntry {
    let seq = head.seq + 1;
    let hash = hash_of(seq, &draft, &head.hash);
    let mac = key.mac(&hash).map(|m| hex(&m.finalize().into_bytes())).unwrap_or_default();
    let Draft { at, kind, actor, subject, body } = draft;
    AuditEntry { seq, at, kind, actor, subject, body, prev: head.hash.clone(), hash, mac }
}

/// The first thing wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// An entry is missing or out of order.
    #[error("entry {found} stands where entry {wanted} belongs")]
    Sequence {
        /// The sequence number that was expected.
        wanted: u64,
        /// The one that was found.
        found: u64,
    },
    /// An entry does not name its predecessor's hash.
    #[error("entry {seq} does not follow the entry before it")]
    Link {
        /// Which entry.
        seq: u64,
    },
    /// An entry's content was altered.
    #[error("entry {seq} was altered: its content does not have its hash")]
    Content {
        /// Which entry.
        seq: u64,
    },
    /// An entry was made without the key.
    #[error("entry {seq} was not written with this host's key")]
    Mac {
        /// Which entry.
        seq: u64,
    },
}

/// Checks a chain entry by entry; feed them in order.
#[derive(Debug)]
pub struct Verifier<'k> {
    key: &'k AuditKey,
    head: Head,
}

impl<'k> Verifier<'k> {
    /// Starts before the first entry.
    pub fn new(key: &'k AuditKey) -> Self {
        Self { key, head: Head::empty() }
    }

    /// Checks the next entry; the first error names what is broken.
    pub fn next(&mut self, entry: &AuditEntry) -> Result<(), Broken> {
        let wanted = self.head.seq + 1;
        if entry.seq != wanted {
            return Err(Broken::Sequence { wanted, found: entry.seq });
        }
        if entry.prev != self.head.hash {
            return Err(Broken::Link { seq: entry.seq });
        }
        let draft = Draft {
            at: entry.at,
            kind: entry.kind,
            actor: entry.actor.clone(),
            subject: entry.subject.clone(),
            body: entry.body.clone(),
        };
        if hash_of(entry.seq, &draft, &entry.prev) != entry.hash {
            return Err(Broken::Content { seq: entry.seq });
        }
        let good = unhex(&entry.mac)
            .is_some_and(|given| self.key.mac(&entry.hash).is_some_and(|mac| mac.verify_slice(&given).is_ok()));
        if !good {
            return Err(Broken::Mac { seq: entry.seq });
        }
        self.head = Head { seq: entry.seq, hash: entry.hash.clone() };
        Ok(())
    }

    /// The head of what was checked.
    pub fn head(&self) -> &Head {
        &self.head
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain(key: &AuditKey, n: u64) -> Vec<AuditEntry> {
        let mut head = Head::empty();
        (0..n)
            .map(|i| {
                let draft = Draft {
                    at: Timestamp::from_secs(1_800_000_000 + i as i64),
                    kind: AuditKind::Decision,
                    actor: "agent".into(),
                    subject: format!("dec_{i}"),
                    body: serde_json::json!({ "n": i, "text": "as stored" }),
                };
                let entry = seal(&head, draft, key);
                head = Head { seq: entry.seq, hash: entry.hash.clone() };
                entry
            })
            .collect()
    }

    fn verify(key: &AuditKey, entries: &[AuditEntry]) -> Result<(), Broken> {
        let mut verifier = Verifier::new(key);
        entries.iter().try_for_each(|e| verifier.next(e))
    }

    #[test]
    fn an_untouched_chain_verifies() {
        let key = AuditKey::new([7; 32]);
        assert_eq!(verify(&key, &chain(&key, 5)), Ok(()));
    }

    #[test]
    fn every_number_survives_being_stored_as_text() {
        let key = AuditKey::new([7; 32]);
        let mut verifier = Verifier::new(&key);
        for n in 1..200 {
            let body = serde_json::json!({ "a": std::f64::consts::PI / f64::from(n), "b": 0.1 + 0.2 * f64::from(n), "c": 1e-310 });
            let draft = Draft {
                at: Timestamp::from_secs(1),
                kind: AuditKind::Finding,
                actor: "a".into(),
                subject: "s".into(),
                body,
            };
            let entry = seal(verifier.head(), draft, &key);
            let stored: AuditEntry = serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap();
            assert_eq!(verifier.next(&stored), Ok(()));
        }
    }

    #[test]
    fn the_first_altered_entry_is_named() {
        let key = AuditKey::new([7; 32]);
        let mut entries = chain(&key, 5);
        entries[2].body = serde_json::json!({ "n": 9 });
        assert_eq!(verify(&key, &entries), Err(Broken::Content { seq: 3 }));
    }

    #[test]
    fn a_chain_rewritten_without_the_key_is_named() {
        let (key, other) = (AuditKey::new([7; 32]), AuditKey::new([8; 32]));
        assert_eq!(verify(&key, &chain(&other, 3)), Err(Broken::Mac { seq: 1 }));
    }

    #[test]
    fn a_removed_entry_is_named() {
        let key = AuditKey::new([7; 32]);
        let mut entries = chain(&key, 5);
        entries.remove(1);
        assert_eq!(verify(&key, &entries), Err(Broken::Sequence { wanted: 2, found: 3 }));
    }

    proptest! {
        #[test]
        fn no_field_can_be_altered_unseen(victim in 0_usize..4, field in 0_u8..7) {
            let key = AuditKey::new([7; 32]);
            let mut entries = chain(&key, 4);
            let e = &mut entries[victim];
            match field {
                0 => e.seq += 1,
                1 => e.at = e.at.plus(std::time::Duration::from_nanos(1)),
                2 => e.kind = AuditKind::Approval,
                3 => e.actor.push('x'),
                4 => e.subject.push('x'),
                5 => e.hash = GENESIS.into(),
                _ => e.mac = "00".repeat(32),
            }
            prop_assert!(verify(&key, &entries).is_err());
        }
    }
}
