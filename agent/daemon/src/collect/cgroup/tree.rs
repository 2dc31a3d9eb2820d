//! Finds the cgroups that matter: down from the root of the second version's hierarchy, through what only holds others.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt;

use super::kind::{Owner, Place};
use crate::collect::{CollectError, Context};

/// Where the hierarchy of the second version is: alone, or beside the controllers of the first.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Deeper trees are someone else's host.
const DEPTH_MAX: usize = 10;
/// Directories looked into at one time.
const DIRECTORIES_MAX: usize = 4_096;

/// Directories of each owner, as the machine names them.
pub(crate) type Found = BTreeMap<Owner, Vec<String>>;

/// The root of the hierarchy; `None` where no kernel or mount offers one.
pub(crate) fn root(context: &Context<'_>) -> Option<&'static str> {
    ROOTS.into_iter().find(|root| context.fs.path(format!("{root}/cgroup.controllers")).exists())
}

/// Everything below `root` that is a unit or a container. What is removed meanwhile, or closed to us, is passed over.
pub(crate) fn walk(context: &Context<'_>, root: &str) -> Result<Found, CollectError> {
    let mut found = Found::new();
    let mut open = vec![(root.to_owned(), Place::default(), 0)];
    let mut looked_into = 0;
    while let Some((directory, place, depth)) = open.pop() {
        looked_into += 1;
        if looked_into > DIRECTORIES_MAX {
            break;
        }
        let entries = match std::fs::read_dir(context.fs.path(&directory)) {
            Ok(entries) => entries,
            Err(_) if depth > 0 => continue,
            Err(source) => return Err(CollectError::Read { path: directory, source }),
        };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{directory}/{name}");
            let (owner, below) = place.step(&name);
            if let Some(below) = below.filter(|_| depth < DEPTH_MAX && has_children(&entry)) {
                open.push((path.clone(), below, depth + 1));
            }
            if let Some(owner) = owner {
                found.entry(owner).or_default().push(path);
            }
        }
    }
    Ok(found)
}

/// A directory of cgroups has two links and one more for each child; other file systems may not count, and are looked into.
fn has_children(entry: &DirEntry) -> bool {
    entry.metadata().is_ok_and(|meta| meta.nlink() != 2)
}
