//! What each plugin asked for when its grant was written: an upgrade that asks for more needs another grant.
//!
//! A grant that names a pattern (`*.service`) would give more to a component that asks for more without a word of the operator's. So what
//! was asked for is remembered beside the digest of the grant's text, and more of it is refused until that text changes. The switch
//! `enabled` is no part of that text: turning a plugin off and on again says yes to nothing. In the same way what was vouched for when it was
//! granted is not handed to what nobody vouches for: a component of the same id beside it, where unsigned ones are let in, would otherwise
//! take its grant when it is refused.

use std::collections::BTreeMap;

use holdfast_core::model::plan::hex;
use holdfast_plugin_host::{Grant, Manifest, Proposes, Wants};
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
    /// [`consent`] of the grant.
    pub(super) grant: String,
    /// Somebody whom this host trusts vouched for it.
    #[serde(default)]
    pub(super) vouched: bool,
}

impl Accepted {
    /// What this manifest asks for beyond, with the settings of the grant; nothing when the grant was altered since.
    pub(super) fn widened_by(&self, manifest: &Manifest, grant: &str) -> Vec<String> {
        if consent(grant) != self.grant {
            return Vec::new();
        }
        let settings = Grant::parse(grant).map(|grant| grant.settings).unwrap_or_default();
        manifest.with_settings(&settings).beyond(&self.wants, &self.proposes)
    }

    /// Whether this grant was given to what somebody vouched for, and was not altered since.
    pub(super) fn is_for_vouched(&self, grant: &str) -> bool {
        self.vouched && consent(grant) == self.grant
    }
}

/// SHA-256 of a grant's text without its switch.
pub(super) fn consent(grant: &str) -> String {
    let (mut sha, mut root) = (Sha256::new(), true);
    for line in grant.split_inclusive('\n') {
        root &= !line.trim_start().starts_with('[');
        let switch = line.trim_start().strip_prefix("enabled").is_some_and(|rest| rest.trim_start().starts_with('='));
        if !(root && switch) {
            sha.update(line);
        }
    }
    hex(&sha.finalize())
}

/// As the store has them; what cannot be read any more is as if it had never been.
pub(super) fn read<T: serde::de::DeserializeOwned>(kept: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, T> {
    kept.iter().filter_map(|(id, bytes)| Some((id.clone(), serde_json::from_slice(bytes).ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_default_of_a_setting_that_names_places_is_more_unless_the_operator_has_named_them() {
        let manifest = |roots: &str| {
            let text =
                "id = \"x\"\nversion = \"1.0.0\"\n[wants]\nfiles-from-settings = [\"roots\"]\n[settings]\nroots = ";
            Manifest::parse(&format!("{text}[{roots:?}]\n")).unwrap()
        };
        for (grant, wanted) in [("", vec!["wants.files /etc"]), ("[settings]\nroots = [\"/data\"]\n", vec![])] {
            let settings = Grant::parse(grant).unwrap().settings;
            let (wants, proposes) = manifest("/srv").with_settings(&settings).asked();
            let accepted = Accepted { wants, proposes, grant: consent(grant), vouched: true };
            assert_eq!(accepted.widened_by(&manifest("/srv"), grant), Vec::<String>::new());
            assert_eq!(accepted.widened_by(&manifest("/etc"), grant), wanted, "{grant}");
            assert_eq!(accepted.widened_by(&manifest("/etc"), "# reviewed\n"), Vec::<String>::new());
        }
    }

    #[test]
    fn the_switch_is_no_part_of_the_consent_and_everything_else_is() {
        let grant = "# reviewed\nmode = \"advise\"\n[settings]\nenabled = true\n";
        assert_eq!(consent(grant), hex(&Sha256::digest(grant)), "as it was remembered before there was a switch");
        for same in [format!("enabled = false\n{grant}"), grant.replace("\n[", "\nenabled=true # off\n[")] {
            assert_eq!(consent(&same), consent(grant), "{same}");
        }
        for other in [grant.replace("reviewed", "read"), grant.replace("= true", "= false"), format!("{grant}\n")] {
            assert_ne!(consent(&other), consent(grant), "{other}");
        }
    }
}
