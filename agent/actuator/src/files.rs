//! `restore_file`, `quarantine_path` and their undo.
//!
//! The new content is swapped in atomically, and what came out of the swap is checked against the guard: when somebody altered
//! the file between the check and the swap, theirs is swapped back and the step is refused.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use holdfast_core::model::Effect;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};

use crate::keep::{Former, Keep, Owned};
use crate::place::{Found, Place, digest, read_at};
use crate::protocol::Code;
use crate::stop::{Did, Stop};

/// A content with mode and owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What lies there, if the guard holds.
fn guarded(place: &Place, path: &str, guard: Option<&str>) -> Result<Option<Found>, Stop> {
    let found = place.read()?;
    let actual = found.as_ref().map(|f| f.sha256.as_str());
    if actual == guard { Ok(found) } else { Err(Stop::guard(changed(path, guard, actual))) }
}

fn changed(path: &str, guard: Option<&str>, actual: Option<&str>) -> String {
    let show = |sha: Option<&str>| sha.map_or("nothing".into(), |s| format!("sha256:{}", s.get(..12).unwrap_or(s)));
    format!("{path} holds {} and not {}", show(actual), show(guard))
}

fn effect(kind: &str, path: &str, bytes: u64, detail: String) -> Effect {
    Effect { kind: kind.into(), subject: path.into(), bytes, detail }
}

/// What `restore_file` would do.
pub(crate) fn check_restore(path: &str, guard: Option<&str>, sha256: &str, bytes: u64) -> Result<Vec<Effect>, Stop> {
    guarded(&Place::open(path)?, path, guard)?;
    Ok(vec![effect("file.restored", path, bytes, format!("sha256:{sha256}"))])
}

/// Puts a content where the guard's content lies.
pub(crate) fn restore(
    keep: &Keep,
    token: &str,
    path: &str,
    guard: Option<&str>,
    sha256: &str,
    content: Content<'_>,
) -> Did {
    let actual = digest(content.bytes);
    if actual != sha256 {
        return Err(Stop::Refused(
            Code::Malformed,
            format!("the content sent is sha256:{actual} and not sha256:{sha256}"),
        ));
    }
    if content.mode & !0o7777 != 0 {
        return Err(Stop::Refused(
            Code::Malformed,
            format!("mode {:o} has bits that are no permissions", content.mode),
        ));
    }
    let place = Place::open(path)?;
    let found = guarded(&place, path, guard)?;
    remember(keep, token, path, found.as_ref(), Some(sha256.to_owned()))?;
    put(&place, token, path, guard, content)?;
    let done = effect("file.restored", path, content.bytes.len() as u64, format!("sha256:{sha256}"));
    Ok((vec![done], Some(token.to_owned())))
}

/// What `quarantine_path` would do.
pub(crate) fn check_quarantine(path: &str, guard: &str) -> Result<Vec<Effect>, Stop> {
    let found = guarded(&Place::open(path)?, path, Some(guard))?;
    let bytes = found.map_or(0, |f| f.bytes.len() as u64);
    Ok(vec![effect("file.quarantined", path, bytes, format!("sha256:{guard}"))])
}

/// Moves a file to where only root can reach it.
pub(crate) fn quarantine(keep: &Keep, token: &str, path: &str, guard: &str) -> Did {
    let place = Place::open(path)?;
    let found = guarded(&place, path, Some(guard))?;
    let bytes = found.as_ref().map_or(0, |f| f.bytes.len() as u64);
    remember(keep, token, path, found.as_ref(), None)?;
    take_away(&place, token, path, guard)?;
    let done = effect("file.quarantined", path, bytes, format!("kept in {}", keep.content_path(token).display()));
    Ok((vec![done], Some(token.to_owned())))
}

/// Puts the former state back, if what lies there is still what was left there.
pub(crate) fn undo(keep: &Keep, token: &str, former: &Former, content: &[u8]) -> Did {
    let (place, path) = (Place::open(&former.path)?, former.path.as_str());
    let left = former.left.as_deref();
    guarded(&place, path, left)?;
    match (&former.was, left) {
        (Some(was), _) => {
            let content = Content { bytes: content, mode: was.mode, uid: was.uid, gid: was.gid };
            put(&place, token, path, left, content)?;
            let detail = format!("undone, sha256:{}", was.sha256);
            Ok((vec![effect("file.restored", path, content.bytes.len() as u64, detail)], None))
        }
        (None, Some(left)) => {
            take_away(&place, token, path, left)?;
            let kept = keep.content_path(token);
            Ok((vec![effect("path.removed", path, 0, format!("undone, was absent; see {}", kept.display()))], None))
        }
        (None, None) => Ok((vec![], None)),
    }
}

