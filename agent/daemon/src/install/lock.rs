//! One change of plugins at a time: two commands would place parts of two components, or write over each other's grant.
//!
//! Held from the last look at what is there until everything is placed, never while a person is asked. The kernel gives it back when
//! its process ends, however that ends, so a file that is left over locks nothing.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::InstallError;
use crate::config::PluginsConfig;

/// Lies beside the grants, where the agent looks for nothing but `*.toml`.
const NAME: &str = ".lock";
/// How long another command is waited for. Placing takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);
/// Only its owner may even wait for it: whoever could open it could keep it for ever.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIR_MODE: u32 = 0o755;

/// The right to change plugins; it ends with this value.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

/// Waits for its turn.
///
/// Errors: another command has it and keeps it, it cannot be written here at all, or what lies in its place is none.
pub fn lock(config: &PluginsConfig) -> Result<Lock, InstallError> {
    let path = config.grants.join(NAME);
    let unusable = |source| InstallError::Lock { path: path.clone(), source };
    let mut file = open(&config.grants, &path)?;
    for _ in 0..=PATIENCE.as_millis() / STEP.as_millis() {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Somebody has removed it meanwhile, and who comes next would have another.
            Ok(()) if file.metadata().map_err(unusable)?.nlink() == 0 => file = open(&config.grants, &path)?,
            Ok(()) => {
                let named = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                return named.map(|()| Lock(file)).map_err(unusable);
            }
            Err(Errno::WOULDBLOCK) => std::thread::sleep(STEP),
            Err(errno) => return Err(unusable(errno.into())),
        }
    }
    Err(InstallError::Busy { process: holder(&mut file), path, after: PATIENCE })
}

/// Opens the lock, or makes it and gives it to whose directory it is: what root has made there must not lock its user out.
fn open(grants: &Path, path: &Path) -> Result<File, InstallError> {
    let unwritten = |source| InstallError::Write { path: path.to_owned(), source };
    let unusable = |source| InstallError::Lock { path: path.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(grants).map_err(unwritten)?;
    let dir = File::open(grants).map_err(unwritten)?;
    let owner = dir.metadata().map_err(unwritten)?;
    let us = rustix::process::geteuid();
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat(&dir, NAME, flags | OFlags::CREATE | OFlags::EXCL, MODE) {
            Ok(made) => {
                if us.is_root() && owner.uid() != us.as_raw() {
                    // Where that cannot be, whoever is locked out is told what to do.
                    let _ = fchown(&made, Some(owner.uid()), Some(owner.gid()));
                }
                return Ok(made.into());
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(unwritten(errno.into())),
        }
        match rustix::fs::openat(&dir, NAME, flags, Mode::empty()) {
            Ok(there) => {
                let there = File::from(there);
                own(&there, [us.as_raw(), owner.uid()]).map_err(unusable)?;
                return Ok(there);
            }
            // It was removed in between.
            Err(Errno::NOENT) => {}
            Err(Errno::LOOP) => return Err(unusable(io::Error::other("it is a symlink"))),
            Err(errno) => return Err(unusable(errno.into())),
        }
    }
}

/// It is a lock and nothing else that would be emptied: a file with this one name, that belongs to one of these users.
fn own(file: &File, users: [u32; 2]) -> io::Result<()> {
    let meta = file.metadata()?;
    let why = if !meta.is_file() {
        "it is no regular file".to_owned()
    } else if meta.nlink() > 1 {
        "it has another name too".to_owned()
    } else if !users.contains(&meta.uid()) {
        format!("it belongs to the user {}, whose directory this is not", meta.uid())
    } else {
        return Ok(());
    };
    Err(io::Error::other(why))
}

/// Which process says that it has it.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    let process: u32 = text.trim().parse().ok()?;
    Path::new("/proc").join(process.to_string()).exists().then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_who_has_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let config = PluginsConfig { grants: dir.path().join("plugins.d"), ..PluginsConfig::default() };
        let first = lock(&config).unwrap();
        let error = lock(&config).unwrap_err();
        let wanted = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&wanted) && error.is_failure(), "{error}");
        assert!(error.hint().unwrap().contains("plugins.d/.lock"), "{error:?}");
        drop(first);
        lock(&config).unwrap();
    }

    fn config(dir: &Path) -> PluginsConfig {
        PluginsConfig { grants: dir.to_owned(), ..PluginsConfig::default() }
    }

    /// What lies in its place is not taken for it, and what to do is said.
    #[track_caller]
    fn refuses(dir: &Path, wanted: &str) {
        let error = lock(&config(dir)).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains(wanted), "{error:?}");
        assert!(error.hint().unwrap().contains(".lock may be removed"), "{error:?}");
    }

    #[test]
    fn what_else_lies_in_its_place_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (elsewhere, place) = (dir.path().join("elsewhere"), dir.path().join(NAME));
        std::fs::write(&elsewhere, "kept").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
        refuses(dir.path(), "it is a symlink");
        std::fs::remove_file(&place).unwrap();
        std::fs::hard_link(&elsewhere, &place).unwrap();
        refuses(dir.path(), "it has another name too");
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "kept");
        std::fs::remove_file(&place).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, MODE, 0).unwrap();
        refuses(dir.path(), "it is no regular file");
    }

    #[test]
    fn what_root_makes_in_a_users_directory_is_that_users_and_what_a_stranger_made_is_not_taken() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(NAME);
        std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
        drop(lock(&config(dir.path())).unwrap());
        let made = std::fs::metadata(&place).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (65_534, 65_534, 0o600));
        // Root takes its turn there again; in another's directory it would be a stranger's.
        drop(lock(&config(dir.path())).unwrap());
        std::os::unix::fs::chown(dir.path(), Some(1), Some(1)).unwrap();
        std::fs::write(&place, "kept").unwrap();
        refuses(dir.path(), "it belongs to the user 65534");
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "kept");
    }

    #[test]
    fn one_that_is_removed_while_it_is_held_is_no_lock_for_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let first = lock(&config).unwrap();
        let _second = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lock(&config));
            std::thread::sleep(STEP * 4);
            std::fs::remove_file(dir.path().join(NAME)).unwrap();
            drop(first);
            waiting.join().unwrap().unwrap()
        });
        assert!(matches!(lock(&config), Err(InstallError::Busy { .. })));
    }
}
