//! One plugin's life beside a running agent.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_plugin_is_installed_upgraded_switched_off_and_on_and_removed_while_the_agent_runs() {
    let host = Host::new();
    let agent = host.start();
    let first = host.file("first", &component("x", "0.1.0", FIRST), Some("ours"));

    // Without a terminal nobody can be asked, and nothing happens.
    let text = host.says(&["plugin", "install", &first], 2);
    assert!(text.contains("wants.files /srv") && text.contains("hint: look at the above"), "{text}");
    assert!(host.json(&["plugin", "install", &first, "--dry-run"], 0)["agent"].is_null());
    assert_eq!(host.placed(), [""; 0]);

    let done = host.json(&["plugin", "install", &first, "--yes"], 0);
    assert_eq!((&done["agent"]["state"], &done["changed"]), (&"ready".into(), &true.into()), "{done}");
    assert_eq!(host.placed(), ["x.wasm", "x.wasm.minisig"]);
    assert_eq!(fs::metadata(host.path("plugins/x.wasm")).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(host.grant("x").contains("files = [\"/srv\", \"/opt\"]"), "{}", host.grant("x"));
    host.says(&["plugin", "run", "x"], 1);
    // By the clock it would take two looks, two seconds apart.
    for (verb, state) in [("disable", "disabled"), ("enable", "ready"), ("disable", "disabled"), ("enable", "ready")] {
        let done = host.json(&["plugin", verb, "x", "--wait", "1500ms"], 0);
        assert_eq!(done["agent"]["state"], state, "the agent has not looked at once: {done}");
    }
    let again = host.json(&["plugin", "install", &first], 0);
    assert_eq!((&again["changed"], &again["grant"]["change"]), (&false.into(), &"unchanged".into()), "{again}");

    // More than before: named, and refused until somebody agrees.
    let wider = host.file("wider", &component("x", "0.2.0", WIDER), Some("ours"));
    let before = (host.placed(), host.grant("x"));
    for args in [&["--yes"][..], &[]] {
        let text = host.says(&[&["plugin", "install", &wider], args].concat(), 5);
        assert!(text.contains("asks for more") && text.contains("wants.files /etc, wants.metrics"), "{text}");
        assert!(text.contains("--accept-permissions"), "{text}");
    }
    host.says(&["plugin", "install", &wider, "--accept-permissions"], 2);
    assert_eq!((host.placed(), host.grant("x")), before);
    assert_eq!(host.listed("x")["version"], "0.1.0");
    let ran = host.run(&["plugin", "install", &wider, "--yes", "--accept-permissions"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success() && said.contains("is granted more than before: wants.files /etc, wants.metrics"),
        "{said}"
    );
    let listed = host.listed("x");
    assert_eq!((&listed["version"], &listed["state"]), (&"0.2.0".into(), &"ready".into()), "{listed}");
    let grant = host.grant("x");
    assert!(grant.starts_with("# Agreed to with 0.2.0: wants.files /etc, wants.metrics\n"), "{grant}");
    assert!(grant.contains("files = [\"/srv\", \"/etc\"]"), "what it no longer asks for is gone: {grant}");

    // Back to an older one only when that is meant.
    assert!(host.says(&["plugin", "install", &first, "--yes"], 5).contains("--allow-older"));
    // It wants `/opt` again, which is more than the newer one.
    host.says(&["plugin", "install", &first, "--yes", "--allow-older", "--accept-permissions"], 0);
    assert_eq!(host.listed("x")["version"], "0.1.0");

    // Off, and after a restart still off.
    let grant = host.grant("x");
    let off = host.json(&["plugin", "disable", "x"], 0);
    assert_eq!((&off["agent"]["state"], &off["changed"]), (&"disabled".into(), &true.into()), "{off}");
    assert!(host.says(&["plugin", "run", "x"], 2).contains("has no check"));
    assert_eq!(host.json(&["plugin", "disable", "x"], 0)["changed"], false);
    agent.stop();
    let agent = host.start();
    assert_eq!(host.listed("x")["state"], "disabled");
    assert!(host.says(&["plugin", "list"], 0).contains("holdfast plugin enable x"));
    assert_eq!(host.json(&["plugin", "enable", "x"], 0)["agent"]["state"], "ready");
    assert_eq!(host.grant("x"), grant, "every byte as before");
    host.says(&["plugin", "run", "x"], 1);

    // Gone; its grant stays until it is purged.
    host.says(&["plugin", "remove", "x"], 2);
    let removed = host.json(&["plugin", "remove", "x", "--yes"], 0);
    assert_eq!(removed["agent"]["state"], "removed", "{removed}");
    assert_eq!((host.placed(), host.listed("x")), (vec![], Value::Null));
    assert_eq!(host.grant("x"), grant);
    let purged = host.json(&["plugin", "remove", "x", "--yes", "--purge"], 0);
    assert!(purged["forgotten"].is_u64() && !host.path("plugins.d/x.toml").exists(), "{purged}");
    host.says(&["plugin", "remove", "x", "--yes", "--purge"], 2);

    // All of it is on record.
    let audit = host.says(&["audit", "list"], 0);
    let kept = host.json(&["audit", "list"], 0).to_string();
    for what in ["added", "replaced", "disabled", "enabled", "removed", "forgotten"] {
        assert!(kept.contains(&format!("\"{what}\"")), "{what}: {audit}");
    }
    host.says(&["audit", "verify"], 0);
    agent.stop();
}

#[test]
fn what_the_agent_would_refuse_is_never_placed() {
    let host = Host::new();
    let agent = host.start();
    let good = component("x", "0.1.0", FIRST);
    let refuses = |file: &str, more: &[&str], code: i32, wanted: &str| {
        let args = [&["plugin", "install", file, "--yes", "--accept-permissions"], more].concat();
        let text = host.says(&args, code);
        assert!(text.contains(wanted), "{wanted}: {text}");
        assert_eq!(host.placed(), [""; 0], "{text}");
        assert!(!host.path("plugins.d/x.toml").exists(), "{text}");
    };
    refuses(&host.file("unsigned", &good, None), &[], 5, "it is not signed; put its signature beside it");
    refuses(&host.file("foreign", &good, Some("theirs")), &[], 5, "not among `trusted-keys`");
    let altered = host.file("altered", &good, Some("ours"));
    let mut bytes = good.clone();
    let at = bytes.windows(12).rposition(|it| it == b"Looks after ").unwrap();
    bytes[at] = b'l';
    fs::write(&altered, &bytes).unwrap();
    refuses(&altered, &[], 5, "was altered after signing");
    // Signed again by somebody else: his signature is good, and he is nobody.
    host.says(&["plugin", "sign", &altered, "-k", &host.text("theirs.key"), "--no-password"], 0);
    refuses(&altered, &[], 5, "not among `trusted-keys`");
    let signed = host.file("signed", &good, Some("ours"));
    refuses(&signed, &["--digest", &"0".repeat(64)], 5, "was asked for");
    refuses(&signed, &["--dir", "/elsewhere"], 2, "the agent does not look there");
    refuses(&host.text("in/nothing.wasm"), &[], 2, "cannot read");
    fs::write(host.path("in/none.wasm"), "#!/bin/sh\n").unwrap();
    refuses(&host.text("in/none.wasm"), &[], 2, "is not WebAssembly");
    let roles = component("x", "0.1.0", FIRST);
    let at = roles.windows(10).rposition(|it| it == b"remediator").unwrap();
    let mut roles = roles;
    roles[at..at + 10].copy_from_slice(b"remedIator");
    refuses(&host.file("roles", &roles, Some("ours")), &[], 2, "the manifest names the roles");
    let cut = &good[..good.len() / 2];
    fs::write(host.path("in/cut.wasm"), cut).unwrap();
    refuses(&host.text("in/cut.wasm"), &[], 2, "truncated");
    // Everybody may write it: not believed, whoever signed.
    fs::set_permissions(&signed, fs::Permissions::from_mode(0o666)).unwrap();
    refuses(&signed, &[], 2, "everybody may write it");
    drop(agent);
}

#[test]
fn what_a_package_brought_is_switched_off_and_not_removed() {
    let host = Host::new();
    let packaged = component("x", "0.1.0", FIRST);
    fs::write(host.path("packaged/x.wasm"), &packaged).unwrap();
    let agent = host.start();
    assert_eq!(host.listed("x")["state"], "not_granted");
    let text = host.says(&["plugin", "disable", "x"], 0);
    assert!(text.contains("has no grant here, so it is never called"), "{text}");
    host.says(&["plugin", "enable", "x"], 2);
    host.says(&["plugin", "disable", "nobody"], 2);
    fs::create_dir_all(host.path("plugins.d")).unwrap();
    fs::write(host.path("plugins.d/x.toml"), "# ours\n[read]\nfiles = [\"/srv\"]\n").unwrap();
    assert_eq!(host.json(&["plugin", "disable", "x"], 0)["agent"]["state"], "disabled");
    let text = host.says(&["plugin", "remove", "x", "--yes"], 5);
    assert!(text.contains("hint: `holdfast plugin disable x`") && host.path("packaged/x.wasm").exists(), "{text}");
    // A second one with its id has no place.
    let newer = host.file("newer", &component("x", "0.2.0", FIRST), Some("ours"));
    let text = host.says(&["plugin", "install", &newer, "--yes"], 5);
    assert!(text.contains("upgraded with its package"), "{text}");
    assert_eq!(host.json(&["plugin", "enable", "x"], 0)["agent"]["state"], "ready");
    assert_eq!(host.grant("x"), "# ours\n[read]\nfiles = [\"/srv\"]\n");
    drop(agent);
}

#[test]
fn switching_off_and_on_agrees_to_nothing() {
    let host = Host::new();
    let agent = host.start();
    // The grant holds a pattern that would give more to a component that asks for more.
    let first = host.file("first", &component("x", "0.1.0", "[wants]\nunits = [\"web-*.service\"]"), Some("ours"));
    fs::create_dir_all(host.path("plugins.d")).unwrap();
    fs::write(host.path("plugins.d/x.toml"), "[read]\nunits = [\"*.service\"]\n").unwrap();
    assert_eq!(host.json(&["plugin", "install", &first, "--yes"], 0)["agent"]["state"], "ready");
    // Copied by hand, it is refused; off and on again does not change that.
    let wider = host.file("wider", &component("x", "0.2.0", "[wants]\nunits = [\"*.service\"]"), Some("ours"));
    fs::copy(format!("{wider}.minisig"), host.path("plugins/x.wasm.minisig")).unwrap();
    fs::copy(&wider, host.path("plugins/x.wasm")).unwrap();
    host.json(&["plugin", "disable", "x"], 0);
    let on = host.json(&["plugin", "enable", "x"], 1);
    assert_eq!(on["agent"]["state"], "refused", "{on}");
    assert!(host.listed("x")["reason"].as_str().unwrap().contains("asks for more than was granted before"));
    drop(agent);
}

#[test]
fn a_quarantine_is_lifted_by_name_and_on_record() {
    let host = Host::new();
    let agent = host.start();
    let file = host.file("x", &component("x", "0.1.0", FIRST), Some("ours"));
    host.json(&["plugin", "install", &file, "--yes"], 0);
    let grant = host.grant("x") + "\n[settings]\ndeed = \"panic\"\n";
    fs::write(host.path("plugins.d/x.toml"), grant.replace("# [settings]", "#")).unwrap();
    for _ in 0..PATIENCE {
        host.run(&["plugin", "run", "x"]);
        if host.listed("x")["state"] == "quarantined" {
            break;
        }
        std::thread::sleep(STEP);
    }
    assert_eq!(host.listed("x")["state"], "quarantined");
    let lifted = host.json(&["plugin", "lift-quarantine", "x", "--reason", "mended"], 0);
    assert_eq!(lifted["was_quarantined"], true, "{lifted}");
    assert_eq!(host.listed("x")["state"], "ready");
    assert!(host.json(&["audit", "list"], 0).to_string().contains("mended"));
    host.says(&["plugin", "lift-quarantine", "nobody"], 2);
    drop(agent);
}
