//! The plugins of this host: found in directories, granted by `plugins.d`, called on blocking threads, benched when they misbehave.
//!
//! A plugin is asked for data and gives data; nothing here acts. One call of a plugin at a time; no call outlives its deadline
//! unnoticed. A plugin without a grant is listed and never called; one that fails three times in a row rests, longer each time. A
//! component or a grant that changes is taken up while the agent runs, between two calls. Components are compiled by children.

mod accepted;
mod cache;
mod calls;
mod changed;
mod compile;
mod examine;
mod health;
mod installed;
mod load;
mod loader;
mod marks;
mod options;
mod processes;
mod schedule;
mod standing;
mod trust;
mod units;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use holdfast_plugin_host::{Grant, Plugin, Role, World};
use tokio::sync::{Notify, Semaphore};

pub use calls::{PluginError, PluginIdent};
pub use compile::{Compiler, Confinement, compile_from_stdin};
pub use examine::examine;
pub use installed::{Installed, installed};
pub use marks::End;
pub use options::{Admission, PluginProblem, PluginsOptions};
pub use schedule::Schedule;
pub use trust::{SIGNATURE_BYTES_MAX, Standing, Trust, TrustError, key_id, signature_beside, signature_file};
pub use units::SystemdUnits;
pub use world::{NoUnits, Sources, UnitSource};

use crate::host::Clock;
use crate::status::PluginChange;
use crate::store::PluginStateWrite;
use health::{Health, Kept};

/// Whose state plugins' quarantine is in the store; no plugin can have this id.
const HEALTH: &str = ".health";

/// By id.
type Entries = BTreeMap<String, Arc<Entry>>;

/// One plugin as it was found.
#[derive(Clone)]
struct Entry {
    id: String,
    version: String,
    digest: String,
    file: PathBuf,
    /// Somebody whom this host trusts vouches for it.
    vouched: bool,
    /// SHA-256 of its grant's text.
    grant: Option<String>,
    /// What that text says yes to, as a digest.
    consent: Option<String>,
    /// The operator has switched it off: it is neither loaded nor called.
    disabled: bool,
    /// `Err`: why it was not loaded.
    plugin: Result<Plugin, String>,
    /// Why something newer was not loaded in its place.
    refused: Option<String>,
    /// The name of its compiled form.
    artifact: Option<String>,
    /// Goes over to whatever takes its place.
    book: Arc<Mutex<Health>>,
    /// One call at a time, of this one and of whatever takes its place.
    turn: Arc<Semaphore>,
}

/// All plugins of this host. Share it behind an `Arc`.
pub struct Plugins {
    loader: loader::Loader,
    entries: RwLock<Arc<Entries>>,
    accepted: Mutex<accepted::AcceptedAll>,
    /// Held while directories are looked at.
    looking: Mutex<()>,
    marks: Option<Arc<marks::Marks>>,
    world: Arc<world::HostWorld>,
    clock: Arc<dyn Clock>,
    host_id: String,
    /// State that calls left and nobody has made durable yet, in order.
    unwritten: Mutex<Vec<PluginStateWrite>>,
    /// What looks have altered and nobody has recorded yet, in order.
    unrecorded: Mutex<Vec<PluginChange>>,
    /// Somebody has changed files, and says so.
    hurry: Notify,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries().keys()).finish()
    }
}

/// A lock that a panicking thread held is still good: what it guards is replaced whole.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Entry {
    /// Of several components with one id the lowest is taken: one that can be called before one that cannot, then one that somebody
    /// vouches for, then one that does not go on in spite of its file. A refused update hands nothing to what nobody vouches for.
    fn rank(&self) -> (bool, bool, bool) {
        (self.plugin.is_err() && !self.disabled, !self.vouched, self.refused.is_some())
    }

    fn ready(&self) -> Option<&Plugin> {
        self.plugin.as_ref().ok().filter(|plugin| plugin.grant().is_some())
    }
}

