//! The plugins of this host: found in directories, granted by `plugins.d`, called on blocking threads, benched when they misbehave.
//!
//! A plugin is asked for data and gives data; nothing here acts. One call of a plugin at a time; no call outlives its deadline
//! unnoticed. A plugin without a grant is listed and never called; one that fails three times in a row rests for ten minutes.

mod calls;
mod health;
mod load;
mod processes;
mod units;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_core::model::{
    Class, Confidence, Detection, Evidence, Method, Mode, Presence, Severity, Target, Timestamp,
};
use holdfast_plugin_host::{Grant, Plugin, Role, World};
use tokio::sync::Semaphore;

pub use calls::{PluginError, PluginIdent};
pub use load::{PluginProblem, PluginsOptions};
pub use units::SystemdUnits;
pub use world::{NoUnits, Sources, UnitSource};

use crate::host::Clock;
use crate::status::PluginStatus;
use crate::store::PluginStateWrite;
use health::Health;

/// One plugin as it was found.
struct Entry {
    id: String,
    version: String,
    digest: String,
    /// `Err`: why it was not loaded.
    plugin: Result<Plugin, String>,
    health: Mutex<Health>,
    /// One call at a time.
    turn: Arc<Semaphore>,
}

/// All plugins of this host. Share it behind an `Arc`.
pub struct Plugins {
    entries: BTreeMap<String, Entry>,
    world: Arc<world::HostWorld>,
    clock: Arc<dyn Clock>,
    host_id: String,
    /// State that calls left and nobody has made durable yet, in order.
    unwritten: Mutex<Vec<PluginStateWrite>>,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.keys()).finish()
    }
}

/// A lock that a panicking thread held is still good: what it guards is replaced whole.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    fn ready(&self) -> Option<&Plugin> {
        self.plugin.as_ref().ok().filter(|plugin| plugin.grant().is_some())
    }

    fn status(&self, now: Duration) -> PluginStatus {
        let health = held(&self.health);
        let (state, reason) = match &self.plugin {
            Err(why) => ("refused", Some(why.clone())),
            Ok(plugin) if plugin.grant().is_none() => {
                ("not_granted", Some(format!("write plugins.d/{}.toml to say what it may read and propose", self.id)))
            }
            Ok(_) => match health.rests(now) {
                Some(why) => ("quarantined", Some(why)),
                None => ("ready", None),
            },
        };
        let plugin = self.plugin.as_ref().ok();
        PluginStatus {
            id: self.id.clone(),
            version: self.version.clone(),
            digest: self.digest.clone(),
            roles: plugin.map(|p| p.roles().iter().map(|role| role.as_str().to_owned()).collect()).unwrap_or_default(),
            state: state.to_owned(),
            reason,
            mode: plugin.map_or(Mode::Observe, Plugin::mode),
            calls: health.calls,
            failures: health.failures,
            last_error: health.last_error.clone(),
            last_cost_us: health.last_cost.map(|cost| u64::try_from(cost.as_micros()).unwrap_or(u64::MAX)),
            memory_peak_bytes: (health.memory_peak_bytes > 0).then_some(health.memory_peak_bytes),
        }
    }
}

impl Plugins {
    /// How each one is doing, by id.
    pub fn list(&self) -> Vec<PluginStatus> {
        let now = self.clock.monotonic();
        self.entries.values().map(|entry| entry.status(now)).collect()
    }

    /// Checks that run by themselves, and how often.
    pub fn scheduled(&self) -> Vec<(String, Duration)> {
        let due = |entry: &Entry| {
            let plugin = entry.ready().filter(|plugin| plugin.roles().contains(&Role::Check))?;
            Some((entry.id.clone(), plugin.manifest().schedule?.0))
        };
        self.entries.values().filter_map(due).collect()
    }

    /// What the operator gave; `None`: no such plugin, or none granted.
    pub fn grant(&self, id: &str) -> Option<Grant> {
        self.entries.get(id)?.ready()?.grant().cloned()
    }

    /// Plugins that want to be asked about findings of this kind.
    pub fn subscribers(&self, kind: &str) -> Vec<String> {
        let wants = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => kind == pattern,
        };
        let subscribed = |entry: &&Entry| entry.ready().is_some_and(|p| p.manifest().subscriptions.iter().any(wants));
        self.entries.values().filter(subscribed).map(|entry| entry.id.clone()).collect()
    }

    /// Checks whose granted roots hold this path.
    pub fn checks_of_path(&self, path: &str) -> Vec<String> {
        let holds = |root: &String| std::path::Path::new(path).starts_with(root);
        let reads = |entry: &&Entry| {
            entry.ready().is_some_and(|plugin| {
                plugin.roles().contains(&Role::Check)
                    && plugin.grant().is_some_and(|grant| grant.read.files.iter().any(holds))
            })
        };
        self.entries.values().filter(reads).map(|entry| entry.id.clone()).collect()
    }

    /// What calls that ended well left to be kept; the caller makes it durable. Later calls see it already.
    pub fn take_state(&self) -> Vec<PluginStateWrite> {
        std::mem::take(&mut held(&self.unwritten))
    }

    /// One detection a loaded plugin: whether it is benched. For the engine's lifecycle of findings.
    pub fn detections(&self, at: Timestamp) -> Vec<Detection> {
        let now = self.clock.monotonic();
        let one = |entry: &Entry| {
            let health = held(&entry.health);
            let rests = health.rests(now);
            let last = health.last_error.clone().unwrap_or_default();
            Detection {
                kind: "plugin.quarantined".to_owned(),
                class: Class::Reliability,
                target: Target::new("plugin", &entry.id),
                discriminator: String::new(),
                presence: if rests.is_some() { Presence::Present } else { Presence::Cleared },
                title: match &rests {
                    Some(why) => format!("Plugin {} is quarantined: {why}", entry.id),
                    None => format!("Plugin {} is in use", entry.id),
                },
                severity: Severity::Medium,
                confidence: Confidence::CERTAIN,
                method: Method { name: "plugin_quarantine".to_owned(), version: 1 },
                evidence: vec![
                    Evidence::new("plugin.failures_in_a_row", u64::from(health.in_a_row)),
                    Evidence::new("plugin.last_error", last),
                ],
                began_at: at,
                cause: None,
            }
        };
        self.entries.values().filter(|entry| entry.ready().is_some()).map(one).collect()
    }

    fn world(&self) -> Arc<dyn World> {
        Arc::clone(&self.world) as Arc<dyn World>
    }
}

impl PluginsOptions {
    /// These directories and grants, with the usual limits.
    pub fn new(dirs: Vec<PathBuf>, grants: PathBuf) -> Self {
        Self { dirs, grants, limits: holdfast_plugin_host::Limits::default() }
    }
}

#[cfg(test)]
mod tests;
