//! What the host is made of besides files, looked at again and again: packages, accounts, kernel settings and modules, ports, and which
//! units start by themselves.
//!
//! Each kind is one file of `/proc`, `/etc` or the package managers' databases, read whole; no process is started and no right is needed. A kind
//! that cannot be read is missing from the answer: nothing is known of it. Nothing here judges.

mod accounts;
mod kernel;
mod listeners;
mod sysctl;
mod unit_files;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use holdfast_core::model::{Attributes, Interval, Inventory, Item, ItemKind, Items};
use serde::{Deserialize, Serialize};

use super::{dpkg, packages, rpm};
use crate::host::FsRoot;

/// Items of one kind that are looked at; a host with more is beyond what this was made for, and the rest is left out.
const ITEMS_MAX: usize = 20_000;

/// `[inventory]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct InventoryConfig {
    /// What is watched for drift: "package", "user", "group", "sysctl", "module", "listener",
    /// "unit_file" (what snapd makes of snaps left out). Default: all of them.
    pub kinds: Vec<ItemKind>,
    /// Time between two looks. At least "1s". Default: "1m".
    pub every: Interval,
    /// Kernel settings that are watched besides some that matter for security and those that `sysctl.d` sets. Default: none.
    pub sysctls: Vec<String>,
}

impl Default for InventoryConfig {
    fn default() -> Self {
        Self { kinds: ItemKind::ALL.to_vec(), every: Interval::secs(60), sysctls: Vec::new() }
    }
}

/// When a file was written, to see that it need not be read again.
type Stamp = (u64, i64, i64, u64);

/// Looks at the host.
#[derive(Debug)]
pub struct Reader {
    fs: FsRoot,
    kinds: BTreeSet<ItemKind>,
    sysctls: Vec<String>,
    /// dpkg's database is megabytes long and seldom written.
    dpkg: Option<(Stamp, Items)>,
    rpm: rpm::Installed,
    /// Who listens on what was seen before; looking through all processes is for what is new.
    listeners: Items,
    /// Ports that were open at the last look.
    open: Option<BTreeSet<String>>,
}

impl Reader {
    /// Nothing is read yet.
    pub fn new(fs: FsRoot, config: &InventoryConfig) -> Self {
        let kinds = config.kinds.iter().copied().collect();
        let sysctls = config.sysctls.clone();
        Self {
            rpm: rpm::Installed::new(fs.clone()),
            fs,
            kinds,
            sysctls,
            dpkg: None,
            listeners: Items::new(),
            open: None,
        }
    }

    /// What there is now. A port counts when it was open at the look before, too, or at the first: what a test or a client opens
    /// for seconds is nobody's business.
    pub fn look(&mut self) -> Inventory {
        let kinds: Vec<ItemKind> = self.kinds.iter().copied().collect();
        let found = kinds.into_iter().filter_map(|kind| {
            let items = match kind {
                ItemKind::Package => self.packages(),
                ItemKind::User => self.text("/etc/passwd").map(|text| accounts::users(&text)),
                ItemKind::Group => self.text("/etc/group").map(|text| accounts::groups(&text)),
                ItemKind::Sysctl => sysctl::read(&self.fs, &self.sysctls),
                ItemKind::Module => self.text("/proc/modules").map(|text| kernel::modules(&text)),
                ItemKind::Listener => self.listeners(),
                ItemKind::UnitFile => unit_files::read(&self.fs),
            };
            Some((kind, items?.into_iter().take(ITEMS_MAX).collect()))
        });
        found.collect()
    }

    fn text(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        self.fs.read(path, &mut text).ok().map(|()| text)
    }

    fn packages(&mut self) -> Option<Items> {
        // What it says in the middle of a run is neither the state before nor the one after.
        if packages::in_progress(&self.fs) {
            return None;
        }
        let of_rpm = self.rpm.look()?;
        let has_dpkg = std::fs::metadata(self.fs.path(dpkg::STATUS)).is_ok();
        if of_rpm.is_empty() && !has_dpkg {
            return None;
        }
        let mut items = if has_dpkg { self.of_dpkg()? } else { Items::new() };
        for (name, (version, since)) in of_rpm {
            let stated_by = since.map(|at| format!("rpm's database tells that it was installed at {at}"));
            // A host may have both, and one package by both.
            let name = if items.contains_key(&name) { format!("{name}:rpm") } else { name };
            items.insert(name, Item { stated_by, ..item(version) });
        }
        Some(items)
    }

    fn of_dpkg(&mut self) -> Option<Items> {
        let meta = std::fs::metadata(self.fs.path(dpkg::STATUS)).ok()?;
        let stamp = (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size());
        if self.dpkg.as_ref().is_none_or(|(seen, _)| *seen != stamp) {
            let logged = dpkg::logged(&self.fs);
            let one = |(name, version): (String, String)| {
                let log = logged.get(name.split(':').next().unwrap_or_default());
                let stated = log.filter(|(logged, _)| *logged == version);
                let stated_by =
                    stated.map(|(_, at)| format!("dpkg's log tells that it was brought to {version} at {at}"));
                (name, Item { stated_by, ..item(version) })
            };
            self.dpkg = Some((stamp, dpkg::installed(&self.fs)?.into_iter().map(one).collect()));
        }
        self.dpkg.as_ref().map(|(_, items)| items.clone())
    }

    fn listeners(&mut self) -> Option<Items> {
        let sockets = listeners::sockets(&self.fs)?;
        let names: BTreeSet<String> = sockets.iter().map(|it| it.name.clone()).collect();
        let lasting = |name: &String| self.open.as_ref().is_none_or(|before| before.contains(name));
        let wanted: Vec<_> = sockets.into_iter().filter(|it| lasting(&it.name)).collect();
        let is_known = |it: &listeners::Socket| self.listeners.get(&it.name).is_some_and(|had| had.value == it.value());
        if !wanted.iter().all(is_known) {
            self.listeners = listeners::items(&self.fs, &wanted);
        }
        let kept: BTreeSet<&String> = wanted.iter().map(|it| &it.name).collect();
        self.listeners.retain(|name, _| kept.contains(name));
        self.open = Some(names);
        Some(self.listeners.clone())
    }
}

/// An item of which only its value is known.
fn item(value: String) -> Item {
    Item { value, facts: Attributes::new(), stated_by: None }
}
