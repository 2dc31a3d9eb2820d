//! Asking a plugin: on a blocking thread, one call at a time, with a deadline around everything, and the outcome booked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_core::model::{Finding, PlanBody, RunId, StepRecord, Timestamp};
use holdfast_plugin_host::{
    Call, CallError, CheckReport, CollectedSample, LogLevel, LogLine, Plugin, PluginVerdict, Proposal, Role, Run, World,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::health::{Failed, Health};
use super::{Entry, Plugins, held};
use crate::store::PluginStateWrite;
use crate::telemetry::Chain;

/// Wait until a plugin that was let go from memory is there again: two compilations one after the other.
const WAKES_WITHIN: Duration = Duration::from_mins(7);

/// What names the plugin that gave an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginIdent {
    /// `unit-medic 0.1.0`.
    pub name_version: String,
    /// SHA-256 of its component.
    pub digest: String,
}

/// Why a plugin gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Nobody has that id.
    #[error("there is no plugin `{0}` on this host")]
    Unknown(String),
    /// It was not loaded.
    #[error("plugin {id} was refused at load: {why}")]
    Refused {
        /// The plugin.
        id: String,
        /// Why.
        why: String,
    },
    /// The operator has not granted it anything.
    #[error("plugin {0} has no grant on this host; write plugins.d/{0}.toml")]
    NotGranted(String),
    /// The operator has switched it off.
    #[error("plugin {0} is switched off; `holdfast plugin enable {0}` puts it to use again")]
    Disabled(String),
    /// It is benched.
    #[error("plugin {id} is quarantined: {why}")]
    Quarantined {
        /// The plugin.
        id: String,
        /// Why and for how long.
        why: String,
    },
    /// It was let go from memory and cannot be had again: no doing of the plugin's.
    #[error("plugin {id} cannot be brought back into memory: {why}; `systemctl reload holdfast` loads it anew")]
    Asleep {
        /// The plugin.
        id: String,
        /// Why.
        why: String,
    },
    /// Its call before this one has not ended.
    #[error("plugin {0} is still busy with another call")]
    Busy(String),
    /// A call before this one hangs, and is waited for no longer.
    #[error("plugin {id} cannot be called: {why}")]
    Hangs {
        /// The plugin.
        id: String,
        /// Since when and why.
        why: String,
    },
    /// The call failed.
    #[error("plugin {id} failed")]
    Call {
        /// The plugin.
        id: String,
        /// In which way.
        #[source]
        source: CallError,
    },
    /// The call did not end: something that it asked the host for hangs.
    #[error("plugin {id} gave no answer within {} s; something that it reads does not answer", .after.as_secs())]
    Stuck {
        /// The plugin.
        id: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The host's own code panicked.
    #[error("the call of plugin {0} panicked in the host")]
    Panicked(String),
}

/// A plugin's turn, which its call keeps until it has really ended, however long that is after anybody waited for it.
struct Turn {
    _permit: OwnedSemaphorePermit,
    book: Arc<Mutex<Health>>,
    over: Arc<AtomicBool>,
}

impl Turn {
    /// The turn, and what tells that it is over; ask with the book held.
    fn begin(permit: OwnedSemaphorePermit, book: &Arc<Mutex<Health>>) -> (Self, Arc<AtomicBool>) {
        let over = Arc::new(AtomicBool::new(false));
        (Self { _permit: permit, book: Arc::clone(book), over: Arc::clone(&over) }, over)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut book = held(&self.book);
        self.over.store(true, Ordering::Relaxed);
        book.came_back();
    }
}

impl Plugins {
    /// Runs a plugin's check, or has a detector judge.
    pub async fn check(&self, plugin: &str, run: RunId, at: Timestamp) -> Result<CheckReport, PluginError> {
        let ask = |plugin: &Plugin, run: &Run, world: &Arc<dyn World>| {
            if plugin.roles().contains(&Role::Detector) { plugin.detect(run, world) } else { plugin.check(run, world) }
        };
        self.call(plugin, run, at, ask).await.map(|(report, _)| report)
    }

    /// Asks a plugin for what it measures.
    pub async fn collect(&self, plugin: &str, run: RunId, at: Timestamp) -> Result<Vec<CollectedSample>, PluginError> {
        self.call(plugin, run, at, Plugin::collect).await.map(|(samples, _)| samples)
    }

    /// Asks a plugin for a plan; `None`: it has nothing to propose.
    pub async fn propose(
        &self,
        plugin: &str,
        run: RunId,
        finding: Finding,
        at: Timestamp,
    ) -> Result<Option<(Proposal, PluginIdent)>, PluginError> {
        let call = self.call(plugin, run, at, move |plugin, run, world| plugin.propose(run, world, &finding)).await;
        call.map(|(proposal, ident)| proposal.map(|proposal| (proposal, ident)))
    }

    /// Asks a plugin whether its plan helped.
    pub async fn verify(
        &self,
        plugin: &str,
        run: RunId,
        finding: Finding,
        plan: PlanBody,
        outcomes: Vec<StepRecord>,
        at: Timestamp,
    ) -> Result<PluginVerdict, PluginError> {
        let ask = move |plugin: &Plugin, run: &Run, world: &Arc<dyn World>| {
            plugin.verify(run, world, &finding, &plan, &outcomes)
        };
        self.call(plugin, run, at, ask).await.map(|(verdict, _)| verdict)
    }

