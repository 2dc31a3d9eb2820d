//! Finding plugins: every `*.wasm` of the plugin directories, at the start and again whenever something changes.
//!
//! A component that is refused costs itself: it is listed with the reason, and the others load. At a later look what is unchanged stays as it is,
//! what is new takes the old one's place between two calls, and what is new and refused leaves the old one running.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use holdfast_plugin_host::HostError;

use super::accepted::{self, AcceptedAll};
use super::changed;
use super::health::{Kept, Now};
use super::loader::{Loaded, Loader, acceptance};
use super::marks::Marks;
use super::options::{PluginProblem, PluginsOptions};
use super::world::{HostWorld, Sources};
use super::{Entries, Entry, HEALTH, Plugins, held};
use crate::store::PluginStateWrite;
use crate::telemetry::Chain;

/// Components that are looked at; more are a mistake.
const PLUGINS_MAX: usize = 64;
const _: () =
    assert!(PLUGINS_MAX <= holdfast_plugin_host::CALLS_MAX, "a plugin has one call at a time, and each has its place");
/// Files beside components whose changes are noticed.
const FILES_MAX: usize = 1_000;
/// Components that are loaded at the same time: each may have a child that compiles, which takes a good part of the agent's memory.
const LOADING_MAX: usize = 2;

impl Plugins {
    /// Finds and loads. Blocks for as long as compiling takes: call it on a blocking thread.
    ///
    /// Errors: there is no WebAssembly on this host.
    pub fn load(options: &PluginsOptions, sources: Sources) -> Result<(Self, Vec<PluginProblem>), HostError> {
        let loader = Loader::new(options.clone())?;
        let (marks, suspects) = match &options.marks {
            Some(dir) => match Marks::open(dir, &boot_id()) {
                Ok((marks, suspects)) => (Some(Arc::new(marks)), suspects),
                Err(error) => {
                    tracing::warn!(%error, "Plugins' calls leave no mark: after a crash nobody is suspected.");
                    (None, Vec::new())
                }
            },
            None => (None, Vec::new()),
        };
        let clock = Arc::clone(&sources.clock);
        let host_id = sources.host_id.clone();
        let kept = |owner: &str| {
            sources.state.plugin_state(owner).unwrap_or_else(|error| {
                tracing::warn!(error = %Chain(&error), "What was kept about plugins cannot be read.");
                BTreeMap::new()
            })
        };
        let accepted: AcceptedAll = accepted::read(&kept(accepted::OWNER));
        let healths: BTreeMap<String, Kept> = accepted::read(&kept(HEALTH));
        let plugins = Self {
            loader,
            entries: RwLock::default(),
            accepted: Mutex::new(accepted),
            looking: Mutex::default(),
            marks,
            world: Arc::new(HostWorld::new(sources)),
            clock,
            host_id,
            unwritten: Mutex::default(),
            unrecorded: Mutex::default(),
            hurry: tokio::sync::Notify::new(),
        };
        let problems = plugins.look();
        // What was there at the start is in the record of the start.
        plugins.take_changes();
        let now = plugins.now();
        for entry in plugins.entries().values() {
            if let Some(kept) = healths.get(&entry.id).filter(|kept| kept.digest == entry.digest) {
                held(&entry.book).restore(kept.circuit.clone(), now);
            }
            for suspect in suspects.iter().filter(|it| it.plugin == entry.id && it.digest == entry.digest) {
                let benched = held(&entry.book).suspect(now, suspect.sure, &suspect.how);
                let (plugin, how) = (&entry.id, &suspect.how);
                tracing::warn!(plugin, how, benched, "The agent ended during a plugin's call.");
            }
        }
        Ok((plugins, problems))
    }

