//! Which paths are wanted: files by name, globs, whole trees; never what is excluded. Pure.

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};
use holdfast_core::model::Globs;

use crate::config::WatchConfig;

/// Directories deeper than this below a tree or a `**` are not looked into.
const DEPTH_MAX: usize = 64;

/// A pattern that is no glob; the configuration's check refuses it earlier.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is not a glob")]
pub struct PatternError {
    /// As configured.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: globset::Error,
}

/// A directory from which files are looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Base {
    pub(super) dir: String,
    /// Levels of directories below it that are looked into.
    pub(super) depth: usize,
}

/// Everything that is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    literals: BTreeSet<String>,
    bases: BTreeSet<Base>,
    globs: GlobSet,
    exclude: GlobSet,
    trees: BTreeSet<String>,
}

fn glob(pattern: &str) -> Result<Glob, PatternError> {
    Globs::Paths.read(pattern).map_err(|source| PatternError { pattern: pattern.to_owned(), source })
}

fn set(patterns: Vec<Glob>) -> Result<GlobSet, PatternError> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(pattern);
    }
    builder.build().map_err(|source| PatternError { pattern: "all patterns together".to_owned(), source })
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{', '\\'])
}

impl Wanted {
    pub(super) fn new(config: &WatchConfig) -> Result<Self, PatternError> {
        let (mut literals, mut bases, mut globs, mut exclude) = (BTreeSet::new(), BTreeSet::new(), vec![], vec![]);
        for pattern in &config.files {
            if is_pattern(pattern) {
                bases.insert(base(pattern));
                globs.push(glob(pattern)?);
            } else {
                literals.insert(trim(pattern).to_owned());
            }
        }
        for pattern in &config.exclude {
            exclude.push(glob(trim(pattern))?);
            // What is excluded as a directory is excluded with all that it holds.
            exclude.push(glob(&format!("{}/**", trim(pattern)))?);
        }
        Ok(Self { literals, bases, globs: set(globs)?, exclude: set(exclude)?, trees: BTreeSet::new() })
    }

    /// Every file below it is wanted from now on. `false`: it was already.
    pub(super) fn add_tree(&mut self, dir: &str) -> bool {
        self.trees.insert(trim(dir).to_owned())
    }

    /// `false`: it was not.
    pub(super) fn remove_tree(&mut self, dir: &str) -> bool {
        self.trees.remove(trim(dir))
    }

    pub(super) fn literals(&self) -> impl Iterator<Item = &String> {
        self.literals.iter().filter(|path| !self.excluded(path))
    }

    /// Whether it is wanted by its name, so that its absence is told too.
    pub(super) fn is_literal(&self, path: &str) -> bool {
        self.literals.contains(path)
    }

    /// Where to look for files that are not wanted by name.
    pub(super) fn bases(&self) -> BTreeSet<Base> {
        let trees = self.trees.iter().map(|dir| Base { dir: dir.clone(), depth: DEPTH_MAX });
        trees.chain(self.bases.iter().cloned()).filter(|base| !self.excluded(&base.dir)).collect()
    }

    pub(super) fn excluded(&self, path: &str) -> bool {
        self.exclude.is_match(path)
    }

    /// Whether the state of this path, as a file, is wanted.
    pub(super) fn wants(&self, path: &str) -> bool {
        if self.excluded(path) {
            return false;
        }
        let in_tree = || {
            path.match_indices('/').skip(1).any(|(at, _)| self.trees.contains(&path[..at]))
                || (self.trees.contains("/") && path != "/")
        };
        self.literals.contains(path) || self.globs.is_match(path) || in_tree()
    }

    /// Whether this directory is one of those that are looked into below a base.
    pub(super) fn holds(&self, dir: &str) -> bool {
        let depth_in = |base: &str| {
            let rest = if base == "/" { dir } else { dir.strip_prefix(base)? };
            rest.starts_with('/').then(|| rest.matches('/').count())
        };
        !self.excluded(dir) && self.bases().iter().any(|b| depth_in(&b.dir).is_some_and(|depth| depth <= b.depth))
    }

