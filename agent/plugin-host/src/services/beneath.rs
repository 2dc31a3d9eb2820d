//! Opening files so that nothing leads out of a granted root.
//!
//! Roots are opened once for each call, see `way`; every path below is resolved by the kernel with `openat2` and `RESOLVE_BENEATH` and
//! `RESOLVE_NO_MAGICLINKS`, so `..`, absolute symlinks, swapped symlinks and `/proc/self/fd` cannot lead out. What is resolved is first
//! opened as a mere place (`O_PATH`), looked at, and only a regular file is opened for reading: a device or a fifo never is.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::room::Deadline;
use super::way::End;
use crate::bindings::types::Error;
use crate::capability::{below, is_plain_absolute};

/// The granted roots, opened at first use.
pub(crate) struct Roots {
    real: PathBuf,
    open: BTreeMap<String, Arc<Root>>,
}

/// A granted root: a directory, or the directory of a granted file.
pub(crate) struct Root {
    fd: OwnedFd,
    /// The path that the directory has on the host.
    path: String,
    /// A single file was granted: no symlink leads from it to a neighbour.
    single: bool,
}

/// A path below a root.
pub(crate) struct Place {
    pub(crate) root: Arc<Root>,
    relative: PathBuf,
}

impl Roots {
    pub(crate) fn new(real: PathBuf) -> Self {
        Self { real, open: BTreeMap::new() }
    }

    /// The place of an absolute path below the deepest of these roots that contain it.
    pub(crate) fn place<'r>(&mut self, roots: impl Iterator<Item = &'r String>, path: &str) -> Result<Place, Error> {
        if !is_plain_absolute(path) {
            return Err(Error::Invalid("a path is absolute and has no `.`, `..` or empty part".to_owned()));
        }
        let root = roots
            .filter(|root| below(root, path))
            .max_by_key(|root| root.len())
            .ok_or_else(|| Error::Denied(format!("files below `{path}` are not granted")))?;
        let root = if let Some(open) = self.open.get(root) {
            Arc::clone(open)
        } else {
            let open = Arc::new(self.open_root(root)?);
            self.open.insert(root.clone(), Arc::clone(&open));
            open
        };
        let relative = Path::new(path).strip_prefix(&root.path).map_err(|_| outside(path))?;
        let relative = if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative.to_path_buf() };
        Ok(Place { root, relative })
    }

    /// The root is walked to part by part: who may write a directory on the way must not lead elsewhere what the operator granted there.
    fn open_root(&self, root: &str) -> Result<Root, Error> {
        match super::way::walk(&self.real, root)? {
            End::Directory(fd) => Ok(Root { fd, path: root.to_owned(), single: false }),
            // A single file was granted: its directory is open, and no other name in it is below the root.
            End::File { directory } => {
                let parent = Path::new(root).parent().and_then(Path::to_str).unwrap_or("/");
                Ok(Root { fd: directory, path: parent.to_owned(), single: true })
            }
        }
    }
}

/// Names of a directory between two looks at the time.
const NAMES_BETWEEN_LOOKS: usize = 1_000;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

impl Place {
    /// The path below the root, for messages.
    fn name(&self) -> String {
        format!("{}/{}", self.root.path.trim_end_matches('/'), self.relative.display())
    }

    /// Another place below the same root.
    pub(crate) fn at(&self, relative: PathBuf) -> Self {
        Self { root: Arc::clone(&self.root), relative }
    }

    pub(crate) fn relative(&self) -> &Path {
        &self.relative
    }

