//! The thread that reads files: notices in, states out. It is the only one that touches the watches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use holdfast_core::model::FileState;
use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{INotifyWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::plan::{Identity, Limits, Plan, plan};
use super::state::{Mark, mark, read_state};
use super::wanted::Wanted;
use super::{DEBOUNCE, DEBOUNCE_MAX, FileSeen, Shared};
use crate::config::WatchConfig;
use crate::host::{Clock, FsRoot};
use crate::telemetry::Event;
use crate::telemetry::events::QueueFull;

/// Walks in a row while new directories keep coming; the rest is found at the notice of the last ones.
const PASSES_MAX: usize = 4;
/// Altered files that wait to be quiet; beyond it a sweep takes their place.
const WAITING_MAX: usize = 16_384;

/// What can wake the thread.
#[derive(Debug)]
pub(super) enum Message {
    /// Something about this path, as the machine names it; `shape`: it came, went or was renamed.
    Notice {
        path: String,
        shape: bool,
    },
    /// Notices were lost.
    Lost,
    Add(String),
    Remove(String),
    Sweep,
    Stop,
}

/// What was told of a file.
#[derive(Debug, Default)]
struct Known {
    mark: Option<Mark>,
    told: Option<FileState>,
    /// A file that is dear to read rests four times as long as its last reading took, however often it is written.
    rest_until: Duration,
}

/// A file that waits to be quiet.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    first: Duration,
    due: Duration,
}

pub(super) struct Worker {
    fs: FsRoot,
    clock: Arc<dyn Clock>,
    wanted: Wanted,
    limits: Limits,
    bytes_max: u64,
    sweep_every: Duration,
    to: mpsc::Sender<FileSeen>,
    shared: Arc<Shared>,
    watcher: Option<INotifyWatcher>,
    watched: BTreeMap<String, Identity>,
    known: BTreeMap<String, Known>,
    waiting: BTreeMap<String, Waiting>,
    unreadable: BTreeSet<String>,
    plan_due: Option<Duration>,
    plan_cost: Duration,
    sweep_due: Duration,
}

/// Nobody listens any more.
struct Ended;

