//! What a finding, a change or a step is about, and the state of it as the host tells.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// The subject of a finding, a change or a step: an open kind and a name, printed `unit:web.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// `unit`, `file`, `filesystem`, `series`, `package`, `deployment`, `service`, `flag`, `host`, `plugin`, `collector`.
    pub kind: String,
    /// The name within its kind: a unit name, an absolute path, a mount point.
    pub name: String,
}

impl Target {
    /// Any kind.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }
    /// A systemd unit.
    pub fn unit(name: impl Into<String>) -> Self {
        Self::new("unit", name)
    }
    /// A file by its absolute path.
    pub fn file(path: impl Into<String>) -> Self {
        Self::new("file", path)
    }
    /// A mounted file system by its mount point.
    pub fn filesystem(mount: impl Into<String>) -> Self {
        Self::new("filesystem", mount)
    }
    /// A series of the local store, by its printed key.
    pub fn series(key: impl Into<String>) -> Self {
        Self::new("series", key)
    }
    /// A deployment.
    pub fn deployment(id: impl Into<String>) -> Self {
        Self::new("deployment", id)
    }
    /// The machine itself.
    pub fn host() -> Self {
        Self::new("host", "localhost")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// A systemd unit as its manager describes it (properties of `org.freedesktop.systemd1.Unit` and `.Service`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UnitState {
    /// `web.service`.
    pub name: String,
    /// `loaded`, `not-found`, `masked`, …
    pub load_state: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    pub active_state: String,
    /// `running`, `dead`, `auto-restart`, …
    pub sub_state: String,
    /// `success`, `exit-code`, `signal`, `core-dump`, `watchdog`, `start-limit-hit`, `oom-kill`, …; empty for units without one.
    pub result: String,
    /// `enabled`, `disabled`, `static`, …
    pub unit_file_state: String,
    /// Automatic restarts since the unit was last started by hand.
    pub n_restarts: u32,
    /// 32 hexadecimal digits, new at each start; `None` before the first.
    pub invocation_id: Option<String>,
    /// Main process, when one runs.
    pub main_pid: Option<u32>,
    /// `always`, `on-failure`, `no`, …; empty for units without one.
    pub restart: String,
    /// Last change of the active state.
    pub since: Option<Timestamp>,
    /// The unit file.
    pub fragment_path: Option<String>,
}

/// A watched file at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Absolute path.
    pub path: String,
    /// SHA-256 of the content, 64 hexadecimal digits; `None` when the file does not exist.
    pub sha256: Option<String>,
    /// Bytes; 0 when absent.
    pub bytes: u64,
    /// Permission bits (`0o644`); 0 when absent.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content, as the file system tells.
    pub modified_at: Option<Timestamp>,
}

impl FileState {
    /// When it came to differ from what was accepted, seen at that moment. Its own time counts where it can be believed: a new content
    /// that is older than the one before was put there with its time kept, and turning mode or owner leaves no time.
    pub fn altered_at(&self, accepted: &Self, seen: Timestamp) -> Timestamp {
        let newer = |it: &Timestamp| *it <= seen && accepted.modified_at.is_none_or(|before| *it >= before);
        self.modified_at.filter(|it| newer(it) && self.sha256 != accepted.sha256).unwrap_or(seen)
    }
}
