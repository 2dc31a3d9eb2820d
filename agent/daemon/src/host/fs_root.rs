//! Where `/proc`, `/sys`, `/etc` and `/var` begin: `/` on a machine, a fixture tree in tests.
//!
//! One read opens the file once, reads it whole and closes it. Paths are given absolute, as on the machine.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Files of `/proc` and `/sys` that are longer are a mistake; also the bound for what one read may hold in memory.
pub(super) const READ_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The root of the file system that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsRoot(PathBuf);

impl FsRoot {
    /// The machine itself.
    pub fn real() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A tree that looks like a machine.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// Whether this is the machine itself.
    pub fn is_real(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where an absolute path of the machine lies.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.0.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The path as the machine names it: the reverse of [`FsRoot::path`].
    pub fn logical(&self, real: &Path) -> PathBuf {
        real.strip_prefix(&self.0).map_or_else(|_| real.to_path_buf(), |rest| Path::new("/").join(rest))
    }

    /// Reads a whole file into `into`, which is cleared first and keeps its capacity.
    ///
    /// Errors: those of opening and reading; `FileTooLarge` above 16 MiB; `InvalidData` when it isn't UTF-8.
    pub fn read(&self, absolute: &str, into: &mut String) -> io::Result<()> {
        into.clear();
        let read = File::open(self.path(absolute))?.take(READ_BYTES_MAX + 1).read_to_string(into)?;
        if read as u64 > READ_BYTES_MAX {
            into.clear();
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(())
    }
}

/// What an error of text that isn't UTF-8 is to whoever reads.
pub(super) fn not_text(error: std::string::FromUtf8Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_below_its_root_and_reuses_the_buffer() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("proc")).unwrap();
        std::fs::write(dir.path().join("proc/loadavg"), "0.1 0.2 0.3 1/2 3\n").unwrap();
        let fs = FsRoot::new(dir.path());
        let mut text = String::from("what was there before");
        fs.read("/proc/loadavg", &mut text).unwrap();
        assert_eq!(text, "0.1 0.2 0.3 1/2 3\n");
        assert_eq!(fs.read("/proc/none", &mut text).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(text, "");
    }

    #[test]
    fn logical_and_real_paths_are_each_others_reverse() {
        let fs = FsRoot::new("/tmp/tree");
        assert_eq!(fs.path("/etc/app.conf"), Path::new("/tmp/tree/etc/app.conf"));
        assert_eq!(fs.logical(&fs.path("/etc/app.conf")), Path::new("/etc/app.conf"));
        assert_eq!(FsRoot::real().path("/etc/app.conf"), Path::new("/etc/app.conf"));
    }
}
