//! Watched files: each is told once at the start and again when its content, mode or owner differs.
//!
//! Directories are watched, not files, so that replacement by rename and deletion are seen. A change is read when the file
//! has been quiet for 30 ms, a second after its first notice at the latest. Lost notices, watches beyond the budget and file
//! systems that send none are made good by a sweep: a look at the marks of all files, which reads only what was altered.
//! Nothing here follows symbolic links or opens special files. See [`read_state`] for what a state is.

mod plan;
mod state;
mod wanted;
mod worker;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::model::{FileState, Timestamp};
use serde::Serialize;
use tokio::sync::mpsc;

pub use state::read_state;
pub use wanted::PatternError;

use crate::config::WatchConfig;
use crate::host::{Clock, FsRoot};
use crate::telemetry::Event;
use crate::telemetry::events::QueueFull;
use worker::{Message, Worker};

/// Notices that may wait; beyond it a sweep takes their place.
const NOTICES_MAX: usize = 4_096;
/// A file is read when it has been quiet for so long …
const DEBOUNCE: Duration = Duration::from_millis(30);
/// … or this long after the first notice.
const DEBOUNCE_MAX: Duration = Duration::from_secs(1);

/// A watched file as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSeen {
    /// Digest, mode, owner, time; an absent file has no digest.
    pub state: FileState,
    /// The content, unless the file is absent, too long or no regular file.
    pub content: Option<Vec<u8>>,
    /// When it was read.
    pub at: Timestamp,
    /// Told because the watch begins (start, or a root that was added), not because of a change.
    pub first: bool,
}

/// How the watch stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WatchStatus {
    /// Files watched.
    pub files: usize,
    /// Files beyond the bound: not watched.
    pub files_left_out: usize,
    /// Directories that send notices.
    pub directories: usize,
    /// Directories without notices, beyond the budget or refused by the kernel: their files are seen at a sweep.
    pub directories_left_out: usize,
    /// Why there are no or not all notices.
    pub why: Option<String>,
    /// Files that cannot be read, the last one with its reason.
    pub unreadable: usize,
    /// The last file that could not be read, and why.
    pub last_error: Option<String>,
    /// Sweeps done.
    pub sweeps: u64,
    /// Times that notices were lost.
    pub overflows: u64,
}

/// Why the watch could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// A pattern is no glob.
    #[error("cannot use the configured files")]
    Pattern(#[from] PatternError),
    /// No thread.
    #[error("cannot start the thread that reads files")]
    Thread(#[source] std::io::Error),
}

/// A running watch; ends when dropped, or when nobody listens any more.
#[derive(Debug)]
pub struct FileWatch {
    messages: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    status: Mutex<WatchStatus>,
    /// Notices were lost since the thread last looked.
    lost: AtomicBool,
    /// The watch was dropped.
    stopped: AtomicBool,
}

impl Shared {
    fn set(&self, set: impl FnOnce(&mut WatchStatus)) {
        set(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A notice from the kernel's side; never waits.
    fn notice(&self, to: &SyncSender<Message>, message: Message) {
        if let Err(TrySendError::Full(_)) = to.try_send(message) {
            QueueFull { queue: "file notices", lost: 1 }.emit();
            self.lost.store(true, Ordering::Relaxed);
        }
    }
}

impl FileWatch {
    /// Begins: every wanted file is told first. `roots` are directories of which every file is wanted.
    ///
    /// A kernel without notices for us is no error: sweeps find what changed, and the status says why.
    pub fn start(
        config: &WatchConfig,
        roots: &[PathBuf],
        fs: FsRoot,
        clock: Arc<dyn Clock>,
        to: mpsc::Sender<FileSeen>,
    ) -> Result<Self, WatchError> {
        let mut wanted = wanted::Wanted::new(config)?;
        for root in roots {
            wanted.add_tree(&root.to_string_lossy());
        }
        let (messages, received) = sync_channel(NOTICES_MAX);
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(config, wanted, fs, clock, to, Arc::clone(&shared), messages.clone());
        std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || worker.run(&received))
            .map_err(WatchError::Thread)?;
        Ok(Self { messages, shared })
    }

    /// Every file below this directory is wanted from now on, and told.
    ///
    /// Waits only when thousands of notices wait.
    pub fn add_root(&self, dir: impl Into<PathBuf>) {
        let dir: PathBuf = dir.into();
        // Failing means that the thread ended, because nobody listens.
        let _ = self.messages.send(Message::Add(dir.to_string_lossy().into_owned()));
    }

    /// Its files are wanted no longer, unless something else wants them; nothing is told.
    pub fn remove_root(&self, dir: impl Into<PathBuf>) {
        let dir: PathBuf = dir.into();
        let _ = self.messages.send(Message::Remove(dir.to_string_lossy().into_owned()));
    }

    /// Looks at all files soon; those that differ from what was told are told.
    pub fn sweep(&self) {
        let _ = self.messages.send(Message::Sweep);
    }

    /// How the watch stands.
    pub fn status(&self) -> WatchStatus {
        self.shared.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Only wakes it; a full queue wakes it too.
        let _ = self.messages.try_send(Message::Stop);
    }
}
