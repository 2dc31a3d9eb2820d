//! Commands against a served world: what they print, as text and as JSON, and how they end.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use clap::Parser;

use super::args::{Cli, Format};
use super::out::Out;
use crate::api::tests::world::{self, Served, World};
use crate::host::FakeClock;

#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command line; gives what it printed, then how it ended.
fn run(served: &Served, line: &str) -> String {
    let arguments = ["holdfast", "--socket", served.socket.to_str().unwrap()].into_iter().chain(line.split(' '));
    let cli = Cli::try_parse_from(arguments).unwrap();
    let buffer = Buffer::default();
    let out = Out::captured(buffer.clone(), cli.global.format, FakeClock::at(world::now()));
    let end = match super::cmd::run(cli, out) {
        Ok(code) => format!("exit {code}"),
        Err(failure) => {
            let hint = failure.hint.map(|h| format!("\nhint: {h}")).unwrap_or_default();
            format!("error: {}{hint}\nexit {}", failure.message, failure.code)
        }
    };
    let text = String::from_utf8(buffer.0.borrow().clone()).unwrap();
    format!("{text}{end}")
}

fn code(served: &Served, line: &str) -> String {
    run(served, line).lines().last().unwrap_or_default().to_owned()
}

/// Each command's text and JSON are a snapshot of their own.
macro_rules! printed {
    ($($name:ident: $line:expr;)*) => {
        $(#[test]
        fn $name() {
            let served = World::new().serve();
            let line: String = $line.into();
            insta::assert_snapshot!(concat!(stringify!($name), "_text"), run(&served, &line));
            insta::assert_snapshot!(concat!(stringify!($name), "_json"), run(&served, &format!("{line} --format json")));
        })*
    };
}

printed! {
    status: "status";
    metrics_list: "metrics list";
    metrics_query: "metrics query system.memory.utilization --where system.memory.state=used --since 10m --step 2m --agg avg";
    metrics_query_across: "metrics query system.memory.utilization --since 10m --step 5m --across sum";
    changes: "changes";
    findings_list: "findings";
    findings_show: format!("findings show {}", world::finding_id());
    findings_show_drift: format!("findings show {}", world::drift_id());
    findings_label: format!("findings label {} false-positive --note planned", world::finding_id());
    findings_unlabel: format!("findings unlabel {} --note planned", world::finding_id());
    findings_labels: "findings labels";
    findings_show_suppressed: format!("findings show {}", world::suppressed_id());
    findings_list_suppressed: "findings list --suppressed";
    policy_explain_suppressed: format!("policy explain {}", world::suppressed_id());
    findings_episodes: "findings episodes";
    tune_show: "tune show --all";
    tune_set: "tune set sustained=\"2m\" --reason nervous";
    tune_revert: "tune revert --reason quiet";
    tune_propose: "tune propose --since 10m";
    incidents_list: "incidents list";
    incidents_show: format!("incidents show {}", world::incident_id());
    remediations_list: "remediations list";
    remediations_show_waiting: format!("remediations show {}", world::waiting_id());
    remediations_show_done: format!("remediations show {}", world::done_id());
    simulate: format!("simulate {}", world::waiting_id());
    approve: format!("approve {} --note fine", world::waiting_id());
    undo: format!("undo {} --wait", world::done_id());
    pause: "pause --reason maintenance";
    resume: "resume";
    baseline_diff: "baseline diff";
    baseline_verify: "baseline verify";
    baseline_accept: "baseline accept /etc/web.conf --reason agreed";
    baseline_list: "baseline list";
    baseline_restore: "baseline restore 1 --reason broken";
    deploy_start: "deploy start --service web --version 1.2 --release-dir /srv/web";
    deploy_list: "deploy list";
    deploy_show: "deploy show web-1.2";
    plugin_list: "plugin list";
    plugin_run: "plugin run release-verify";
    plugin_lift_quarantine: "plugin lift-quarantine release-verify --reason mended";
    audit_list: "audit list";
    audit_verify: "audit verify";
    audit_export: "audit export";
    policy_explain: format!("policy explain {}", world::decision_id());
    gate: "gate --deployment web-1.2";
    data_export: "data export --where system.memory.state=used --since 30s";
    data_purge: "data purge --where system.memory.state=used --reason asked --yes";
    data_purge_asks: "data purge --where system.memory.state=used --reason asked";
    data_quality: "data quality --all";
    data_lineage: format!("data lineage {}", world::finding_id());
}

