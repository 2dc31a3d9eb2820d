//! `files`: read-only, below granted roots, in bounded pieces.

use std::io::Read;
use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, Stat};
use sha2::{Digest, Sha256};
use wasmtime::component::Resource;

use super::Room;
use super::beneath::Place;
use super::room::{Answer, Deadline};
use super::walk::Walker;
use crate::bindings::files::{Algorithm, Digest as FileDigest, Entry, Host, HostWalker, Kind, Metadata, WalkOptions};
use crate::bindings::types::Error;
use crate::capability::Ask;
use crate::limits::{PAGE_ENTRIES_MAX, READ_BYTES_MAX, WALKERS_MAX};

/// What a record of metadata takes on its way to the guest, roughly.
const METADATA_BYTES: usize = 96;

impl Room {
    /// Asked for, then found; the place is below a root that both sides named.
    fn place(&mut self, path: &str) -> wasmtime::Result<Result<(Place, Deadline), Error>> {
        let deadline = match self.enter(Ask::File(path))? {
            Ok(deadline) => deadline,
            Err(denied) => return Ok(Err(denied)),
        };
        let effective = std::sync::Arc::clone(&self.effective);
        let place = self.roots.place(effective.grant.read.files.iter(), path);
        if matches!(place, Err(Error::Denied(_))) {
            self.cost.host_calls_denied += 1;
        }
        Ok(place.map(|place| (place, deadline)))
    }

    fn with_place<T>(
        &mut self,
        path: &str,
        work: impl FnOnce(&mut Self, Place, Deadline) -> Result<T, Error>,
    ) -> Answer<T> {
        Ok(match self.place(path)? {
            Ok((place, deadline)) => {
                let result = work(self, place, deadline);
                self.cost.host_calls_denied += u64::from(matches!(result, Err(Error::Denied(_))));
                result
            }
            Err(error) => Err(error),
        })
    }
}

impl Host for Room {
    fn stat(&mut self, path: String) -> Answer<Metadata> {
        self.with_place(&path, |room, place, _| {
            room.hand_over(METADATA_BYTES)?;
            place.stat().map(|stat| metadata(&stat))
        })
    }

    fn read(&mut self, path: String, offset: u64, len: u32) -> Answer<Vec<u8>> {
        self.with_place(&path, |room, place, _| {
            let (fd, _) = place.open_file(true)?;
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(READ_BYTES_MAX)];
            let read = read_at(&std::fs::File::from(fd), &mut bytes, offset)
                .map_err(|error| Error::Io(format!("`{path}`: {error}")))?;
            bytes.truncate(read);
            room.hand_over(read)?;
            Ok(bytes)
        })
    }

    fn read_link(&mut self, path: String) -> Answer<String> {
        self.with_place(&path, |room, place, _| {
            let target = place.read_link()?;
            room.hand_over(target.len())?;
            Ok(target)
        })
    }

    fn hash(&mut self, path: String, algorithm: Algorithm) -> Answer<FileDigest> {
        self.with_place(&path, |room, place, deadline| {
            room.hand_over(METADATA_BYTES)?;
            hash(&place, algorithm, true, &deadline)
        })
    }

    fn walk(&mut self, root: String, options: WalkOptions) -> Answer<Resource<Walker>> {
        self.with_place(&root, |room, place, deadline| {
            let walker = Walker::new(root.clone(), place, &options, &deadline)?;
            if room.walkers >= WALKERS_MAX {
                return Err(Error::Limit(format!("{WALKERS_MAX} walks at once; drop one")));
            }
            let handle = room.handles.push(walker).map_err(|error| Error::Limit(error.to_string()))?;
            room.walkers += 1;
            Ok(handle)
        })
    }
}

impl HostWalker for Room {
    fn next(&mut self, this: Resource<Walker>, max: u32) -> Answer<Vec<Entry>> {
        let root = self.handles.get(&this)?.root.clone();
        let deadline = match self.enter(Ask::File(&root))? {
            Ok(deadline) => deadline,
            Err(denied) => return Ok(Err(denied)),
        };
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(PAGE_ENTRIES_MAX);
        let page = match self.handles.get_mut(&this)?.next(max, &deadline) {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let size = |e: &Entry| METADATA_BYTES + e.path.len() + e.link_target.as_ref().map_or(0, String::len);
        Ok(self.hand_over(page.iter().map(size).sum()).map(|()| page))
    }

    fn errors(&mut self, this: Resource<Walker>) -> wasmtime::Result<Vec<(String, Error)>> {
        self.count()?;
        let errors = self.handles.get_mut(&this)?.take_errors();
        // Bounded by the walk itself; booked like everything else, and dropped when nothing more may be read.
        let bytes = errors.iter().map(|(path, _)| path.len() * 2 + METADATA_BYTES).sum();
        Ok(if self.hand_over(bytes).is_ok() { errors } else { Vec::new() })
    }

    fn drop(&mut self, this: Resource<Walker>) -> wasmtime::Result<()> {
        self.handles.delete(this)?;
        self.walkers = self.walkers.saturating_sub(1);
        Ok(())
    }
}

fn read_at(file: &std::fs::File, into: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Digest of a regular file, in pieces; the deadline is looked at between them.
pub(super) fn hash(
    place: &Place,
    algorithm: Algorithm,
    follow: bool,
    deadline: &Deadline,
) -> Result<FileDigest, Error> {
    let (fd, _) = place.open_file(follow)?;
    let mut file = std::fs::File::from(fd);
    let mut piece = vec![0; READ_BYTES_MAX];
    let (mut sha, mut blake) = (Sha256::new(), blake3::Hasher::new());
    let mut size = 0_u64;
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Io(error.to_string())),
        };
        size += read as u64;
        match algorithm {
            Algorithm::Sha256 => sha.update(&piece[..read]),
            Algorithm::Blake3 => {
                blake.update(&piece[..read]);
            }
        }
        deadline.check()?;
    }
    let hex = match algorithm {
        Algorithm::Sha256 => holdfast_core::model::plan::hex(&sha.finalize()),
        Algorithm::Blake3 => blake.finalize().to_hex().to_string(),
    };
    Ok(FileDigest { algorithm, hex, size })
}

pub(super) fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}

pub(super) fn metadata(stat: &Stat) -> Metadata {
    let at = |secs: i64, ns: u64| u64::try_from(secs).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(ns);
    Metadata {
        kind: kind(stat),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        nlink: wide(stat.st_nlink),
        mtime: at(stat.st_mtime, wide(stat.st_mtime_nsec)),
        ctime: at(stat.st_ctime, wide(stat.st_ctime_nsec)),
        inode: wide(stat.st_ino),
        device: wide(stat.st_dev),
    }
}

/// The kernel's numbers have other widths on other machines.
pub(super) fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}
