//! What starts without being asked: units that are enabled, masked or given another name below `/etc/systemd/system`, and unit files that
//! somebody put there. As `systemctl is-enabled` has it, read from the links themselves; no process is started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use holdfast_core::model::plan::hex;
use holdfast_core::model::{Item, Items};
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

/// Units by name: `enabled by multi-user.target`, `masked`, `alias of rsyslog.service`, `local file 0011223344556677`; several with
/// commas between. `None` without systemd.
pub(super) fn read(fs: &FsRoot) -> Option<Items> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, path) in entries(&fs.path(ETC))? {
        if let Some(by) = WANTED.iter().find_map(|it| name.strip_suffix(it)) {
            for (unit, _) in entries(&path).unwrap_or_default() {
                found.entry(unit).or_default().insert(format!("enabled by {by}"));
            }
        } else if TYPES.iter().any(|it| name.ends_with(it))
            && let Some(says) = own(&path)
        {
            found.entry(name).or_default().insert(says);
        }
    }
    let one = |(name, says): (String, BTreeSet<String>)| {
        let mut found = item(says.into_iter().collect::<Vec<_>>().join(", "));
        vendor(fs, &name, &mut found);
        (name, found)
    };
    Some(found.into_iter().map(one).collect())
}

/// Names that are text, with where they lie.
fn entries(directory: &Path) -> Option<Vec<(String, std::path::PathBuf)>> {
    let all = fs::read_dir(directory).ok()?.flatten();
    Some(all.filter_map(|it| Some((it.file_name().into_string().ok()?, it.path()))).collect())
}

fn own(path: &Path) -> Option<String> {
    if let Ok(to) = fs::read_link(path) {
        if to == Path::new("/dev/null") {
            return Some("masked".to_owned());
        }
        return Some(format!("alias of {}", to.file_name()?.to_str()?));
    }
    let digest = Sha256::digest(fs::read(path).ok()?);
    Some(format!("local file {}", hex(&digest[..DIGEST_BYTES])))
}

/// A package ships the unit: what its scripts do with it can be told from what people do.
fn vendor(fs: &FsRoot, unit: &str, item: &mut Item) {
    // `getty@tty1.service` comes of `getty@.service`.
    let template = unit.split_once('@').and_then(|(base, rest)| Some(format!("{base}@.{}", rest.rsplit_once('.')?.1)));
    let names = [Some(unit.to_owned()), template];
    let shipped = |name: &String| VENDOR.iter().any(|it| fs.path(format!("{it}/{name}")).exists());
    if names.iter().flatten().any(shipped) {
        item.facts.insert("unit.vendor".to_owned(), "true".to_owned());
    }
}
