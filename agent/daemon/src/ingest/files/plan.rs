//! What there is to watch at this moment: the wanted files, and the directories whose notices tell of them.
//!
//! Symbolic links are not followed, except for a base itself: a release directory may be reached through one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::wanted::{Base, Wanted};
use crate::host::FsRoot;

/// Bounds of one plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) files_max: usize,
    pub(super) directories_max: usize,
}

/// Device and inode: a directory that was replaced is another one.
pub(super) type Identity = (u64, u64);

/// The outcome of one walk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Those that are wanted by name, whether they exist or not, and those found.
    pub(super) files: BTreeSet<String>,
    pub(super) dirs: BTreeMap<String, Identity>,
    pub(super) files_left_out: usize,
    pub(super) dirs_left_out: usize,
}

impl Plan {
    fn file(&mut self, path: String, limits: Limits) {
        if self.files.len() < limits.files_max {
            self.files.insert(path);
        } else {
            self.files_left_out += usize::from(!self.files.contains(&path));
        }
    }

    /// `false`: it is no directory.
    fn dir(&mut self, fs: &FsRoot, path: &str, limits: Limits) -> bool {
        let Some(meta) = fs::metadata(fs.path(path)).ok().filter(fs::Metadata::is_dir) else { return false };
        if self.dirs.len() < limits.directories_max {
            self.dirs.insert(path.to_owned(), (meta.dev(), meta.ino()));
        } else {
            self.dirs_left_out += usize::from(!self.dirs.contains_key(path));
        }
        true
    }

    /// The directory, or the nearest one above it that exists: its notices tell when the rest comes.
    fn nearest(&mut self, fs: &FsRoot, path: &str, limits: Limits) {
        let mut at = path;
        while !self.dir(fs, at, limits) && at != "/" {
            at = parent(at);
        }
    }
}

pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &path[..at],
    }
}

pub(super) fn child(dir: &str, name: &str) -> String {
    if dir == "/" { format!("/{name}") } else { format!("{dir}/{name}") }
}

/// Walks. What cannot be listed (no right, gone meanwhile) is left for the next walk.
pub(super) fn plan(fs: &FsRoot, wanted: &Wanted, limits: Limits) -> Plan {
    let mut plan = Plan::default();
    for path in wanted.literals() {
        plan.nearest(fs, parent(path), limits);
        plan.file(path.clone(), limits);
    }
    for base in wanted.bases() {
        if plan.dir(fs, &base.dir, limits) {
            // The directory itself may be removed and come back.
            plan.dir(fs, parent(&base.dir), limits);
            walk(fs, wanted, base, limits, &mut plan);
        } else {
            plan.nearest(fs, parent(&base.dir), limits);
        }
    }
    plan
}

fn walk(fs: &FsRoot, wanted: &Wanted, base: Base, limits: Limits, plan: &mut Plan) {
    let mut waiting = vec![base];
    while let Some(Base { dir, depth }) = waiting.pop() {
        let Ok(entries) = fs::read_dir(fs.path(&dir)) else { continue };
        for entry in entries.flatten() {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let path = child(&dir, &name);
            if wanted.excluded(&path) {
                continue;
            }
            if kind.is_dir() {
                if depth > 0 && plan.dir(fs, &path, limits) {
                    waiting.push(Base { dir: path, depth: depth - 1 });
                }
            } else if wanted.wants(&path) {
                plan.file(path, limits);
            }
        }
    }
}
