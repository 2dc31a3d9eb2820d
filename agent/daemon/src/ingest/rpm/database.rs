//! rpm's database where it is SQLite (Fedora, RHEL 9 and what is made of them): which packages there are, and whose a file is.
//!
//! It is read as a file that nobody writes (`immutable`): a reader that takes part in SQLite's locking would need to write beside it and
//! could hold up rpm. So it is read only while rpm rests, which its lock, its write-ahead log and the file's times tell, and what was read
//! counts only if nothing was written meanwhile.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use holdfast_core::model::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::header::{Header, Tag, extent};
use crate::host::FsRoot;
use crate::ingest::packages::is_locked_by_others;

/// Where it lies; the first that is there counts.
const DIRS: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
const FILE: &str = "rpmdb.sqlite";
/// Bytes of a header that are read for its package's name and version.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// Bytes of a header that are read for its files; that of a large TeX package has ten million.
const HEADER_BYTES_MAX: usize = 64 << 20;
/// A name, a version or an architecture is shorter.
const WORD_BYTES: usize = 256;
/// What is read to know a package.
const HEAD_TAGS: [Tag; 5] = [Tag::Name, Tag::Version, Tag::Release, Tag::Epoch, Tag::Architecture];

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    /// `1:1.24.0-2.fc41`: epoch if there is one, version, release.
    pub(super) version: String,
    /// `x86_64`, `noarch`; empty for keys that rpm was told to trust.
    pub(super) architecture: String,
    /// When the transaction began that brought it.
    pub(super) since: Option<Timestamp>,
}

/// By rpm's number of the header, which is never used again.
pub(super) type Packages = BTreeMap<i64, Package>;

/// What tells one state of the database from another.
type Stamp = (u64, i64, i64, u64);

/// Why there is nothing to be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// This host has no such database.
    Absent,
    /// rpm is at work, or the database cannot be read.
    NotNow,
}

/// What was read of it, and when that was.
#[derive(Debug)]
pub(super) struct Database {
    fs: FsRoot,
    seen: Option<Stamp>,
    packages: Packages,
}

impl Database {
    /// Nothing is read yet.
    pub(super) fn new(fs: FsRoot) -> Self {
        Self { fs, seen: None, packages: Packages::new() }
    }

    /// Whether the database has been written since the last look that read it. Some `stat`, and rpm's lock.
    pub(super) fn is_due(&self) -> bool {
        place(&self.fs).is_some_and(|dir| stamp(&self.fs, dir).is_some_and(|stamp| self.seen != Some(stamp)))
    }

    /// The packages of now. Reads what is new since the last look, and nothing but the file's times when nothing is.
    pub(super) fn look(&mut self) -> Result<&Packages, Unread> {
        let dir = place(&self.fs).ok_or(Unread::Absent)?;
        let stamp = stamp(&self.fs, dir).ok_or(Unread::NotNow)?;
        if self.seen != Some(stamp) {
            let packages = open(&self.fs, dir)
                .and_then(|connection| read(&connection, &self.packages))
                .inspect_err(|error| tracing::debug!(%error, "rpm's database cannot be read."));
            let (Ok(packages), true) = (packages, still(&self.fs, dir, stamp)) else { return Err(Unread::NotNow) };
            (self.packages, self.seen) = (packages, Some(stamp));
        }
        Ok(&self.packages)
    }
}

/// Whether rpm is at work and will be done: its lock is held, or somebody has the database open and wrote what is not in it yet. What an rpm
/// that was ended left undone stays so until the next one.
pub(super) fn is_busy(fs: &FsRoot) -> bool {
    place(fs).is_some_and(|dir| {
        is_locked(fs, dir) || (has_log(fs, dir) && is_locked_by_others(fs, &format!("{dir}/{FILE}-shm")))
    })
}

/// The headers of all packages that have a file of this name (its directory with a slash behind, and its last part).
pub(super) fn headers(fs: &FsRoot, names: &[(&str, &str)]) -> Option<Vec<Vec<u8>>> {
    let dir = place(fs)?;
    let stamp = stamp(fs, dir)?;
    let mut found = Vec::new();
    let connection = open(fs, dir).ok()?;
    for (parent, base) in names {
        let owners = owners(&connection, parent, base).ok()?;
        for number in owners {
            let blob = connection.blob_open(c"main", c"Packages", c"blob", number, true).ok()?;
            let mut header = vec![0; blob.len().min(HEADER_BYTES_MAX)];
            blob.read_at_exact(&mut header, 0).ok()?;
            found.push(header);
        }
    }
    still(fs, dir, stamp).then_some(found)
}

