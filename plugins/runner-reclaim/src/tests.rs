//! Every file in `tables/` is a runner's tree with ages, what runs, how full the disk is, and what may go.
//!
//! The host's walk is played over the listing; grouping, judging and choosing are the real ones.

use std::fs;
use std::path::Path;

use holdfast_plugin_sdk::host::files::Metadata;
use holdfast_plugin_sdk::host::processes::Process;
use holdfast_plugin_sdk::{Severity, subject};

use super::*;

const NOW: u64 = 1_800_000_000_000_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    #[expect(dead_code, reason = "for people")]
    story: String,
    /// Free and total.
    disk: (String, String),
    #[serde(default)]
    rule: Option<String>,
    /// `age path`, `age size path`, `age link path` …; directories need not be listed.
    tree: Vec<String>,
    /// `name age command line`
    #[serde(default)]
    processes: Vec<String>,
    /// Paths of the plan, in order.
    removes: Vec<String>,
    /// Parts of reasons why others stay.
    #[serde(default)]
    keeps: Vec<String>,
}

fn settings() -> Settings {
    let manifest: toml::Table = include_str!("../plugin.toml").parse().unwrap();
    serde_json::from_value(serde_json::to_value(&manifest["settings"]).unwrap()).unwrap()
}

fn ago(age: &str) -> u64 {
    NOW - Span::parse(age).unwrap().0
}

fn entry(line: &str) -> Entry {
    let words: Vec<&str> = line.split(' ').collect();
    let (age, what, path) = (words[0], words[1], words[2]);
    let (kind, size, nlink) = match what {
        "dir" => (Kind::Directory, 4096, 2),
        "link" => (Kind::Symlink, 10, 1),
        "socket" => (Kind::Other, 0, 1),
        "shared" => (Kind::File, 1 << 30, 2),
        size => (Kind::File, Bytes::parse(size).unwrap().0, 1),
    };
    let at = ago(age);
    let metadata =
        Metadata { kind, size, mode: 0o644, uid: 1, gid: 1, nlink, mtime: at, ctime: at, inode: 1, device: 7 };
    Entry { path: path.to_owned(), metadata, link_target: None, digest: None }
}

fn process(line: &str) -> Process {
    let mut words = line.split(' ');
    let (name, age) = (words.next().unwrap(), words.next().unwrap());
    Process {
        pid: 42,
        started: ago(age),
        ppid: 1,
        uid: 1,
        name: name.to_owned(),
        cmdline: words.map(str::to_owned).collect(),
        exe: None,
        exe_deleted: false,
        rss: 0,
        cpu_seconds: 0.0,
        unit: None,
    }
}

/// Groups of a listing, as `measure` would find them.
fn groups(settings: &Settings, roots: &[HostPath], tree: &[Entry]) -> Vec<Measured> {
    let mut groups: Vec<Measured> = Vec::new();
    for entry in tree {
        let Some((root, below)) = roots.iter().find_map(|root| Some((root, root.below(&entry.path)?))) else {
            continue;
        };
        let mut path = String::new();
        for name in below.split('/') {
            path = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            match place(&path, &settings.groups, &settings.never) {
                Place::OnTheWay => {}
                Place::Neither | Place::Never => break,
                Place::Group => {
                    let path = format!("{root}/{path}");
                    if !groups.iter().any(|group| group.path == path) {
                        groups.push(Measured { path: path.clone(), ..Measured::default() });
                    }
                    let group = groups.iter_mut().find(|group| group.path == path).unwrap();
                    group.add(entry, 7, &settings.markers);
                    break;
                }
            }
        }
    }
    groups
}

fn finding(rule: &str) -> Finding {
    Finding {
        id: "x".to_owned(),
        rule: rule.to_owned(),
        title: "x".to_owned(),
        severity: Severity::High,
        confidence: 1.0,
        subject: subject("filesystem", "/home"),
        expected: None,
        observed: None,
        evidence: vec![],
        references: vec![],
    }
}

