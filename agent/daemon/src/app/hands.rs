//! Carries out what the engine wants, on tasks and blocking threads; every result comes back as an event.
//!
//! Steps run only from `Authorized<Plan>`s; files are read within bounds; whatever fails comes back as the reason.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::{Action, PlanDigest, RemediationId, RunId};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::act::{ActError, ActuatorClient, Performed};
use crate::answers::{SimulatedStep, Simulation};
use crate::engine::Command;
use crate::event_loop::{Event, Events, FileFound, Hands, Proposed, ReadFor, Reloaded};
use crate::host::{Clock, FsRoot};
use crate::ingest;
use crate::plugins::Plugins;
use crate::request::{Answer, Refusal, RefusalKind};
use crate::store::{Blobs, StateReader, TelemetryDb};
use crate::telemetry::Chain;

/// Files that one reading takes; more are not recorded, and said.
const FILES_MAX: usize = 20_000;
/// Content that one reading keeps in memory, in bytes; of further files the digest is kept and not the content.
const CONTENT_BYTES_MAX: u64 = 256 << 20;
/// Pause before the first and between further questions what became of a request.
const OUTCOME_PAUSE: Duration = Duration::from_millis(250);

/// Removing a directory takes a while.
const REMOVAL_SETTLES: Duration = Duration::from_secs(2);
/// Pause between two looks while packages are being changed, and how many of them.
const PACKAGE_WAIT: Duration = Duration::from_secs(2);
const PACKAGE_WAITS_MAX: u32 = 150;

/// Reads configuration and policy again.
pub(super) type Reload = dyn Fn() -> Reloaded + Send + Sync;

/// See the module.
pub(super) struct RealHands {
    pub(super) runtime: Handle,
    pub(super) events: Events,
    pub(super) actuator: ActuatorClient,
    pub(super) plugins: Arc<Plugins>,
    pub(super) blobs: Blobs,
    pub(super) fs: FsRoot,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) files: Option<Arc<ingest::files::FileWatch>>,
    pub(super) content_bytes_max: u64,
    pub(super) reload: Arc<Reload>,
    pub(super) telemetry: TelemetryDb,
    pub(super) state: StateReader,
}

