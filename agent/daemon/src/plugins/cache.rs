//! Compiled plugins on disk, so that a start compiles nothing that was compiled before.
//!
//! The directory and each entry must belong to the agent's user and be writable by nobody else; an entry is read once and believed
//! only when its seal is whole, which is the plugin host's business. Whatever is wrong with an entry costs a compilation, is counted
//! and logged, and the entry is replaced. The cache may be deleted at any time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use super::compile::ARTIFACT_BYTES_MAX;

/// Ending of an entry's name.
const ENDING: &str = ".compiled";
/// Entries that are looked at when old ones are removed.
const ENTRIES_MAX: usize = 10_000;

/// An open cache directory.
#[derive(Debug)]
pub(super) struct Cache {
    dir: OwnedFd,
}

/// An entry that is there and is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejected(pub(super) String);

impl Cache {
    /// Opens the directory `plugins` below `dir`; makes it where it is missing.
    ///
    /// Errors: it cannot be made or opened, or others may write it.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path: PathBuf = dir.join("plugins");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
        own(&dir).map_err(io::Error::other)?;
        Ok(Self { dir: dir.into() })
    }

    /// The bytes of an entry, as they were at one moment.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Rejected> {
        let rejected = |why: &dyn std::fmt::Display| Rejected(why.to_string());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, entry(name), flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(rustix::io::Errno::LOOP) => return Err(rejected(&"it is a symlink")),
            Err(errno) => return Err(rejected(&errno)),
        };
        let meta = file.metadata().map_err(|error| rejected(&error))?;
        if !meta.is_file() {
            return Err(rejected(&"it is not a regular file"));
        }
        own(&file).map_err(|why| rejected(&why))?;
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(ARTIFACT_BYTES_MAX)).unwrap_or(0));
        (&file).take(ARTIFACT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| rejected(&error))?;
        if bytes.len() as u64 > ARTIFACT_BYTES_MAX {
            return Err(rejected(&"it is too large"));
        }
        Ok(Some(bytes))
    }

    /// Keeps an entry under its name, whole or not at all. Not made durable: what a power loss leaves has no whole seal.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = format!("{name}.{}", std::process::id());
        let _ = rustix::fs::unlinkat(&self.dir, &draft, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.dir, &draft, flags, Mode::RUSR | Mode::WUSR)?);
        let written =
            file.write_all(bytes).and_then(|()| Ok(rustix::fs::renameat(&self.dir, &draft, &self.dir, entry(name))?));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&self.dir, &draft, AtFlags::empty());
        }
        written
    }

    /// Removes what no plugin uses any more: other versions, drafts of a process that died.
    pub(super) fn keep_only(&self, names: &BTreeSet<String>) -> io::Result<usize> {
        let kept: BTreeSet<String> = names.iter().map(|name| entry(name)).collect();
        let mut removed = 0;
        for found in Dir::read_from(&self.dir)?.take(ENTRIES_MAX) {
            let found = found?;
            let Ok(name) = found.file_name().to_str() else { continue };
            if name.starts_with('.') || kept.contains(name) {
                continue;
            }
            rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?;
            removed += 1;
        }
        Ok(removed)
    }
}

fn entry(name: &str) -> String {
    format!("{name}{ENDING}")
}

/// Belongs to this process's user, and nobody else may write it.
fn own(file: &File) -> Result<(), String> {
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("it belongs to the user {}", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(format!("others may write it (mode {:04o})", meta.mode() & 0o7777));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn cache() -> (tempfile::TempDir, Cache, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        cache.write("a", b"content").unwrap();
        let file = dir.path().join("plugins/a.compiled");
        (dir, cache, file)
    }

    #[track_caller]
    fn check(cache: &Cache, wanted: &str) {
        let Err(Rejected(why)) = cache.read("a") else { panic!("it was read") };
        assert!(why.contains(wanted), "{why}");
    }

    #[test]
    fn what_was_kept_is_read_again_and_what_is_not_there_is_absent() {
        let (_dir, cache, _) = cache();
        assert_eq!(cache.read("a"), Ok(Some(b"content".to_vec())));
        cache.write("a", b"other").unwrap();
        assert_eq!((cache.read("a"), cache.read("b")), (Ok(Some(b"other".to_vec())), Ok(None)));
    }

    #[test]
    fn an_entry_that_others_may_write_or_that_is_no_plain_file_is_not_read() {
        let (dir, cache, file) = cache();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o602)).unwrap();
        check(&cache, "others may write it (mode 0602)");
        std::fs::rename(&file, dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &file).unwrap();
        check(&cache, "symlink");
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        check(&cache, "not a regular file");
    }

    #[test]
    fn an_entry_of_another_user_is_not_read() {
        let (_dir, cache, file) = cache();
        // Only root may give files away; for others the kernel keeps foreign files out of a directory of mode 0700.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
            check(&cache, "belongs to the user 65534");
        }
    }

    #[test]
    fn a_directory_that_others_may_write_is_no_cache() {
        let (dir, _cache, _) = cache();
        std::fs::set_permissions(dir.path().join("plugins"), std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(dir.path()).unwrap_err().to_string().contains("others may write it"));
    }

    #[test]
    fn what_nobody_uses_is_removed() {
        let (dir, cache, _) = cache();
        cache.write("b", b"").unwrap();
        std::fs::write(dir.path().join("plugins/c.123"), "half").unwrap();
        assert_eq!(cache.keep_only(&["b".to_owned()].into()).unwrap(), 2);
        assert_eq!((cache.read("a"), cache.read("b")), (Ok(None), Ok(Some(vec![]))));
    }
}
