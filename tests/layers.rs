//! Who may enter which room: the import rules and invariants of ARCHITECTURE.md, checked on the source itself.
//!
//! The compiler keeps the walls between crates; these tests keep the ones within `agent/daemon`, and the Cargo.toml files that
//! the walls stand on. A rule is one call of `no_line`, and says what to do instead.

use anyhow::{Context, Result, ensure};
use holdfast_tests::root;
use holdfast_tests::source::{Source, sources};

/// Fails with every production line below `dir` (except in `exempt`) that holds one of `words`.
fn no_line(dir: &str, words: &[&str], exempt: &[&str], instead: &str) -> Result<()> {
    let mut found = Vec::new();
    let mut files = 0;
    for source in sources(dir, &["rs"])? {
        files += 1;
        if source.is_test() || exempt.iter().any(|e| source.path.starts_with(e)) {
            continue;
        }
        for (number, line) in source.code().lines().enumerate() {
            if let Some(word) = words.iter().find(|w| line.contains(**w)) {
                found.push(format!("{}:{}: `{word}`", source.path, number + 1));
            }
        }
    }
    ensure!(files > 0, "there is nothing in {dir}: has it moved?");
    ensure!(found.is_empty(), "{instead}:\n  {}", found.join("\n  "));
    Ok(())
}

fn dependencies(manifest: &str) -> Result<Vec<String>> {
    let table: toml::Table = Source::read(manifest)?.text.parse().with_context(|| format!("{manifest} is not TOML"))?;
    let section = table.get("dependencies").and_then(toml::Value::as_table).context("no [dependencies]")?;
    Ok(section.keys().cloned().collect())
}

fn only(manifest: &str, allowed: &[&str]) -> Result<()> {
    let extra: Vec<String> = dependencies(manifest)?.into_iter().filter(|d| !allowed.contains(&d.as_str())).collect();
    ensure!(
        extra.is_empty(),
        "{manifest} must not depend on {extra:?}; if it pays, say so here and in ARCHITECTURE.md"
    );
    Ok(())
}

const CORE: &str = "agent/core/src";
const DAEMON: &str = "agent/daemon/src";

#[test]
fn the_core_depends_on_nothing_that_could_touch_the_world() -> Result<()> {
    only(
        "agent/core/Cargo.toml",
        &[
            "cel",
            "globset",
            "hmac",
            "jiff",
            "regex",
            "serde",
            "serde_json",
            "sha2",
            "similar",
            "subtle",
            "thiserror",
            "toml",
            "uuid",
        ],
    )
}

#[test]
fn the_core_has_no_input_no_output_no_clock_and_no_async() -> Result<()> {
    no_line(
        CORE,
        &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::env",
            "std::os",
            "std::io",
            "SystemTime",
            "Instant",
            "async fn",
            "Timestamp::now",
            "Zoned::now",
            "println!",
            "tokio",
        ],
        &[],
        "core computes from its arguments only; let the caller read",
    )
}

