//! What starts without being asked: units that are enabled, masked or given another name below `/etc/systemd/system`, and unit files that
//! somebody put there. As `systemctl is-enabled` has it, read from the links themselves; no process is started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use holdfast_core::model::Items;
use holdfast_core::model::plan::hex;
use holdfast_core::model::unit_name::template_of;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::item;
use crate::host::FsRoot;

const ETC: &str = "/etc/systemd/system";
/// Where packages put theirs.
const VENDOR: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// A directory with such a name says by whom the units in it are wanted.
const WANTED: [&str; 3] = [".wants", ".requires", ".upholds"];
const TYPES: [&str; 7] = [".service", ".socket", ".timer", ".path", ".mount", ".automount", ".target"];
/// Bytes of the digest that are shown.
const DIGEST_BYTES: usize = 8;

/// Bytes of a unit file that are read; no honest one is longer.
const BYTES_MAX: u64 = 1024 * 1024;

/// Units by name: `enabled by multi-user.target`, `masked`, `alias of rsyslog.service`, `local file 0011223344556677`,
/// `linked to /opt/web/web.service 0011223344556677`; several with commas between. `None` without systemd. What snapd makes of
/// each revision of a snap is left out.
pub(super) fn read(fs: &FsRoot) -> Option<Items> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut of_snaps = BTreeSet::new();
    for (name, path) in entries(&fs.path(ETC))? {
        if let Some(by) = WANTED.iter().find_map(|it| name.strip_suffix(it)) {
            for (unit, _) in entries(&path).unwrap_or_default() {
                found.entry(unit).or_default().insert(format!("enabled by {by}"));
            }
        } else if TYPES.iter().any(|it| name.ends_with(it)) {
            if is_of_snapd(&name, &path) {
                of_snaps.insert(name);
            } else if let Some(says) = own(fs, &path) {
                found.entry(name).or_default().insert(says);
            }
        }
    }
    found.retain(|name, _| !of_snaps.contains(name));
    let one = |(name, says): (String, BTreeSet<String>)| {
        let is_shipped = shipped(fs, &name, &says);
        let mut found = item(says.into_iter().collect::<Vec<_>>().join(", "));
        if is_shipped {
            found.facts.insert("unit.vendor".to_owned(), "true".to_owned());
        }
        (name, found)
    };
    Some(found.into_iter().map(one).collect())
}

/// Names that are text, with where they lie.
fn entries(directory: &Path) -> Option<Vec<(String, PathBuf)>> {
    let all = fs::read_dir(directory).ok()?.flatten();
    Some(all.filter_map(|it| Some((it.file_name().into_string().ok()?, it.path()))).collect())
}

fn own(fs: &FsRoot, path: &Path) -> Option<String> {
    let Ok(to) = fs::read_link(path) else { return Some(format!("local file {}", digest(path)?)) };
    if to == Path::new("/dev/null") {
        return Some("masked".to_owned());
    }
    let to = resolved(&to);
    let (directory, name) = (to.parent()?, to.file_name()?.to_str()?);
    if VENDOR.iter().chain([&ETC]).any(|it| directory == Path::new(it)) {
        return Some(format!("alias of {name}"));
    }
    let digest = digest(&fs.path(&to)).unwrap_or_else(|| "that cannot be read".to_owned());
    Some(format!("linked to {} {digest}", to.display()))
}

/// Where a link of [`ETC`] leads, without looking at what lies on the way.
fn resolved(to: &Path) -> PathBuf {
    let mut path = PathBuf::from(ETC);
    for part in to.components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

fn digest(path: &Path) -> Option<String> {
    match content(path)? {
        Content::Text(bytes) => Some(hex(&Sha256::digest(bytes)[..DIGEST_BYTES])),
        Content::TooLong => Some("longer than 1 MiB".to_owned()),
        Content::Other => Some("that is no regular file".to_owned()),
    }
}

enum Content {
    Text(Vec<u8>),
    TooLong,
    Other,
}

/// What a file holds. Never waits, as opening a pipe would, and follows no link.
fn content(path: &Path) -> Option<Content> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return Some(Content::Other);
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    Some(if bytes.len() as u64 > BYTES_MAX { Content::TooLong } else { Content::Text(bytes) })
}

/// Each refresh of a snap comes with units of new names, and snapd vouches for them.
fn is_of_snapd(name: &str, path: &Path) -> bool {
    let is_mount = name.strip_suffix(".mount").is_some_and(|it| it.starts_with("snap-"));
    let is_named = is_mount || name.starts_with("snap.");
    let Some(Content::Text(bytes)) = is_named.then(|| content(path)).flatten() else { return false };
    let text = String::from_utf8_lossy(&bytes);
    text.lines().any(|it| it.starts_with('#') && it.contains("Auto-generated, DO NOT EDIT"))
}

/// A package ships the unit, or the one that it is another name of: what its scripts do with it can be told from what people do.
fn shipped(fs: &FsRoot, unit: &str, says: &BTreeSet<String>) -> bool {
    // What lies elsewhere is no package's, whatever it is called.
    if says.iter().any(|it| it.starts_with("local file ") || it.starts_with("linked to ")) {
        return false;
    }
    let alias = says.iter().find_map(|it| it.strip_prefix("alias of "));
    let unit = alias.unwrap_or(unit);
    let names = [Some(unit.to_owned()), template_of(unit)];
    names.iter().flatten().any(|name| VENDOR.iter().any(|it| fs.path(format!("{it}/{name}")).exists()))
}
