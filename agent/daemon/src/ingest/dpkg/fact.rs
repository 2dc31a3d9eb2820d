//! Which package owns a file, and whether the file is what the package shipped.
//!
//! Configuration files are in `/var/lib/dpkg/status` with their digest; all others in `info/NAME.list` and
//! `info/NAME.md5sums`. Looking through all lists takes some tens of milliseconds: for files that changed, not for each file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;

use holdfast_core::model::Timestamp;
use md5::Md5;

use super::super::packages::{PackageFact, aliases, digest, is_locked_by_others};
use crate::host::FsRoot;

const INFO: &str = "/var/lib/dpkg/info";
pub(in super::super) const STATUS: &str = "/var/lib/dpkg/status";
/// dpkg's digest of a configuration file that the package ships no longer, or whose new version is not configured yet.
const NO_DIGEST: [&str; 2] = ["newconffile", "obsolete"];

/// What the package database says about a path; `None` when no installed package owns it, or there is no dpkg.
///
/// `content` is what lies there now; when it is too long to be held, the file is read. An absent file matches nothing.
pub(in super::super) fn package_fact(fs: &FsRoot, path: &str, content: Option<&[u8]>) -> Option<PackageFact> {
    let names = aliases(path);
    let owned = conffile(fs, &names).or_else(|| listed(fs, &names))?;
    let digest_matches =
        owned.md5.is_some_and(|shipped| digest::<Md5>(fs, path, content).is_ok_and(|is| is == shipped));
    Some(PackageFact { package: owned.package, version: owned.version, changed_at: owned.changed_at, digest_matches })
}

/// Version by name of all packages that are unpacked and configured; a name that several architectures have is `NAME:ARCH`.
/// `None`: there is no dpkg. What is half done counts as what it was before only at the next look, so ask when dpkg rests.
pub(in super::super) fn installed(fs: &FsRoot) -> Option<BTreeMap<String, String>> {
    std::fs::metadata(fs.path(STATUS)).ok()?;
    let (mut first, mut all) = (BTreeMap::new(), BTreeMap::new());
    paragraphs(fs, &[], |it| {
        if it.complete {
            let with_architecture = format!("{}:{}", it.package, it.architecture);
            if let Some((other, version)) = first.get(&it.package).cloned() {
                all.remove(&it.package);
                all.insert(other, version);
                all.insert(with_architecture, it.version.clone());
            } else {
                first.insert(it.package.clone(), (with_architecture, it.version.clone()));
                all.insert(it.package.clone(), it.version.clone());
            }
        }
        false
    });
    Some(all)
}

/// Whether dpkg is at work: its lock is held, or a part of its database is not merged yet. What it says about a file may be
/// behind what it wrote; ask again when it is done.
pub(in super::super) fn in_progress(fs: &FsRoot) -> bool {
    let updates = std::fs::read_dir(fs.path("/var/lib/dpkg/updates"));
    if updates.is_ok_and(|mut entries| entries.next().is_some()) {
        return true;
    }
    is_locked_by_others(fs, "/var/lib/dpkg/lock")
}

#[derive(Debug, PartialEq, Eq)]
struct Owned {
    package: String,
    version: String,
    changed_at: Option<Timestamp>,
    md5: Option<String>,
}

/// When the package's list of files was written: at its last unpacking.
fn changed_at(fs: &FsRoot, package: &str, architecture: &str) -> Option<Timestamp> {
    let meta = [format!("{INFO}/{package}.list"), format!("{INFO}/{package}:{architecture}.list")]
        .iter()
        .find_map(|path| std::fs::metadata(fs.path(path)).ok())?;
    meta.mtime().checked_mul(1_000_000_000)?.checked_add(meta.mtime_nsec()).map(Timestamp::from_ns)
}

/// One paragraph of the status file, as far as it matters.
#[derive(Debug, Default)]
struct Paragraph {
    package: String,
    architecture: String,
    version: String,
    installed: bool,
    /// Unpacked and configured: what a person calls installed.
    complete: bool,
    conffile: Option<Conffile>,
}

/// A wanted path among the configuration files of a package.
#[derive(Debug, PartialEq, Eq)]
struct Conffile {
    /// What the package ships, if it still does.
    md5: Option<String>,
}