    fn entry(&self, id: &str) -> Result<(Arc<Entry>, Plugin), PluginError> {
        let entry = self.entries().get(id).cloned().ok_or_else(|| PluginError::Unknown(id.to_owned()))?;
        let plugin = match &entry.plugin {
            _ if entry.disabled => return Err(PluginError::Disabled(id.to_owned())),
            Ok(plugin) if plugin.grant().is_some() => plugin.clone(),
            Ok(_) => return Err(PluginError::NotGranted(id.to_owned())),
            Err(why) => return Err(PluginError::Refused { id: id.to_owned(), why: why.clone() }),
        };
        let now = self.clock.monotonic();
        let mut book = held(&entry.book);
        if let Some(why) = book.rests(now) {
            return Err(PluginError::Quarantined { id: id.to_owned(), why });
        }
        if let Some(why) = book.hangs(now) {
            let error = PluginError::Hangs { id: id.to_owned(), why };
            book.turned_away(error.to_string());
            return Err(error);
        }
        drop(book);
        Ok((entry, plugin))
    }

    async fn call<T: Send + 'static>(
        &self,
        id: &str,
        run: RunId,
        at: Timestamp,
        ask: impl FnOnce(&Plugin, &Run, &Arc<dyn World>) -> Call<T> + Send + 'static,
    ) -> Result<(T, PluginIdent), PluginError> {
        let (entry, plugin) = self.entry(id)?;
        let after = plugin.limits().deadline + self.loader.options.margin;
        let Ok(Ok(turn)) = timeout(after, Arc::clone(&entry.turn).acquire_owned()).await else {
            let error = PluginError::Busy(id.to_owned());
            held(&entry.book).turned_away(error.to_string());
            return Err(error);
        };
        let (turn, over) = Turn::begin(turn, &entry.book);
        // While it waited, the call before it may have benched the plugin, or another component may have come in its place.
        let (entry, plugin) = self.entry(id)?;
        let ident =
            PluginIdent { name_version: format!("{} {}", plugin.id(), plugin.version()), digest: entry.digest.clone() };
        self.wake(&entry, &plugin).await?;
        let (run, world) = (Run { id: run, host_id: self.host_id.clone(), at }, self.world());
        let run_id = run.id.clone();
        let marks = self.marks.clone();
        let thread = tokio::task::spawn_blocking(move || {
            // A call that hangs keeps its turn, and with it only its own plugin.
            let _mark = marks.as_ref().map(|marks| marks.begin(plugin.id(), plugin.digest()));
            (ask(&plugin, &run, &world), turn)
        });
        // The turn is kept until the outcome is booked, or the next call would not know of it.
        let (call, _turn) = match timeout(after, thread).await {
            Ok(Ok(call)) => call,
            Ok(Err(_)) => return Err(self.lost(&entry, PluginError::Panicked(id.to_owned()))),
            Err(_) => {
                let error = self.lost(&entry, PluginError::Stuck { id: id.to_owned(), after });
                let mut book = held(&entry.book);
                if !over.load(Ordering::Relaxed) {
                    book.hung(self.now());
                }
                return Err(error);
            }
        };
        write_log(id, &run_id, &call.log, call.cost.log_lines_dropped);
        let failed = |error: &CallError| Failed { text: error.to_string(), misbehaved: error.is_misbehaviour() };
        let failed = call.result.as_ref().err().map(failed);
        held(&entry.book).ended(self.now(), Some(call.cost), failed);
        let value = call.result.map_err(|source| PluginError::Call { id: id.to_owned(), source })?;
        self.keep(id, call.state);
        Ok((value, ident))
    }

    /// Outside of the call's deadline: that the agent has let go of a plugin's code is not the plugin's affair.
    async fn wake(&self, entry: &Entry, plugin: &Plugin) -> Result<(), PluginError> {
        if !plugin.rests() {
            return Ok(());
        }
        let rests = plugin.clone();
        let woken = timeout(WAKES_WITHIN, tokio::task::spawn_blocking(move || rests.wake())).await;
        let why = match woken {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(error))) => Chain(&error).to_string(),
            Ok(Err(_)) => "that panicked".to_owned(),
            Err(_) => format!("that takes longer than {} s", WAKES_WITHIN.as_secs()),
        };
        let error = PluginError::Asleep { id: entry.id.clone(), why };
        held(&entry.book).ended(self.now(), None, Some(Failed { text: error.to_string(), misbehaved: false }));
        Err(error)
    }

    /// A call that gave nothing back counts as a failure.
    fn lost(&self, entry: &Entry, error: PluginError) -> PluginError {
        let failed = Failed { text: error.to_string(), misbehaved: true };
        held(&entry.book).ended(self.now(), None, Some(failed));
        error
    }

    /// The next call sees it at once; [`Plugins::take_state`] hands it to whoever makes it durable.
    fn keep(&self, id: &str, state: Vec<(String, Option<Vec<u8>>)>) {
        if state.is_empty() {
            return;
        }
        self.world.remember(id, &state);
        let writes = state.into_iter().map(|(key, value)| PluginStateWrite { plugin: id.to_owned(), key, value });
        held(&self.unwritten).extend(writes);
    }
}

fn write_log(plugin: &str, run: &RunId, lines: &[LogLine], dropped: u64) {
    for line in lines {
        let fields = line.fields.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
        let said = &line.message;
        match line.level {
            LogLevel::Trace => tracing::trace!(plugin, %run, said, fields, "A plugin said."),
            LogLevel::Debug => tracing::debug!(plugin, %run, said, fields, "A plugin said."),
            LogLevel::Info => tracing::info!(plugin, %run, said, fields, "A plugin said."),
            // Its own view of itself: for the agent a plugin's error is no more than a warning.
            LogLevel::Warn | LogLevel::Error => tracing::warn!(plugin, %run, said, fields, "A plugin said."),
        }
    }
    if dropped > 0 {
        tracing::warn!(plugin, %run, dropped, "A plugin said more than is kept.");
    }
}
