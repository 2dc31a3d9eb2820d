//! Each file in `tables/` is the kernel's tables of sockets, what is known, who holds the rest, and what must be said.

use std::fs;
use std::path::Path;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[expect(dead_code, reason = "for people")]
    story: String,
    #[serde(default)]
    tcp: String,
    #[serde(default)]
    tcp6: String,
    #[serde(default)]
    udp: String,
    #[serde(default)]
    known: Vec<String>,
    #[serde(default)]
    learned: Vec<String>,
    /// Whoever holds all that is new, for sure.
    #[serde(default)]
    holder: Option<Holder>,
    /// Processes that may, without it.
    #[serde(default)]
    candidates: Vec<Holder>,
    /// Titles, and the severity before each.
    expect: Vec<String>,
}

fn settings() -> Settings {
    let manifest: toml::Table = include_str!("../plugin.toml").parse().unwrap();
    serde_json::from_value(serde_json::to_value(&manifest["settings"]).unwrap()).unwrap()
}

fn watch(settings: Settings) -> Result<ListenerWatch, Error> {
    ListenerWatch::configure(Context { run_id: String::new(), host_id: String::new() }, settings)
}

#[test]
fn every_host_is_judged_as_its_story_says() {
    let mut count = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables")).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let case: Case = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let watch = watch(Settings { known: case.known, ..settings() }).unwrap();
        let memory = Memory { learned: case.learned, ..Memory::default() };
        let (mut open, mut news) = (BTreeMap::<String, Vec<Listener>>::new(), BTreeMap::new());
        for (text, protocol) in [(&case.tcp, "tcp"), (&case.tcp6, "tcp"), (&case.udp, "udp")] {
            for it in sockets::parse(text, protocol).unwrap().into_iter().filter(|it| watch.counts(it)) {
                let program = case.holder.as_ref().map(|holder| holder.name.as_str());
                if !memory.knows(&it) && !is_allowed(&watch.known, &it, program) {
                    let owner = match &case.holder {
                        Some(holder) => Owner::Surely(holder.clone()),
                        None => Owner::Likely(case.candidates.clone()),
                    };
                    news.insert(key(&it), News { since_ns: 1, owner });
                }
                open.entry(key(&it)).or_default().push(it);
            }
        }
        let said: Vec<String> = judge::judge(&open, &news)
            .iter()
            .map(|it| format!("{:?}: {}", it.finding().severity, it.finding().title).replace("Severity::", ""))
            .collect();
        assert_eq!(said, case.expect);
        count += 1;
    }
    assert!(count >= 8, "{count} cases");
}

#[test]
fn an_odd_line_is_named_and_a_pattern_that_is_none_is_refused() {
    assert!(sockets::parse("head\nnonsense\n", "tcp").unwrap_err().contains("line 2"));
    for bad in ["22", "tcp", "tcp/x", "tcp/9-1", "sctp/22", "tcp/70000"] {
        assert!(watch(Settings { known: vec![bad.into()], ..settings() }).is_err(), "{bad}");
    }
    assert!(watch(Settings { ephemeral: "all".into(), ..settings() }).is_err());
}

#[test]
fn what_is_learned_is_known_by_protocol_port_and_user() {
    let it = Listener { protocol: "tcp", address: [0, 0, 0, 0].into(), port: 22, uid: 0, inode: 1 };
    let mut memory = Memory::default();
    memory.learn(&it);
    memory.learn(&it);
    assert_eq!(memory.learned, ["tcp/22#0"]);
    assert!(memory.knows(&Listener { inode: 2, ..it.clone() }));
    assert!(!memory.knows(&Listener { uid: 1000, ..it.clone() }) && !memory.knows(&Listener { port: 23, ..it }));
    assert!(memory.is_learning(5, 10) && !memory.is_learning(10, 10));
}

#[test]
fn candidates_are_the_youngest_processes_of_the_user_and_no_threads_of_the_kernel() {
    let process = |pid: u32, uid: u32, rss: u64| Process {
        pid,
        started: u64::from(pid),
        ppid: 1,
        uid,
        name: format!("p{pid}"),
        cmdline: vec![],
        exe: None,
        exe_deleted: false,
        rss,
        cpu_seconds: 0.0,
        unit: None,
    };
    let all: Vec<Process> = (1..=9).map(|pid| process(pid, pid % 2, 1)).chain([process(99, 1, 0)]).collect();
    let names: Vec<String> = candidates(&all, 1).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["p9", "p7", "p5", "p3", "p1"]);
}