    /// Looks at the directories again. What is wrong comes back; what runs and is not replaced goes on. Blocks as [`Plugins::load`] does.
    pub fn look(&self) -> Vec<PluginProblem> {
        // Two looks at the same time would compile the same things.
        let _one = held(&self.looking);
        let options = &self.loader.options;
        let mut problems = Vec::new();
        let files = components(&options.dirs, &mut problems);
        let running = self.entries();
        let accepted = held(&self.accepted).clone();
        let mut entries: Entries = BTreeMap::new();
        let mut loaded = self.load_all(files, &running, &accepted);
        // Also of what is left out below: it is looked at each time, and would be compiled each time.
        let compiled = loaded.iter().filter_map(|(_, loaded)| loaded.entry.artifact.clone()).collect();
        // The sort is stable: among equals the directory that is named first counts, then the name.
        loaded.sort_by_key(|(_, loaded)| loaded.entry.rank());
        for (file, Loaded { entry, problem }) in loaded {
            let taken = entries.get(&entry.id);
            let left_out =
                |it: &Arc<Entry>| format!("it is left out: {} has the id `{}` too", it.file.display(), it.id);
            let message = problem.or_else(|| taken.map(left_out));
            problems.extend(message.map(|message| PluginProblem { file, message }));
            if taken.is_none() {
                if running.get(&entry.id).is_some_and(|old| old.digest != entry.digest) {
                    held(&entry.book).begin_anew();
                }
                entries.insert(entry.id.clone(), entry);
            }
        }
        problems.extend(grants_without_plugin(&options.grants, &entries));
        self.loader.tidy(&compiled);
        self.accept(&entries);
        held(&self.unrecorded).extend(changed::between(&running, &entries));
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(entries);
        problems
    }

    /// What tells a look that something has changed: what lies beside the components (signatures too) and the grants, with sizes and times of change.
    pub fn files(&self) -> Vec<(PathBuf, u64, i64, i64, u64)> {
        let options = &self.loader.options;
        let dirs = options.dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok());
        let mut files: Vec<PathBuf> =
            dirs.flatten().filter_map(|entry| Some(entry.ok()?.path())).take(FILES_MAX).collect();
        files.sort();
        files.extend(grants(&options.grants));
        let one = |file: PathBuf| {
            let meta = std::fs::metadata(&file).ok()?;
            Some((file, meta.len(), meta.ctime(), meta.ctime_nsec(), meta.ino()))
        };
        files.into_iter().filter_map(one).collect()
    }

    fn load_all(&self, files: Vec<PathBuf>, running: &Entries, accepted: &AcceptedAll) -> Vec<(PathBuf, Loaded)> {
        let loaded = Mutex::new(Vec::new());
        let queue = Mutex::new(files.into_iter().enumerate());
        std::thread::scope(|scope| {
            for _ in 0..LOADING_MAX {
                scope.spawn(|| {
                    loop {
                        let Some((number, file)) = held(&queue).next() else { break };
                        let one = self.loader.load(&file, running, accepted);
                        held(&loaded).push((number, file, one));
                    }
                });
            }
        });
        let mut loaded = loaded.into_inner().unwrap_or_else(PoisonError::into_inner);
        loaded.sort_by_key(|(number, ..)| *number);
        loaded.into_iter().map(|(_, file, one)| (file, one)).collect()
    }

    /// Remembers what granted plugins ask for, for the upgrades to come.
    fn accept(&self, entries: &Entries) {
        let mut accepted = held(&self.accepted);
        for entry in entries.values() {
            let before = accepted.get(&entry.id);
            let Some(now) = acceptance(entry, before).filter(|now| before != Some(now)) else { continue };
            let value = serde_json::to_vec(&now).ok();
            held(&self.unwritten).push(PluginStateWrite {
                plugin: accepted::OWNER.to_owned(),
                key: entry.id.clone(),
                value,
            });
            accepted.insert(entry.id.clone(), now);
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { wall: self.clock.wall(), mono: self.clock.monotonic() }
    }
}

/// This boot, as the kernel calls it; empty where it cannot be read.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The components, directory by directory and by name.
pub(super) fn components(dirs: &[PathBuf], problems: &mut Vec<PluginProblem>) -> Vec<PathBuf> {
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

/// A grant that grants nothing to anybody is most often a mistyped name.
fn grants_without_plugin(dir: &Path, entries: &Entries) -> Vec<PluginProblem> {
    grants(dir)
        .into_iter()
        .filter(|file| !entries.contains_key(file.file_stem().unwrap_or_default().to_string_lossy().as_ref()))
        .map(|file| PluginProblem { file, message: "it is a grant for a plugin that is not there".to_owned() })
        .collect()
}

/// The grants, by name.
fn grants(dir: &Path) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|file| file.extension().is_some_and(|ext| ext == "toml"));
    files.sort();
    files
}
