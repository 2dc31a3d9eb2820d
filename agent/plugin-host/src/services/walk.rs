//! A walk through a tree, held by the host and handed out in pages: depth first, names in order, symlinks as themselves.
//!
//! What cannot be read is not left out silently: it comes back through `errors`. The names that wait are bounded.

use std::path::PathBuf;

use globset::{GlobSet, GlobSetBuilder};
use holdfast_core::model::Globs;

use super::beneath::Place;
use super::files::{hash, kind, metadata, wide};
use super::room::Deadline;
use crate::bindings::files::{Algorithm, Entry, Kind, WalkOptions};
use crate::bindings::types::Error;
use crate::limits::{GLOBS_MAX, NAME_BYTES_MAX, WALK_ERRORS_MAX, WALK_PENDING_MAX};

/// One directory that is being visited.
struct Visit {
    relative: PathBuf,
    /// Below the walk's root; the root's own children have depth 1.
    depth: u32,
    names: std::iter::Peekable<std::vec::IntoIter<String>>,
}

/// A walk under way.
#[expect(unreachable_pub, reason = "the generated bindings re-export it inside this crate")]
pub struct Walker {
    /// The path that it was begun with.
    pub(crate) root: String,
    place: Place,
    max_depth: u32,
    only: Option<GlobSet>,
    except: Option<GlobSet>,
    hash: Option<Algorithm>,
    /// The root's device, when the walk stays on its file system.
    device: Option<u64>,
    visits: Vec<Visit>,
    pending: usize,
    errors: Vec<(String, Error)>,
    errors_dropped: u64,
}

fn globs(globs: &[String]) -> Result<Option<GlobSet>, Error> {
    if globs.is_empty() {
        return Ok(None);
    }
    if globs.len() > GLOBS_MAX || globs.iter().any(|glob| glob.len() > NAME_BYTES_MAX) {
        return Err(Error::Limit(format!("{GLOBS_MAX} globs of {NAME_BYTES_MAX} bytes")));
    }
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(Globs::Paths.read(glob).map_err(|error| Error::Invalid(error.to_string()))?);
    }
    set.build().map(Some).map_err(|error| Error::Invalid(error.to_string()))
}

impl Walker {
    pub(crate) fn new(root: String, place: Place, options: &WalkOptions, deadline: &Deadline) -> Result<Self, Error> {
        let stat = place.stat()?;
        if kind(&stat) != Kind::Directory {
            return Err(Error::Invalid(format!("`{root}` is not a directory")));
        }
        let mut walker = Self {
            root,
            max_depth: options.max_depth,
            only: globs(&options.only)?,
            except: globs(&options.except)?,
            hash: options.hash,
            device: options.one_filesystem.then_some(wide(stat.st_dev)),
            visits: Vec::new(),
            pending: 0,
            errors: Vec::new(),
            errors_dropped: 0,
            place,
        };
        if walker.max_depth > 0 {
            walker.visit(PathBuf::new(), 1, deadline)?;
        }
        Ok(walker)
    }

    fn visit(&mut self, relative: PathBuf, depth: u32, deadline: &Deadline) -> Result<(), Error> {
        let (names, left_out) = self.at(&relative).names(WALK_PENDING_MAX - self.pending, deadline)?;
        if let Some(left_out) = left_out {
            self.report(&relative, Error::Limit(left_out));
        }
        self.pending += names.len();
        self.visits.push(Visit { relative, depth, names: names.into_iter().peekable() });
        Ok(())
    }

    fn at(&self, relative: &std::path::Path) -> Place {
        let base = self.place.relative();
        if relative.as_os_str().is_empty() {
            self.place.at(base.to_path_buf())
        } else {
            self.place.at(base.join(relative))
        }
    }

    fn path(&self, relative: &std::path::Path) -> String {
        format!("{}/{}", self.root.trim_end_matches('/'), relative.display())
    }

    fn report(&mut self, relative: &std::path::Path, error: Error) {
        if self.errors.len() < WALK_ERRORS_MAX {
            let path = self.path(relative);
            self.errors.push((path, error));
        } else {
            self.errors_dropped += 1;
        }
    }

    /// Up to `max` entries; fewer when the deadline comes, none at the end.
    pub(crate) fn next(&mut self, max: usize, deadline: &Deadline) -> Result<Vec<Entry>, Error> {
        let mut page = Vec::new();
        while page.len() < max {
            if deadline.left().is_none() {
                return if page.is_empty() { deadline.check().map(|()| page) } else { Ok(page) };
            }
            let Some(visit) = self.visits.last_mut() else { break };
            let Some(name) = visit.names.peek() else {
                self.visits.pop();
                continue;
            };
            let (relative, depth) = (visit.relative.join(name), visit.depth);
            // A file whose digest takes too long is tried again with a whole page's time, and only then given up.
            match self.look(&relative, depth, deadline, page.is_empty()) {
                Ok(entry) => page.extend(entry),
                Err(_) => return Ok(page),
            }
            if let Some(visit) = self.visits.iter_mut().rev().find(|visit| visit.depth == depth) {
                visit.names.next();
                self.pending = self.pending.saturating_sub(1);
            }
        }
        Ok(page)
    }

    /// One name. `Err` only when the digest ran out of time and there may be more of it in another call.
    fn look(
        &mut self,
        relative: &std::path::Path,
        depth: u32,
        deadline: &Deadline,
        last_try: bool,
    ) -> Result<Option<Entry>, Error> {
        if self.except.as_ref().is_some_and(|except| except.is_match(relative)) {
            return Ok(None);
        }
        let place = self.at(relative);
        let stat = match place.stat() {
            Ok(stat) => stat,
            // Gone since its directory was read.
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => {
                self.report(relative, error);
                return Ok(None);
            }
        };
        if self.device.is_some_and(|device| device != wide(stat.st_dev)) {
            return Ok(None);
        }
        let kind = kind(&stat);
        let wanted = self.only.as_ref().is_none_or(|only| only.is_match(relative));
        let digest = match (kind, self.hash) {
            (Kind::File, Some(algorithm)) if wanted => match hash(&place, algorithm, false, deadline) {
                Ok(digest) => Some(digest),
                Err(timeout @ Error::Timeout(_)) if !last_try => return Err(timeout),
                Err(error) => {
                    self.report(relative, error);
                    None
                }
            },
            _ => None,
        };
        if kind == Kind::Directory
            && depth < self.max_depth
            && let Err(error) = self.visit(relative.to_path_buf(), depth + 1, deadline)
        {
            self.report(relative, error);
        }
        let link_target = match kind {
            Kind::Symlink if wanted => match place.read_link() {
                Ok(target) => Some(target),
                Err(error) => {
                    self.report(relative, error);
                    None
                }
            },
            _ => None,
        };
        Ok(wanted.then(|| Entry { path: self.path(relative), metadata: metadata(&stat), link_target, digest }))
    }

    /// What could not be read since the last time; the last one says how many more there were.
    pub(crate) fn take_errors(&mut self) -> Vec<(String, Error)> {
        let mut errors = std::mem::take(&mut self.errors);
        if std::mem::take(&mut self.errors_dropped) > 0 {
            errors.push((self.root.clone(), Error::Limit(format!("more than {WALK_ERRORS_MAX} errors"))));
        }
        errors
    }
}
