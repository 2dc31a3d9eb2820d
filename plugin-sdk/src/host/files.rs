//! Files below the granted roots, read only. Paths are absolute host paths.

use crate::bindings::host::files as wire;
use crate::{Error, Sha256};

pub use wire::{Entry, Kind, Metadata};

/// Bytes that the host gives in one read.
const READ_BYTES: u32 = 64 * 1024;
/// Entries asked for at once.
const PAGE_ENTRIES: u32 = 500;

/// What lies there; a symbolic link as itself. `None`: nothing does.
///
/// ```
/// use holdfast_plugin_sdk::host::files::{self, Kind, Metadata};
/// use holdfast_plugin_sdk::Error;
///
/// /// Pure: whether everybody may write it.
/// fn is_open_to_all(it: &Metadata) -> bool {
///     it.kind != Kind::Symlink && it.mode & 0o002 != 0
/// }
///
/// fn looks(path: &str) -> Result<bool, Error> {
///     Ok(files::stat(path)?.is_some_and(|it| is_open_to_all(&it))) // asks the host
/// }
///
/// let it = Metadata { kind: Kind::File, size: 0, mode: 0o666, uid: 0, gid: 0, nlink: 1, mtime: 0, ctime: 0, inode: 1, device: 1 };
/// assert!(is_open_to_all(&it) && !is_open_to_all(&Metadata { mode: 0o644, ..it }));
/// # let _ = looks;
/// ```
pub fn stat(path: &str) -> Result<Option<Metadata>, Error> {
    absent_is_none(wire::stat(path))
}

/// A whole file of at most `bytes_max`. `None`: nothing lies there.
///
/// ```
/// use holdfast_plugin_sdk::host::files;
/// use holdfast_plugin_sdk::Error;
///
/// /// Pure: the lines that say something.
/// fn lines(content: &[u8]) -> Vec<String> {
///     let text = String::from_utf8_lossy(content);
///     text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
/// }
///
/// fn rules() -> Result<Vec<String>, Error> {
///     Ok(files::read("/etc/app/rules", 64 * 1024)?.map(|it| lines(&it)).unwrap_or_default()) // asks the host
/// }
/// assert_eq!(lines(b"# first\n\nallow all\n"), ["allow all"]);
/// # let _ = rules;
/// ```
pub fn read(path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
    let mut content = Vec::new();
    loop {
        let part = match absent_is_none(wire::read(path, content.len() as u64, READ_BYTES))? {
            None if content.is_empty() => return Ok(None),
            None => return Err(Error::Io(format!("{path} vanished while it was read"))),
            Some(part) if part.is_empty() => return Ok(Some(content)),
            Some(part) => part,
        };
        content.extend_from_slice(&part);
        if content.len() > bytes_max {
            return Err(Error::Limit(format!("{path} is larger than {}", crate::text::bytes(bytes_max as u64))));
        }
    }
}

/// A piece of a regular file, from `offset` on: at most 64 KiB, and empty at the end. `None`: nothing lies there.
///
/// For files that are too long to be held as a whole; each piece is a host call of its own, so the file may change in between.
///
/// ```
/// use holdfast_plugin_sdk::host::files;
/// use holdfast_plugin_sdk::Error;
///
/// /// Lines of a file of any length.
/// fn count_lines(path: &str) -> Result<usize, Error> {
///     let (mut offset, mut lines) = (0, 0);
///     while let Some(piece) = files::read_at(path, offset)?.filter(|it| !it.is_empty()) {
///         lines += piece.iter().filter(|byte| **byte == b'\n').count();
///         offset += piece.len() as u64;
///     }
///     Ok(lines)
/// }
/// # let _ = count_lines; // asks the host
/// ```
pub fn read_at(path: &str, offset: u64) -> Result<Option<Vec<u8>>, Error> {
    absent_is_none(wire::read(path, offset, READ_BYTES))
}

/// Where a symbolic link points to, as text.
///
/// ```
/// use holdfast_plugin_sdk::host::files;
/// use holdfast_plugin_sdk::Error;
///
/// /// The release that `current` points to: only text, which nobody follows.
/// fn current() -> Result<String, Error> {
///     files::read_link("/srv/app/current")
/// }
/// # let _ = current; // asks the host
/// ```
pub fn read_link(path: &str) -> Result<String, Error> {
    wire::read_link(path)
}

