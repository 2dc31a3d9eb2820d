//! What an operator names to be installed: a component, a folder of components, a plugin's folder that was built, or a place in a registry.
//!
//! A folder of components is what a copy without a network looks like: `NAME.wasm` with `NAME.wasm.minisig` beside it, one or many. It
//! is taken whole, so whatever in it could be a mistake is refused before anything is looked at: half a copy, a link, sources beside
//! components. What is named otherwise, or hidden, is of no interest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdfast_plugin_build::Folder;

use super::InstallError;
use crate::registry;
use crate::telemetry::Chain;

/// Components of one folder. Each may have 32 MiB, and all of them are held until all are checked.
const COMPONENTS_MAX: usize = 32;
/// Names of a folder that are looked at.
const NAMES_MAX: usize = 10_000;
const COMPONENT: &str = ".wasm";
const SIGNATURE: &str = ".wasm.minisig";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A place in a registry, or one file.
    One(PathBuf),
    /// All components of a folder, by name.
    Folder(Vec<PathBuf>),
}

impl Source {
    /// Looks what is meant. Nothing is read but the names in a folder.
    ///
    /// Errors: a folder that is neither a plugin's nor one of components, or both.
    pub fn of(named: &Path) -> Result<Self, InstallError> {
        if registry::is_reference(named) || !named.is_dir() {
            return Ok(Self::One(named.to_owned()));
        }
        let components = components(named)?;
        let is_source = named.join("plugin.toml").exists();
        match components.as_slice() {
            [] if is_source => built(named).map(Self::One),
            [] => Err(unusable(
                named,
                "it holds neither components (NAME.wasm) nor a plugin's source (plugin.toml)",
                "a copy for hosts without a network holds NAME.wasm, and NAME.wasm.minisig beside it",
            )),
            [one, ..] if is_source => Err(unusable(
                named,
                "it holds a plugin's source (plugin.toml) and components too",
                &format!("name the component that is meant, such as {}", one.display()),
            )),
            _ => Ok(Self::Folder(components)),
        }
    }
}

fn unusable(what: &Path, why: &str, hint: &str) -> InstallError {
    InstallError::Unusable { what: what.display().to_string(), why: why.to_owned(), hint: Some(hint.to_owned()) }
}

/// The components that lie in a folder itself, in order.
fn components(dir: &Path) -> Result<Vec<PathBuf>, InstallError> {
    let failed = |source| InstallError::Read { path: dir.to_owned(), source };
    let (mut components, mut signatures) = (BTreeSet::new(), Vec::new());
    for (number, entry) in std::fs::read_dir(dir).map_err(failed)?.enumerate() {
        let entry = entry.map_err(failed)?;
        if number >= NAMES_MAX {
            let why = format!("it holds more than {NAMES_MAX} files");
            return Err(unusable(dir, &why, "put the components that are meant into a folder of their own"));
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_signature = name.ends_with(SIGNATURE);
        // What is hidden is a draft, or what other systems leave beside a file.
        if name.starts_with('.') || !(is_signature || name.ends_with(COMPONENT)) {
            continue;
        }
        if !entry.file_type().map_err(failed)?.is_file() {
            let why = "it is a link, a folder or a device, and no file";
            return Err(unusable(&entry.path(), why, "put the file itself there: what a link leads to may change"));
        }
        if is_signature {
            signatures.push(entry.path());
        } else {
            components.insert(entry.path());
        }
    }
    if components.len() > COMPONENTS_MAX {
        let why = format!("it holds {} components; {COMPONENTS_MAX} are installed at once", components.len());
        return Err(unusable(dir, &why, "part them into several folders"));
    }
    signatures.sort();
    if let Some(alone) = signatures.iter().find(|signature| !components.contains(&signature.with_extension(""))) {
        return Err(unusable(alone, "its component is not there", "copy the folder again; nothing was installed"));
    }
    Ok(components.into_iter().collect())
}

/// What `plugin build` made of a folder: in its own `target`, or in that of a workspace around it.
fn built(dir: &Path) -> Result<PathBuf, InstallError> {
    let folder = Folder::open(dir).map_err(|error| InstallError::Unusable {
        what: dir.display().to_string(),
        why: Chain(&error).to_string(),
        hint: error.hint(),
    })?;
    let own = format!("target/plugins/{}.wasm", folder.id);
    folder
        .dir
        .ancestors()
        .map(|dir| dir.join(&own))
        .find(|file| file.is_file())
        .ok_or_else(|| unusable(dir, "it was not built yet", &format!("`holdfast plugin build {}`", dir.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files; a name with `->` is a link, one that ends with `/` a folder.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            match name.split_once("->") {
                Some((name, to)) => std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap(),
                None if name.ends_with('/') => std::fs::create_dir(dir.path().join(name)).unwrap(),
                None => std::fs::write(dir.path().join(name), "").unwrap(),
            }
        }
        dir
    }

    #[track_caller]
    fn check(names: &[&str], wanted: Result<&[&str], &str>) {
        let dir = folder(names);
        match (Source::of(dir.path()), wanted) {
            (Ok(Source::Folder(found)), Ok(wanted)) => {
                let wanted: Vec<_> = wanted.iter().map(|name| dir.path().join(name)).collect();
                assert_eq!(found, wanted, "{names:?}");
            }
            (Err(error), Err(wanted)) => {
                let text = format!("{error}; {}", error.hint().unwrap_or_default());
                assert!(text.contains(wanted), "{text}");
            }
            (other, wanted) => panic!("{names:?}: {other:?}, not {wanted:?}"),
        }
    }

    #[test]
    fn a_folder_of_components_is_all_of_them_by_name_and_nothing_else_in_it() {
        let names = ["b.wasm", "b.wasm.minisig", "a.wasm", "README", "._a.wasm", ".c.wasm", "old/"];
        check(&names, Ok(&["a.wasm", "b.wasm"]));
        check(&["a.wasm"], Ok(&["a.wasm"]));
    }

    #[test]
    fn what_could_be_a_mistake_is_refused_by_name() {
        check(&[], Err("neither components (NAME.wasm) nor a plugin's source"));
        check(&["README"], Err("NAME.wasm.minisig beside it"));
        check(&["a.wasm", "plugin.toml", "Cargo.toml"], Err("and components too; name the component that is meant"));
        check(&["a.wasm", "b.wasm->a.wasm"], Err("b.wasm: it is a link"));
        check(&["a.wasm", "a.wasm.minisig->/etc/passwd"], Err("a.wasm.minisig: it is a link"));
        check(&["a.wasm/"], Err("and no file"));
        check(&["a.wasm", "b.wasm.minisig"], Err("b.wasm.minisig: its component is not there"));
        let many: Vec<String> = (0..=COMPONENTS_MAX).map(|n| format!("{n}.wasm")).collect();
        check(&many.iter().map(String::as_str).collect::<Vec<_>>(), Err("33 components; 32 are installed at once"));
    }

    #[test]
    fn a_file_and_a_reference_are_one_and_a_folder_with_source_is_what_was_built_of_it() {
        for one in ["oci://r.example/x:1", "/nowhere/x.wasm"] {
            assert_eq!(Source::of(Path::new(one)).unwrap(), Source::One(one.into()));
        }
        let dir = folder(&["Cargo.toml"]);
        std::fs::write(dir.path().join("plugin.toml"), "id = \"x\"\n").unwrap();
        assert!(Source::of(dir.path()).unwrap_err().to_string().contains("it was not built yet"));
        let file = dir.path().canonicalize().unwrap().join("target/plugins/x.wasm");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        assert_eq!(Source::of(dir.path()).unwrap(), Source::One(file));
    }
}