impl Hands for RealHands {
    fn begin(&mut self, command: Command) {
        match command {
            Command::Propose { plugin, rule, run, finding } => {
                let (plugins, events, at) = (Arc::clone(&self.plugins), self.events.clone(), self.clock.wall());
                self.runtime.spawn(async move {
                    let id = finding.id.clone();
                    let result = plugins.propose(&plugin, run.clone(), *finding, at).await;
                    let result = match result {
                        Ok(Some((proposal, who))) => {
                            Ok(Some(Proposed { proposal, plugin: who.name_version, digest: who.digest }))
                        }
                        Ok(None) => Ok(None),
                        Err(error) => Err(Chain(&error).to_string()),
                    };
                    events.send(Event::Proposed { finding: id, rule, run, result }).await;
                });
            }
            Command::Check { plugin, run, answer } => self.check(plugin, run, answer),
            Command::AskPlugin { plugin, run, remediation, finding, plan, steps } => {
                let (plugins, events, at) = (Arc::clone(&self.plugins), self.events.clone(), self.clock.wall());
                self.runtime.spawn(async move {
                    let result = plugins.verify(&plugin, run, *finding, *plan, steps, at).await;
                    let result = result.map_err(|error| Chain(&error).to_string());
                    events.send(Event::Verified { remediation, result }).await;
                });
            }
            Command::Perform { authorized, remediation, step, request_id } => {
                let (actuator, events, blobs) = (self.actuator.clone(), self.events.clone(), self.blobs.clone());
                self.runtime.spawn(async move {
                    let action = authorized.plan().body().steps.get(step).map(|it| it.action.clone());
                    let result = match content(blobs, action).await {
                        Ok(content) => actuator.perform(&authorized, step, &request_id, content).await,
                        Err(why) => Err(ActError::Usage(why)),
                    };
                    events.send(Event::Performed { remediation, step, result }).await;
                });
            }
            Command::Undo { remediation, step, request_id, token } => {
                let (actuator, events) = (self.actuator.clone(), self.events.clone());
                self.runtime.spawn(async move {
                    let result: Result<Performed, ActError> = actuator.undo(&request_id, &token).await;
                    events.send(Event::Undone { remediation, step, result }).await;
                });
            }
            Command::AskOutcome { remediation, step, request_id, undo, attempt } => {
                let (actuator, events) = (self.actuator.clone(), self.events.clone());
                self.runtime.spawn(async move {
                    tokio::time::sleep(OUTCOME_PAUSE * (1 << attempt.min(5))).await;
                    let result = actuator.outcome(&request_id).await;
                    events.send(Event::Outcome { remediation, step, undo, result }).await;
                });
            }
            Command::KeepEpisode { label, detect } => {
                let (reader, events, now) = (self.telemetry.reader(), self.events.clone(), self.clock.wall());
                self.runtime.spawn(async move {
                    let (wanted, panicked) = (label.clone(), "gathering them panicked".to_owned());
                    let read = tokio::task::spawn_blocking(move || reader.episode(&wanted, &detect, now)).await;
                    let result = match read {
                        Ok(read) => read.map(Box::new).map_err(|error| Chain(&error).to_string()),
                        Err(_) => Err(panicked),
                    };
                    events.send(Event::Episode { label, result }).await;
                });
            }
            Command::ProveTuning { wanted, before, after, answer } => {
                let (state, events) = (self.state.clone(), self.events.clone());
                self.runtime.spawn(async move {
                    let proved = tokio::task::spawn_blocking(move || {
                        crate::data::replayed(&state, (&before, &after), crate::data::REPLAYED_MAX)
                    })
                    .await;
                    let replayed = match proved {
                        Ok(replayed) => replayed.map_err(|error| Chain(&error).to_string()),
                        Err(_) => Err("replaying kept incidents panicked".to_owned()),
                    };
                    events.send(Event::TuningProved { wanted, replayed, answer }).await;
                });
            }
            Command::Purge { by, filter, answer } => {
                let (telemetry, state, events) = (self.telemetry.clone(), self.state.clone(), self.events.clone());
                self.runtime.spawn(async move {
                    let purge = move || crate::data::forget(&telemetry, &state, filter);
                    let result = match tokio::task::spawn_blocking(purge).await {
                        Ok(forgotten) => forgotten.map_err(|error| Chain(&error).to_string()),
                        Err(_) => Err("purging panicked".to_owned()),
                    };
                    events.send(Event::Purged { by, result, answer }).await;
                });
            }
            Command::Simulate { remediation, digest, actions, answer } => {
                let actuator = self.actuator.clone();
                self.runtime.spawn(async move {
                    let _ = answer.send(simulate(&actuator, remediation, digest, actions).await);
                });
            }
            Command::Read { paths, after_ms, purpose } => self.read(paths, after_ms, purpose),
            Command::LookWhatIsLeft(dir) => {
                let (path, events) = (self.fs.path(&dir), self.events.clone());
                self.runtime.spawn(async move {
                    tokio::time::sleep(REMOVAL_SETTLES).await;
                    let looked = tokio::task::spawn_blocking(move || is_empty(&path)).await;
                    events.send(Event::Left { dir, nothing: looked.unwrap_or(false) }).await;
                });
            }
            Command::Watch(dir) => {
                if let Some(files) = &self.files {
                    files.add_root(&dir);
                }
            }
            Command::Unwatch(dir) => {
                if let Some(files) = &self.files {
                    files.remove_root(&dir);
                }
            }
            Command::Reload(answer) => {
                let (reload, events) = (Arc::clone(&self.reload), self.events.clone());
                self.runtime.spawn(async move {
                    let read = tokio::task::spawn_blocking(move || reload()).await;
                    let reloaded = read.unwrap_or_else(|_| Reloaded {
                        policy: None,
                        policy_files: Vec::new(),
                        problems: vec!["the reload panicked".to_owned()],
                        warnings: Vec::new(),
                    });
                    events.send(Event::Reloaded(reloaded, answer)).await;
                });
            }
        }
    }
}

impl RealHands {
    fn check(&self, plugin: String, run: RunId, answer: Option<oneshot::Sender<Answer>>) {
        let (plugins, events, at) = (Arc::clone(&self.plugins), self.events.clone(), self.clock.wall());
        let clock = Arc::clone(&self.clock);
        self.runtime.spawn(async move {
            let began = clock.monotonic();
            let result = plugins.check(&plugin, run.clone(), at).await.map_err(|error| Chain(&error).to_string());
            let elapsed = clock.monotonic().saturating_sub(began);
            events.send(Event::Checked { plugin, run, elapsed, result, answer }).await;
        });
    }