#[test]
fn a_subject_of_which_nothing_is_stored_does_not_look_like_one_that_was_dealt_with() {
    let served = World::new().serve();
    for line in ["data export --where enduser.id=nobody", "data purge --where enduser.id=nobody --reason asked"] {
        assert_eq!(run(&served, line), "exit 1", "{line}");
    }
    let nothing = super::view::data::purged(&crate::answers::PurgeAnswer::default());
    assert!(nothing.starts_with("Nothing was forgotten"), "{nothing}");
}

#[test]
fn retention_is_told_in_words_and_as_a_document() {
    let served = World::new().serve();
    let text = run(&served, "data retention");
    for wanted in [
        "room is made of changes",
        "samples",
        "hours",
        "changes: the oldest is deleted",
        "findings",
        "Accepted contents of files: ",
        "exit 0",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let json = run(&served, "data retention --format json");
    let plan: crate::api::wire::RetentionDocument = serde_json::from_str(json.strip_suffix("exit 0").unwrap()).unwrap();
    let telemetry = &plan.telemetry;
    assert!(telemetry.records[0].count > 0 && telemetry.tiers[0].from.is_some(), "{plan:?}");
    let findings = plan.state.iter().find(|it| it.class == "findings").unwrap();
    assert!(findings.count > 0 && findings.kept_for.0 == std::time::Duration::from_hours(400 * 24), "{findings:?}");
}

#[test]
fn a_plot_is_drawn() {
    let served = World::new().serve();
    let line = "metrics query system.memory.utilization --where system.memory.state=used --since 10m --plot";
    insta::assert_snapshot!(run(&served, line));
}

#[test]
fn exit_codes_are_as_the_interfaces_say() {
    let served = World::new().serve();
    let rem = world::waiting_id();
    for (line, expected) in [
        ("status".to_owned(), "exit 0"),
        ("findings show fnd_00000000000000000000000000000000".to_owned(), "exit 2"),
        (format!("approve {rem} --digest 000000000000"), "exit 1"),
        (format!("approve {rem} --digest 12"), "exit 2"),
        (format!("approve {rem} --wait 0s"), "exit 6"),
        (format!("reject {rem}"), "exit 0"),
        (format!("simulate {}", world::done_id()), "exit 2"),
        ("baseline verify".to_owned(), "exit 1"),
        ("baseline capture".to_owned(), "exit 1"),
        ("plugin run release-verify".to_owned(), "exit 1"),
        ("metrics query none".to_owned(), "exit 2"),
    ] {
        assert_eq!(code(&served, &line), expected, "{line}: {}", run(&served, &line));
    }
}

#[test]
fn a_policy_with_a_mistake_is_shown_with_its_place() {
    let served = World::new().serve();
    let dir = served.world.dir.path().join("policy.d");
    std::fs::create_dir(&dir).unwrap();
    let empty = run(&served, &format!("policy check {}", dir.display()));
    assert!(empty.contains("no policy file") && empty.ends_with("exit 2"), "{empty}");
    std::fs::write(dir.join("web.toml"), "[[rule]]\nname = \"a\"\nmodus = \"auto\"\n").unwrap();
    insta::assert_snapshot!(run(&served, &format!("policy check {}", dir.display())));
    let replayed = code(&served, &format!("policy replay --since 1h --policy {}", dir.display()));
    assert_eq!(replayed, "exit 2");
}

#[test]
fn the_cases_of_a_policy_are_tested_and_each_failure_says_why() {
    let served = World::new().serve();
    let dir = served.world.dir.path().join("policy.d");
    std::fs::create_dir(&dir).unwrap();
    let rule = "[[rule]]\nname = \"restart\"\non = [\"unit.failed\"]\nplugin = \"unit-medic\"\nmode = \"approve\"\n";
    std::fs::write(dir.join("web.toml"), rule).unwrap();
    let line = format!("policy test {}", dir.display());
    assert_eq!(code(&served, &line), "exit 3", "without a case there is nothing to say: {}", run(&served, &line));
    let case = |name: &str, wanted: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nfinding = {{ kind = \"unit.failed\", unit = \"web.service\" }}\n\
             plan = {{ risk = \"low\" }}\nexpect = {{ rule = \"{wanted}\" }}\n"
        )
    };
    std::fs::write(dir.join("web.test.toml"), case("a failed unit", "restart")).unwrap();
    assert_eq!(code(&served, &line), "exit 0", "{}", run(&served, &line));
    std::fs::write(dir.join("web.test.toml"), case("a failed unit", "restart") + &case("another", "reboot")).unwrap();
    insta::assert_snapshot!(run(&served, &line));
    // The same rules over this world's history: its stored inputs are not readable, and that is said.
    let replayed = run(&served, &format!("policy replay --since 1h --policy {}", dir.display()));
    assert!(
        replayed.contains("1 have inputs that this version cannot read") && replayed.ends_with("exit 3"),
        "{replayed}"
    );
}

#[test]
fn a_configuration_with_a_mistake_is_shown_with_its_place() {
    let served = World::new().serve();
    let path = served.world.dir.path().join("holdfast.toml");
    std::fs::write(&path, "[agent]\nsockets = \"/x\"\n").unwrap();
    let line = format!("config check --config {}", path.display());
    insta::assert_snapshot!(run(&served, &line).replace(path.to_str().unwrap(), "holdfast.toml"));
    std::fs::write(&path, "[agent]\nmode-ceiling = \"approve\"\n").unwrap();
    assert_eq!(code(&served, &line), "exit 0");
    let shown = run(&served, &format!("config show --config {}", path.display()));
    assert!(shown.contains("agent.mode-ceiling = \"approve\"") && shown.contains("holdfast.toml:2"), "{shown}");
}

#[test]
fn an_agent_that_is_not_there_is_said_so() {
    let mut served = World::new().serve();
    served.stop();
    let ended = run(&served, "status");
    let ended = ended.replace(served.socket.to_str().unwrap(), "SOCKET");
    insta::assert_snapshot!(ended);
}

#[test]
fn an_altered_audit_entry_is_named_online_and_offline() {
    let served = World::new().serve();
    let dir = served.world.dir.path();
    let db = rusqlite::Connection::open(dir.join("state.db")).unwrap();
    db.execute_batch("DROP TRIGGER audit_is_never_updated; UPDATE audit SET actor = 'nobody' WHERE seq = 2").unwrap();
    let online = run(&served, "audit verify");
    assert!(online.contains("entry 2 was altered") && online.ends_with("exit 1"), "{online}");
    assert_eq!(served.world.state().audit_head().unwrap().seq, 3);
    let offline = run(&served, &format!("audit verify --data-dir {}", dir.display()));
    // This world's key lies nowhere: offline there is nothing to verify with, and none is made.
    assert!(offline.contains("no audit key") && offline.ends_with("exit 2"), "{offline}");
    assert!(!dir.join("audit.key").exists());
    std::fs::write(dir.join("audit.key"), [7; 32]).unwrap();
    std::fs::set_permissions(dir.join("audit.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(&served, &format!("audit verify --data-dir {}", dir.display())), online);
}

#[test]
fn manual_pages_and_completions_are_made() {
    let served = World::new().serve();
    let dir = served.world.dir.path().join("man");
    assert_eq!(code(&served, &format!("man {}", dir.display())), "exit 0");
    let page = std::fs::read_to_string(dir.join("holdfast-findings-show.1")).unwrap();
    assert!(page.contains("fnd_"), "{page}");
    assert!(run(&served, "completions bash").contains("holdfast"));
}

#[test]
fn the_format_is_text_unless_asked_otherwise() {
    assert_eq!(Cli::try_parse_from(["holdfast", "status"]).unwrap().global.format, Format::Text);
}
