//! A world made of a directory and a few facts, and the hostile guest with a grant for it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::new_without_default,
    reason = "a test that cannot be set up fails"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{Duration, Instant};

use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{Change, ChangeId, RunId, Target, Timestamp, UnitState};
use holdfast_plugin_host::{
    Call, CheckReport, Grant, HostOptions, Limits, MetricQuery, Plugin, PluginHost, ProcessFacts, ProcessQuery, Run,
    SeriesFacts, World, WorldError,
};

/// Released contracts and the hostile guest that is built against each.
pub const RELEASED: [(&str, &str); 1] = [("0.1.0", HOSTILE)];
const HOSTILE: &str = "guests/hostile.wasm";

/// The moment at which every test plays.
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A world for tests. Its state is what the test keeps, as the daemon would.
pub struct TestWorld {
    pub started: Instant,
    pub root: tempfile::TempDir,
    pub state: Mutex<BTreeMap<String, Vec<u8>>>,
    /// How long each question about units takes.
    pub slow: Duration,
    /// How often units were asked for, and what each such question waits for.
    pub asked: AtomicUsize,
    pub door: RwLock<()>,
    /// The time that each such question was given.
    pub given: Mutex<Vec<Duration>>,
    /// Files are those of this machine.
    pub real_root: bool,
    /// The telemetry, whatever is asked for among it; and what was asked.
    pub series: Vec<SeriesFacts>,
    pub queries: Mutex<Vec<MetricQuery>>,
}

impl TestWorld {
    #[expect(clippy::disallowed_methods, reason = "a test measures real time")]
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("srv/app")).unwrap();
        Self {
            started: Instant::now(),
            root,
            state: Mutex::default(),
            slow: Duration::ZERO,
            asked: AtomicUsize::new(0),
            door: RwLock::default(),
            given: Mutex::default(),
            real_root: false,
            series: Vec::new(),
            queries: Mutex::default(),
        }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, content: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), content).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path(path)).unwrap();
    }
}

impl World for TestWorld {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
    fn root(&self) -> PathBuf {
        if self.real_root { "/".into() } else { self.root.path().to_owned() }
    }
    fn unit(&self, name: &str, within: Duration) -> Result<Option<UnitState>, WorldError> {
        std::thread::sleep(self.slow);
        self.given.lock().unwrap().push(within);
        self.asked.fetch_add(1, Ordering::SeqCst);
        drop(self.door.read());
        let known = name == "web-1.service" || name == "ssh.service";
        let active_state = "failed".to_owned();
        Ok(known.then(|| UnitState { name: name.to_owned(), active_state, ..UnitState::default() }))
    }
    fn units(&self, _: Duration) -> Result<Vec<UnitState>, WorldError> {
        let unit = |name: &str| UnitState { name: name.to_owned(), ..UnitState::default() };
        Ok(vec![unit("ssh.service"), unit("web-1.service"), unit("web-2.service")])
    }
    /// One process, whose command line holds a secret; a world that keeps to nothing that it is asked.
    fn processes(&self, _: &ProcessQuery<'_>, _: Duration) -> Result<Vec<ProcessFacts>, WorldError> {
        Ok(vec![ProcessFacts {
            pid: 7,
            started: NOW,
            ppid: 1,
            uid: 1_000,
            name: "shell".to_owned(),
            cmdline: vec!["--password=the-secret-beside-the-grant".to_owned()],
            exe: None,
            exe_deleted: false,
            resident_bytes: 1,
            cpu_seconds: 0.5,
            unit: None,
        }])
    }
    fn metrics(&self, query: &MetricQuery, _: Duration) -> Result<Vec<SeriesFacts>, WorldError> {
        self.queries.lock().unwrap().push(query.clone());
        Ok(self.series.iter().filter(|it| it.metric == query.metric).cloned().collect())
    }
    fn changes(
        &self,
        _: &[String],
        _: Timestamp,
        _: Timestamp,
        _: usize,
        _: Duration,
    ) -> Result<Vec<Change>, WorldError> {
        Ok(vec![Change {
            id: ChangeId::new(NOW, &mut SeededIds(9)),
            at: NOW,
            kind: "file.modified".to_owned(),
            target: Target::file("/etc/app.conf"),
            actor: None,
            summary: "edited".to_owned(),
            attributes: BTreeMap::new(),
            deployment: None,
            cause: None,
        }])
    }
    fn state(&self, _: &str) -> Result<BTreeMap<String, Vec<u8>>, WorldError> {
        Ok(self.state.lock().unwrap().clone())
    }
}

/// A built guest's bytes.
#[track_caller]
pub fn guest(path: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(path);
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", file.display()))
}

/// A host with short deadlines, shared: compiling takes a while.
pub fn host() -> &'static PluginHost {
    static HOST: OnceLock<PluginHost> = OnceLock::new();
    HOST.get_or_init(|| {
        let limits = Limits {
            memory_bytes_max: 256 << 20,
            deadline: Duration::from_secs(3),
            host_call_deadline: Duration::from_millis(300),
            returned_bytes_max: 4 << 20,
            ..Limits::default()
        };
        PluginHost::new(HostOptions { limits }).unwrap()
    })
}

/// The hostile guest of today's contract, set to one deed.
pub fn hostile(deed: &str, with: &str) -> Plugin {
    hostile_of(HOSTILE, deed, with)
}

/// The same of a released contract.
pub fn hostile_of(file: &'static str, deed: &str, with: &str) -> Plugin {
    static COMPILED: Mutex<BTreeMap<&str, Plugin>> = Mutex::new(BTreeMap::new());
    let grant = format!(
        "[read]\nfiles = [\"/srv/app\", \"/srv/single.conf\", \"/proc\"]\nunits = [\"web-1.service\", \"web-2.service\"]\n\
         metrics = true\n[propose]\nactions = [\"restart_unit\", \"quarantine_path\", \"reclaim_paths\"]\nunits = [\"web-1.service\"]\n\
         paths = [\"/srv/app/**\"]\n[settings]\ndeed = {deed:?}\nwith = {with:?}\n"
    );
    let mut compiled = COMPILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let compiled = compiled.entry(file).or_insert_with(|| host().load(&guest(file), None).unwrap()).clone();
    compiled.granted(Some(Grant::parse(&grant).unwrap())).unwrap()
}

pub fn run() -> Run {
    Run { id: RunId::new(NOW, &mut SeededIds(1)), host_id: "test-host".to_owned(), at: NOW }
}

/// One check of the hostile guest in a world.
pub fn check_in(world: &Arc<TestWorld>, deed: &str, with: &str) -> Call<CheckReport> {
    let world = Arc::clone(world) as Arc<dyn World>;
    hostile(deed, with).check(&run(), &world)
}

/// One check of the hostile guest in an empty world.
pub fn check(deed: &str, with: &str) -> Call<CheckReport> {
    check_in(&Arc::new(TestWorld::new()), deed, with)
}