impl Worker {
    pub(super) fn new(
        config: &WatchConfig,
        wanted: Wanted,
        fs: FsRoot,
        clock: Arc<dyn Clock>,
        to: mpsc::Sender<FileSeen>,
        shared: Arc<Shared>,
        messages: SyncSender<Message>,
    ) -> Self {
        let watcher = match watcher(fs.clone(), Arc::clone(&shared), messages) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "The kernel sends no notices of files; sweeps find what changes.");
                shared.set(|status| status.why = Some(format!("no notices: {error}")));
                None
            }
        };
        Self {
            fs,
            clock,
            wanted,
            limits: Limits { files_max: config.files_max, directories_max: config.directories_max },
            bytes_max: config.bytes_max.0,
            sweep_every: config.sweep.0,
            to,
            shared,
            watcher,
            watched: BTreeMap::new(),
            known: BTreeMap::new(),
            waiting: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            plan_due: None,
            plan_cost: Duration::ZERO,
            sweep_due: Duration::ZERO,
        }
    }

    pub(super) fn run(mut self, received: &Receiver<Message>) {
        let mut ended = self.sweep(true).is_err();
        while !ended {
            let next = [Some(self.sweep_due), self.plan_due].into_iter().flatten();
            let next = next.chain(self.waiting.values().map(|waiting| waiting.due)).min().unwrap_or(self.sweep_due);
            let message = match received.recv_timeout(next.saturating_sub(self.clock.monotonic())) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
            };
            if self.shared.stopped.load(Ordering::Relaxed) {
                return;
            }
            if self.shared.lost.swap(false, Ordering::Relaxed) {
                self.lost();
            }
            ended = self.to.is_closed() || message.map_or(Ok(()), |message| self.take(message)).is_err();
            ended = ended || self.due().is_err();
        }
    }

    fn lost(&mut self) {
        self.shared.set(|status| status.overflows += 1);
        self.sweep_due = self.clock.monotonic();
    }

    fn take(&mut self, message: Message) -> Result<(), Ended> {
        let now = self.clock.monotonic();
        match message {
            Message::Notice { path, shape } => {
                if shape && (self.unwatch(&path) || self.wanted.leads(&path) || self.holds(&path)) {
                    self.plan_soon(now);
                }
                if self.wanted.wants(&path) {
                    self.wait_for(path, now);
                }
            }
            Message::Lost => self.lost(),
            Message::Add(dir) => {
                if self.wanted.add_tree(&dir) {
                    return self.replan(true);
                }
            }
            Message::Remove(dir) => {
                if self.wanted.remove_tree(&dir) {
                    return self.replan(false);
                }
            }
            Message::Sweep => self.sweep_due = now,
            Message::Stop => {}
        }
        Ok(())
    }

    /// A watched directory came, went or was renamed: its watch, and those below it, are made anew by the next walk. A new
    /// directory may have the number of the one that went, so the number alone would not tell. `false`: it isn't watched.
    fn unwatch(&mut self, path: &str) -> bool {
        let below = |dir: &str| dir.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let (fs, watcher) = (&self.fs, &mut self.watcher);
        let before = self.watched.len();
        self.watched.retain(|dir, _| {
            let stays = !below(dir);
            if let Some(watcher) = watcher.as_mut().filter(|_| !stays) {
                // Mostly gone already, together with the directory.
                let _ = watcher.unwatch(&fs.path(dir));
            }
            stays
        });
        self.watched.len() < before
    }

    /// A new directory that may hold wanted files.
    fn holds(&self, path: &str) -> bool {
        self.wanted.holds(path) && std::fs::symlink_metadata(self.fs.path(path)).is_ok_and(|m| m.is_dir())
    }

    fn wait_for(&mut self, path: String, now: Duration) {
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&path) {
            QueueFull { queue: "altered files", lost: 1 }.emit();
            return self.lost();
        }
        let rest_until = self.known.get(&path).map_or(Duration::ZERO, |known| known.rest_until);
        let waiting = self.waiting.entry(path).or_insert(Waiting { first: now, due: now });
        waiting.due = (now + DEBOUNCE).min(waiting.first + DEBOUNCE_MAX).max(rest_until);
    }

    /// A walk is paid for with ten times its own length of quiet, so a busy tree cannot keep the thread busy.
    fn plan_soon(&mut self, now: Duration) {
        let due = now + DEBOUNCE.max(self.plan_cost * 10);
        self.plan_due = Some(self.plan_due.map_or(due, |before| before.min(due)));
    }

    fn due(&mut self) -> Result<(), Ended> {
        let now = self.clock.monotonic();
        if now >= self.sweep_due {
            return self.sweep(false);
        }
        if self.plan_due.is_some_and(|due| now >= due) {
            self.replan(false)?;
        }
        let quiet: Vec<String> =
            self.waiting.iter().filter(|(_, waiting)| now >= waiting.due).map(|(path, _)| path.clone()).collect();
        for path in quiet {
            self.waiting.remove(&path);
            self.look(path, false)?;
        }
        Ok(())
    }

    /// Everything is looked at; what is as it was told costs one `stat`.
    fn sweep(&mut self, first: bool) -> Result<(), Ended> {
        self.replan(first)?;
        let names: Vec<String> = self.known.keys().cloned().collect();
        for path in names {
            let now = mark(&self.fs, &path);
            if self.known.get(&path).is_some_and(|known| known.mark != now || known.told.is_none()) {
                self.soon_or_now(path, first)?;
            }
        }
        self.sweep_due = self.clock.monotonic() + self.sweep_every;
        self.shared.set(|status| status.sweeps += 1);
        Ok(())
    }

    /// Walks, watches what came, forgets what is wanted no longer, looks at files that are new or gone.
    fn replan(&mut self, first: bool) -> Result<(), Ended> {
        let started = self.clock.monotonic();
        self.plan_due = None;
        let mut added = BTreeSet::new();
        let mut plan = plan(&self.fs, &self.wanted, self.limits);
        let mut why = self.watch(&mut plan, &mut added);
        for _ in 0..PASSES_MAX {
            // What came between the walk and the watching sent no notice.
            let before = added.len();
            plan = super::plan::plan(&self.fs, &self.wanted, self.limits);
            why = self.watch(&mut plan, &mut added);
            if added.len() == before {
                break;
            }
        }
        self.plan_cost = self.clock.monotonic().saturating_sub(started);
        let wanted = &self.wanted;
        self.known.retain(|path, _| wanted.wants(path));
        self.unreadable.retain(|path| wanted.wants(path));
        let gone: Vec<String> = self.known.keys().filter(|path| !plan.files.contains(*path)).cloned().collect();
        let new: Vec<String> = plan.files.iter().filter(|path| !self.known.contains_key(*path)).cloned().collect();
        self.shared.set(|status| {
            status.files = plan.files.len();
            status.files_left_out = plan.files_left_out;
            status.directories = self.watched.len();
            status.directories_left_out = plan.dirs_left_out;
            if self.watcher.is_some() {
                status.why = why;
            }
        });
        let seen_late = |path: &&String| added.contains(super::plan::parent(path));
        let late: Vec<String> = self.known.keys().filter(seen_late).cloned().collect();
        for path in late {
            if self.known.get(&path).is_some_and(|known| known.mark != mark(&self.fs, &path)) {
                self.soon_or_now(path, false)?;
            }
        }
        for path in gone {
            self.look(path, false)?;
        }
        for path in new {
            self.soon_or_now(path, first)?;
        }
        Ok(())
    }

    /// What a walk or a sweep finds altered may be half written: it is read when it has been quiet. At the start it is read
    /// at once.
    fn soon_or_now(&mut self, path: String, first: bool) -> Result<(), Ended> {
        if first {
            return self.look(path, true);
        }
        self.wait_for(path, self.clock.monotonic());
        Ok(())
    }

    /// Makes the watches those of the plan, and adds the new ones to `added`. `Some`: why some are missing.
    fn watch(&mut self, plan: &mut Plan, added: &mut BTreeSet<String>) -> Option<String> {
        let mut why = (plan.dirs_left_out > 0).then(|| "more directories than watch.directories-max".to_owned());
        let watcher = self.watcher.as_mut()?;
        let fs = &self.fs;
        self.watched.retain(|dir, identity| {
            let stays = plan.dirs.get(dir) == Some(identity);
            if !stays {
                // A directory that is gone is watched no longer already.
                let _ = watcher.unwatch(&fs.path(dir));
            }
            stays
        });
        for (dir, identity) in &plan.dirs {
            if self.watched.contains_key(dir) {
                continue;
            }
            match watcher.watch(&fs.path(dir), RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(dir.clone(), *identity);
                    added.insert(dir.clone());
                }
                Err(error) => {
                    plan.dirs_left_out += 1;
                    why = Some(format!("{dir}: {error}"));
                }
            }
        }
        why
    }

    /// Reads a file and tells it when it differs from what was told.
    fn look(&mut self, path: String, first: bool) -> Result<(), Ended> {
        let started = self.clock.monotonic();
        let now = mark(&self.fs, &path);
        let (state, content) = match read_state(&self.fs, &path, self.bytes_max) {
            Ok(read) => read,
            Err(error) => {
                self.known.entry(path.clone()).or_default().mark = now;
                let text = format!("{path}: {error}");
                self.unreadable.insert(path);
                let unreadable = self.unreadable.len();
                self.shared.set(|status| {
                    status.unreadable = unreadable;
                    status.last_error = Some(text);
                });
                return Ok(());
            }
        };
        if self.unreadable.remove(&path) {
            let unreadable = self.unreadable.len();
            self.shared.set(|status| status.unreadable = unreadable);
        }
        let lasting = self.wanted.is_literal(&path);
        let absent = state.sha256.is_none();
        if !self.known.contains_key(&path) {
            // It came and went between two looks, or it is a directory that leads to wanted files and none itself.
            let nothing = !lasting && (absent || now.is_some_and(Mark::is_dir));
            if nothing || self.known.len() >= self.limits.files_max {
                return Ok(());
            }
        }
        let known = self.known.entry(path.clone()).or_default();
        let first = first && known.told.is_none();
        known.mark = now;
        let read = self.clock.monotonic();
        known.rest_until = read + read.saturating_sub(started) * 4;
        if known.told.as_ref().is_some_and(|told| same(told, &state)) {
            return Ok(());
        }
        known.told = Some(state.clone());
        if absent && !lasting {
            // Files that only a pattern names are remembered while they exist.
            self.known.remove(&path);
        }
        let seen = FileSeen { state, content, at: self.clock.wall(), first };
        // Waits when the loop is slow: notices that pile up meanwhile are bounded, and a sweep makes good what is lost.
        self.to.blocking_send(seen).map_err(|_| Ended)
    }
}

