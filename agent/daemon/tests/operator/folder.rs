//! A folder of components, as a copy for hosts without a network is one: all of them, or none.

use std::fs;

use super::*;

/// A folder with these components, each signed by `ours` unless it says otherwise.
fn copy(host: &Host, components: &[(&str, Vec<u8>, Option<&str>)]) -> String {
    let dir = host.path("copy");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    for (name, component, key) in components {
        let file = host.file(name, component, *key);
        for ending in ["", ".minisig"] {
            let from = format!("{file}{ending}");
            if Path::new(&from).exists() {
                fs::rename(from, dir.join(format!("{name}.wasm{ending}"))).unwrap();
            }
        }
    }
    fs::write(dir.join("README"), "copied on a Monday").unwrap();
    dir.to_str().unwrap().to_owned()
}

const OURS: Option<&str> = Some("ours");

#[test]
fn all_of_a_folder_is_installed_and_taken_up() {
    let host = Host::new();
    let agent = host.start();
    let dir = copy(&host, &[("a", component("a", "0.1.0", FIRST), OURS), ("b", component("b", "0.2.0", FIRST), OURS)]);
    let shown = host.json(&["plugin", "install", &dir, "--dry-run"], 0);
    assert_eq!((shown["plugins"].as_array().unwrap().len(), host.placed().len()), (2, 0), "{shown}");
    let text = host.says(&["plugin", "install", &dir], 2);
    assert!(text.contains("no terminal to ask whether a 0.1.0 is wanted") && host.placed().is_empty(), "{text}");
    let done = host.json(&["plugin", "install", &dir, "--yes"], 0);
    for (at, id) in ["a", "b"].into_iter().enumerate() {
        let one = &done["plugins"][at];
        assert_eq!(
            (&one["plugin"], &one["changed"], &one["agent"]["state"]),
            (&id.into(), &true.into(), &"ready".into()),
            "{done}"
        );
    }
    assert_eq!(host.placed(), ["a.wasm", "a.wasm.minisig", "b.wasm", "b.wasm.minisig"]);
    let again = host.json(&["plugin", "install", &dir], 0);
    assert_eq!((&again["plugins"][0]["changed"], &again["plugins"][1]["changed"]), (&false.into(), &false.into()));
    let text = host.says(&["plugin", "install", &dir, "--yes"], 0);
    assert!(text.contains("a 0.1.0") && text.contains("b 0.2.0"), "{text}");
    drop(agent);
}

#[test]
fn one_that_cannot_be_taken_refuses_all_of_them() {
    let host = Host::new();
    let good = || ("a", component("a", "0.1.0", FIRST), OURS);
    let x = |more: &str| component("x", "0.1.0", more);
    for (other, key, code, wanted) in [
        (x(FIRST), None, 5, "x.wasm: it is not signed"),
        (x(FIRST), Some("theirs"), 5, "which is not among `trusted-keys`"),
        (component("a", "0.2.0", FIRST), OURS, 2, "are both the plugin a"),
        (b"\0asm".to_vec(), None, 2, "x.wasm: the component is truncated"),
    ] {
        let dir = copy(&host, &[good(), ("x", other, key)]);
        let text = host.says(&["plugin", "install", &dir, "--yes"], code);
        let all = format!("nothing of {dir} was installed: ");
        assert!(text.contains(&all) && text.contains(wanted), "{text}");
        assert!(host.placed().is_empty() && !host.path("plugins.d").exists(), "{text}");
    }
    // Nor does one go ahead of another that asks for more than before.
    let dir = copy(&host, &[("x", x(FIRST), OURS)]);
    assert_eq!(host.json(&["plugin", "install", &dir, "--yes"], 0)["plugins"][0]["plugin"], "x");
    let dir = copy(&host, &[good(), ("x", component("x", "0.2.0", WIDER), OURS)]);
    let text = host.says(&["plugin", "install", &dir, "--yes"], 5);
    assert!(text.contains("x 0.2.0 asks for more") && text.contains("--accept-permissions"), "{text}");
    assert_eq!(host.placed(), ["x.wasm", "x.wasm.minisig"]);
    host.says(&["plugin", "install", &dir, "--yes", "--accept-permissions"], 0);
    assert_eq!(host.placed().len(), 4);
}

#[test]
fn what_a_folder_holds_is_told_when_it_is_not_what_was_meant() {
    let host = Host::new();
    let both = [("a", component("a", "0.1.0", FIRST), OURS), ("b", component("b", "0.2.0", FIRST), OURS)];
    let dir = copy(&host, &both);
    let digest = "0".repeat(64);
    let text = host.says(&["plugin", "install", &dir, "--yes", "--digest", &digest], 2);
    assert!(text.contains("--digest is of one component"), "{text}");
    let text = host.says(&["plugin", "push", &dir, "oci://127.0.0.1:1/x:1"], 2);
    assert!(text.contains("holds 2 components; name one"), "{text}");
    fs::remove_file(format!("{dir}/b.wasm")).unwrap();
    let text = host.says(&["plugin", "install", &dir, "--yes"], 2);
    assert!(text.contains("b.wasm.minisig: its component is not there") && host.placed().is_empty(), "{text}");
    let dir = copy(&host, &[]);
    let text = host.says(&["plugin", "install", &dir, "--yes"], 2);
    assert!(text.contains("neither components (NAME.wasm) nor a plugin's source"), "{text}");
}
