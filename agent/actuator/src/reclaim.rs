//! `reclaim_paths`: removes what the plan lists below one root, and nothing else.
//!
//! Symbolic links are removed as links and never followed; one file system; every file is looked at again right before it goes.
//! A file with other names is removed too but frees nothing, and is counted with 0 bytes. An entry whose guard fails is left,
//! the others continue, and the step as a whole fails with the effects that did happen.

use std::os::fd::OwnedFd;
use std::time::Duration;

use holdfast_core::model::{Effect, ReclaimEntry, Timestamp};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::clock::Deadline;
use crate::place::{normal, open_dir};
use crate::protocol::Code;
use crate::stop::{Did, Stop};

const DEPTH_MAX: u32 = 128;

/// What one walk may still count.
struct Walk<'a> {
    entry: &'a ReclaimEntry,
    device: u64,
    newest_allowed: Timestamp,
    deadline: Deadline,
    remove: bool,
    files: u64,
    bytes: u64,
    freed: u64,
}

/// Looks (`remove == false`) or removes; the effects are one a listed entry.
pub(crate) fn run(
    root: &str,
    entries: &[ReclaimEntry],
    min_age: Duration,
    now: Timestamp,
    deadline: Deadline,
    remove: bool,
) -> Did {
    let dir = open_dir(normal(root)?)?;
    let device = rustix::fs::fstat(&dir).map_err(|e| Stop::io("look at the root", e))?.st_dev;
    let (mut effects, mut refused) = (Vec::new(), Vec::new());
    for entry in entries {
        let newest_allowed = entry.newest_change.min(now.minus(min_age));
        let mut walk = Walk { entry, device, newest_allowed, deadline, remove: false, files: 0, bytes: 0, freed: 0 };
        let result = place(&dir, root, entry).and_then(|(parent, name)| {
            walk.visit(&parent, &name, 0)?;
            if remove {
                (walk.remove, walk.files, walk.bytes, walk.freed) = (true, 0, 0, 0);
                walk.visit(&parent, &name, 0)?;
            }
            Ok(())
        });
        let complete = result.is_ok();
        if let Err(why) = result {
            refused.push(format!("{}: {why}", entry.path));
        }
        if complete || walk.remove && walk.files > 0 {
            let part = if complete { "" } else { ", incomplete" };
            let detail = format!("{} files{part}", walk.files);
            effects.push(Effect {
                kind: "path.removed".into(),
                subject: entry.path.clone(),
                bytes: walk.freed,
                detail,
            });
        }
    }
    if refused.is_empty() {
        return Ok((effects, None));
    }
    let message = refused.join("; ");
    if effects.is_empty() || !remove {
        return Err(Stop::Refused(Code::Guard, message));
    }
    Err(Stop::Failed { message, effects, undo_token: None })
}

/// The opened parent of an entry, and its name there.
fn place(root_dir: &OwnedFd, root: &str, entry: &ReclaimEntry) -> Result<(OwnedFd, String), String> {
    normal(&entry.path).map_err(|_| "not an absolute, normal path".to_owned())?;
    let below = entry.path.strip_prefix(root.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    let below = below.filter(|b| !b.is_empty()).ok_or("not below the root")?;
    let (parent, name) = below.rsplit_once('/').unwrap_or((".", below));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let dir = rustix::fs::openat2(root_dir, parent, flags, Mode::empty(), resolve)
        .map_err(|e| format!("its parent cannot be opened without a link or another file system: {e}"))?;
    Ok((dir, name.to_owned()))
}

fn modified(stat: &Stat) -> Timestamp {
    Timestamp::from_secs(stat.st_mtime).plus(Duration::from_nanos(stat.st_mtime_nsec))
}

impl Walk<'_> {
    fn visit(&mut self, parent: &OwnedFd, name: &str, depth: u32) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err("too deep".into());
        }
        if self.deadline.left().is_none() {
            return Err("out of time".into());
        }
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| format!("{name}: {e}"))?;
        if stat.st_dev != self.device {
            return Err(format!("{name} lies on another file system"));
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.directory(parent, name, depth),
            FileType::RegularFile => {
                self.count(name, &stat)?;
                self.unlink(parent, name, AtFlags::empty())?;
                self.freed += if stat.st_nlink > 1 { 0 } else { stat.st_size as u64 };
                Ok(())
            }
            FileType::Symlink if depth > 0 => self.unlink(parent, name, AtFlags::empty()),
            other => Err(format!("{name} is neither file nor directory but {other:?}")),
        }
    }

    fn count(&mut self, name: &str, stat: &Stat) -> Result<(), String> {
        if modified(stat) > self.newest_allowed {
            return Err(format!("{name} was altered at {}, later than {}", modified(stat), self.newest_allowed));
        }
        let (files, bytes) = (self.files + 1, self.bytes.saturating_add(stat.st_size as u64));
        if files > self.entry.files || bytes > self.entry.bytes {
            return Err(format!(
                "holds more than the {} files and {} bytes planned",
                self.entry.files, self.entry.bytes
            ));
        }
        (self.files, self.bytes) = (files, bytes);
        Ok(())
    }

    fn unlink(&self, parent: &OwnedFd, name: &str, flags: AtFlags) -> Result<(), String> {
        if !self.remove {
            return Ok(());
        }
        rustix::fs::unlinkat(parent, name, flags).map_err(|e| format!("{name}: {e}"))
    }

    fn directory(&mut self, parent: &OwnedFd, name: &str, depth: u32) -> Result<(), String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|e| format!("{name}: {e}"))?;
        if rustix::fs::fstat(&dir).map_err(|e| format!("{name}: {e}"))?.st_dev != self.device {
            return Err(format!("{name} lies on another file system"));
        }
        let mut names = Vec::new();
        for item in Dir::read_from(&dir).map_err(|e| format!("{name}: {e}"))? {
            let item = item.map_err(|e| format!("{name}: {e}"))?;
            let child = item.file_name().to_str().map_err(|_| format!("{name} holds a name that is not text"))?;
            if child != "." && child != ".." {
                names.push(child.to_owned());
            }
        }
        for child in names {
            self.visit(&dir, &child, depth + 1)?;
        }
        self.unlink(parent, name, AtFlags::REMOVEDIR)
    }
}
