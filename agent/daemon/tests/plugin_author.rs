//! The author's way through the real binary: a new plugin builds, passes its own tests, is signed, and its signature holds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test of the command starts the command")]
fn command(program: impl AsRef<std::ffi::OsStr>, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    // One target directory for all runs: the SDK's own dependencies are built once.
    command.env("CARGO_TARGET_DIR", root().join("target/author")).env("CARGO_NET_OFFLINE", "true");
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

fn start(program: impl AsRef<std::ffi::OsStr>, dir: &Path, args: &[&str]) -> Output {
    command(program, dir, args).output().unwrap()
}

fn holdfast(dir: &Path, args: &[&str]) -> (i32, String) {
    let ran = start(env!("CARGO_BIN_EXE_holdfast"), dir, args);
    let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().unwrap_or(-1), text)
}

/// Must answer `code`; gives what it printed.
#[track_caller]
fn says(dir: &Path, args: &[&str], code: i32) -> String {
    let (found, text) = holdfast(dir, args);
    assert_eq!(found, code, "holdfast {}: {text}", args.join(" "));
    text
}

/// A folder with a configuration that trusts nobody.
fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("holdfast.toml"), "").unwrap();
    dir
}

fn unit_medic() -> PathBuf {
    let file = root().join("target/plugins/unit-medic.wasm");
    assert!(file.is_file(), "run `cargo xtask guests`");
    file
}

#[test]
fn a_new_plugin_builds_and_passes_its_own_tests() {
    let dir = place();
    says(dir.path(), &["plugin", "new", "log-size"], 0);
    let plugin = dir.path().join("log-size");
    let tested = says(&plugin, &["plugin", "test", "--offline"], 0);
    assert!(tested.contains("2 passed, 0 failed"), "{tested}");
    let ran = start(env!("CARGO_BIN_EXE_holdfast"), &plugin, &["plugin", "build", "--offline", "--format", "json"]);
    let built: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&built["agent_min"], &built["unchanged"]), (&"0.1.0".into(), &true.into()), "{built}");
    assert_eq!(built["manifest"]["roles"], serde_json::json!(["check"]));
    let shown = says(&plugin, &["plugin", "run", "--offline"], 0);
    assert!(shown.contains("\"file.bytes\"") && shown.contains("small-enough"), "{shown}");
    // What cannot be looked at takes nothing from what was found beside it.
    let both = "story = \"One cannot be looked at, one is too large.\"\nsettings = { files = [\"/etc/app\", \"/var/log/app.log\"], \
                largest = \"1MiB\" }\n[[world.file]]\npath = \"/var/log/app.log\"\nsize = \"2MiB\"\n[[ask]]\nwhat = \"check\"\n\
                answer = \"found\"\nsays = [\"not in the manifest\"]\n";
    fs::write(plugin.join("cases/one-of-two.toml"), both).unwrap();
    let tested = says(&plugin, &["plugin", "test", "--offline", "--bless"], 0);
    assert!(tested.contains("3 passed, 0 failed"), "{tested}");
    // A case that expects something else fails, and the command says no.
    let case = plugin.join("cases/too-large.toml");
    let text = fs::read_to_string(&case).unwrap();
    fs::write(&case, text.replace("\"found\"", "\"clean\"")).unwrap();
    let failed = says(&plugin, &["plugin", "test", "--offline"], 1);
    assert!(failed.contains("the answer is `found`, not `clean`"), "{failed}");
    // What the compiler refuses is no plugin.
    fs::write(plugin.join("src/lib.rs"), "fn broken(").unwrap();
    says(&plugin, &["plugin", "build", "--offline"], 1);
}