fn run(case: &Case) {
    let plugin = RunnerReclaim::configure(Context { run_id: "r".into(), host_id: "h".into() }, settings()).unwrap();
    let rule = case.rule.as_deref().unwrap_or("disk.full");
    let bytes = |text: &str| Bytes::parse(text).unwrap().0;
    let space = Space { free: bytes(&case.disk.0), total: bytes(&case.disk.1) };
    let least = if rule == "disk.filling" { plugin.settings.filling_frees.0 } else { 0.0 };
    let needed = space.needed(plugin.settings.target_free.0, least);
    let tree: Vec<Entry> = case.tree.iter().map(|line| entry(line)).collect();
    let running: Vec<Process> = case.processes.iter().map(|line| process(line)).collect();
    let (mut free_to_go, mut kept) = (Vec::new(), Vec::new());
    for group in groups(&plugin.settings, &plugin.roots, &tree) {
        match live::keeps(&group, &running, &plugin.settings.workers, NOW, plugin.settings.keep_newer_than.0) {
            Some(why) => kept.push(format!("{}: {why}", group.path)),
            None => free_to_go.push(group),
        }
    }
    let chosen = choose(free_to_go, needed, Caps { entries: 200, files: 90_000, bytes: 40 << 30 });
    let facts =
        plan::Facts { roots: &plugin.roots, chosen: &chosen, kept: &kept, unmeasured: 0, space, needed, now_ns: NOW };
    let plan = plan::write(&finding(rule), &facts).unwrap();
    let mut removed = Vec::new();
    for step in plan.iter().flat_map(Plan::steps) {
        assert_eq!(step.capability(), "path.reclaim");
        assert!(step.side_effects().iter().any(|effect| effect == "This cannot be undone."));
        let root = HostPath::new(step.text_arg("root").unwrap()).unwrap();
        for text in step.texts_arg("entries") {
            let entry: serde_json::Value = serde_json::from_str(text).unwrap();
            let path = entry["path"].as_str().unwrap();
            assert!(root.below(path).is_some());
            let inside = tree.iter().filter(|it| it.path == path || it.path.starts_with(&format!("{path}/")));
            let files: Vec<&Entry> = inside.filter(|it| it.metadata.kind == Kind::File).collect();
            assert_eq!(entry["files"], files.len());
            assert_eq!(entry["bytes"], files.iter().map(|it| it.metadata.size).sum::<u64>());
            assert!(files.iter().all(|it| it.metadata.mtime <= entry["newest-change-ns"].as_u64().unwrap()));
            removed.push(path.to_owned());
        }
    }
    assert_eq!(removed, case.removes, "kept: {kept:#?}");
    let kept = kept.join("\n");
    for part in &case.keeps {
        assert!(kept.contains(part.as_str()), "`{part}` is not in:\n{kept}");
    }
}

#[test]
fn every_runner_keeps_what_is_needed_and_loses_the_oldest_of_the_rest() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables")).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{error}")));
        count += 1;
    }
    assert!(count >= 9, "{count} cases");
}

#[test]
fn a_directory_on_the_way_to_groups_is_never_one() {
    let settings = settings();
    for (path, wanted) in [
        ("shop", Place::Group),
        ("shop/src", Place::Neither),
        ("_tool", Place::OnTheWay),
        ("_tool/node", Place::OnTheWay),
        ("_tool/node/18", Place::Group),
        ("_actions/actions/checkout", Place::OnTheWay),
        ("_actions/actions/checkout/v4", Place::Group),
        ("_temp", Place::OnTheWay),
        ("_temp/x", Place::Group),
        ("_update", Place::Never),
        ("_PipelineMapping/a", Place::Never),
    ] {
        assert_eq!(place(path, &settings.groups, &settings.never), wanted, "{path}");
    }
}

#[test]
fn a_link_a_socket_and_another_file_system_are_not_for_us() {
    let odd = |line: &str, device: u64| {
        let entry = entry(line);
        let mut group = Measured { path: "/w/a".to_owned(), ..Measured::default() };
        group.add(&entry, device, &[]);
        group.odd
    };
    assert!(odd("9d link /w/a", 7).is_some_and(|why| why.contains("symbolic link")));
    assert_eq!(odd("9d link /w/a/b", 7), None, "a link inside is removed as a link");
    assert!(odd("9d socket /w/a/s", 7).is_some_and(|why| why.contains("socket")));
    assert!(odd("9d 1MiB /w/a/f", 8).is_some_and(|why| why.contains("another file system")));
}

#[test]
fn settings_that_could_remove_too_much_are_refused() {
    let refused = |settings: Settings| {
        let context = Context { run_id: "r".into(), host_id: "h".into() };
        RunnerReclaim::configure(context, settings).err().map(|error| format!("{error:?}")).unwrap_or_default()
    };
    let with_roots = |roots: &[&str]| Settings { roots: roots.iter().map(|r| (*r).to_owned()).collect(), ..settings() };
    assert!(refused(with_roots(&["/"])).contains("below /"));
    assert!(refused(with_roots(&["work"])).contains("absolute"));
    assert!(refused(with_roots(&["/w", "/w/a"])).contains("another root"));
    assert!(refused(Settings { groups: vec!["**".to_owned()], ..settings() }).contains("one name"));
    assert_eq!(refused(settings()), "");
}

#[test]
fn only_file_systems_that_lack_bytes_are_ours() {
    let mut full = finding("disk.full");
    assert_eq!(mount(&full).unwrap(), "/home");
    full.evidence.push(holdfast_plugin_sdk::evidence("filesystem.inodes_used_share", 1.0));
    assert!(mount(&full).is_err());
    assert!(mount(&Finding { subject: subject("unit", "a"), ..finding("unit.failed") }).is_err());
}