    fn read(&self, paths: Vec<String>, after_ms: u64, purpose: ReadFor) {
        let (fs, events, clock, limit) =
            (self.fs.clone(), self.events.clone(), Arc::clone(&self.clock), self.content_bytes_max);
        self.runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let judges = matches!(purpose, ReadFor::Look);
            let found = tokio::task::spawn_blocking(move || {
                let mut found = read_all(&fs, paths.clone(), limit, clock.as_ref());
                // While packages are being changed it is not written yet whose a file is and how it reads: waited for, within bounds.
                for _ in 0..PACKAGE_WAITS_MAX {
                    let unsettled =
                        |it: &FileFound| it.package.as_ref().map_or(judges, |package| !package.digest_matches);
                    let waits =
                        found.as_ref().is_ok_and(|it| it.iter().any(unsettled)) && ingest::packages::in_progress(&fs);
                    if !waits {
                        break;
                    }
                    std::thread::sleep(PACKAGE_WAIT);
                    found = read_all(&fs, paths.clone(), limit, clock.as_ref());
                }
                found
            })
            .await;
            match found {
                Ok(Ok(found)) => events.send(Event::Files(found, purpose)).await,
                Ok(Err(why)) => give_up(purpose, why),
                Err(_) => give_up(purpose, "reading the files panicked".to_owned()),
            }
        });
    }
}

/// Whether a directory is empty or gone. What cannot be read is not.
fn is_empty(dir: &Path) -> bool {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn give_up(purpose: ReadFor, why: String) {
    match purpose {
        ReadFor::Accept { answer, .. } | ReadFor::Release { answer, .. } => {
            let _ = answer.send(Err(Refusal::new(RefusalKind::Failed, why)));
        }
        ReadFor::Look => tracing::warn!(error = why, "Files cannot be read."),
    }
}

/// What a restore puts back, from the kept contents.
async fn content(blobs: Blobs, action: Option<Action>) -> Result<Option<Vec<u8>>, String> {
    let Some(Action::RestoreFile { sha256, path, .. }) = action else { return Ok(None) };
    let read = tokio::task::spawn_blocking(move || blobs.get(&sha256)).await;
    match read {
        Ok(Ok(Some(content))) => Ok(Some(content)),
        Ok(Ok(None)) => Err(format!("the content of {path} is not kept any more")),
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("reading the kept content of {path} panicked")),
    }
}

async fn simulate(
    actuator: &ActuatorClient,
    remediation: RemediationId,
    digest: PlanDigest,
    actions: Vec<(String, Action)>,
) -> Answer {
    let mut steps = Vec::new();
    for (step, action) in actions {
        let (effects, refused) = match actuator.check(&action).await {
            Ok(effects) => (effects, None),
            Err(error @ ActError::Refused { .. }) => (Vec::new(), Some(error.to_string())),
            Err(error) => {
                return Err(Refusal::new(RefusalKind::Failed, error.to_string())
                    .hint("is the actuator running? systemctl status holdfast-actuator.socket"));
            }
        };
        steps.push(SimulatedStep { step, action: action.describe(), effects, refused });
    }
    Ok(serde_json::json!(Simulation { remediation, digest, steps }))
}

/// Reads files; a directory stands for all files in it. Contents beyond the bounds are left out, digests are not.
fn read_all(fs: &FsRoot, paths: Vec<String>, limit: u64, clock: &dyn Clock) -> Result<Vec<FileFound>, String> {
    let mut found = Vec::new();
    let mut room = CONTENT_BYTES_MAX;
    let mut waiting: Vec<String> = paths.into_iter().rev().collect();
    while let Some(path) = waiting.pop() {
        let real = fs.path(Path::new(&path));
        let is_directory = std::fs::symlink_metadata(&real).is_ok_and(|meta| meta.is_dir());
        if is_directory {
            let entries = std::fs::read_dir(&real).map_err(|error| format!("cannot read {path}: {error}"))?;
            let mut names: Vec<String> = Vec::new();
            for entry in entries {
                let entry = entry.map_err(|error| format!("cannot read {path}: {error}"))?;
                let name = entry.file_name();
                let name = name.to_str().ok_or_else(|| format!("{path} holds a name that is not text"))?;
                names.push(format!("{}/{name}", path.trim_end_matches('/')));
            }
            names.sort_unstable_by(|a, b| b.cmp(a));
            waiting.extend(names);
        } else {
            if found.len() == FILES_MAX {
                return Err(format!("there are more than {FILES_MAX} files; name a smaller directory"));
            }
            let (state, content) = ingest::files::read_state(fs, &path, limit.min(room))
                .map_err(|error| format!("cannot read {path}: {error}"))?;
            room = room.saturating_sub(content.as_ref().map_or(0, |it| it.len() as u64));
            let package = ingest::packages::package_fact(fs, &path, content.as_deref());
            found.push(FileFound { state, content, package, at: clock.wall(), first: false });
        }
    }
    Ok(found)
}
