//! Placing files whole: a draft beside, written through to the disk, then renamed over.
//!
//! Several belong together, and no file system renames several at once: when one fails, those before it are put back. In which order
//! they come is the caller's choice, so that a crash in between leaves what the agent refuses and never what it should not run.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::InstallError;

/// What others may do with a component, a signature, a grant: read it.
const FILE_MODE: u32 = 0o644;
const DIR_MODE: u32 = 0o755;
/// No file here is larger: a component.
const FORMER_BYTES_MAX: u64 = holdfast_plugin_host::COMPONENT_BYTES_MAX as u64;

/// One file as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its path.
    pub path: PathBuf,
    /// Its content; `None`: it is taken away.
    pub content: Option<Vec<u8>>,
}

/// A file as it was.
struct Former {
    content: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
}

/// Places all of them, in this order, or none. A file that is there keeps its mode and owner; directories that are missing are made.
pub fn place(writes: &[Write]) -> Result<(), InstallError> {
    let mut done: Vec<(&Path, Option<Former>)> = Vec::new();
    for write in writes {
        match one(&write.path, write.content.as_deref(), None) {
            Ok(former) => done.push((&write.path, former)),
            Err(source) => {
                for (path, former) in done.into_iter().rev() {
                    let content = former.as_ref().map(|it| it.content.as_slice());
                    if let Err(error) = one(path, content, former.as_ref()) {
                        tracing::error!(path = %path.display(), %error, "A file is not as it was before.");
                    }
                }
                return Err(InstallError::Write { path: write.path.clone(), source });
            }
        }
    }
    Ok(())
}

/// Answers what was there before. `like`: whose mode and owner it gets; without, those of what was there.
fn one(path: &Path, content: Option<&[u8]>, like: Option<&Former>) -> io::Result<Option<Former>> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if content.is_some() {
        std::fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(parent)?;
    }
    let dir: OwnedFd = match open(rustix::fs::CWD, parent, OFlags::DIRECTORY) {
        Ok(dir) => dir,
        Err(error) if content.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let former = read(&dir, Path::new(name))?;
    match content {
        None if former.is_none() => return Ok(None),
        None => rustix::fs::unlinkat(&dir, name, AtFlags::empty())?,
        Some(content) => {
            let mut draft = std::ffi::OsString::from(".");
            draft.push(name);
            draft.push(format!(".{}.partial", std::process::id()));
            let _ = rustix::fs::unlinkat(&dir, &draft, AtFlags::empty());
            let written = write(&dir, &draft, content, like.or(former.as_ref()))
                .and_then(|()| Ok(rustix::fs::renameat(&dir, &draft, &dir, name)?));
            if let Err(error) = written {
                let _ = rustix::fs::unlinkat(&dir, &draft, AtFlags::empty());
                return Err(error);
            }
        }
    }
    rustix::fs::fsync(&dir)?;
    Ok(former)
}

fn write(dir: &OwnedFd, name: &std::ffi::OsStr, content: &[u8], like: Option<&Former>) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(content)?;
    if let Some(Former { owner: (uid, gid), .. }) = like {
        let meta = file.metadata()?;
        if (meta.uid(), meta.gid()) != (*uid, *gid) {
            std::os::unix::fs::fchown(&file, Some(*uid), Some(*gid))?;
        }
    }
    // Whatever the umask says: the agent is another user.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(like.map_or(FILE_MODE, |it| it.mode)))?;
    file.sync_all()
}

fn read(dir: &OwnedFd, name: &Path) -> io::Result<Option<Former>> {
    let file = match open(dir, name, OFlags::NONBLOCK) {
        Ok(fd) => File::from(fd),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    (&file).take(FORMER_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FORMER_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(Former { content, mode: meta.mode() & 0o7777, owner: (meta.uid(), meta.gid()) }))
}

/// Not through a symlink: whoever can put one there would choose what root writes.
fn open(dir: impl std::os::fd::AsFd, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(|errno| match errno {
        rustix::io::Errno::LOOP => io::Error::other("it is a symlink; name the place that it leads to"),
        // A symlink where a directory is wanted.
        rustix::io::Errno::NOTDIR => io::Error::other("it is no directory, or a symlink to one; name the real place"),
        errno => errno.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn write(path: impl Into<PathBuf>, content: Option<&str>) -> Write {
        Write { path: path.into(), content: content.map(|text| text.as_bytes().to_vec()) }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_placed_readable_for_all_and_directories_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/x.wasm");
        place(&[write(&file, Some("one"))]).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o7777, 0o644);
        place(&[write(&file, Some("two")), write(dir.path().join("a/none"), None)]).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        place(&[write(&file, None)]).unwrap();
        assert_eq!(names(&dir.path().join("a/b")), [""; 0]);
        place(&[write(dir.path().join("nowhere/x"), None)]).unwrap();
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn a_file_that_is_there_keeps_its_mode_and_owner() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        std::fs::write(&file, "one").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            std::os::unix::fs::chown(&file, Some(65_534), Some(65_534)).unwrap();
        }
        place(&[write(&file, Some("two"))]).unwrap();
        let meta = std::fs::metadata(&file).unwrap();
        assert_eq!((meta.mode() & 0o7777, !is_root || meta.uid() == 65_534), (0o640, true));
    }

    #[test]
    fn when_one_cannot_be_placed_all_are_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("old"), "old").unwrap();
        std::fs::write(at("gone"), "gone").unwrap();
        std::fs::create_dir(at("blocked")).unwrap();
        let writes = [
            write(at("old"), Some("new")),
            write(at("fresh"), Some("fresh")),
            write(at("gone"), None),
            write(at("blocked"), Some("x")),
        ];
        let error = place(&writes).unwrap_err();
        assert!(error.to_string().contains("blocked, so nothing was changed"), "{error}");
        assert_eq!(names(dir.path()), ["blocked", "gone", "old"]);
        assert_eq!(std::fs::read_to_string(at("old")).unwrap(), "old");
        assert_eq!(std::fs::read_to_string(at("gone")).unwrap(), "gone");
    }

    #[test]
    fn nothing_is_written_through_a_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(place(&[write(link.join("x"), Some("x"))]).is_err());
        std::os::unix::fs::symlink("/etc/hostname", real.join("x")).unwrap();
        assert!(place(&[write(real.join("x"), Some("x"))]).is_err());
        assert_eq!(names(&real), ["x"]);
    }
}
