//! Finding and loading: every `*.wasm` of the plugin directories, with its grant from `plugins.d`.
//!
//! A component that is refused costs itself: it is listed with the reason, and the others load. Compiling goes in parallel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use holdfast_core::model::plan::hex;
use holdfast_plugin_host::{
    COMPONENT_BYTES_MAX, Grant, HostError, HostOptions, Limits, Plugin, PluginHost, manifest_of,
};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::world::{HostWorld, Sources};
use super::{Entry, Plugins, held};
use crate::host::read_trusted;
use crate::telemetry::Chain;

/// Components that are looked at; more are a mistake.
const PLUGINS_MAX: usize = 64;
/// A grant is a page.
const GRANT_BYTES_MAX: u64 = 64 * 1024;
/// Components that are compiled at the same time.
const COMPILING_MAX: usize = 4;

/// Where plugins and grants lie.
#[derive(Debug, Clone)]
pub struct PluginsOptions {
    /// Directories of components; one that does not exist holds none.
    pub dirs: Vec<PathBuf>,
    /// The directory of grants, `plugins.d`.
    pub grants: PathBuf,
    /// Bounds of every call.
    pub limits: Limits,
}

/// Something about a plugin or a grant that an operator should know; the agent runs without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginProblem {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for PluginProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.message)
    }
}

impl Plugins {
    /// Finds, checks and compiles. Blocks for as long as compiling takes: call it on a blocking thread.
    pub fn load(options: &PluginsOptions, sources: Sources) -> Result<(Self, Vec<PluginProblem>), HostError> {
        let host = PluginHost::new(HostOptions { limits: options.limits.clone() })?;
        let mut problems = Vec::new();
        let files = components(&options.dirs, &mut problems);
        let loaded = Mutex::new(Vec::new());
        let queue = Mutex::new(files.into_iter().enumerate());
        std::thread::scope(|scope| {
            for _ in 0..COMPILING_MAX {
                scope.spawn(|| {
                    loop {
                        let Some((number, file)) = held(&queue).next() else { break };
                        let entry = load_one(&host, &file, &options.grants);
                        held(&loaded).push((number, file, entry));
                    }
                });
            }
        });
        let mut loaded = loaded.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        loaded.sort_by_key(|(number, ..)| *number);
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (_, file, (entry, message)) in loaded {
            problems.extend(message.map(|message| PluginProblem { file: file.clone(), message }));
            if entries.contains_key(&entry.id) {
                let message = format!("another component has the id `{}` already; this one is left out", entry.id);
                problems.push(PluginProblem { file, message });
                continue;
            }
            entries.insert(entry.id.clone(), entry);
        }
        problems.extend(grants_without_plugin(&options.grants, &entries));
        let (clock, host_id) = (Arc::clone(&sources.clock), sources.host_id.clone());
        let world = Arc::new(HostWorld::new(sources));
        Ok((Self { entries, world, clock, host_id, unwritten: Mutex::default() }, problems))
    }
}

/// The components, directory by directory and by name.
fn components(dirs: &[PathBuf], problems: &mut Vec<PluginProblem>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for dir in dirs {
        let listed = match std::fs::read_dir(dir) {
            Ok(listed) => listed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let message = format!("the directory cannot be read: {error}");
                problems.push(PluginProblem { file: dir.clone(), message });
                continue;
            }
        };
        let mut found: Vec<PathBuf> = listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        found.retain(|path| path.extension().is_some_and(|ext| ext == "wasm"));
        found.sort();
        files.extend(found);
    }
    for file in files.split_off(files.len().min(PLUGINS_MAX)) {
        let message = format!("there are more than {PLUGINS_MAX} plugins; this one is left out");
        problems.push(PluginProblem { file, message });
    }
    files
}

/// Reads at most `max` bytes of a file.
fn read(file: &Path, max: u64) -> Result<Vec<u8>, String> {
    read_trusted(file, max).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => format!("it is larger than {max} bytes"),
        _ => format!("it cannot be read: {error}"),
    })
}

fn grant_of(grants: &Path, id: &str) -> Result<Option<Grant>, String> {
    let file = grants.join(format!("{id}.toml"));
    let text = match read(&file, GRANT_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", file.display()))?,
        Err(_) if !file.exists() => return Ok(None),
        Err(why) => return Err(format!("{}: {why}", file.display())),
    };
    Grant::parse(&text).map(Some).map_err(|error| format!("{}: {error}", file.display()))
}

fn load_one(host: &PluginHost, file: &Path, grants: &Path) -> (Entry, Option<String>) {
    let mut id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (mut version, mut digest) = (String::new(), String::new());
    let plugin = read(file, COMPONENT_BYTES_MAX as u64).and_then(|bytes| {
        digest = hex(&Sha256::digest(&bytes));
        let manifest = manifest_of(&bytes).map_err(|error| Chain(&error).to_string())?;
        (id, version) = (manifest.id, manifest.version);
        host.load(&bytes, grant_of(grants, &id)?).map_err(|error| Chain(&error).to_string())
    });
    let message = plugin.as_ref().err().cloned();
    (entry(id, version, digest, plugin), message)
}

pub(super) fn entry(id: String, version: String, digest: String, plugin: Result<Plugin, String>) -> Entry {
    Entry { id, version, digest, plugin, health: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
}

/// A grant that grants nothing to anybody is most often a mistyped name.
fn grants_without_plugin(grants: &Path, entries: &BTreeMap<String, Entry>) -> Vec<PluginProblem> {
    let Ok(listed) = std::fs::read_dir(grants) else { return Vec::new() };
    let mut files: Vec<PathBuf> = listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.sort();
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ext| ext == "toml"))
        .filter(|file| !entries.contains_key(file.file_stem().unwrap_or_default().to_string_lossy().as_ref()))
        .map(|file| PluginProblem { file, message: "it is a grant for a plugin that is not there".to_owned() })
        .collect()
}