/// Goes through the status file; `seen` gets each paragraph and says whether it is the one.
fn paragraphs(fs: &FsRoot, names: &[String], mut seen: impl FnMut(&Paragraph) -> bool) -> Option<Paragraph> {
    let mut reader = BufReader::with_capacity(64 * 1024, File::open(fs.path(STATUS)).ok()?);
    let mut line = Vec::new();
    let mut paragraph = Paragraph::default();
    let mut conffiles = false;
    loop {
        line.clear();
        let end = reader.read_until(b'\n', &mut line).ok()? == 0;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            if !paragraph.package.is_empty() && seen(&paragraph) {
                return Some(paragraph);
            }
            if end {
                return None;
            }
            paragraph = Paragraph::default();
            conffiles = false;
        } else if let Some(rest) = text.strip_prefix(' ') {
            if conffiles && paragraph.conffile.is_none() {
                paragraph.conffile = conffile_line(rest, names);
            }
        } else if let Some((field, value)) = text.split_once(':') {
            conffiles = field == "Conffiles";
            let value = value.trim();
            match field {
                "Package" => value.clone_into(&mut paragraph.package),
                "Architecture" => value.clone_into(&mut paragraph.architecture),
                "Version" => value.clone_into(&mut paragraph.version),
                "Status" => {
                    paragraph.installed = !value.ends_with(" not-installed");
                    paragraph.complete = value.ends_with(" installed");
                }
                _ => {}
            }
        }
    }
}

/// ` /etc/nginx/nginx.conf 0123… [obsolete|remove-on-upgrade]`: the digest if it is one of the names, which may hold spaces.
fn conffile_line(line: &str, names: &[String]) -> Option<Conffile> {
    let rest = names.iter().find_map(|name| line.strip_prefix(name.as_str())?.strip_prefix(' '))?;
    let digest = rest.split(' ').next().unwrap_or_default();
    let shipped = !rest.split(' ').any(|word| NO_DIGEST.contains(&word));
    Some(Conffile { md5: (shipped && digest.len() == 32).then(|| digest.to_owned()) })
}

fn conffile(fs: &FsRoot, names: &[String]) -> Option<Owned> {
    let found = paragraphs(fs, names, |paragraph| paragraph.installed && paragraph.conffile.is_some())?;
    let changed_at = changed_at(fs, &found.package, &found.architecture);
    Some(Owned { package: found.package, version: found.version, changed_at, md5: found.conffile.and_then(|c| c.md5) })
}

fn listed(fs: &FsRoot, names: &[String]) -> Option<Owned> {
    let entries = std::fs::read_dir(fs.path(INFO)).ok()?;
    for entry in entries.flatten() {
        let Ok(file) = entry.file_name().into_string() else { continue };
        let Some(stem) = file.strip_suffix(".list") else { continue };
        if !holds_line(fs, &format!("{INFO}/{file}"), |line| names.iter().any(|name| line == name.as_bytes())) {
            continue;
        }
        let (package, architecture) = stem.split_once(':').map_or((stem, None), |(name, arch)| (name, Some(arch)));
        let is = |p: &Paragraph| p.package == package && architecture.is_none_or(|arch| p.architecture == arch);
        let Some(found) = paragraphs(fs, &[], |p| p.installed && is(p)) else { continue };
        let mut md5 = None;
        holds_line(fs, &format!("{INFO}/{stem}.md5sums"), |line| {
            let line = String::from_utf8_lossy(line);
            let shipped = line.split_once("  ").filter(|(_, path)| names.iter().any(|name| name[1..] == **path));
            md5 = shipped.map(|(digest, _)| digest.to_owned());
            md5.is_some()
        });
        let changed_at = changed_at(fs, &found.package, &found.architecture);
        return Some(Owned { package: found.package, version: found.version, changed_at, md5 });
    }
    None
}

/// Whether a line of the file is the one; a file that cannot be read holds none.
fn holds_line(fs: &FsRoot, path: &str, mut is: impl FnMut(&[u8]) -> bool) -> bool {
    let Ok(file) = File::open(fs.path(path)) else { return false };
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(read) if read > 0 => {}
            _ => return false,
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if is(&line) {
            return true;
        }
    }
}