fn place(fs: &FsRoot) -> Option<&'static str> {
    DIRS.into_iter().find(|dir| std::fs::metadata(fs.path(format!("{dir}/{FILE}"))).is_ok())
}

/// `None`: rpm is at work, or has left something undone.
fn stamp(fs: &FsRoot, dir: &str) -> Option<Stamp> {
    if is_locked(fs, dir) || has_log(fs, dir) {
        return None;
    }
    let meta = std::fs::metadata(fs.path(format!("{dir}/{FILE}"))).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size()))
}

/// Whether nothing was written since.
fn still(fs: &FsRoot, dir: &str, then: Stamp) -> bool {
    stamp(fs, dir) == Some(then)
}

fn has_log(fs: &FsRoot, dir: &str) -> bool {
    std::fs::metadata(fs.path(format!("{dir}/{FILE}-wal"))).is_ok_and(|log| log.len() > 0)
}

fn is_locked(fs: &FsRoot, dir: &str) -> bool {
    is_locked_by_others(fs, &format!("{dir}/.rpm.lock"))
}

fn open(fs: &FsRoot, dir: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri(&fs.path(format!("{dir}/{FILE}"))), flags)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// The file as SQLite's URI that nobody writes.
fn uri(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let escaped = path
        .as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") });
    format!("file:{}?immutable=1", escaped.collect::<String>())
}

fn owners(connection: &Connection, parent: &str, base: &str) -> rusqlite::Result<Vec<i64>> {
    let mut query = connection.prepare(
        "SELECT DISTINCT b.hnum FROM Basenames b WHERE b.key = ?1 \
         AND EXISTS (SELECT 1 FROM Dirnames d WHERE d.hnum = b.hnum AND d.key = ?2) ORDER BY b.hnum",
    )?;
    query.query_map([base, parent], |row| row.get(0))?.collect()
}

/// All packages; of those that are known already only the number.
fn read(connection: &Connection, known: &Packages) -> rusqlite::Result<Packages> {
    let mut transactions: BTreeMap<i64, Timestamp> = BTreeMap::new();
    let mut query = connection.prepare("SELECT hnum, key FROM Installtid")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let seconds = match row.get_ref(1)? {
            // As the machine has it in memory.
            ValueRef::Blob(bytes) => bytes.try_into().ok().map(u32::from_ne_bytes),
            ValueRef::Integer(seconds) => u32::try_from(seconds).ok(),
            _ => None,
        };
        if let Some(seconds) = seconds {
            transactions.insert(row.get(0)?, Timestamp::from_secs(i64::from(seconds)));
        }
    }
    let mut query = connection.prepare("SELECT hnum FROM Packages ORDER BY hnum")?;
    let numbers = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut packages = Packages::new();
    for number in numbers {
        let package = match known.get(&number) {
            Some(package) => Some(package.clone()),
            None => package(&head(connection, number)?, transactions.get(&number).copied()),
        };
        // A header that says no name is none of a package; rpm would not list it either.
        packages.extend(package.map(|package| (number, package)));
    }
    Ok(packages)
}

/// The beginning of a header, as far as its package's name and version go.
fn head(connection: &Connection, number: i64) -> rusqlite::Result<Vec<u8>> {
    let blob = connection.blob_open(c"main", c"Packages", c"blob", number, true)?;
    let mut intro = [0; 8];
    if blob.read_at(&mut intro, 0)? < intro.len() {
        return Ok(Vec::new());
    }
    let Some((entries, _)) = extent(intro) else { return Ok(Vec::new()) };
    let mut bytes = vec![0; entries.min(blob.len())];
    blob.read_at_exact(&mut bytes, 0)?;
    let data = Header::new(&bytes).map_or(0, |header| header.furthest(&HEAD_TAGS) + WORD_BYTES);
    let mut bytes = vec![0; entries.saturating_add(data).min(HEAD_BYTES_MAX).min(blob.len())];
    blob.read_at_exact(&mut bytes, 0)?;
    Ok(bytes)
}

pub(super) fn package(header: &[u8], since: Option<Timestamp>) -> Option<Package> {
    let header = Header::new(header)?;
    let (version, release) = (header.text(Tag::Version)?, header.text(Tag::Release)?);
    let epoch = header.number(Tag::Epoch).filter(|epoch| *epoch > 0).map(|epoch| format!("{epoch}:"));
    Some(Package {
        name: header.text(Tag::Name).filter(|name| !name.is_empty())?,
        version: format!("{}{version}-{release}", epoch.unwrap_or_default()),
        architecture: header.text(Tag::Architecture).unwrap_or_default(),
        since,
    })
}
