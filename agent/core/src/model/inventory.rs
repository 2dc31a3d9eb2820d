//! What a host is made of besides files: packages, accounts, kernel settings and modules, open ports, units that start by themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::metric::Attributes;
use super::target::Target;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// An installed package and its version.
    Package,
    /// An account: ids, home, shell.
    User,
    /// A group: its id and members.
    Group,
    /// A setting of the running kernel and its value.
    Sysctl,
    /// A module in the running kernel.
    Module,
    /// A port on which something listens, and whose it is.
    Listener,
    /// A unit that is enabled, masked, renamed or put there by hand.
    UnitFile,
}

impl ItemKind {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Package, Self::User, Self::Group, Self::Sysctl, Self::Module, Self::Listener, Self::UnitFile];

    /// As written in targets, files and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::User => "user",
            Self::Group => "group",
            Self::Sysctl => "sysctl",
            Self::Module => "module",
            Self::Listener => "listener",
            Self::UnitFile => "unit_file",
        }
    }

    /// Whether what is there is not what was accepted, each `None` where there is nothing.
    ///
    /// A port that closed and a module that was unloaded are no difference: services and devices come and go, and what failed
    /// is found by other methods.
    pub fn differs(self, accepted: Option<&str>, current: Option<&str>) -> bool {
        let gone = current.is_none() && matches!(self, Self::Listener | Self::Module);
        !gone && accepted != current
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of an item that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no item; items are written KIND:NAME, and a kind is package, user, group, sysctl, module, listener or unit_file"
)]
pub struct NoItem(String);

/// One item by its kind and name, printed `user:alice`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemName {
    /// What it is.
    pub kind: ItemKind,
    /// `nginx`, `alice`, `net.ipv4.ip_forward`, `tcp 0.0.0.0:80`.
    pub name: String,
}

impl ItemName {
    /// As a finding or a change names it.
    pub fn target(&self) -> Target {
        Target::new(self.kind.as_str(), &self.name)
    }
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

impl FromStr for ItemName {
    type Err = NoItem;

    fn from_str(text: &str) -> Result<Self, NoItem> {
        let found = text.split_once(':').and_then(|(kind, name)| {
            let kind = ItemKind::ALL.into_iter().find(|it| it.as_str() == kind)?;
            (!name.is_empty()).then(|| Self { kind, name: name.to_owned() })
        });
        found.ok_or_else(|| NoItem(text.to_owned()))
    }
}

/// One item as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Item {
    /// What is compared: a version, `uid=1000 gid=1000 home=/home/alice shell=/bin/bash`, a kernel setting's value.
    pub value: String,
    /// What is worth knowing and not compared: the program that listens, its unit.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub facts: Attributes,
    /// What on the host itself says that it should be so, as a sentence: the file that sets a kernel setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_by: Option<String>,
}

/// Everything of one kind, by name.
pub type Items = BTreeMap<String, Item>;

/// What was found at one look. A kind that is missing could not be read: nothing is known of it, which is not that there is none.
pub type Inventory = BTreeMap<ItemKind, Items>;

/// What was accepted of one kind: the compared value of each item, by name.
pub type AcceptedItems = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_printed() {
        for (text, kind, name) in [
            ("user:alice", ItemKind::User, "alice"),
            ("listener:tcp [::]:80", ItemKind::Listener, "tcp [::]:80"),
            ("sysctl:net.ipv4.ip_forward", ItemKind::Sysctl, "net.ipv4.ip_forward"),
        ] {
            let read: ItemName = text.parse().unwrap();
            assert_eq!((read.kind, read.name.as_str(), read.to_string().as_str()), (kind, name, text));
        }
        for text in ["alice", "user:", "person:alice", "/etc/passwd", ":x"] {
            assert!(text.parse::<ItemName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_kind_is_written_alike_everywhere() {
        for kind in ItemKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }
}
