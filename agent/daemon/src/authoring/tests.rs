//! The plugins of this repository through their own cases, and cases that are wrong.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const CASE: &str = "story = \"It is up.\"\n[[world.unit]]\nname = \"web.service\"\n\
                    [[ask]]\nwhat = \"propose\"\nfinding = { kind = \"unit.failed\", target = \"unit:web.service\" }\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A folder with unit-medic's manifest and one case.
fn folder(case: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(root().join("plugins/unit-medic/plugin.toml"), dir.path().join("plugin.toml")).unwrap();
    fs::create_dir(dir.path().join("cases")).unwrap();
    fs::write(dir.path().join("cases/one.toml"), case).unwrap();
    dir
}

fn options(dir: &Path, bless: bool) -> TestOptions {
    let component = root().join("target/plugins/unit-medic.wasm");
    assert!(component.is_file(), "run `cargo xtask guests`");
    TestOptions { dir: dir.to_owned(), component: Some(component), filter: None, bless }
}

/// What is wrong with one case.
fn problems(case: &str) -> String {
    let dir = folder(case);
    let report = test(&options(dir.path(), false), |_| {}).unwrap();
    assert_eq!(report.cases.len(), 1);
    report.cases[0].problems.join("\n")
}

#[track_caller]
fn check(case: &str, wanted: &str) {
    let found = problems(case);
    assert!(found.contains(wanted), "{found}");
}

#[test]
fn every_plugin_of_this_repository_passes_its_own_cases() {
    let plugins = fs::read_dir(root().join("plugins")).unwrap().map(|entry| entry.unwrap().path());
    let mut plugins: Vec<_> = plugins.filter(|dir| dir.join("plugin.toml").is_file()).collect();
    plugins.sort();
    assert_eq!(plugins.len(), 8, "{plugins:?}");
    for dir in plugins {
        let plugin = dir.file_name().unwrap().to_string_lossy().into_owned();
        let written = |dir: &Path| dir.extension().is_some_and(|it| it == "toml") || dir.join("case.toml").is_file();
        let cases = fs::read_dir(dir.join("cases")).unwrap().filter(|it| written(&it.as_ref().unwrap().path())).count();
        let options = TestOptions { dir, component: None, filter: None, bless: false };
        let report = test(&options, |_| {}).unwrap();
        let problems: Vec<String> = report.cases.iter().flat_map(|case| case.problems.clone()).collect();
        assert_eq!((problems.join("\n"), report.cases.len()), (String::new(), cases), "{plugin}");
        assert!(cases >= 2, "{plugin} has {cases} cases");
    }
}

#[test]
fn an_answer_is_kept_once_and_compared_from_then_on() {
    let dir = folder(&format!("{CASE}answer = \"nothing\"\n"));
    let played = |bless| test(&options(dir.path(), bless), |_| {}).unwrap().cases.remove(0);
    assert!(played(false).problems[0].contains("there is no one.expected.json yet"));
    assert!(played(true).blessed);
    let again = played(false);
    assert!(again.problems.is_empty() && !again.blessed, "{again:?}");
    let golden = dir.path().join("cases/one.expected.json");
    let text = fs::read_to_string(&golden).unwrap();
    fs::write(&golden, text.replace("\"nothing\"", "\"plan\"")).unwrap();
    let other = played(false).problems.join("\n");
    assert!(other.contains("-    \"answer\": \"plan\"") && other.contains("+    \"answer\": \"nothing\""), "{other}");
}

#[test]
fn a_golden_file_never_blesses_an_answer_of_the_wrong_kind() {
    let dir = folder(&format!("{CASE}answer = \"plan\"\n"));
    let report = test(&options(dir.path(), true), |_| {}).unwrap();
    assert!(report.cases[0].problems[0].contains("the answer is `nothing`, not `plan`"), "{report:?}");
    assert!(!dir.path().join("cases/one.expected.json").exists());
}

#[test]
fn what_is_wrong_with_a_case_is_said_with_its_place() {
    check(&format!("{CASE}answer = \"cured\"\n"), "`cured` is no answer to `propose`; write one of plan, nothing");
    check("story = \"x\"\nask = []\n", "it asks nothing");
    check(&format!("{}answer = \"nothing\"\n", CASE.replace("world.unit", "world.units")), "unknown field `units`");
    check(CASE, "missing field `answer`");
    check(&format!("{CASE}answer = \"nothing\"\nsays = [\"a whale\"]\n"), "`a whale` is nowhere in the answer");
    check("story = \"x\"\n[[ask]]\nwhat = \"verify\"\nanswer = \"healed\"\n", "there is no plan to verify");
    check("story = \"x\"\n[[ask]]\nwhat = \"check\"\nanswer = \"clean\"\n", "the answer is `unable`");
}

#[test]
fn files_of_a_case_stay_in_its_world() {
    let outside = tempfile::tempdir().unwrap();
    let ask = "[[ask]]\nwhat = \"check\"\nanswer = \"unable\"\n";
    let out = outside.path().display();
    let linked = format!(
        "story = \"x\"\n[[world.file]]\npath = \"/a\"\nlink = \"{out}\"\n[[world.file]]\npath = \"/a/b\"\ntext = \"c\"\n{ask}"
    );
    check(&linked, "leads out of the case's world");
    check(&format!("story = \"x\"\n[[world.file]]\npath = \"/../b\"\n{ask}"), "absolute path without");
    check(
        &format!("story = \"x\"\n[[world.tree]]\nfrom = \"../..\"\nto = \"/b\"\n{ask}"),
        "below the case's own folder",
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_no_plugin_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let options = |dir: &Path| TestOptions { dir: dir.to_owned(), component: None, filter: None, bless: false };
    let error = test(&options(dir.path()), |_| {}).unwrap_err().to_string();
    assert!(error.contains("plugin.toml"), "{error}");
    fs::write(dir.path().join("plugin.toml"), "id = \"nobody\"\nversion = \"0.1.0\"\n").unwrap();
    let error = test(&options(dir.path()), |_| {}).unwrap_err().to_string();
    assert!(error.contains("nobody.wasm") && error.contains("--component"), "{error}");
}
