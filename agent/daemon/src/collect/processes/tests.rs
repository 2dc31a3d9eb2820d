use super::*;
use crate::collect::fixtures::Numbers;
use crate::collect::sink::Sink;
use crate::host::FsRoot;
use holdfast_core::model::SeriesId;

/// A collector, and the names of what it has given so far.
struct Watched {
    processes: Processes,
    sink: Sink,
    names: HashMap<SeriesId, String>,
}

impl Watched {
    fn new() -> Self {
        let processes = Processes::new(Duration::from_secs(10), 1_000);
        Self { processes, sink: Sink::new(Arc::new(Numbers::default())), names: HashMap::new() }
    }

    fn look(&mut self, fs: &FsRoot) -> BTreeMap<String, f64> {
        let mut context = Context { fs, text: &mut String::new(), sink: &mut self.sink };
        self.processes.collect(&mut context).unwrap();
        let batch = self.sink.take(holdfast_core::model::Timestamp::from_secs(0));
        self.names.extend(batch.new_series.iter().map(|(id, key)| (*id, key.to_string())));
        batch.samples.iter().map(|(id, value)| (self.names[id].clone(), *value)).collect()
    }
}

/// Pid, name, state, parent, ticks, start.
type Process<'a> = (u32, &'a [u8], char, u32, u64, u64);

/// A machine with 4 CPUs, so many seconds after its boot, with these processes.
fn machine(dir: &std::path::Path, uptime: &str, processes: &[Process<'_>]) {
    let put = |path: &str, bytes: &[u8]| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    put("proc/uptime", uptime.as_bytes());
    put("sys/devices/system/cpu/online", b"0-3\n");
    for (pid, name, state, parent, ticks, started) in processes {
        let behind = format!(") {state} {parent} 0 0 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {started} 0 3 0\n");
        put(&format!("proc/{pid}/stat"), &[format!("{pid} (").as_bytes(), name, behind.as_bytes()].concat());
        put(&format!("proc/{pid}/cgroup"), b"0::/system.slice/web.service\n");
    }
}

#[test]
fn a_share_is_of_all_cpus_since_the_last_look_and_a_new_process_did_all_of_it_since() {
    let dir = tempfile::tempdir().unwrap();
    let hertz = rustix::param::clock_ticks_per_second();
    let (mut watched, fs) = (Watched::new(), FsRoot::new(dir.path()));
    machine(
        dir.path(),
        "100.00 1.0\n",
        &[(1, b"old", 'R', 0, 9_000, 5), (9, b"kworker/0:1", 'I', 2, 3, 6), (10, b"\xff\xfe", 'D', 1, 0, 7)],
    );
    let first = watched.look(&fs);
    let of = |all: &BTreeMap<String, f64>, metric: &str, name: &str| {
        let fits = |key: &&String| key.starts_with(metric) && key.contains(&format!("name={name}"));
        all.keys().find(fits).map(|key| all[key])
    };
    assert_eq!(first["system.process.count{process.state=running}"], 1.0, "{first:?}");
    assert_eq!(first["system.process.count{process.state=disk_sleep}"], 1.0, "any bytes are a name");
    assert_eq!(of(&first, "process.memory.usage", "old"), Some(3.0 * rustix::param::page_size() as f64));
    assert!(of(&first, "process.memory.usage", "kworker").is_some());
    assert_eq!(first.keys().find(|it| it.starts_with("process.cpu")), None, "nothing is known of the time before");

    // In 10 s four CPUs have 40 of their seconds.
    machine(
        dir.path(),
        "110.00 1.0\n",
        &[(1, b"old", 'S', 0, 9_000 + 4 * hertz, 5), (20, b"new", 'S', 1, 2 * hertz, 10_500)],
    );
    let second = watched.look(&fs);
    let share = |name: &str| of(&second, "process.cpu.utilization", name);
    assert_eq!((share("old"), share("new")), (Some(0.1), Some(0.05)), "{second:?}");
    // Another process of the same id is no fall.
    std::fs::remove_dir_all(dir.path().join("proc/9")).unwrap();
    machine(dir.path(), "120.00 1.0\n", &[(1, b"old", 'S', 0, hertz, 11_500)]);
    let third = watched.look(&fs);
    assert_eq!(of(&third, "process.cpu.utilization", "old"), Some(0.025), "{third:?}");
}

#[test]
fn what_a_process_wrote_is_seen_when_it_has_used_cpu_and_none_of_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut watched, fs) = (Watched::new(), FsRoot::new(dir.path()));
    let mut look = |uptime: &str, ticks: u64, written: u64| {
        machine(dir.path(), uptime, &[(1, b"writer", 'S', 0, ticks, 5)]);
        let io = format!("read_bytes: 0\nwrite_bytes: {written}\ncancelled_write_bytes: 0\n");
        std::fs::write(dir.path().join("proc/1/io"), io).unwrap();
        let all = watched.look(&fs);
        let mut written = all.iter().filter(|(key, _)| key.contains("direction=write"));
        written.next().map(|(_, value)| *value)
    };
    assert_eq!(look("100.00 1.0\n", 7, 1_000), Some(0.0), "what was before nobody knows");
    assert_eq!(look("110.00 1.0\n", 8, 1_500), Some(500.0));
    assert_eq!(look("120.00 1.0\n", 8, 1_600), Some(500.0), "it is not asked while it sleeps");
    assert_eq!(look("130.00 1.0\n", 9, 1_700), Some(700.0));
    assert_eq!(look("140.00 1.0\n", 9, 1_800), Some(700.0));
    assert_eq!(look("150.00 1.0\n", 9, 1_800), Some(700.0));
    assert_eq!(look("160.00 1.0\n", 9, 1_800), Some(800.0), "but once a minute it is");
}

#[test]
fn this_very_process_is_counted() {
    let mut watched = Watched::new();
    let samples = watched.look(&FsRoot::real());
    let total: f64 = samples.iter().filter(|(key, _)| key.starts_with("system.process.count")).map(|(_, v)| v).sum();
    assert!(total >= 1.0, "{samples:?}");
    assert!(samples.iter().any(|(key, bytes)| key.starts_with("process.memory.usage") && *bytes > 0.0), "{samples:?}");
    assert!(!samples.keys().any(|key| key.starts_with("process.cpu")), "no share before a second look");
    let mine = &watched.processes.known[&std::process::id()];
    assert!(matches!(mine.files, Answer::Known(files) if files > 0), "{:?}", mine.files);
    assert!(mine.io != Answer::Refused, "one's own I/O is told: {:?}", mine.io);
    let later = watched.look(&FsRoot::real());
    assert!(later.keys().any(|key| key.starts_with("process.cpu.utilization")), "{later:?}");
    assert!(!samples.keys().any(|key| key.contains("pid")), "{samples:?}");
}
