use super::*;
use crate::collect::fixtures::Trees;
use crate::collect::sink::Sink;
use crate::host::FsRoot;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A tree of cgroups that a test makes and alters.
struct Host {
    dir: tempfile::TempDir,
    root: &'static str,
    numbers: std::sync::Arc<crate::collect::fixtures::Numbers>,
    sink: Sink,
    names: HashMap<holdfast_core::model::SeriesId, String>,
}

impl Host {
    fn new(root: &'static str) -> Self {
        let numbers = std::sync::Arc::new(crate::collect::fixtures::Numbers::default());
        let host = Self {
            dir: tempfile::tempdir().unwrap(),
            root,
            numbers: numbers.clone(),
            sink: Sink::new(numbers),
            names: HashMap::new(),
        };
        host.write("", "cgroup.controllers", "cpu io memory pids\n");
        host
    }

    fn path(&self, cgroup: &str) -> std::path::PathBuf {
        self.dir.path().join(&self.root[1..]).join(cgroup)
    }

    fn write(&self, cgroup: &str, file: &str, text: &str) {
        std::fs::create_dir_all(self.path(cgroup)).unwrap();
        std::fs::write(self.path(cgroup).join(file), text).unwrap();
    }

    fn cpu(&self, cgroup: &str, user_s: u64) {
        let us = user_s * 1_000_000;
        self.write(cgroup, "cpu.stat", &format!("usage_usec {us}\nuser_usec {us}\nsystem_usec 0\n"));
    }

    fn read(&mut self, collector: &mut Cgroup) -> BTreeMap<String, f64> {
        let fs = FsRoot::new(self.dir.path());
        let mut context = Context { fs: &fs, text: &mut String::new(), sink: &mut self.sink };
        collector.collect(&mut context).unwrap();
        let batch = self.sink.take(holdfast_core::model::Timestamp::from_secs(0));
        self.names.extend(batch.new_series.iter().map(|(id, key)| (*id, key.to_string())));
        batch.samples.iter().map(|(id, value)| (self.names[id].clone(), *value)).collect()
    }

    /// As after a restart of the agent: what was stored last is known, and nothing else.
    fn restart(&mut self, stored: &BTreeMap<String, f64>) -> Cgroup {
        let lasts = stored.iter().filter_map(|(name, value)| {
            let id = self.names.iter().find(|(_, known)| *known == name)?.0;
            Some((*id, *value))
        });
        self.numbers.1.lock().unwrap().extend(lasts);
        self.sink = Sink::new(self.numbers.clone());
        collector()
    }

    /// As after a minute: the tree is walked again.
    fn read_anew(&mut self, collector: &mut Cgroup) -> BTreeMap<String, f64> {
        collector.runs = 0;
        self.read(collector)
    }
}

fn collector() -> Cgroup {
    Cgroup::new(Duration::from_secs(10), 64, 64)
}

fn user(unit: &str) -> String {
    format!("holdfast.unit.cpu.time{{cpu.mode=user,holdfast.unit.name={unit}}}")
}

#[test]
fn a_unit_tells_all_that_its_controllers_know() {
    let mut host = Host::new("/sys/fs/cgroup");
    let unit = "system.slice/nginx.service";
    host.cpu(unit, 7);
    for (file, text) in [
        ("memory.current", "4096\n"),
        ("memory.peak", "8192\n"),
        ("memory.events", "low 0\noom_kill 2\n"),
        ("io.stat", "254:0 rbytes=10 wbytes=20 rios=1 wios=2\n"),
        ("pids.current", "5\n"),
        ("memory.pressure", "some avg10=0.00 total=1500000\nfull avg10=0.00 total=500000\n"),
    ] {
        host.write(unit, file, text);
    }
    let samples = host.read(&mut collector());
    assert_eq!(samples[&user("nginx.service")], 7.0);
    let of =
        |name: &str| samples[&format!("holdfast.unit.{name},holdfast.unit.name=nginx.service}}").replace("{,", "{")];
    assert_eq!((of("memory.usage{"), of("memory.peak{"), of("memory.oom_kills{")), (4096.0, 8192.0, 2.0));
    assert_eq!((of("disk.io{disk.io.direction=write"), of("tasks{")), (20.0, 5.0));
    let stall = "holdfast.unit.pressure.stall_time{holdfast.pressure.kind=some,holdfast.pressure.resource=memory,holdfast.unit.name=nginx.service}";
    assert_eq!(samples[stall], 1.5);
    assert!(!samples.keys().any(|key| key.contains("resource=io")), "no file, no series: {samples:?}");
    assert!(!samples.keys().any(|key| key.contains("throttled")), "no quota, no series: {samples:?}");
}