impl Plugins {
    fn entries(&self) -> Arc<Entries> {
        Arc::clone(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks and detectors that run by themselves, and how often.
    pub fn scheduled(&self) -> Vec<(String, Duration)> {
        self.with_schedule(&[Role::Check, Role::Detector])
    }

    /// Collectors, and how often they measure.
    pub fn collectors(&self) -> Vec<(String, Duration)> {
        self.with_schedule(&[Role::Collector])
    }

    fn with_schedule(&self, roles: &[Role]) -> Vec<(String, Duration)> {
        let due = |entry: &Arc<Entry>| {
            let plugin = entry.ready().filter(|plugin| plugin.roles().iter().any(|role| roles.contains(role)))?;
            Some((entry.id.clone(), plugin.manifest().schedule?.0))
        };
        self.entries().values().filter_map(due).collect()
    }

    /// What the operator gave; `None`: no such plugin, or none granted.
    pub fn grant(&self, id: &str) -> Option<Grant> {
        self.entries().get(id)?.ready()?.grant().cloned()
    }

    /// Checks that want to run when something of this kind has changed or was found.
    pub fn checks_of_kind(&self, kind: &str) -> Vec<String> {
        let entries = self.entries();
        let is_check = |id: &String| {
            let plugin = entries.get(id).and_then(|entry| entry.ready());
            plugin.is_some_and(|plugin| plugin.roles().contains(&Role::Check))
        };
        self.subscribers(kind).into_iter().filter(is_check).collect()
    }

    /// Plugins that want to be asked about findings of this kind.
    pub fn subscribers(&self, kind: &str) -> Vec<String> {
        let wants = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => kind == pattern,
        };
        let subscribed =
            |entry: &&Arc<Entry>| entry.ready().is_some_and(|p| p.manifest().subscriptions.iter().any(wants));
        self.entries().values().filter(subscribed).map(|entry| entry.id.clone()).collect()
    }

    /// Checks whose granted roots hold this path.
    pub fn checks_of_path(&self, path: &str) -> Vec<String> {
        let holds = |root: &String| std::path::Path::new(path).starts_with(root);
        let reads = |entry: &&Arc<Entry>| {
            entry.ready().is_some_and(|plugin| {
                plugin.roles().contains(&Role::Check)
                    && plugin.grant().is_some_and(|grant| grant.read.files.iter().any(holds))
            })
        };
        self.entries().values().filter(reads).map(|entry| entry.id.clone()).collect()
    }

    /// What calls that ended well left to be kept; the caller makes it durable. Later calls see it already.
    /// With it comes what the agent itself keeps about plugins.
    pub fn take_state(&self) -> Vec<PluginStateWrite> {
        let mut writes = std::mem::take(&mut *held(&self.unwritten));
        for entry in self.entries().values() {
            let Some(circuit) = held(&entry.book).take_unkept() else { continue };
            let value = serde_json::to_vec(&Kept { digest: entry.digest.clone(), circuit }).ok();
            writes.push(PluginStateWrite { plugin: HEALTH.to_owned(), key: entry.id.clone(), value });
        }
        writes
    }

    /// What looks have altered since the last call: for the record.
    pub fn take_changes(&self) -> Vec<PluginChange> {
        std::mem::take(&mut *held(&self.unrecorded))
    }

    /// Says that files were changed, whole: whoever waits in [`Plugins::hurried`] need not wait any longer.
    pub fn look_soon(&self) {
        self.hurry.notify_one();
    }

    /// Until somebody says that files were changed; said several times before, it is said once.
    pub async fn hurried(&self) {
        self.hurry.notified().await;
    }

    /// Forgets a plugin that has gone: its own state, its past, what its grant was written for. The caller makes it durable.
    pub fn forget(&self, id: &str) -> Vec<PluginStateWrite> {
        held(&self.accepted).remove(id);
        held(&self.unwritten).retain(|write| write.plugin != id && !(write.plugin.starts_with('.') && write.key == id));
        let gone =
            |plugin: &str, key: &str| PluginStateWrite { plugin: plugin.to_owned(), key: key.to_owned(), value: None };
        let own = self.world.forget(id);
        let ours = [gone(accepted::OWNER, id), gone(HEALTH, id)];
        own.iter().map(|key| gone(id, key)).chain(ours).collect()
    }

    /// The operator says that a benched plugin may be called again. Answers whether it was benched; `None`: there is no such plugin.
    pub fn lift(&self, id: &str) -> Option<bool> {
        let entries = self.entries();
        let entry = entries.get(id)?;
        let was = held(&entry.book).lift(self.clock.monotonic());
        tracing::info!(plugin = id, was_quarantined = was, "A person lifted a plugin's quarantine.");
        Some(was)
    }

    /// Lets go of the code of plugins that nobody has called since this was asked last, and gives how many; the next call has it again.
    pub fn rest(&self) -> usize {
        let entries = self.entries();
        let rested = entries.values().filter(|entry| entry.plugin.as_ref().is_ok_and(Plugin::rest)).count();
        if rested > 0 {
            tracing::debug!(rested, "Plugins were let go from memory until they are called.");
        }
        rested
    }

    /// The agent ends because it was told to: calls under way are no suspects of it.
    pub fn ending(&self) {
        if let Some(marks) = &self.marks {
            marks.end();
        }
    }

    fn world(&self) -> Arc<dyn World> {
        Arc::clone(&self.world) as Arc<dyn World>
    }
}

#[cfg(test)]
mod tests;
