//! From a plugin's folder to its component: for authors (`holdfast plugin build`) and for this repository (`cargo xtask guests`).
//!
//! The compiler of the plugin's language makes a core module or a component; everything after that happens here, in-process:
//! the interface is checked, the manifest is embedded as a custom section, and what would be refused at load (an import beyond
//! `holdfast:plugin`, a truncated file) is refused where its author sees it. Only `tools` starts programs, and only those that
//! the author's own folder asks for; nothing here runs in the daemon.

mod component;
mod error;
mod folder;
mod javascript;
mod pin;
mod python;
mod rust;
mod section;
mod tools;
mod wit;

use std::path::{Path, PathBuf};

pub use component::{Made, Surface, from_component, from_core, surface};
pub use error::BuildError;
pub use folder::{Folder, Language};
pub use pin::{COMPONENTIZE_JS, COMPONENTIZE_PY};
pub use rust::{PROFILE, PROFILE_SETTINGS, TARGET, TARGET_MISSING, rustflags};
pub use section::{MANIFEST_SECTION, manifests, with_manifest};
pub use wit::{AGENT_FIRST, FILES as WIT, PACKAGE};

/// What to build.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plugin's folder.
    pub dir: PathBuf,
    /// Where the component goes; `None`: `target/plugins/ID.wasm` of the folder, or of its workspace.
    pub out: Option<PathBuf>,
    /// Take what is on this machine, fetch nothing.
    pub offline: bool,
}

/// What was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// In which language.
    pub language: Language,
    /// Where the component lies.
    pub file: PathBuf,
    /// The component.
    pub component: Vec<u8>,
    /// What it imports and exports.
    pub surface: Surface,
    /// The same bytes lay there already.
    pub unchanged: bool,
}

/// Builds a plugin. The compiler's own words go to standard error.
pub fn build(options: &Options) -> Result<Built, BuildError> {
    let folder = Folder::open(&options.dir)?;
    let made = match folder.language {
        Language::Rust => rust::build(&folder, options.offline)?,
        Language::JavaScript => javascript::build(&folder)?,
        Language::Python => python::build(&folder)?,
    };
    let file = options.out.clone().unwrap_or_else(|| made.dir.join(format!("{}.wasm", folder.id)));
    let unchanged = !write_if_changed(&file, &made.made.component)?;
    let Made { component, surface } = made.made;
    Ok(Built { language: folder.language, file, component, surface, unchanged })
}

/// What a language's tools made, and where it goes unless somebody says otherwise.
struct Output {
    made: Made,
    dir: PathBuf,
}

/// Writes a file whole or not at all. An unchanged file keeps its time, so nothing is compiled again for it; true: it was written.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, BuildError> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let failed = |source| BuildError::Write { path: path.to_owned(), source };
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let partial = path.with_extension("wasm.partial");
    std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path)).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_of_the_same_content_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins/x.wasm");
        assert!(write_if_changed(&path, b"a").unwrap());
        assert!(!write_if_changed(&path, b"a").unwrap());
        assert!(write_if_changed(&path, b"b").unwrap());
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }
}