#[test]
fn on_a_hybrid_host_the_unified_tree_is_read() {
    let mut host = Host::new("/sys/fs/cgroup/unified");
    host.cpu("system.slice/cron.service", 3);
    std::fs::create_dir_all(host.dir.path().join("sys/fs/cgroup/memory/system.slice")).unwrap();
    assert_eq!(host.read(&mut collector())[&user("cron.service")], 3.0);
}

#[test]
fn containers_have_the_names_of_the_conventions() {
    let mut host = Host::new("/sys/fs/cgroup");
    host.cpu(&format!("system.slice/docker-{ID}.scope"), 4);
    host.write(&format!("system.slice/docker-{ID}.scope"), "memory.current", "100\n");
    host.cpu(&format!("system.slice/docker-{ID}.scope/init.scope"), 1);
    let samples = host.read(&mut collector());
    let attributes = "container.id=0123456789ab,container.runtime.name=docker";
    assert_eq!(samples[&format!("container.cpu.time{{{attributes},cpu.mode=user}}")], 4.0);
    assert_eq!(samples[&format!("container.memory.usage{{{attributes}}}")], 100.0);
    assert!(!samples.contains_key(&user("init.scope")), "what runs in a container is no unit of the host: {samples:?}");
}

#[test]
fn sessions_count_together_and_one_that_ends_takes_nothing_away() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = collector();
    let session = |number: u32| format!("user.slice/user-0.slice/session-{number}.scope");
    host.cpu(&session(1), 10);
    host.cpu(&session(2), 5);
    assert_eq!(host.read(&mut all)[&user("session-*.scope")], 15.0);
    std::fs::remove_dir_all(host.path(&session(1))).unwrap();
    host.cpu(&session(2), 6);
    assert_eq!(host.read(&mut all)[&user("session-*.scope")], 16.0);
    host.cpu(&session(3), 2);
    assert_eq!(host.read_anew(&mut all)[&user("session-*.scope")], 18.0);
}

#[test]
fn a_unit_that_was_started_again_goes_on_counting() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = collector();
    host.cpu("system.slice/app.service", 100);
    host.read(&mut all);
    host.cpu("system.slice/app.service", 1);
    assert_eq!(host.read(&mut all)[&user("app.service")], 101.0, "no step back, and no spike");
}

#[test]
fn a_restart_of_the_agent_is_no_step_back_and_no_spike_either() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = collector();
    host.cpu("system.slice/app.service", 10_000);
    host.write("system.slice/app.service", "memory.current", "9000\n");
    host.read(&mut all);
    host.cpu("system.slice/app.service", 4_000);
    let stored = host.read(&mut all);
    assert_eq!(stored[&user("app.service")], 14_000.0);
    host.cpu("system.slice/app.service", 4_001);
    host.write("system.slice/app.service", "memory.current", "10\n");
    let mut all = host.restart(&stored);
    let first = host.read(&mut all);
    assert_eq!(first[&user("app.service")], 14_000.0, "what it used meanwhile is not known: no increase");
    assert_eq!(first["holdfast.unit.memory.usage{holdfast.unit.name=app.service}"], 10.0, "a level is as it is");
    host.cpu("system.slice/app.service", 4_003);
    let next = host.read(&mut all);
    assert_eq!(next[&user("app.service")], 14_002.0);
    // A unit that lived through it goes on as the kernel counts.
    host.cpu("system.slice/app.service", 20_000);
    let mut all = host.restart(&next);
    assert_eq!(host.read(&mut all)[&user("app.service")], 20_000.0);
}

#[test]
fn with_too_many_units_the_busiest_have_series_and_the_rest_is_counted() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = Cgroup::new(Duration::from_secs(10), 2, 64);
    for (unit, user_s) in [("a", 1), ("b", 50), ("c", 3), ("d", 40)] {
        host.cpu(&format!("{unit}.service"), user_s);
    }
    let samples = host.read(&mut all);
    assert!(samples.contains_key(&user("b.service")) && samples.contains_key(&user("d.service")), "{samples:?}");
    let left_out = |samples: &BTreeMap<String, f64>| samples["holdfast.collect.left_out{holdfast.collect.kind=unit}"];
    assert_eq!((samples.contains_key(&user("a.service")), left_out(&samples)), (false, 2.0));
    // Who has series keeps them until another uses twice as much.
    host.cpu("b.service", 60);
    host.cpu("c.service", 18);
    host.cpu("d.service", 50);
    let samples = host.read_anew(&mut all);
    assert!(samples.contains_key(&user("b.service")) && samples.contains_key(&user("d.service")), "{samples:?}");
    host.cpu("c.service", 48);
    host.cpu("b.service", 61);
    assert!(host.read_anew(&mut all).contains_key(&user("c.service")));
}