    /// Whether a wanted file may lie below this path.
    pub(super) fn leads(&self, dir: &str) -> bool {
        let below =
            |path: &str| dir == "/" || path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        self.literals.iter().any(|path| below(path)) || self.bases().iter().any(|base| below(&base.dir))
    }
}

fn trim(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/" } else { trimmed }
}

/// The directory before the first component that is a pattern, and how deep the pattern reaches.
fn base(pattern: &str) -> Base {
    let components: Vec<&str> = pattern.split('/').skip(1).collect();
    let fixed = components.iter().take_while(|part| !is_pattern(part)).count().min(components.len() - 1);
    let dir = format!("/{}", components[..fixed].join("/"));
    let rest = &components[fixed..];
    // `{a/b,c}` is split here as if it were two components, which can only look too deep.
    let depth = if rest.iter().any(|part| part.contains("**")) { DEPTH_MAX } else { rest.len() - 1 };
    Base { dir, depth }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(files: &[&str], exclude: &[&str]) -> Wanted {
        let own = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect();
        Wanted::new(&WatchConfig { files: own(files), exclude: own(exclude), ..WatchConfig::default() }).unwrap()
    }

    #[test]
    fn a_pattern_is_looked_for_from_its_fixed_part() {
        let check = |pattern: &str, dir: &str, depth: usize| {
            assert_eq!(base(pattern), Base { dir: dir.into(), depth }, "{pattern}");
        };
        check("/etc/app/*.conf", "/etc/app", 0);
        check("/etc/*/app.conf", "/etc", 1);
        check("/srv/**", "/srv", DEPTH_MAX);
        check("/*.conf", "/", 0);
        check("/etc/app/**/x.conf", "/etc/app", DEPTH_MAX);
    }

    #[test]
    fn a_star_stays_within_one_component() {
        let wanted = wanted(&["/etc/app/*.conf", "/etc/hosts"], &[]);
        for path in ["/etc/app/a.conf", "/etc/hosts"] {
            assert!(wanted.wants(path), "{path}");
        }
        for path in ["/etc/app/sub/a.conf", "/etc/app/a.txt", "/etc/hosts2", "/etc"] {
            assert!(!wanted.wants(path), "{path}");
        }
    }

    #[test]
    fn what_is_excluded_is_excluded_with_all_that_it_holds() {
        let wanted = wanted(&["/srv/**", "/srv/cache/keep"], &["/srv/cache", "/srv/**/*.log"]);
        assert!(wanted.wants("/srv/app/x"));
        for path in ["/srv/cache/keep", "/srv/cache/a/b", "/srv/app/today.log"] {
            assert!(!wanted.wants(path), "{path}");
        }
        assert_eq!(wanted.literals().count(), 0);
    }

    #[test]
    fn directories_are_looked_into_as_deep_as_a_pattern_reaches() {
        let wanted = wanted(&["/etc/*/app.conf", "/srv/**", "/etc/hosts"], &["/srv/cache"]);
        for dir in ["/etc/x", "/srv/a", "/srv/a/b/c"] {
            assert!(wanted.holds(dir), "{dir}");
        }
        for dir in ["/etc/x/y", "/etc", "/var", "/srv", "/srv/cache", "/srv/cache/x", "/srvx/a"] {
            assert!(!wanted.holds(dir), "{dir}");
        }
    }

    #[test]
    fn a_tree_is_wanted_from_when_it_is_added_until_it_is_removed() {
        let mut wanted = wanted(&[], &[]);
        assert!(!wanted.wants("/srv/app/1/bin/web"));
        assert!(wanted.add_tree("/srv/app/1/"));
        assert!(wanted.wants("/srv/app/1/bin/web") && wanted.leads("/srv/app/1") && wanted.leads("/srv"));
        assert!(!wanted.wants("/srv/app/10/bin/web") && !wanted.wants("/srv/app/1"));
        assert!(wanted.remove_tree("/srv/app/1"));
        assert!(!wanted.wants("/srv/app/1/bin/web"));
    }
}