#[test]
fn the_ground_floor_imports_no_other_room_of_the_core() -> Result<()> {
    let rooms = ["detect", "correlate", "policy", "plan_check", "verify", "gate", "stats"];
    let words: Vec<String> = rooms.iter().map(|room| format!("crate::{room}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    no_line("agent/core/src/model", &words, &[], "model is imported by every room and imports none")
}

#[test]
fn detection_and_correlation_know_no_policy() -> Result<()> {
    no_line(
        "agent/core/src/detect",
        &["crate::policy", "crate::plan_check"],
        &[],
        "a finding is true whatever is allowed",
    )
}

#[test]
fn the_actuator_stays_small() -> Result<()> {
    only(
        "agent/actuator/Cargo.toml",
        &[
            "globset",
            "holdfast-core",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "signal-hook",
            "thiserror",
            "tokio",
            "toml",
            "zbus",
        ],
    )
}

#[test]
fn the_plugin_host_does_not_know_the_daemon() -> Result<()> {
    let deps = dependencies("agent/plugin-host/Cargo.toml")?;
    for unwanted in ["holdfast", "holdfast-actuator", "rusqlite", "tokio", "zbus", "axum"] {
        ensure!(!deps.iter().any(|d| d == unwanted), "the plugin host must not depend on {unwanted}");
    }
    ensure!(!deps.iter().any(|d| d.contains("wasi")), "plugins have no WASI: see docs/adr/0003-no-wasi.md");
    Ok(())
}

#[test]
fn what_looks_at_the_world_never_imports_what_acts_on_it() -> Result<()> {
    for room in ["collect", "ingest"] {
        no_line(
            &format!("{DAEMON}/{room}"),
            &["crate::act", "holdfast_actuator"],
            &[],
            "collectors and watchers report; only the engine's commands reach the actuator",
        )?;
    }
    Ok(())
}

#[test]
fn the_api_and_the_cli_never_call_an_effector() -> Result<()> {
    for room in ["api", "cli"] {
        no_line(
            &format!("{DAEMON}/{room}"),
            &["crate::act", "holdfast_actuator"],
            &[],
            "ask through `request::Door`: the event loop decides, records and acts in one order",
        )?;
    }
    Ok(())
}

#[test]
fn nobody_imports_the_wiring() -> Result<()> {
    no_line(
        DAEMON,
        &["crate::app"],
        // The command `run` is the wiring's door.
        &["agent/daemon/src/app", "agent/daemon/src/main.rs", "agent/daemon/src/cli/"],
        "app knows every room; no room knows app",
    )
}

#[test]
fn each_heavy_library_stays_in_its_room() -> Result<()> {
    for (library, rooms) in [
        // The bench of the store copies its days; rpm's database is one of SQLite.
        ("rusqlite::", vec!["agent/daemon/src/store", "agent/daemon/benches/telemetry", "agent/daemon/src/ingest/rpm"]),
        ("zbus::", vec!["agent/daemon/src/host", "agent/actuator/src"]),
        ("axum::", vec!["agent/daemon/src/api", "agent/daemon/src/export/receiver.rs"]),
        ("wasmtime::", vec!["agent/plugin-host/src", "agent/plugin-artifact/src"]),
        ("notify::", vec!["agent/daemon/src/ingest", "sd_notify"]),
        ("clap::", vec!["agent/daemon/src/cli"]),
        ("pco::", vec!["agent/daemon/src/store"]),
    ] {
        let words = [format!("use {library}"), format!(" {library}"), format!("({library}"), format!("<{library}")];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        no_line("agent", &words, &rooms, &format!("`{library}` belongs to {rooms:?}"))?;
    }
    Ok(())
}

#[test]
fn wire_types_of_otlp_stay_in_one_room() -> Result<()> {
    no_line(
        DAEMON,
        &["opentelemetry_proto"],
        &["agent/daemon/src/export/wire.rs", "agent/daemon/src/export/task.rs", "agent/daemon/src/ingest/otlp/wire.rs"],
        "OTLP's types are made in export/wire.rs, sent by export/task.rs and read in ingest/otlp/wire.rs; others speak the model",
    )
}

#[test]
fn wire_types_of_plugins_stay_in_the_plugin_host() -> Result<()> {
    no_line("agent/daemon/src", &["bindings::", "wit_bindgen"], &[], "the plugin host translates WIT to the model")?;
    let generated: Vec<String> = sources("agent/plugin-host/src", &["rs"])?
        .iter()
        .filter(|s| s.code().contains("bindgen!"))
        .map(|s| s.path.clone())
        .collect();
    ensure!(generated.len() <= 1, "bindings are generated in one file: {generated:?}");
    Ok(())
}

#[test]
fn only_policy_makes_an_authorised_plan() -> Result<()> {
    no_line(
        "agent",
        &["Authorized {", "Authorized::new", "Authorized("],
        &["agent/core/src/policy"],
        "ask policy::authorize: it checks decision, digest, approval and time",
    )?;
    let policy: Vec<Source> = sources("agent/core/src/policy", &["rs"])?;
    let definition =
        policy.iter().find(|s| s.code().contains("pub struct Authorized")).context("Authorized has gone")?;
    let code = definition.code();
    let body =
        code.split("pub struct Authorized").nth(1).and_then(|rest| rest.split(['}', ';']).next()).unwrap_or_default();
    ensure!(!body.contains("pub "), "the fields of Authorized are private, or anyone could make one: {body}");
    Ok(())
}

#[test]
fn only_the_engines_hands_reach_the_actuator() -> Result<()> {
    no_line(
        DAEMON,
        &["crate::act"],
        &["agent/daemon/src/act", "agent/daemon/src/app", "agent/daemon/src/engine", "agent/daemon/src/event_loop"],
        "acting is the engine's: it has the intent on disk before the first step",
    )
}

#[test]
fn processes_are_started_in_named_places_only() -> Result<()> {
    no_line(
        "agent",
        &["process::Command", "Command::new"],
        // docs/adr/0005: the build step of `holdfast exec` is the user's own program. A bench starts the peer it is held against.
        // docs/adr/0009: `journalctl` follows the journal.
        &[
            "agent/daemon/src/pipeline/exec",
            "agent/daemon/src/ingest/journal.rs",
            // docs/adr/0012: a child of the agent's own program compiles plugins.
            "agent/daemon/src/plugins/compile",
            // An author builds a plugin with their own compilers; the daemon never comes here.
            "agent/plugin-build/src/tools.rs",
            "agent/plugin-host/benches",
            "agent/daemon/benches/telemetry",
        ],
        "the agent runs no programs; see docs/adr",
    )
}

#[test]
fn unsafe_code_is_forbidden_by_every_crate_but_two() -> Result<()> {
    for manifest in [
        "agent/core",
        "agent/daemon",
        "agent/actuator",
        "agent/plugin-build",
        "agent/plugin-host",
        "packaging/xtask",
        "tests",
    ] {
        let text = Source::read(&format!("{manifest}/Cargo.toml"))?.text;
        ensure!(text.contains("[lints]\nworkspace = true"), "{manifest} does not take the workspace's lints");
    }
    let workspace = Source::read("Cargo.toml")?.text;
    ensure!(workspace.contains("unsafe_code = \"forbid\""), "the workspace no longer forbids unsafe code");
    // docs/adr/0004: generated code of the SDK. docs/adr/0012: one line maps what was compiled.
    for (manifest, file, blocks) in [
        ("plugin-sdk/Cargo.toml", "plugin-sdk/src/bindings.rs", 0),
        ("agent/plugin-artifact/Cargo.toml", "agent/plugin-artifact/src/lib.rs", 1),
    ] {
        ensure!(
            Source::read(manifest)?.text.contains("unsafe_code = \"deny\""),
            "{manifest} no longer denies unsafe code"
        );
        let found = Source::read(file)?.code().matches("unsafe {").count();
        ensure!(found == blocks, "{file} holds {found} unsafe blocks, {blocks} are decided");
    }
    let keyword = ["uns", "afe {"].concat();
    for dir in ["agent", "plugin-sdk", "plugins", "packaging", "tests"] {
        for source in sources(dir, &["rs"])? {
            let known = source.path == "agent/plugin-artifact/src/lib.rs" || source.path == "tests/layers.rs";
            ensure!(known || !source.code().contains(&keyword), "{} holds an unsafe block", source.path);
        }
    }
    Ok(())
}

#[test]
fn the_top_level_is_as_given() -> Result<()> {
    let mut folders: Vec<String> = std::fs::read_dir(root())?
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    folders.sort();
    ensure!(folders == ["agent", "docs", "packaging", "plugin-sdk", "plugins", "tests", "wit"], "{folders:?}");
    Ok(())
}
