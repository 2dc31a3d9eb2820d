//! Which package of rpm's owns a file, and whether the file is what the package shipped.

use holdfast_core::model::Timestamp;
use md5::Md5;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::super::packages::{PackageFact, aliases, digest};
use super::database::{headers, package};
use super::header::{Header, Tag};
use crate::host::FsRoot;

/// The file is there as the package says; others were replaced by another package's, or never installed.
const NORMAL: u8 = 0;

/// What rpm's database says about a path; `None` when no installed package owns it, there is no such database, or rpm is at work.
///
/// `content` is what lies there now; when it is too long to be held, the file is read. An absent file matches nothing.
pub(in super::super) fn package_fact(fs: &FsRoot, path: &str, content: Option<&[u8]>) -> Option<PackageFact> {
    let names = aliases(path);
    let names: Vec<(&str, &str)> = names.iter().filter_map(|name| split(name)).collect();
    let found = headers(fs, &names)?;
    let mut facts: Vec<PackageFact> =
        found.iter().filter_map(|header| fact(fs, path, content, &names, header)).collect();
    // Two architectures of one package may ship the same file; any of them vouches for it.
    facts.sort_by_key(|fact| !fact.digest_matches);
    facts.into_iter().next()
}

/// `/etc/` and `passwd`, as rpm has them.
fn split(path: &str) -> Option<(&str, &str)> {
    path.rfind('/').map(|slash| path.split_at(slash + 1))
}

fn fact(fs: &FsRoot, path: &str, content: Option<&[u8]>, names: &[(&str, &str)], bytes: &[u8]) -> Option<PackageFact> {
    let header = Header::new(bytes)?;
    let (dirs, bases) = (header.texts(Tag::DirNames)?, header.texts(Tag::BaseNames)?);
    let indexes = header.numbers(Tag::DirIndexes)?;
    let files = indexes.iter().zip(&bases).map(|(dir, base)| (dirs.get(*dir as usize), base));
    let is = |dir: &[u8], base: &[u8]| names.iter().any(|it| it.0.as_bytes() == dir && it.1.as_bytes() == base);
    let states = header.bytes(Tag::FileStates);
    let mut here = files.enumerate().filter(|(_, (dir, base))| dir.is_some_and(|dir| is(dir, base)));
    let (index, _) = here.find(|(index, _)| states.is_none_or(|all| all.get(*index) == Some(&NORMAL)))?;
    let shipped = header.texts(Tag::FileDigests)?.get(index).map(|it| String::from_utf8_lossy(it).into_owned());
    let digest_matches = shipped.is_some_and(|shipped| {
        let is = match header.number(Tag::FileDigestAlgorithm) {
            // As `rpmcrypto.h` numbers them; without a number it is MD5.
            None | Some(1) => digest::<Md5>(fs, path, content),
            Some(8) => digest::<Sha256>(fs, path, content),
            Some(9) => digest::<Sha384>(fs, path, content),
            Some(10) => digest::<Sha512>(fs, path, content),
            Some(11) => digest::<Sha224>(fs, path, content),
            Some(_) => return false,
        };
        is.is_ok_and(|is| is == shipped)
    });
    let package = package(bytes, None)?;
    let installed = header.number(Tag::InstallTime).map(|it| Timestamp::from_secs(i64::from(it)));
    Some(PackageFact { package: package.name, version: package.version, changed_at: installed, digest_matches })
}