    fn resolve(&self, flags: OFlags) -> Result<OwnedFd, Error> {
        let flags = flags | OFlags::CLOEXEC;
        let how = if self.root.single { BENEATH | ResolveFlags::NO_SYMLINKS } else { BENEATH };
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(self.root.fd.as_fd(), &self.relative, flags, Mode::empty(), how) {
                // The kernel asks to try again when something was renamed while it resolved a `..` of a symlink.
                Err(Errno::AGAIN) if tries < 8 => tries += 1,
                other => return other.map_err(|errno| failed(errno, &self.name())),
            }
        }
    }

    /// What lies there, a symlink as itself.
    pub(crate) fn stat(&self) -> Result<Stat, Error> {
        let fd = self.resolve(OFlags::PATH | OFlags::NOFOLLOW)?;
        rustix::fs::fstat(&fd).map_err(|errno| failed(errno, &self.name()))
    }

    /// Where a symlink points to, as text; it is not followed.
    pub(crate) fn read_link(&self) -> Result<String, Error> {
        let fd = self.resolve(OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = rustix::fs::readlinkat(&fd, "", Vec::new()).map_err(|errno| match errno {
            // What is not a symlink reads as absent here.
            Errno::NOENT | Errno::INVAL => Error::Invalid(format!("`{}` is not a symlink", self.name())),
            other => failed(other, &self.name()),
        })?;
        target.into_string().map_err(|_| Error::Invalid(format!("the target of `{}` is not UTF-8", self.name())))
    }

    /// Opens a regular file for reading; symlinks that stay below the root are followed. Anything else is refused unopened.
    pub(crate) fn open_file(&self, follow: bool) -> Result<(OwnedFd, Stat), Error> {
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        let place = self.resolve(flags)?;
        let stat = rustix::fs::fstat(&place).map_err(|errno| failed(errno, &self.name()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_nlink > 1 => self.names_its_owner(&stat)?,
            FileType::RegularFile => {}
            FileType::Directory => return Err(Error::Invalid(format!("`{}` is a directory", self.name()))),
            _ => return Err(Error::Invalid(format!("`{}` is not a regular file", self.name()))),
        }
        // The very file that was looked at: our own descriptor cannot be swapped.
        let own = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(own, flags, Mode::empty()).map_err(|errno| failed(errno, &self.name()))?;
        Ok((fd, stat))
    }

    /// A file with several names may have been linked here by whoever may write this directory, to have it read with the agent's
    /// rights. So it is read only where its own owner, and nobody else, could have put it.
    fn names_its_owner(&self, file: &Stat) -> Result<(), Error> {
        let foreign = || {
            let text = "has another name, and somebody else than its owner may have put it here";
            Error::Denied(format!("`{}` {text}", self.name()))
        };
        let fail = |errno| failed(errno, &self.name());
        let parent = self.relative.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let name = self.relative.file_name().ok_or_else(foreign)?;
        // The path may lead elsewhere by now, so what counts is a directory that is held and has this very file by this name. Behind a
        // symlink it is another one.
        let dir = self.at(parent.to_path_buf()).resolve(OFlags::PATH | OFlags::DIRECTORY)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let there = rustix::fs::openat(&dir, name, flags, Mode::empty()).and_then(rustix::fs::fstat).map_err(fail)?;
        let dir = rustix::fs::fstat(&dir).map_err(fail)?;
        let same = (there.st_dev, there.st_ino) == (file.st_dev, file.st_ino);
        if same && dir.st_uid == file.st_uid && dir.st_mode & 0o022 == 0 { Ok(()) } else { Err(foreign()) }
    }

    /// Names in a directory, sorted, without `.` and `..`: at most `max`, as many as there is time for. And what was left out, if any
    /// was: of a directory that is larger the rest is not read, however large it is.
    pub(crate) fn names(&self, max: usize, deadline: &Deadline) -> Result<(Vec<String>, Option<String>), Error> {
        let fd = self.resolve(OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
        let dir = Dir::new(fd).map_err(|errno| failed(errno, &self.name()))?;
        let (mut names, mut no_text, mut rest) = (Vec::new(), 0, None);
        for (number, entry) in dir.enumerate() {
            let entry = entry.map_err(|errno| failed(errno, &self.name()))?;
            if names.len() + no_text > max {
                rest = Some(format!("more than {max} names wait, and the rest of the directory was left out"));
                break;
            }
            if number % NAMES_BETWEEN_LOOKS == NAMES_BETWEEN_LOOKS - 1 && deadline.left().is_none() {
                rest = Some(format!("there was time for {number} names, and the rest of the directory was left out"));
                break;
            }
            match entry.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => no_text += 1,
            }
        }
        names.truncate(max);
        names.sort_unstable();
        let no_text = (no_text > 0).then(|| format!("{no_text} names that are not UTF-8 were left out"));
        let left_out: Vec<String> = no_text.into_iter().chain(rest).collect();
        Ok((names, (!left_out.is_empty()).then(|| left_out.join("; "))))
    }
}

fn outside(path: &str) -> Error {
    Error::Denied(format!("`{path}` leads out of what is granted"))
}

/// The kernel's answer in the words of the interface.
pub(super) fn failed(errno: Errno, path: &str) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::NotFound(format!("`{path}` does not exist")),
        // XDEV: out of the root. LOOP: a magic link, or a symlink where none may be.
        Errno::XDEV => outside(path),
        Errno::LOOP => Error::Denied(format!("`{path}` is a link that may not be followed")),
        Errno::ACCESS | Errno::PERM => Error::Denied(format!("the agent's user may not read `{path}`")),
        Errno::NOSYS => Error::Unsupported("this kernel has no openat2 (Linux 5.6)".to_owned()),
        other => Error::Io(format!("`{path}`: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_directory_is_read_as_far_as_there_is_room_and_time_and_says_what_was_left_out() {
        let dir = tempfile::tempdir().unwrap();
        (0..2_500).for_each(|n| std::fs::write(dir.path().join(format!("n{n}")), "").unwrap());
        let place = |roots: &mut Roots| roots.place(["/".to_owned()].iter(), "/").unwrap();
        let place = place(&mut Roots::new(dir.path().to_owned()));
        let (all, left_out) = place.names(2_500, &Deadline::of(1)).unwrap();
        assert_eq!((all.len(), left_out), (2_500, None));
        assert!(all.is_sorted());
        let (some, left_out) = place.names(100, &Deadline::of(1)).unwrap();
        assert_eq!(some.len(), 100);
        assert!(left_out.unwrap().starts_with("more than 100 names wait"));
        let (some, left_out) = place.names(2_500, &Deadline::of(0)).unwrap();
        assert!(some.len() < 1_000, "{}", some.len());
        assert!(left_out.unwrap().starts_with("there was time for 999 names"));
        std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        let (all, left_out) = place.names(3_000, &Deadline::of(1)).unwrap();
        assert_eq!((all.len(), left_out.as_deref()), (2_500, Some("1 names that are not UTF-8 were left out")));
    }
}