#[test]
fn who_watches_is_answered_again_after_each_change_until_they_end_it() {
    use std::io::BufRead;
    let dir = place();
    says(dir.path(), &["plugin", "new", "watched"], 0);
    let plugin = dir.path().join("watched");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut watching = command(env!("CARGO_BIN_EXE_holdfast"), &plugin, &["plugin", "run", "--watch", "--offline"]);
    let mut child = watching.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(watching);
    let (tell, told) = std::sync::mpsc::sync_channel(10_000);
    let lines = std::io::BufReader::new(reader).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    // An answer is whole when it says that it waits.
    let next = || {
        let mut text = String::new();
        loop {
            let line = told.recv_timeout(Duration::from_mins(10)).expect(&text);
            if line.contains("waiting for a change") {
                break text;
            }
            text += &line;
        }
    };
    assert!(next().contains("small-enough"));
    let case = plugin.join("cases/small-enough.toml");
    let text = fs::read_to_string(&case).unwrap();
    fs::rename(&case, plugin.join("cases/another-name.toml")).unwrap();
    fs::rename(plugin.join("cases/small-enough.expected.json"), plugin.join("cases/another-name.expected.json"))
        .unwrap();
    let again = next();
    assert!(again.contains("another-name") && !again.contains("small-enough"), "{again}");
    // A mistake is said, and ends nothing.
    let source = plugin.join("src/lib.rs");
    let whole = fs::read_to_string(&source).unwrap();
    fs::write(&source, "fn broken(").unwrap();
    assert!(next().contains("error"));
    fs::write(&source, whole).unwrap();
    fs::write(plugin.join("cases/another-name.toml"), text).unwrap();
    assert!(next().contains("another-name"));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The first commands of the SDK's README, as they stand there.
#[test]
fn the_tutorial_of_the_sdk_works_as_it_is_written() {
    let readme = fs::read_to_string(root().join("plugin-sdk/README.md")).unwrap();
    let mut blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.starts_with("holdfast plugin new log-size\n")).unwrap();
    let dir = place();
    // Away from the checkout, as a newcomer has it: the SDK comes out of the binary.
    let binary = dir.path().join("holdfast");
    fs::copy(env!("CARGO_BIN_EXE_holdfast"), &binary).unwrap();
    let (mut here, mut ran) = (dir.path().to_path_buf(), 0);
    for line in block.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cd", to] => here.push(to),
            ["holdfast", args @ ..] => {
                let out = start(&binary, &here, args);
                assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
                ran += 1;
            }
            other => panic!("the tutorial begins with another command: {other:?}"),
        }
    }
    assert_eq!(ran, 3);
    assert!(
        here.join("vendor/holdfast-plugin-sdk/src/lib.rs").is_file()
            && here.join("target/plugins/log-size.wasm").is_file()
    );
}

#[test]
fn what_cannot_be_built_says_what_is_missing() {
    let dir = place();
    let text = says(dir.path(), &["plugin", "build"], 2);
    assert!(text.contains("plugin.toml") && text.contains("hint: `holdfast plugin new NAME`"), "{text}");
    fs::write(dir.path().join("plugin.toml"), "id = \"x\"\nversion = \"1\"\n").unwrap();
    let text = says(dir.path(), &["plugin", "build"], 2);
    assert!(text.contains("three numbers"), "{text}");
}

#[test]
fn a_signature_holds_until_a_byte_of_the_component_or_its_manifest_is_altered() {
    let dir = place();
    let (it, component) = (dir.path(), dir.path().join("x.wasm"));
    fs::copy(unit_medic(), &component).unwrap();
    fs::write(it.join("password"), "correct horse\n").unwrap();
    says(it, &["plugin", "keygen", "a.key", "--password-file", "password"], 0);
    says(it, &["plugin", "keygen", "b.key", "--no-password"], 0);
    let again = says(it, &["plugin", "keygen", "b.key", "--no-password"], 2);
    assert!(again.contains("b.key"), "a key is never written over: {again}");
    assert!(says(it, &["plugin", "verify", "x.wasm", "-k", "a.key.pub"], 1).contains("it is not signed"));
    says(it, &["plugin", "sign", "x.wasm", "-k", "a.key", "--no-password"], 2);
    says(it, &["plugin", "sign", "x.wasm", "-k", "a.key", "--password-file", "password"], 0);
    assert!(
        says(it, &["plugin", "verify", "x.wasm", "-k", "a.key.pub"], 0)
            .contains("unit-medic 0.1.0 is signed by the trusted")
    );
    assert!(says(it, &["plugin", "verify", "x.wasm", "-k", "b.key.pub"], 1).contains("not among `trusted-keys`"));
    // The manifest is a section of the component: swapped, the signature is gone.
    let mut bytes = fs::read(&component).unwrap();
    let at = bytes.windows(5).rposition(|part| part == b"medic").unwrap();
    bytes[at] = b'n';
    fs::write(&component, &bytes).unwrap();
    let text = says(it, &["plugin", "verify", "x.wasm", "-k", "a.key.pub"], 1);
    assert!(text.contains("was altered after signing"), "{text}");
    // Signed again by somebody else.
    says(it, &["plugin", "sign", "x.wasm", "-k", "b.key", "--no-password"], 0);
    assert!(says(it, &["plugin", "verify", "x.wasm", "-k", "a.key.pub"], 1).contains("not among `trusted-keys`"));
}
