//! The configuration of an ordinary user who runs the agent from a checkout, with no file written yet.
//!
//! State, cache and socket lie where XDG says; units are those of the user's own systemd; nothing outside the home is
//! watched. Directories that don't exist are left missing: absence is a value to every room.

use std::env;
use std::path::{Path, PathBuf};

use super::types::{Config, WatchConfig};
use crate::host::systemd::Bus;

/// Where an ordinary user's directories are.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    pub(super) home: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
    pub(super) cache: Option<PathBuf>,
    pub(super) config: Option<PathBuf>,
    pub(super) runtime: Option<PathBuf>,
    pub(super) exe: Option<PathBuf>,
}

impl Places {
    /// From the environment; relative XDG paths are ignored, as the specification wants.
    pub(super) fn of_process() -> Self {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            home: absolute("HOME"),
            state: absolute("XDG_STATE_HOME"),
            cache: absolute("XDG_CACHE_HOME"),
            config: absolute("XDG_CONFIG_HOME"),
            runtime: absolute("XDG_RUNTIME_DIR"),
            exe: env::current_exe().ok(),
        }
    }

    fn dir(&self, named: Option<&PathBuf>, below_home: &str) -> PathBuf {
        let base = named.cloned().or_else(|| self.home.as_ref().map(|home| home.join(below_home)));
        // Without a home there is one place that every user may write; its name tells whose it is.
        let base = base.unwrap_or_else(|| env::temp_dir().join(format!("uid-{}", rustix::process::geteuid().as_raw())));
        base.join("holdfast")
    }

    /// Where the user's own configuration lies.
    pub(super) fn config_dir(&self) -> PathBuf {
        self.dir(self.config.as_ref(), ".config")
    }

    /// The configuration that fits.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::default();
        let data_dir = self.dir(self.state.as_ref(), ".local/state");
        let runtime = self.runtime.as_ref().map_or_else(|| data_dir.clone(), |dir| dir.join("holdfast"));
        config.agent.socket = runtime.join("holdfast.sock");
        config.actuator.socket = runtime.join("actuator.sock");
        config.agent.cache_dir = self.dir(self.cache.as_ref(), ".cache");
        config.agent.data_dir = data_dir;
        config.units.bus = Bus::Session;
        config.policy.dir = self.config_dir().join("policy.d");
        config.plugins.grants = self.config_dir().join("plugins.d");
        let own = config.agent.data_dir.join("plugins");
        if let Some(beside) = self.exe.as_deref().and_then(Path::parent) {
            let up = beside.parent().unwrap_or(beside);
            config.plugins.dirs = vec![beside.join("plugins"), up.join("plugins")];
            config.plugins.trusted_dirs.clone_from(&config.plugins.dirs);
            // What the user installs; asked last and trusted by signature only.
            config.plugins.dirs.push(own);
        }
        config.watch = WatchConfig { files: Vec::new(), ..WatchConfig::default() };
        config
    }
}

/// What `holdfast run` uses as an ordinary user without a configuration file.
///
/// Data in `$XDG_STATE_HOME/holdfast`, socket in `$XDG_RUNTIME_DIR/holdfast` (or with the data), plugins in `plugins` beside
/// the binary or one directory up, policies and grants in `$XDG_CONFIG_HOME/holdfast`, units of the session bus.
pub fn user_default() -> Config {
    Places::of_process().config()
}
