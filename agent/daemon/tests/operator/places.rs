//! A plugin that asks for what its settings name: shown, granted place by place, and never more than the operator has written.

use std::fs;

use super::*;

const THROUGH: &str = "[wants]\nfiles-from-settings = [\"with\"]\nstate = true";

#[test]
fn a_place_is_named_in_the_settings_and_given_in_the_grant_and_one_without_the_other_is_refused() {
    let host = Host::new();
    let agent = host.start();
    let file = host.file("x", &component("x", "0.1.0", THROUGH), Some("ours"));
    let text = host.says(&["plugin", "inspect", &file], 0);
    assert!(text.contains("by setting    with: below what it names on a host, by default \"\""), "{text}");
    let done = host.json(&["plugin", "install", &file, "--yes"], 0);
    assert_eq!(done["permissions"]["asks"], serde_json::json!(["wants.files-from-settings with"]), "{done}");
    assert_eq!(done["permissions"]["not_granted"], serde_json::json!([]), "{done}");
    assert!(done["notes"].to_string().contains("its settings with are to name places and name none"), "{done}");
    let grant = host.grant("x");
    assert!(grant.contains("under with; another place stands there and here.\nfiles = []\n"), "{grant}");

    let until = |state: &str| {
        for _ in 0..PATIENCE {
            let listed = host.listed("x");
            if listed["state"] == state {
                return listed;
            }
            std::thread::sleep(STEP);
        }
        panic!("it is never {state}: {}", host.listed("x"));
    };
    let grant = |text: &str| fs::write(host.path("plugins.d/x.toml"), text).unwrap();
    grant("[read]\nfiles = [\"/srv/a\"]\n");
    let refused = until("refused");
    assert!(refused["reason"].as_str().unwrap().contains("or name it in the setting with"), "{refused}");
    grant("[read]\nfiles = [\"/srv/a\"]\n[settings]\nwith = \"/srv/a\"\n");
    until("ready");
    let again = host.json(&["plugin", "install", &file, "--yes", "--dry-run"], 0);
    let asks = serde_json::json!(["wants.files /srv/a", "wants.files-from-settings with"]);
    assert_eq!((&again["permissions"]["asks"], &again["notes"]), (&asks, &serde_json::json!([])), "{again}");
    grant("[read]\nfiles = [\"/srv/a\"]\n[settings]\nwith = \"srv\"\n");
    let refused = until("refused");
    assert!(refused["reason"].as_str().unwrap().contains("the setting `with` has `srv`; write an absolute path"));
    drop(agent);
}

#[test]
fn an_upgrade_that_asks_through_settings_in_the_place_of_everything_asks_for_less_and_says_what_it_takes() {
    let host = Host::new();
    let first = host.file("first", &component("x", "0.1.0", "[wants]\nfiles = [\"/\"]\nstate = true"), Some("ours"));
    host.says(&["plugin", "install", &first, "--yes"], 0);
    fs::write(host.path("plugins.d/x.toml"), "[read]\nfiles = [\"/srv/a\"] # ours\n").unwrap();
    let next = host.file("next", &component("x", "0.2.0", THROUGH), Some("ours"));
    let done = host.json(&["plugin", "install", &next, "--yes"], 0);
    assert_eq!(
        (&done["permissions"]["more"], &done["permissions"]["less"]),
        (&serde_json::json!([]), &serde_json::json!(["wants.files /"]))
    );
    let notes = done["notes"].to_string();
    assert!(
        notes.contains("taken out of the grant")
            && notes.contains("read.files /srv/a; it asks for what stands in its settings with"),
        "{notes}"
    );
    assert_eq!(host.grant("x"), "[read]\nfiles = [] # ours\n");
}
