//! What lies in a release against what its manifest says. Pure: two maps in, deviations out.

use std::collections::BTreeMap;

use holdfast_plugin_sdk::Sha256;
use holdfast_plugin_sdk::glob::matches;

use crate::manifest::Manifest;

/// What lies at a path of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lies {
    /// A regular file.
    File {
        /// Its content.
        sha256: Sha256,
        /// Its size.
        bytes: u64,
    },
    /// A symbolic link, and where it points to.
    Link(String),
    /// A socket, device or pipe.
    Other,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deviation {
    /// The file holds something else.
    Modified {
        /// Relative to the release.
        path: String,
        /// What the manifest says.
        expected: Sha256,
        /// What lies there.
        found: Sha256,
        /// Its size.
        bytes: u64,
    },
    /// Nothing lies there.
    Missing {
        /// Relative to the release.
        path: String,
        /// What the manifest says.
        expected: Sha256,
    },
    /// Something that is no file lies there.
    Replaced {
        /// Relative to the release.
        path: String,
        /// What the manifest says.
        expected: Sha256,
        /// In words.
        by: String,
    },
    /// The manifest does not know it.
    Foreign {
        /// Relative to the release.
        path: String,
        /// Its content and size, where it is a file.
        file: Option<(Sha256, u64)>,
        /// In words.
        what: String,
    },
}

impl Deviation {
    /// Relative to the release.
    pub fn path(&self) -> &str {
        match self {
            Self::Modified { path, .. }
            | Self::Missing { path, .. }
            | Self::Replaced { path, .. }
            | Self::Foreign { path, .. } => path,
        }
    }
}

/// Compares. `tree` lacks directories; `unread` are paths (and what lies below them) that nobody may draw a conclusion about.
pub fn compare(
    manifest: &Manifest,
    tree: &BTreeMap<String, Lies>,
    unread: &[String],
    own_name: &str,
    ignore: &[String],
) -> Vec<Deviation> {
    let unknown = |path: &str| {
        unread
            .iter()
            .any(|u| u.is_empty() || path == u || path.strip_prefix(u.as_str()).is_some_and(|r| r.starts_with('/')))
    };
    let mut out = Vec::new();
    for (path, expected) in manifest.iter().filter(|(path, _)| path.as_str() != own_name) {
        let (path, expected) = (path.clone(), expected.clone());
        match tree.get(&path) {
            Some(Lies::File { sha256, .. }) if *sha256 == expected => {}
            Some(Lies::File { sha256, bytes }) => {
                out.push(Deviation::Modified { path, expected, found: sha256.clone(), bytes: *bytes });
            }
            Some(Lies::Link(target)) => {
                out.push(Deviation::Replaced { path, expected, by: format!("a symbolic link to {target}") });
            }
            Some(Lies::Other) => {
                out.push(Deviation::Replaced { path, expected, by: "a socket, device or pipe".to_owned() });
            }
            None if unknown(&path) => {}
            None => out.push(Deviation::Missing { path, expected }),
        }
    }
    for (path, lies) in tree {
        if manifest.contains_key(path) || path == own_name || ignore.iter().any(|glob| matches(glob, path)) {
            continue;
        }
        let (file, what) = match lies {
            Lies::File { sha256, bytes } => (Some((sha256.clone(), *bytes)), "a file"),
            // What a link within the release leads to is checked under its own name.
            Lies::Link(target) if stays_inside(path, target) => continue,
            Lies::Link(_) => (None, "a symbolic link out of the release"),
            Lies::Other => (None, "a socket, device or pipe"),
        };
        out.push(Deviation::Foreign { path: path.clone(), file, what: what.to_owned() });
    }
    out.sort_by(|a, b| a.path().cmp(b.path()));
    out
}

/// Whether a link at `path` leads to a place within the release, going by the text.
fn stays_inside(path: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return false;
    }
    let mut depth = path.split('/').count() - 1;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}
