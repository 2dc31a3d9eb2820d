//! The way to a granted root, part by part, so that a symlink on it is followed only when nobody but root or the agent can have put it.
//!
//! The operator granted a path and meant what lay there. Whoever may write a directory on the way to it could put a symlink in the
//! place of what lay there, and the agent, which may read more than they, would walk where it points. The links of the system itself
//! (`/bin`, `/var/run`, `/proc/self`) are root's, in directories that root alone writes. Each part is opened as a mere place before it
//! is looked at, and nothing is looked up twice: what is swapped meanwhile is met as what it is.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::beneath::failed;
use crate::bindings::types::Error;

/// Symlinks on one way, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// What lies at the end.
pub(super) enum End {
    Directory(OwnedFd),
    /// Something else, which is not followed any further; the directory that its last part lies in.
    File {
        directory: OwnedFd,
    },
}

/// A part that is still to be walked.
struct Part {
    name: OsString,
    /// The last one of the granted path itself.
    last: bool,
}

fn place(at: &OwnedFd, name: &OsString, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(at, name, flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Walks from `real`, which is where `/` lies, to an absolute path without `.` and `..`.
pub(super) fn walk(real: &Path, root: &str) -> Result<End, Error> {
    let fail = |errno: Errno| failed(errno, root);
    let start = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let base = rustix::fs::openat(CWD, real, start, Mode::empty()).map_err(fail)?;
    let mut behind: Vec<OwnedFd> = Vec::new();
    let mut here = base;
    let mut ahead: VecDeque<Part> = parts(Path::new(root)).collect();
    if let Some(last) = ahead.back_mut() {
        last.last = true;
    }
    let mut links = 0;
    // Where the granted path's own last part lies; a link that it is may lead on to a directory, and to nothing else.
    let mut holds_last = None;
    while let Some(Part { name, last }) = ahead.pop_front() {
        if name == ".." {
            here = behind.pop().unwrap_or(here);
            continue;
        }
        if last {
            holds_last = Some(here.try_clone().map_err(|error| Error::Io(error.to_string()))?);
        }
        // To ask for a directory first has one mounted that is only mounted when asked for.
        let errno = match place(&here, &name, OFlags::DIRECTORY) {
            Ok(next) => {
                behind.push(std::mem::replace(&mut here, next));
                continue;
            }
            Err(errno) => errno,
        };
        if errno != Errno::NOTDIR && errno != Errno::LOOP {
            return Err(fail(errno));
        }
        let found = place(&here, &name, OFlags::empty()).map_err(fail)?;
        let stat = rustix::fs::fstat(&found).map_err(fail)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                let holder = rustix::fs::fstat(&here).map_err(fail)?;
                if !is_beyond_others(&stat, &holder) {
                    return Err(foreign(root, &name));
                }
                if links > LINKS_MAX {
                    return Err(fail(Errno::LOOP));
                }
                let target = rustix::fs::readlinkat(&found, "", Vec::new()).map_err(fail)?;
                let target = std::path::PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    behind.truncate(1);
                    here = behind.pop().unwrap_or(here);
                }
                parts(&target).rev().for_each(|part| ahead.push_front(part));
            }
            // It came to be one since.
            FileType::Directory => behind.push(std::mem::replace(&mut here, found)),
            _ if ahead.is_empty() => {
                let directory = holds_last.ok_or_else(|| fail(Errno::NOTDIR))?;
                return Ok(End::File { directory });
            }
            _ => return Err(fail(Errno::NOTDIR)),
        }
    }
    Ok(End::Directory(here))
}

/// The named parts of a path and its `..`.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = Part> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(Part { name: name.to_owned(), last: false }),
        Component::ParentDir => Some(Part { name: "..".into(), last: false }),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Whether nobody but root and the agent's own user can have put this link into this directory.
fn is_beyond_others(link: &Stat, holder: &Stat) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let ours = |it: &Stat| it.st_uid == 0 || it.st_uid == own;
    ours(link) && ours(holder) && holder.st_mode & 0o022 == 0
}

fn foreign(root: &str, name: &OsString) -> Error {
    Error::Denied(format!(
        "on the way to `{root}` lies the symlink `{}`, which somebody else than root can have put there; grant the path that it leads \
         to in its place",
        name.to_string_lossy()
    ))
}