#[test]
fn a_unit_that_was_left_out_for_a_while_goes_on_counting() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = Cgroup::new(Duration::from_secs(10), 1, 64);
    host.cpu("a.service", 1_000);
    host.cpu("b.service", 10);
    host.read(&mut all);
    host.cpu("a.service", 5);
    assert_eq!(host.read(&mut all)[&user("a.service")], 1_005.0, "started again");
    host.cpu("b.service", 300);
    assert_eq!(host.read_anew(&mut all).get(&user("a.service")), None);
    host.cpu("b.service", 301);
    host.cpu("a.service", 900);
    let back = host.read_anew(&mut all);
    assert_eq!(back.get(&user("a.service")), Some(&1_900.0), "neither a step back nor its whole life once more");
    // Gone and made anew under its old name: as the kernel counts.
    assert_eq!(all.resting.len(), 1);
    std::fs::remove_dir_all(host.path("b.service")).unwrap();
    host.read_anew(&mut all);
    assert_eq!(all.resting.len(), 0);
}

#[test]
fn a_cgroup_more_or_less_is_noticed_at_once() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = collector();
    host.cpu("a.service", 1);
    host.write("", "cgroup.stat", "nr_descendants 1\n");
    host.read(&mut all);
    host.cpu("b.service", 1);
    assert!(!host.read(&mut all).contains_key(&user("b.service")));
    host.write("", "cgroup.stat", "nr_descendants 2\n");
    assert!(host.read(&mut all).contains_key(&user("b.service")));
}

#[test]
fn a_controller_that_is_turned_on_later_is_noticed() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = collector();
    host.cpu("a.service", 1);
    host.read(&mut all);
    host.write("a.service", "pids.current", "9\n");
    let tasks = "holdfast.unit.tasks{holdfast.unit.name=a.service}";
    assert_eq!(host.read_anew(&mut all).get(tasks), Some(&9.0));
}

#[test]
fn a_file_that_was_missing_for_a_while_makes_no_spike() {
    let mut host = Host::new("/sys/fs/cgroup");
    let mut all = collector();
    host.cpu("a.service", 1);
    let io = |bytes: u64| format!("8:0 rbytes={bytes} wbytes=0 rios=0 wios=0\n");
    host.write("a.service", "io.stat", &io(1_000));
    host.read(&mut all);
    std::fs::remove_file(host.path("a.service").join("io.stat")).unwrap();
    let read = "holdfast.unit.disk.io{disk.io.direction=read,holdfast.unit.name=a.service}";
    assert_eq!(host.read_anew(&mut all).get(read), None, "absent, not as it was");
    host.write("a.service", "io.stat", &io(1_010));
    assert_eq!(host.read_anew(&mut all).get(read), Some(&1_010.0), "not what was counted before once more");
}

#[test]
fn one_broken_cgroup_does_not_hide_the_others() {
    let mut host = Host::new("/sys/fs/cgroup");
    host.cpu("a.service", 1);
    host.cpu("b.service", 2);
    host.write("a.service", "pids.current", "many\n");
    let mut all = collector();
    let samples = host.read(&mut all);
    assert_eq!(samples.get(&user("b.service")), Some(&2.0));
    assert!(!samples.contains_key(&user("a.service")), "half a reading is none: {samples:?}");
    let fs = FsRoot::new(host.dir.path());
    let mut context = Context { fs: &fs, text: &mut String::new(), sink: &mut host.sink };
    let reading = all.collect(&mut context).unwrap();
    assert!(matches!(reading, Reading::Partial { why } if why.contains("a.service") && why.contains("pids.current")));
}

#[test]
fn a_host_whose_cgroups_are_nobodys_is_absent() {
    let host = Host::new("/sys/fs/cgroup");
    std::fs::create_dir_all(host.path("some-directory")).unwrap();
    let (fs, mut sink) = (FsRoot::new(host.dir.path()), host.sink);
    let mut context = Context { fs: &fs, text: &mut String::new(), sink: &mut sink };
    assert!(matches!(collector().collect(&mut context).unwrap(), Reading::Absent { .. }));
    assert!(sink.take(holdfast_core::model::Timestamp::from_secs(0)).samples.is_empty());
}

#[test]
fn a_host_without_the_second_version_is_absent_not_empty() {
    let (reading, samples) = Trees::of("bare").read(&mut collector(), 1).unwrap();
    assert!(matches!(reading, Reading::Absent { why } if why.contains("version 2")));
    assert!(samples.is_empty());
}

#[test]
fn this_machine_can_be_read_with_files_that_stay_open() {
    let fs = FsRoot::real();
    let mut sink = Sink::new(std::sync::Arc::new(crate::collect::fixtures::Numbers::default()));
    let mut all = collector();
    for _ in 0..2 {
        let mut context = Context { fs: &fs, text: &mut String::new(), sink: &mut sink };
        all.collect(&mut context).unwrap();
    }
}
