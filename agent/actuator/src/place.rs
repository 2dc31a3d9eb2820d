//! Where a path really leads: every component is opened without following a symbolic link.
//!
//! A path is matched against the allow-list as text and then resolved from `/` with `RESOLVE_NO_SYMLINKS`, so the text and the
//! place cannot differ, whatever is swapped meanwhile.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use holdfast_core::model::plan::hex;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::protocol::{BLOB_BYTES_MAX, Code};
use crate::stop::Stop;

/// An opened directory and a name in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: OwnedFd,
    pub(crate) name: String,
}

/// A regular file as it lies there.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: String,
    pub(crate) stat: Stat,
}

/// Refuses a path that is not absolute and normal: no `..`, no `.`, no empty component, no NUL.
pub(crate) fn normal(path: &str) -> Result<&str, Stop> {
    let good = path.strip_prefix('/').is_some_and(|rest| {
        !path.contains('\0') && rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    });
    if good {
        Ok(path)
    } else {
        Err(Stop::Refused(Code::Malformed, format!("`{path}` is not an absolute, normal path")))
    }
}

/// Opens a directory by its absolute path; a symbolic link anywhere in it refuses.
pub(crate) fn open_dir(path: &str) -> Result<OwnedFd, Stop> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve).map_err(|error| match error {
        Errno::LOOP => Stop::guard(format!("{path} leads through a symbolic link")),
        Errno::NOENT | Errno::NOTDIR => Stop::guard(format!("{path} is not a directory that exists")),
        other => Stop::io(&format!("open {path}"), other),
    })
}

impl Place {
    /// Opens the parent of an absolute path.
    pub(crate) fn open(path: &str) -> Result<Self, Stop> {
        let (parent, name) = normal(path)?.rsplit_once('/').unwrap_or(("", path));
        let dir = open_dir(if parent.is_empty() { "/" } else { parent })?;
        Ok(Self { dir, name: name.to_owned() })
    }

    /// Reads what lies there; `None`: nothing. Anything but a regular file with one name refuses.
    pub(crate) fn read(&self) -> Result<Option<Found>, Stop> {
        read_at(&self.dir, &self.name)
    }
}

/// See [`Place::read`].
pub(crate) fn read_at(dir: &OwnedFd, name: &str) -> Result<Option<Found>, Stop> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Looked at before it is opened: opening a device can have effects of its own.
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Stop::io(&format!("look at {name}"), error)),
        Ok(stat) => plain(name, &stat)?,
    }
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(Stop::guard(format!("{name} is a symbolic link"))),
        Err(error) => return Err(Stop::io(&format!("open {name}"), error)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|e| Stop::io(&format!("look at {name}"), e))?;
    plain(name, &stat)?;
    let mut bytes = Vec::new();
    file.take(BLOB_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| Stop::io(&format!("read {name}"), e))?;
    if bytes.len() as u64 > BLOB_BYTES_MAX {
        return Err(Stop::guard(format!("{name} is larger than {} MiB", BLOB_BYTES_MAX >> 20)));
    }
    Ok(Some(Found { sha256: digest(&bytes), bytes, stat }))
}

fn plain(name: &str, stat: &Stat) -> Result<(), Stop> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Stop::guard(format!("{name} is not a regular file")));
    }
    if stat.st_nlink > 1 {
        return Err(Stop::guard(format!(
            "{name} has {} names (hard links); which one counts is not ours to say",
            stat.st_nlink
        )));
    }
    Ok(())
}

/// SHA-256, 64 hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
