//! Where no agent runs: files are placed as well, and count from the next start.

use std::fs;

use super::*;

#[test]
fn without_an_agent_it_is_placed_and_taken_up_at_the_next_start() {
    let host = Host::new();
    let file = host.file("x", &component("x", "0.1.0", FIRST), Some("ours"));
    let done = host.json(&["plugin", "install", &file, "--yes"], 0);
    assert_eq!(done["agent"]["state"], "unreachable", "{done}");
    assert_eq!(host.json(&["plugin", "disable", "x"], 0)["agent"]["state"], "unreachable");
    // What is kept lies in the agent's own database.
    host.says(&["plugin", "remove", "x", "--purge", "--yes"], 4);
    assert_eq!(host.placed(), ["x.wasm", "x.wasm.minisig"]);
    let agent = host.start();
    assert_eq!(host.listed("x")["state"], "disabled");
    assert_eq!(host.json(&["plugin", "enable", "x"], 0)["agent"]["state"], "ready");
    drop(agent);
}

#[test]
fn a_folder_that_was_built_is_a_source_and_one_that_was_not_says_so() {
    let host = Host::new();
    let dir = host.path("x");
    fs::create_dir_all(dir.join("target/plugins")).unwrap();
    fs::write(dir.join("plugin.toml"), "id = \"x\"\nversion = \"0.1.0\"\n").unwrap();
    fs::write(dir.join("Cargo.toml"), "").unwrap();
    let text = host.says(&["plugin", "install", "x", "--yes"], 2);
    assert!(text.contains("it was not built yet") && text.contains("holdfast plugin build x"), "{text}");
    let file = host.file("x", &component("x", "0.1.0", FIRST), Some("ours"));
    for ending in ["", ".minisig"] {
        fs::copy(format!("{file}{ending}"), dir.join(format!("target/plugins/x.wasm{ending}"))).unwrap();
    }
    host.says(&["plugin", "install", "x", "--yes"], 0);
    assert_eq!(host.placed(), ["x.wasm", "x.wasm.minisig"]);
}

#[test]
fn an_unsigned_one_is_let_in_where_nobody_signs_and_its_grant_is_bound_to_it() {
    let host = Host::new();
    host.configure("allow-unsigned = true");
    let file = host.file("x", &component("x", "0.1.0", FIRST), None);
    let done = host.json(&["plugin", "install", &file, "--yes"], 0);
    assert!(done["signer"].is_null(), "{done}");
    assert!(host.grant("x").contains(&format!("digest = {}", done["digest"])), "{}", host.grant("x"));
    // An upgrade that asks for no more takes the digest along, and a signature that was there goes.
    fs::write(host.path("plugins/x.wasm.minisig"), "old").unwrap();
    let newer = host.file("newer", &component("x", "0.1.1", FIRST), None);
    let done = host.json(&["plugin", "install", &newer, "--yes"], 0);
    assert!(host.grant("x").contains(&format!("digest = {}", done["digest"])), "{}", host.grant("x"));
    assert_eq!(host.placed(), ["x.wasm"]);
}

#[test]
fn without_a_grant_it_is_listed_and_never_called() {
    let host = Host::new();
    let file = host.file("x", &component("x", "0.1.0", FIRST), Some("ours"));
    let done = host.json(&["plugin", "install", &file, "--yes", "--no-grant"], 0);
    assert_eq!(done["grant"]["change"], "none", "{done}");
    assert!(!host.path("plugins.d/x.toml").exists());
    let agent = host.start();
    assert_eq!(host.listed("x")["state"], "not_granted");
    drop(agent);
}

#[test]
fn what_cannot_be_written_leaves_everything_as_it_was() {
    let host = Host::new();
    let first = host.file("first", &component("x", "0.1.0", FIRST), Some("ours"));
    host.says(&["plugin", "install", &first, "--yes"], 0);
    let before =
        (fs::read(host.path("plugins/x.wasm")).unwrap(), fs::read(host.path("plugins/x.wasm.minisig")).unwrap());
    // The grant's directory is a link: nothing is written through it, and what was placed before is put back.
    fs::rename(host.path("plugins.d"), host.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(host.path("elsewhere"), host.path("plugins.d")).unwrap();
    let wider = host.file("wider", &component("x", "0.2.0", WIDER), Some("ours"));
    let text = host.says(&["plugin", "install", &wider, "--yes", "--accept-permissions"], 1);
    assert!(text.contains("so nothing was changed"), "{text}");
    let after =
        (fs::read(host.path("plugins/x.wasm")).unwrap(), fs::read(host.path("plugins/x.wasm.minisig")).unwrap());
    assert!(before == after);
    assert_eq!(host.placed(), ["x.wasm", "x.wasm.minisig"]);
}
