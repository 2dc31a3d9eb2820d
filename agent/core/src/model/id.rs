//! Ids: one newtype for each kind, sortable by time, printed with a prefix so that a pasted id names its kind.
//!
//! The number is a UUIDv7 (RFC 9562) made from a [`Timestamp`] and random bytes that the caller brings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::time::Timestamp;

/// Where random bytes come from: the operating system in the daemon, a seed in tests and replays.
pub trait IdSource: Send {
    /// Ten bytes, unpredictable in production.
    fn random(&mut self) -> [u8; 10];
}

/// A deterministic [`IdSource`] (splitmix64), for tests, simulations and replays only.
#[derive(Debug, Clone)]
pub struct SeededIds(pub u64);

impl IdSource for SeededIds {
    fn random(&mut self) -> [u8; 10] {
        let mut out = [0; 10];
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        out
    }
}

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id, which looks like `{prefix}_0197f2…` (32 hexadecimal digits)")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// The wanted kind.
    pub kind: &'static str,
    /// Its prefix.
    pub prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// What every id of this kind starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id: sorts by `at`, unique by the random bytes.
            pub fn new(at: Timestamp, ids: &mut dyn IdSource) -> Self {
                let ms = u64::try_from(at.ns() / 1_000_000).unwrap_or(0);
                let uuid = uuid::Builder::from_unix_timestamp_millis(ms, &ids.random()).into_uuid();
                Self(format!("{}_{}", $prefix, uuid.simple()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let good = text
                    .strip_prefix(concat!($prefix, "_"))
                    .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
                if good {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { text: text.to_owned(), kind: $kind, prefix: $prefix })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(/** One finding. */ FindingId, "fnd", "finding");
id!(/** One incident. */ IncidentId, "inc", "incident");
id!(/** One change. */ ChangeId, "chg", "change");
id!(/** One plan. */ PlanId, "pln", "plan");
id!(/** One remediation. */ RemediationId, "rem", "remediation");
id!(/** One decision. */ DecisionId, "dec", "decision");
id!(/** One run of a plugin or of a build step. */ RunId, "run", "run");
id!(/** One audit entry. */ AuditId, "aud", "audit entry");

/// What an effect descends from: the id of the remediation that caused it.
///
/// A rule never matches a finding that carries one (architecture: no loops).
pub type CauseId = RemediationId;

/// A deployment's id, chosen by the pipeline (`web-2026-11-24.3`) or made by the agent.
///
/// 1 to 128 characters of `A-Z a-z 0-9 . _ - : / + @`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DeploymentId(String);

/// A deployment id with a forbidden character or length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a deployment id: 1 to 128 characters of A-Z a-z 0-9 . _ - : / + @")]
pub struct DeploymentIdError(pub String);

impl DeploymentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeploymentId {
    type Err = DeploymentIdError;
    fn from_str(text: &str) -> Result<Self, DeploymentIdError> {
        let good = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/+@".contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(DeploymentIdError(text.to_owned())) }
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeploymentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_name_their_kind() {
        let mut ids = SeededIds(1);
        let early = FindingId::new(Timestamp::from_secs(1_000), &mut ids);
        let late = FindingId::new(Timestamp::from_secs(2_000), &mut ids);
        assert!(early < late, "{early} {late}");
        assert!(early.as_str().starts_with("fnd_"));
        assert_eq!(early.as_str().parse::<FindingId>().as_ref(), Ok(&early));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = PlanId::new(Timestamp::from_secs(1), &mut SeededIds(7));
        let error = id.as_str().parse::<FindingId>().unwrap_err().to_string();
        assert!(error.contains("is not a finding id"), "{error}");
    }

    #[test]
    fn a_deployment_id_has_no_space_and_no_newline() {
        assert!("web-1.2/prod".parse::<DeploymentId>().is_ok());
        assert!("".parse::<DeploymentId>().is_err());
        assert!("a b".parse::<DeploymentId>().is_err());
        assert!("a\nb".parse::<DeploymentId>().is_err());
    }
}
