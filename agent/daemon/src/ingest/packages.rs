//! Packages, whoever manages them on this host: dpkg, rpm, or both.

use std::fs::File;
use std::io::{self, Read};

use holdfast_core::model::IdSource;
use holdfast_core::model::plan::hex;
use md5::Digest;
use rustix::fs::OFlags;
use sha2::Sha256;

pub use holdfast_core::detect::drift::PackageFact;

use super::{dpkg, rpm};
use crate::host::FsRoot;

/// What the package databases say about a path; `None` when no installed package owns it.
///
/// `content` is what lies there now; when it is too long to be held, the file is read. An absent file matches nothing.
pub fn package_fact(fs: &FsRoot, path: &str, content: Option<&[u8]>) -> Option<PackageFact> {
    dpkg::package_fact(fs, path, content).or_else(|| rpm::package_fact(fs, path, content))
}

/// Whether packages are being changed: what is said about a file may be behind what was written. Ask again when that is over.
pub fn in_progress(fs: &FsRoot) -> bool {
    dpkg::in_progress(fs) || rpm::in_progress(fs)
}

/// Whether another process holds any lock on the whole file or a part of it.
pub(super) fn is_locked_by_others(fs: &FsRoot, path: &str) -> bool {
    File::open(fs.path(path)).is_ok_and(|file| {
        let ours = rustix::process::Flock::from(rustix::process::FlockType::WriteLock);
        rustix::process::fcntl_getlk(&file, &ours).is_ok_and(|holder| holder.is_some())
    })
}

/// The same words give the same id, so a change that is told again is recognised.
pub(super) struct IdsOf<'w>(pub(super) &'w str);

impl IdSource for IdsOf<'_> {
    fn random(&mut self) -> [u8; 10] {
        let digest = Sha256::digest(self.0.as_bytes());
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&digest[..10]);
        bytes
    }
}

/// The path, and as it was called before `/bin`, `/sbin` and `/lib` became links into `/usr`, or since.
pub(super) fn aliases(path: &str) -> Vec<String> {
    let mut names = vec![path.to_owned()];
    let merged = |path: &str| ["/bin/", "/sbin/", "/lib"].iter().any(|dir| path.starts_with(dir));
    match path.strip_prefix("/usr") {
        Some(rest) if merged(rest) => names.push(rest.to_owned()),
        None if merged(path) => names.push(format!("/usr{path}")),
        _ => {}
    }
    names
}

/// In lower-case hex, of the content at hand or of the file. Errors: it cannot be read, or is no plain file.
pub(super) fn digest<D: Digest>(fs: &FsRoot, path: &str, content: Option<&[u8]>) -> io::Result<String> {
    let mut hasher = D::new();
    if let Some(content) = content {
        hasher.update(content);
    } else {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(fs.path(path), flags, rustix::fs::Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                read => hasher.update(&chunk[..read]),
            }
        }
    }
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// Names the lock to the process that is to hold it.
    const LOCK: &str = "HOLDFAST_TEST_LOCK";

    fn hold(lock: &str) -> File {
        let file = File::options().read(true).write(true).open(lock).unwrap();
        rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        file
    }

    #[test]
    fn a_lock_of_this_process_is_none_of_a_package_manager() {
        if let Ok(lock) = std::env::var(LOCK) {
            let _held = hold(&lock);
            println!("\nheld");
            // Until whoever started this ends, and with it the pipe.
            let _ = io::stdin().read_line(&mut String::new());
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("var/lib/dpkg/lock");
        std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
        std::fs::write(&lock, "").unwrap();
        let _held = hold(lock.to_str().unwrap());
        assert!(!in_progress(&FsRoot::new(dir.path())));
    }

    #[track_caller]
    #[expect(clippy::disallowed_methods, reason = "a lock is another process's")]
    fn check(lock: &str, beside: &str) {
        let dir = tempfile::tempdir().unwrap();
        let (fs, lock) = (FsRoot::new(dir.path()), dir.path().join(lock));
        std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
        for file in [&lock, &lock.parent().unwrap().join(beside)] {
            std::fs::write(file, "").unwrap();
        }
        // What rpm wrote and did not merge; beside dpkg's lock it is nothing.
        std::fs::write(lock.with_file_name("rpmdb.sqlite-wal"), "log").unwrap();
        assert!(!in_progress(&fs));
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "ingest::packages::tests::a_lock_of_this_process_is_none_of_a_package_manager",
            ])
            .env(LOCK, &lock)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let held = BufReader::new(holder.stdout.take().unwrap()).lines().any(|line| line.unwrap() == "held");
        let busy = in_progress(&fs);
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert!(held && busy && !in_progress(&fs), "{held} {busy}");
    }

    #[test]
    fn who_holds_the_lock_is_at_work() {
        check("var/lib/dpkg/lock", "status");
        check("var/lib/rpm/.rpm.lock", "rpmdb.sqlite");
        check("usr/lib/sysimage/rpm/.rpm.lock", "rpmdb.sqlite");
        check("var/lib/rpm/rpmdb.sqlite-shm", "rpmdb.sqlite");
    }
}
