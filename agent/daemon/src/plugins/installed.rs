//! Which components lie in the plugin directories, as far as that can be told without loading them.

use std::path::PathBuf;

use holdfast_core::model::plan::hex;
use holdfast_plugin_host::{COMPONENT_BYTES_MAX, Manifest, manifest_of};
use sha2::{Digest, Sha256};

use super::load::components;
use super::loader::read;

/// One component of a plugin directory.
#[derive(Debug, Clone)]
pub struct Installed {
    /// As its manifest says; as its file is called, where there is none to read.
    pub id: String,
    /// Its file.
    pub file: PathBuf,
    /// SHA-256 of it; empty where it cannot be read.
    pub digest: String,
    /// What it says about itself; `None`: it cannot be read.
    pub manifest: Option<Manifest>,
}

/// Every component of these directories, in the order in which the agent looks: of several with one id the first counts.
pub fn installed(dirs: &[PathBuf]) -> Vec<Installed> {
    let one = |file: PathBuf| {
        let bytes = read(&file, COMPONENT_BYTES_MAX as u64).unwrap_or_default();
        let manifest = manifest_of(&bytes).ok();
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Installed {
            id: manifest.as_ref().map_or(stem, |manifest| manifest.id.clone()),
            digest: if bytes.is_empty() { String::new() } else { hex(&Sha256::digest(&bytes)) },
            file,
            manifest,
        }
    };
    components(dirs, &mut Vec::new()).into_iter().map(one).collect()
}
