//! Components and grants that change while the agent runs, and what is remembered of a plugin.

use super::*;

fn hostile() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/hostile.wasm")).unwrap()
}

/// The same bytes with another text of the same length in its manifest.
fn altered(mut component: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = component.windows(from.len()).rposition(|it| it == from.as_bytes()).unwrap();
    component[at..at + to.len()].copy_from_slice(to.as_bytes());
    component
}

fn newer() -> Vec<u8> {
    altered(hostile(), "version = \"3.1.0\"", "version = \"3.2.0\"")
}

impl Host {
    fn put(&self, component: &[u8]) {
        std::fs::write(self.path("plugins/hostile.wasm"), component).unwrap();
    }

    fn grant(&self, text: &str) {
        std::fs::write(self.path("plugins.d/hostile.toml"), text).unwrap();
    }
}

fn problems(found: &[PluginProblem]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn another_component_takes_the_place_of_the_old_one_and_its_books_go_on() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"nothing\"\n")));
    let (plugins, _) = host.load();
    plugins.check("hostile", run(), NOW).await.unwrap();
    let before = plugins.files();
    assert_eq!(plugins.look(), []);
    host.put(&newer());
    assert_ne!(plugins.files(), before);
    assert_eq!(plugins.look(), []);
    let status = plugins.list().remove(0);
    assert_eq!((status.version.as_str(), status.state.as_str(), status.calls), ("3.2.0", "ready", 1));
    let report = plugins.check("hostile", run(), NOW).await.unwrap();
    assert_eq!((report.detections.len(), plugins.list()[0].calls), (1, 2));
    let cost = plugins.list().remove(0);
    assert!(cost.last_memory_bytes.unwrap() > 0 && cost.last_cost_us.is_some(), "{cost:?}");
}

#[tokio::test]
async fn something_newer_that_is_broken_leaves_the_old_one_running_and_is_told() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"nothing\"\n")));
    let (plugins, _) = host.load();
    let whole = hostile();
    host.put(&whole[..whole.len() / 2]);
    let found = problems(&plugins.look());
    assert!(found.contains("is truncated") && found.contains("hostile 3.1.0 goes on"), "{found}");
    assert!(plugins.list()[0].update_refused.as_deref().unwrap().contains("is truncated"));
    assert!(plugins.check("hostile", run(), NOW).await.is_ok());
    host.put(&whole);
    assert_eq!(plugins.look(), []);
    assert_eq!(plugins.list()[0].update_refused, None);
}

/// Whatever keeps a grant from being what this component may do ends its calls; corrected, it is called again.
#[tokio::test]
async fn a_grant_that_cannot_be_read_or_is_not_for_what_runs_ends_its_calls_at_once() {
    let good = format!("{GRANT}\"nothing\"\n");
    let (off, other) =
        (format!("enabled = false\nmod = \"advise\"\n{good}"), format!("digest = \"{}\"\n{good}", "0".repeat(64)));
    for (bad, wanted) in [
        ("[read]\nfils = []\n", "unknown field `fils`"),
        (other.as_str(), "the grant is for the component with SHA-256 000"),
        ("[read]\nfiles = [\"/etc\"]\n", "does not ask for"),
        ("[settings]\nded = \"nothing\"\n", "the setting `ded` is unknown"),
        (off.as_str(), "unknown field `mod`"),
    ] {
        for component in [hostile(), b"damaged".to_vec()] {
            let host = Host::new();
            host.install("guests/hostile.wasm", Some(&good));
            let (plugins, _) = host.load();
            assert!(plugins.check("hostile", run(), NOW).await.is_ok());
            host.grant(bad);
            host.put(&component);
            let found = problems(&plugins.look());
            assert!(found.contains(wanted) && !found.contains("goes on"), "{found}");
            let error = plugins.check("hostile", run(), NOW).await.unwrap_err();
            assert!(matches!(error, PluginError::Refused { .. }), "{bad}: {error}");
            let status = plugins.list().remove(0);
            let why = status.reason.unwrap();
            assert_eq!((status.state.as_str(), status.version.as_str()), ("refused", "3.1.0"));
            assert!(why.contains("it is not called until its grant is corrected") && why.contains(wanted), "{why}");
            assert!(why.contains("plugins.d/hostile.toml"), "{why}");
            assert!(plugins.grant("hostile").is_none() && plugins.checks_of_kind("test.x").is_empty());
            let told: Vec<_> = plugins.take_changes().into_iter().map(|it| it.what).collect();
            assert_eq!(told, ["stopped"]);
            // Another look changes nothing, and what is corrected is called again.
            plugins.look();
            assert!(plugins.check("hostile", run(), NOW).await.is_err());
            host.put(&hostile());
            host.grant(&good);
            assert_eq!(plugins.look(), []);
            assert!(plugins.check("hostile", run(), NOW).await.is_ok());
            assert_eq!(plugins.list()[0].calls, 2, "its books go on");
        }
    }
}

