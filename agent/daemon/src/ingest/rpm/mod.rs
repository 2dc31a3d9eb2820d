//! Packages of rpm: what was installed, upgraded and removed, and whether a file is what its package shipped.
//!
//! Reads rpm's database; starts no process, takes no lock and never writes. On hosts without it everything is absent, which is no error.
//! Databases of older kinds (Berkeley DB of RHEL 8, ndb of SUSE) are not read.

mod database;
mod fact;
mod follow;
mod header;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use holdfast_core::model::Timestamp;

use crate::host::FsRoot;
use database::{Database, Package, Packages, Unread, is_busy};

pub(super) use fact::package_fact;
pub use follow::follow;

/// Whether rpm is at work: what is read now may be behind what it wrote. Ask again when it is done.
pub(super) fn in_progress(fs: &FsRoot) -> bool {
    is_busy(fs)
}

/// The installed packages, as an inventory wants them.
#[derive(Debug)]
pub(super) struct Installed(Database);

impl Installed {
    /// Nothing is read yet.
    pub(super) fn new(fs: FsRoot) -> Self {
        Self(Database::new(fs))
    }

    /// Version by name, and when the transaction began that brought it. A name that several architectures have is `NAME:ARCH`; where
    /// several versions are installed together, as of kernels, they stand in the order in which they came.
    ///
    /// `None`: rpm is at work, or its database cannot be read now. Empty: there is none.
    pub(super) fn look(&mut self) -> Option<Versions> {
        match self.0.look() {
            Ok(packages) => Some(by_name(packages)),
            Err(Unread::Absent) => Some(BTreeMap::new()),
            Err(Unread::NotNow) => None,
        }
    }
}

/// What is installed, by name.
pub(super) type Versions = BTreeMap<String, (String, Option<Timestamp>)>;

fn by_name(packages: &Packages) -> Versions {
    let mut all: BTreeMap<(&str, &str), Vec<&Package>> = BTreeMap::new();
    for package in packages.values() {
        all.entry((&package.name, &package.architecture)).or_default().push(package);
    }
    let architectures = |name: &str| all.keys().filter(|it| it.0 == name).count();
    let named = |(name, architecture): &(&str, &str)| {
        if architectures(name) > 1 { format!("{name}:{architecture}") } else { (*name).to_owned() }
    };
    let one = |(key, packages): (&(&str, &str), &Vec<&Package>)| {
        let versions: Vec<&str> = packages.iter().map(|it| it.version.as_str()).collect();
        (named(key), (versions.join(", "), packages.iter().filter_map(|it| it.since).max()))
    };
    all.iter().map(one).collect()
}
