//! Where plugins lie, and what they are loaded with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_plugin_host::{CacheKey, Limits};

use super::compile::Compiler;

/// What a call may take beyond its own deadline: a tick, a late host call, the way to a thread.
const MARGIN: Duration = Duration::from_secs(6);

/// Where plugins and grants lie, who compiles, and what is remembered beside the databases.
#[derive(Debug, Clone)]
pub struct PluginsOptions {
    /// Directories of components; one that does not exist holds none.
    pub dirs: Vec<PathBuf>,
    /// The directory of grants, `plugins.d`.
    pub grants: PathBuf,
    /// Bounds of every call.
    pub limits: Limits,
    /// Who compiles.
    pub compiler: Compiler,
    /// Where compiled plugins are kept, and what they are sealed with; `None`: each start compiles again.
    pub cache: Option<(PathBuf, CacheKey)>,
    /// Who may refuse a component before anything of it is compiled.
    pub admission: Arc<dyn Admission>,
    /// How long a call is waited for beyond its own deadline, before it is taken to hang. Default: 6 s.
    pub margin: Duration,
    /// The agent's data directory, which holds the marks of calls under way; `None`: calls leave no mark.
    pub marks: Option<PathBuf>,
}

/// Looks at a component before it is used: its signature, its digest.
pub trait Admission: std::fmt::Debug + Send + Sync {
    /// Whether somebody whom this host trusts vouches for it: of two with one id, such a one is taken.
    ///
    /// Errors: it is not loaded, and why, in one sentence for the operator.
    fn admit(&self, file: &Path, component: &[u8]) -> Result<bool, String>;
}

impl PluginsOptions {
    /// These directories, grants and judge with the usual limits, compiled in a child, without a cache.
    pub fn new(dirs: Vec<PathBuf>, grants: PathBuf, admission: Arc<dyn Admission>) -> Self {
        Self {
            dirs,
            grants,
            limits: Limits::default(),
            compiler: Compiler::child(),
            cache: None,
            admission,
            marks: None,
            margin: MARGIN,
        }
    }
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