#[tokio::test]
async fn a_refused_component_keeps_no_rights_that_the_operator_took_away() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"nothing\"\n")));
    let (plugins, _) = host.load();
    let whole = hostile();
    host.put(&whole[..whole.len() / 2]);
    host.grant(&format!("{GRANT}\"panic\"\n"));
    assert!(problems(&plugins.look()).contains("goes on"));
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::Call { .. })));
    std::fs::remove_file(host.path("plugins.d/hostile.toml")).unwrap();
    plugins.look();
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::NotGranted(_))));
}

#[tokio::test]
async fn another_grant_counts_from_the_next_call_and_without_one_there_is_no_next_call() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"nothing\"\n")));
    let (plugins, _) = host.load();
    host.grant(&format!("{GRANT}\"panic\"\n"));
    assert_eq!(plugins.look(), []);
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::Call { .. })));
    std::fs::remove_file(host.path("plugins.d/hostile.toml")).unwrap();
    assert_eq!(plugins.look(), []);
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::NotGranted(_))));
    std::fs::remove_file(host.path("plugins/hostile.wasm")).unwrap();
    plugins.look();
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::Unknown(_))));
}

#[tokio::test]
async fn an_upgrade_that_asks_for_more_waits_for_another_grant_also_after_a_restart() {
    let mut host = Host::new();
    let grant = format!("{GRANT}\"nothing\"\n");
    host.install("guests/hostile.wasm", Some(&grant));
    let (plugins, _) = host.load();
    host.keep(&plugins);
    host.put(&altered(newer(), "files = [\"/srv\", \"/proc\"]", "files = [\"/\", \"/proc/ab\"]"));
    let found = problems(&plugins.look());
    assert!(found.contains("version 3.2.0 asks for more than was granted before (wants.files /)"), "{found}");
    assert!(plugins.check("hostile", run(), NOW).await.is_ok(), "the old one goes on");
    let (restarted, found) = host.load();
    assert_eq!(restarted.list()[0].state, "refused");
    assert!(problems(&found).contains("asks for more"), "{}", problems(&found));
    host.grant(&format!("# 3.2.0 reviewed\n{grant}"));
    assert_eq!(restarted.look(), []);
    assert_eq!((restarted.list()[0].state.as_str(), restarted.list()[0].version.as_str()), ("ready", "3.2.0"));
}

#[tokio::test]
async fn quarantine_outlives_a_restart_and_a_person_can_lift_it() {
    let mut host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"panic\"\n")));
    let (plugins, _) = host.load();
    for _ in 0..3 {
        plugins.check("hostile", run(), NOW).await.unwrap_err();
    }
    host.keep(&plugins);
    let (restarted, _) = host.load();
    let status = restarted.list().remove(0);
    assert_eq!((status.state.as_str(), status.quarantines), ("quarantined", 1), "{status:?}");
    assert!(status.quarantined_until.is_some_and(|until| until > NOW));
    assert_eq!(restarted.detections(NOW)[0].presence, Presence::Present);
    assert_eq!((restarted.lift("hostile"), restarted.lift("nobody")), (Some(true), None));
    assert!(matches!(restarted.check("hostile", run(), NOW).await, Err(PluginError::Call { .. })));
    host.keep(&restarted);
    assert_eq!(host.load().0.list()[0].state, "ready");
    // Another component has done nothing yet.
    for _ in 0..3 {
        let _ = restarted.check("hostile", run(), NOW).await;
    }
    assert_eq!(restarted.list()[0].state, "quarantined");
    host.put(&newer());
    assert_eq!((restarted.look(), restarted.list()[0].state.as_str()), (vec![], "ready"));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rest_one_call_tries_again_however_many_wait() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(&format!("{GRANT}\"panic\"\n")));
    let (plugins, _) = host.load();
    let plugins = Arc::new(plugins);
    for _ in 0..3 {
        plugins.check("hostile", run(), NOW).await.unwrap_err();
    }
    host.clock.advance(Duration::from_mins(10));
    assert_eq!(plugins.list()[0].state, "on_trial");
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let plugins = Arc::clone(&plugins);
            tokio::spawn(async move { plugins.check("hostile", run(), NOW).await })
        })
        .collect();
    let (mut failed, mut rested) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Err(PluginError::Call { .. }) => failed += 1,
            Err(PluginError::Quarantined { .. }) => rested += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((failed, rested), (1, 7));
    host.clock.advance(Duration::from_mins(19));
    assert_eq!(plugins.list()[0].state, "quarantined", "the second rest is twice as long");
}