fn remember(keep: &Keep, token: &str, path: &str, found: Option<&Found>, left: Option<String>) -> Result<(), Stop> {
    let was = found.map(|f| Owned {
        sha256: f.sha256.clone(),
        mode: f.stat.st_mode & 0o7777,
        uid: f.stat.st_uid,
        gid: f.stat.st_gid,
    });
    let former = Former { path: path.to_owned(), was, left };
    keep.keep(token, &former, found.map_or(&[], |f| &f.bytes)).map_err(|e| Stop::io("keep the former state", e))
}

/// Writes beside the target, then swaps.
fn put(place: &Place, token: &str, path: &str, guard: Option<&str>, content: Content<'_>) -> Result<(), Stop> {
    let (dir, temp) = (&place.dir, format!(".holdfast-{token}"));
    let result = write_beside(dir, &temp, content).and_then(|()| {
        let flags = if guard.is_some() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        rustix::fs::renameat_with(dir, temp.as_str(), dir, place.name.as_str(), flags)
            .map_err(|e| Stop::guard(format!("{path} was altered meanwhile: {e}")))?;
        if guard.is_none() {
            return Ok(());
        }
        let out = read_at(dir, &temp).ok().flatten().map(|f| f.sha256);
        if out.as_deref() == guard {
            return Ok(());
        }
        rustix::fs::renameat_with(dir, temp.as_str(), dir, place.name.as_str(), RenameFlags::EXCHANGE)
            .map_err(|e| Stop::io(&format!("swap {path} back"), e))?;
        Err(Stop::guard(format!("{path} was altered meanwhile")))
    });
    // With NOREPLACE the temporary name is gone already; any other leftover is only a stray name.
    let _ = rustix::fs::unlinkat(dir, temp.as_str(), AtFlags::empty());
    result?;
    rustix::fs::fsync(dir).map_err(|e| Stop::io("make the directory durable", e))
}

fn write_beside(dir: &OwnedFd, temp: &str, content: Content<'_>) -> Result<(), Stop> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let io = |e: std::io::Error| Stop::io("write the new content", e);
    let fd = rustix::fs::openat(dir, temp, flags, Mode::RUSR | Mode::WUSR).map_err(|e| io(e.into()))?;
    let mut file = File::from(fd);
    file.write_all(content.bytes).map_err(io)?;
    // Owner first: a change of owner clears set-id bits.
    let owner = (Some(Uid::from_raw(content.uid)), Some(Gid::from_raw(content.gid)));
    rustix::fs::fchown(&file, owner.0, owner.1).map_err(|e| io(e.into()))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(content.mode)).map_err(|e| io(e.into()))?;
    file.sync_all().map_err(io)
}

/// Takes the name away first and looks at what was taken: another's file is put back.
fn take_away(place: &Place, token: &str, path: &str, guard: &str) -> Result<(), Stop> {
    let (dir, temp) = (&place.dir, format!(".holdfast-{token}"));
    rustix::fs::renameat_with(dir, place.name.as_str(), dir, temp.as_str(), RenameFlags::NOREPLACE)
        .map_err(|e| Stop::guard(format!("{path} was altered meanwhile: {e}")))?;
    let out = read_at(dir, &temp).ok().flatten().map(|f| f.sha256);
    if out.as_deref() != Some(guard) {
        rustix::fs::renameat_with(dir, temp.as_str(), dir, place.name.as_str(), RenameFlags::NOREPLACE)
            .map_err(|e| Stop::io(&format!("put {path} back from {temp}"), e))?;
        return Err(Stop::guard(format!("{path} was altered meanwhile")));
    }
    rustix::fs::unlinkat(dir, temp.as_str(), AtFlags::empty()).map_err(|e| Stop::io(&format!("remove {temp}"), e))?;
    rustix::fs::fsync(dir).map_err(|e| Stop::io("make the directory durable", e))
}