/// The digest of a regular file, computed by the host, and its size. `None`: nothing lies there.
///
/// ```
/// use holdfast_plugin_sdk::host::files;
/// use holdfast_plugin_sdk::{Error, Sha256};
///
/// fn is_as_released(path: &str, wanted: &Sha256) -> Result<bool, Error> {
///     Ok(files::sha256(path)?.is_some_and(|(found, _)| found == *wanted))
/// }
/// # let _ = is_as_released; // asks the host
/// ```
pub fn sha256(path: &str) -> Result<Option<(Sha256, u64)>, Error> {
    let Some(digest) = absent_is_none(wire::hash(path, wire::Algorithm::Sha256))? else { return Ok(None) };
    Ok(Some((Sha256::parse(&digest.hex)?, digest.size)))
}

/// How a tree is walked.
///
/// ```
/// use holdfast_plugin_sdk::host::files::{Entry, Kind, Walk};
/// use holdfast_plugin_sdk::Error;
///
/// /// Pure: whether an entry may be run as its owner.
/// fn is_set_id(entry: &Entry) -> bool {
///     entry.metadata.kind == Kind::File && entry.metadata.mode & 0o6000 != 0
/// }
///
/// fn set_id_files(root: &str) -> Result<Vec<String>, Error> {
///     let mut found = vec![];
///     let unread = Walk::new().depth(8).except(&["proc/**".to_owned()]).run(root, |entry| {
///         if is_set_id(&entry) {
///             found.push(entry.path);
///         }
///         Ok(())
///     })?;
///     // What could not be read is said, never passed over.
///     unread.into_iter().next().map_or(Ok(found), |it| Err(it.why))
/// }
/// # let _ = set_id_files; // asks the host
/// ```
#[derive(Debug, Clone, Default)]
pub struct Walk {
    options: Options,
}

#[derive(Debug, Clone)]
struct Options {
    max_depth: u32,
    except: Vec<String>,
    hash: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_depth: 64, except: vec![], hash: false }
    }
}

/// A part of a tree that could not be read.
///
/// ```
/// use holdfast_plugin_sdk::host::files::{Unread, Walk};
/// use holdfast_plugin_sdk::{Error, Report};
///
/// /// Pure: a rule that could not look everywhere is skipped with the reason, not evaluated.
/// fn honest(report: &mut Report, rule: &str, unread: Vec<Unread>) {
///     if unread.is_empty() {
///         report.evaluated(rule);
///     }
///     for Unread { path, why } in unread {
///         report.skipped(format!("{rule}:{path}"), why);
///     }
/// }
///
/// fn count_hashed(root: &str) -> Result<usize, Error> {
///     let mut count = 0;
///     let unread = Walk::new().hashed().run(root, |entry| {
///         count += usize::from(entry.digest.is_some());
///         Ok(())
///     })?;
///     if unread.is_empty() { Ok(count) } else { Err(Error::Io("the tree was not read whole".into())) }
/// }
///
/// let mut report = Report::default();
/// honest(&mut report, "tree.altered", vec![Unread { path: "/srv/a".into(), why: Error::Denied("files".into()) }]);
/// assert!(report.problems().is_empty());
/// # let _ = count_hashed; // asks the host
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Unread {
    /// Where.
    pub path: String,
    /// Why.
    pub why: Error,
}

impl Walk {
    /// The whole tree, on one file system, without digests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only so deep; 1 is what lies directly in the root.
    #[must_use]
    pub fn depth(mut self, max: u32) -> Self {
        self.options.max_depth = max;
        self
    }

    /// Passes over what matches one of these globs (relative to the root), and what lies in it.
    #[must_use]
    pub fn except(mut self, globs: &[String]) -> Self {
        self.options.except = globs.to_vec();
        self
    }

    /// Hashes each regular file.
    #[must_use]
    pub fn hashed(mut self) -> Self {
        self.options.hash = true;
        self
    }

    /// Shows every entry; the visitor's error ends the walk. Answers what could not be read.
    pub fn run(self, root: &str, mut visit: impl FnMut(Entry) -> Result<(), Error>) -> Result<Vec<Unread>, Error> {
        let options = wire::WalkOptions {
            max_depth: self.options.max_depth,
            only: vec![],
            except: self.options.except,
            hash: self.options.hash.then_some(wire::Algorithm::Sha256),
            one_filesystem: true,
        };
        let walker = wire::walk(root, &options)?;
        loop {
            let page = walker.next(PAGE_ENTRIES)?;
            if page.is_empty() {
                return Ok(walker.errors().into_iter().map(|(path, why)| Unread { path, why }).collect());
            }
            page.into_iter().try_for_each(&mut visit)?;
        }
    }
}

fn absent_is_none<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(it) => Ok(Some(it)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(other) => Err(other),
    }
}