#[derive(Debug)]
struct NothingUnsigned;

impl Admission for NothingUnsigned {
    fn admit(&self, file: &Path, component: &[u8]) -> Result<bool, String> {
        assert!(file.ends_with("hostile.wasm") && component.starts_with(b"\0asm"));
        Err("it is not signed".to_owned())
    }
}

#[test]
fn what_is_not_admitted_is_never_compiled() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(""));
    let compiler = Compiler::Child {
        program: "/no such program".into(),
        limits: Confinement::default(),
        deadline: Duration::from_secs(1),
    };
    let options = PluginsOptions { compiler, admission: Arc::new(NothingUnsigned), ..host.options() };
    let (plugins, found) = Plugins::load(&options, host.sources()).unwrap();
    assert!(problems(&found).ends_with("it is not signed"), "{}", problems(&found));
    assert_eq!(plugins.list()[0].state, "refused");
}

#[test]
fn a_check_is_subscribed_to_kinds_and_who_only_proposes_is_not_run() {
    let host = Host::new();
    host.install("guests/hostile.wasm", Some(""));
    host.install("plugins/unit-medic.wasm", Some(""));
    let (plugins, _) = host.load();
    assert_eq!(plugins.checks_of_kind("test.rule"), ["hostile"]);
    assert_eq!(plugins.checks_of_kind("unit.failed"), [""; 0]);
    assert_eq!(plugins.subscribers("unit.failed"), ["unit-medic"]);
}

#[test]
fn who_can_say_nothing_any_more_is_told_apart_from_who_is_to_be_repaired() {
    let host = Host::new();
    let grant = format!("{GRANT}\"nothing\"\n");
    host.install("guests/hostile.wasm", Some(&grant));
    let (plugins, _) = host.load();
    let silent = |plugins: &Plugins| {
        plugins.look();
        plugins.silent("hostile")
    };
    assert_eq!(silent(&plugins), None);
    host.grant("[read]\nfils = []\n");
    assert_eq!(silent(&plugins), None, "refused for now, and to be repaired");
    host.grant(&format!("enabled = false\n{grant}"));
    assert!(silent(&plugins).unwrap().contains("is switched off"));
    std::fs::remove_file(host.path("plugins.d/hostile.toml")).unwrap();
    assert!(silent(&plugins).unwrap().contains("has no grant any more"));
    std::fs::remove_file(host.path("plugins/hostile.wasm")).unwrap();
    assert!(silent(&plugins).unwrap().contains("has been removed from this host"));
}

#[tokio::test]
async fn a_plugin_that_is_switched_off_is_listed_and_neither_called_nor_a_finding() {
    let host = Host::new();
    let grant = format!("{GRANT}\"panic\"\n");
    host.install("guests/hostile.wasm", Some(&grant));
    let (plugins, _) = host.load();
    for _ in 0..3 {
        let _ = plugins.check("hostile", run(), NOW).await;
    }
    let present = |plugins: &Plugins| plugins.detections(NOW)[0].presence == Presence::Present;
    assert!(present(&plugins), "it is quarantined");
    host.grant(&format!("enabled = false\n{grant}"));
    assert_eq!(plugins.look(), []);
    assert_eq!((plugins.list()[0].state.as_str(), present(&plugins)), ("disabled", false));
    assert!(matches!(plugins.check("hostile", run(), NOW).await, Err(PluginError::Disabled(_))));
    assert!(plugins.grant("hostile").is_none() && plugins.subscribers("test.x").is_empty());
    host.grant(&grant);
    assert_eq!(plugins.look(), []);
    assert_eq!(plugins.list()[0].state, "quarantined", "its past goes on");
    let told: Vec<_> = plugins.take_changes().into_iter().map(|it| it.what).collect();
    assert_eq!(told, ["disabled", "enabled"]);
    // A component that cannot be read does not keep the one before it in use.
    host.grant(&format!("enabled = false\n{grant}"));
    host.put(b"damaged");
    assert_eq!(plugins.look(), []);
    assert_eq!(plugins.list()[0].state, "disabled");
}