/// Whether nothing that matters differs: a file that was only touched is the same.
fn same(a: &FileState, b: &FileState) -> bool {
    (&a.sha256, a.bytes, a.mode, a.uid, a.gid) == (&b.sha256, b.bytes, b.mode, b.uid, b.gid)
}

fn watcher(fs: FsRoot, shared: Arc<Shared>, messages: SyncSender<Message>) -> notify::Result<INotifyWatcher> {
    let handler = move |event: notify::Result<notify::Event>| match event {
        Ok(event) if event.need_rescan() => {
            QueueFull { queue: "inotify", lost: 1 }.emit();
            shared.notice(&messages, Message::Lost);
        }
        Ok(event) => {
            let Some(shape) = shape(event.kind) else { return };
            for path in &event.paths {
                if let Some(path) = text(&fs, path) {
                    shared.notice(&messages, Message::Notice { path, shape });
                }
            }
        }
        Err(_) => shared.notice(&messages, Message::Lost),
    };
    INotifyWatcher::new(handler, notify::Config::default().with_follow_symlinks(false))
}

/// Paths that are not UTF-8 are not watched: no pattern can name them.
fn text(fs: &FsRoot, path: &Path) -> Option<String> {
    fs.logical(path).into_os_string().into_string().ok()
}

/// Whether the notice says that something came, went or was renamed. `None`: it says nothing of interest, such as an opening,
/// which our own reading causes too.
fn shape(kind: EventKind) -> Option<bool> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(false),
        // The two halves of a rename are told as well.
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => None,
        EventKind::Create(CreateKind::Folder) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            Some(true)
        }
        _ => Some(false),
    }
}
