//! What is remembered from run to run: how far the round got, what was fine when, and what is open.

use std::collections::BTreeMap;

use holdfast_plugin_sdk::host::{files::Metadata, state};
use holdfast_plugin_sdk::{Error, Finding, text};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::judge::package_of;

/// Parts of what was fine, so that a run writes only what it has learned.
const SHARDS: usize = 16;

/// How far the round got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Rounds that went to their end.
    pub done: u64,
    /// Packages of this round that are through.
    pub packages: usize,
    /// The last of them.
    pub after: Option<String>,
    /// The package under way, where its budget ended in the middle.
    pub within: Option<Within>,
    /// Files that could not be read, by package: how many, the first, and why.
    pub unread: BTreeMap<String, (usize, String, String)>,
    /// Files that differ and are only counted, by package.
    pub more: BTreeMap<String, u64>,
    /// Findings that had no room.
    pub too_many: u64,
}

/// A place in the middle of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// Which.
    pub package: String,
    /// Of its metadata then: when that has changed, the package is begun again.
    pub print: String,
    /// Files that are through.
    pub files: usize,
    /// The file under way.
    pub part: Option<Part>,
}

/// A file that is longer than what one run may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Bytes that are through.
    pub offset: u64,
    /// The digest's state, in hexadecimal digits.
    pub digest: String,
}

/// When a package was last wholly as dpkg says, and the fingerprint of its metadata then.
pub type Fine = (String, u64);

/// What was fine, in parts that are read and written one by one.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<usize, (BTreeMap<String, Fine>, bool)>);

fn shard(package: &str) -> usize {
    package.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte))) % SHARDS
}

impl Seen {
    fn part(&mut self, package: &str) -> Result<&mut (BTreeMap<String, Fine>, bool), Error> {
        let number = shard(package);
        match self.0.entry(number) {
            std::collections::btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::btree_map::Entry::Vacant(free) => {
                let kept = state::get(&format!("seen.{number:x}"))?.unwrap_or_default();
                Ok(free.insert((kept, false)))
            }
        }
    }

    /// What is known of a package.
    pub fn get(&mut self, package: &str) -> Result<Option<Fine>, Error> {
        Ok(self.part(package)?.0.get(package).cloned())
    }

    /// Learns, or forgets.
    pub fn set(&mut self, package: &str, fine: Option<Fine>) -> Result<(), Error> {
        let (known, changed) = self.part(package)?;
        *changed |= match fine {
            Some(fine) => known.insert(package.to_owned(), fine.clone()) != Some(fine),
            None => known.remove(package).is_some(),
        };
        Ok(())
    }

    /// Writes the parts that have changed.
    pub fn keep(&self) -> Result<(), Error> {
        self.0
            .iter()
            .filter(|(_, (_, changed))| *changed)
            .try_for_each(|(number, (known, _))| state::set(&format!("seen.{number:x}"), known))
    }
}

/// Of the metadata that changes when a file's content does. The change time can't be set by a program; the clock can.
pub fn print(files: &[(&str, Option<&Metadata>)], md5sums: &str) -> String {
    let mut all = Md5::new();
    all.update(md5sums);
    for (path, meta) in files {
        let facts = meta.map(|it| [it.size, it.mtime, it.ctime, it.inode, it.device, u64::from(it.mode)]);
        all.update(format!("{path}\0{facts:?}\0"));
    }
    text::hex(&all.finalize())
}

/// Files of one package that are kept by name; more are counted.
pub const NAMED_MAX: usize = 20;

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is open, or there was none.
    Kept,
    /// Its package has so many that it is only counted.
    Counted,
    /// There is no room for more.
    Lost,
}

/// Takes what this run found about a file in place of what an earlier one did.
pub fn settle(open: &mut Vec<Finding>, path: &str, found: Option<Finding>, max: usize) -> Settled {
    open.retain(|old| old.subject.name != path);
    let Some(found) = found else { return Settled::Kept };
    let package = package_of(&found);
    if open.iter().filter(|it| package_of(it) == package).count() >= NAMED_MAX {
        Settled::Counted
    } else if open.len() >= max {
        Settled::Lost
    } else {
        open.push(found);
        Settled::Kept
    }
}
