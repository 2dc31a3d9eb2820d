//! Plugins in the real binary: compiled by its child, kept in the cache, suspected after a crash.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod bomb;
mod cache;
mod child;
mod crash;
mod rest;
mod signed;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast::host::{FsRoot, SystemClock};
use holdfast::plugins::{Compiler, Confinement, NoUnits, PluginProblem, Plugins, PluginsOptions, Sources, Trust};
use holdfast::store::{StateDb, TelemetryDb, TelemetryOptions, load_or_create_audit_key};
use holdfast_plugin_host::CacheKey;

const BINARY: &str = env!("CARGO_BIN_EXE_holdfast");

/// A built guest's bytes.
#[track_caller]
fn guest(path: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", file.display()))
}

/// A host's directories and stores.
struct Host {
    dir: tempfile::TempDir,
    state: StateDb,
    telemetry: TelemetryDb,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["data", "plugins", "plugins.d"] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let data = dir.path().join("data");
        let state = StateDb::open(&data, load_or_create_audit_key(&data).unwrap()).unwrap();
        let telemetry = TelemetryDb::open(&data, TelemetryOptions::default()).unwrap();
        Self { dir, state, telemetry }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn install(&self, name: &str, component: &[u8]) {
        std::fs::write(self.path(&format!("plugins/{name}.wasm")), component).unwrap();
        std::fs::write(self.path(&format!("plugins.d/{name}.toml")), "").unwrap();
    }

    fn options(&self, program: &str) -> PluginsOptions {
        let compiler = Compiler::Child {
            program: program.into(),
            limits: Confinement::default(),
            deadline: Duration::from_mins(2),
        };
        PluginsOptions {
            compiler,
            cache: Some((self.path("cache"), CacheKey::new([7; 32]))),
            ..PluginsOptions::new(
                vec![self.path("plugins")],
                self.path("plugins.d"),
                Arc::new(Trust::new(&[], &[], true).unwrap()),
            )
        }
    }

    fn load(&self, options: &PluginsOptions) -> (Plugins, Vec<PluginProblem>) {
        let sources = Sources {
            state: self.state.reader(),
            telemetry: self.telemetry.reader(),
            fs: FsRoot::real(),
            clock: Arc::new(SystemClock::new()),
            units: Arc::new(NoUnits("no systemd here".to_owned())),
            host_id: "test-host".into(),
        };
        Plugins::load(options, sources).unwrap()
    }

    /// The states of all plugins, and what is wrong.
    fn states(&self, options: &PluginsOptions) -> (Vec<(String, String)>, String) {
        let (plugins, problems) = self.load(options);
        let states = plugins.list().into_iter().map(|it| (it.id, it.state)).collect();
        (states, problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    /// The files of the cache, by name.
    fn kept(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.path("cache/plugins")).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn state(id: &str, state: &str) -> (String, String) {
    (id.to_owned(), state.to_owned())
}
