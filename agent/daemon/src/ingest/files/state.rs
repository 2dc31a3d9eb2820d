//! One file at one moment: digest, mode, owner, time, content.
//!
//! Absence is a state. A symbolic link is never followed: a directory that others may write could point it anywhere. Its
//! digest is that of the text `symlink to TARGET`, and it has no content, so it is never shown, copied or restored as a file.
//! Directories, devices, pipes and sockets are never opened; their digest is that of their kind.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use holdfast_core::model::plan::hex;
use holdfast_core::model::{FileState, Timestamp};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::host::FsRoot;

/// A longer file is an error: reading it would take minutes.
const HASHED_BYTES_MAX: u64 = 16 << 30;
const CHUNK: usize = 64 * 1024;

/// What tells, without reading, that a file was altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    dev: u64,
    ino: u64,
    bytes: u64,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    pub(super) fn is_dir(self) -> bool {
        rustix::fs::FileType::from_raw_mode(self.mode) == rustix::fs::FileType::Directory
    }

    fn of(m: &Metadata) -> Self {
        Self {
            dev: m.dev(),
            ino: m.ino(),
            bytes: m.size(),
            mode: m.mode(),
            owner: (m.uid(), m.gid()),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

/// `None`: nothing is there.
pub(super) fn mark(fs: &FsRoot, path: &str) -> Option<Mark> {
    std::fs::symlink_metadata(fs.path(path)).ok().map(|m| Mark::of(&m))
}

/// Reads a file whole. The content is kept up to `bytes_max`; the digest is always of everything.
///
/// Errors: those of reading, such as missing rights; `FileTooLarge` above 16 GiB. Absence is none.
pub fn read_state(fs: &FsRoot, path: &str, bytes_max: u64) -> io::Result<(FileState, Option<Vec<u8>>)> {
    let real = fs.path(path);
    // A file that is written while it is read is read once more; a later notice brings what comes after.
    for last in [false, true] {
        match read_once(&real, path, bytes_max, last) {
            Ok(Some(read)) => return Ok(read),
            Ok(None) => {}
            Err(e) if is_absence(&e) => return Ok((absent(path), None)),
            // It became a link between the look and the opening.
            Err(e) if !last && e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {}
            Err(e) => return Err(e),
        }
    }
    Ok((absent(path), None))
}

fn is_absence(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn absent(path: &str) -> FileState {
    FileState { path: path.to_owned(), sha256: None, bytes: 0, mode: 0, uid: 0, gid: 0, modified_at: None }
}

fn state(path: &str, m: &Metadata, sha256: &[u8], bytes: u64) -> FileState {
    let ns = m.mtime().checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(m.mtime_nsec()));
    FileState {
        path: path.to_owned(),
        sha256: Some(hex(sha256)),
        bytes,
        mode: m.mode() & 0o7777,
        uid: m.uid(),
        gid: m.gid(),
        modified_at: ns.map(Timestamp::from_ns),
    }
}

/// `None`: it was altered meanwhile, and this is not the last attempt.
fn read_once(real: &Path, path: &str, bytes_max: u64, last: bool) -> io::Result<Option<(FileState, Option<Vec<u8>>)>> {
    let seen = std::fs::symlink_metadata(real)?;
    let kind = seen.file_type();
    if !kind.is_file() {
        let text = if kind.is_symlink() {
            [b"symlink to ", std::fs::read_link(real)?.as_os_str().as_bytes()].concat()
        } else if kind.is_dir() {
            b"directory".to_vec()
        } else if kind.is_fifo() {
            b"pipe".to_vec()
        } else if kind.is_socket() {
            b"socket".to_vec()
        } else {
            b"device".to_vec()
        };
        return Ok(Some((state(path, &seen, &Sha256::digest(&text), 0), None)));
    }
    // Not blocking: what was a file at the look may be a pipe by now.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(real, flags, Mode::empty())?);
    let before = file.metadata()?;
    if !before.is_file() {
        return Ok(None);
    }
    if before.size() > HASHED_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let (digest, bytes, content) = digest(&mut file, before.size(), bytes_max)?;
    let after = file.metadata()?;
    if !last && Mark::of(&before) != Mark::of(&after) {
        return Ok(None);
    }
    Ok(Some((state(path, &after, &digest, bytes), content)))
}

/// Digest, length, and the content while it stays within `bytes_max`.
fn digest(file: &mut File, expected: u64, bytes_max: u64) -> io::Result<(Vec<u8>, u64, Option<Vec<u8>>)> {
    let mut hasher = Sha256::new();
    let mut content = (expected <= bytes_max).then(|| Vec::with_capacity(expected as usize));
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0_u64;
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        bytes += read as u64;
        if bytes > HASHED_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        hasher.update(&chunk[..read]);
        content = content.filter(|_| bytes <= bytes_max);
        if let Some(content) = &mut content {
            content.extend_from_slice(&chunk[..read]);
        }
    }
    Ok((hasher.finalize().to_vec(), bytes, content))
}
