//! What is not loaded, and the sentence that says why and what to do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::path::Path;

use holdfast_plugin_host::{Grant, Limits, LoadError, ManifestError, SECTION, manifest_of};
use support::{guest, host};

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MANIFEST: &str = "id = \"small\"\nversion = \"1.0.0\"\nroles = [\"check\"]\n";

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128, "one byte of length");
    [&[id, content.len() as u8], content].concat()
}

fn named(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn manifest_section(text: &str) -> Vec<u8> {
    section(0, &[named(SECTION), text.as_bytes().to_vec()].concat())
}

/// A component that does nothing but import one empty instance.
fn importing(name: &str) -> Vec<u8> {
    let instance_type = section(7, &[1, 0x42, 0]);
    let import = section(10, &[&[1, 0], named(name).as_slice(), &[5, 0]].concat());
    [COMPONENT, &instance_type, &import, &manifest_section(MANIFEST)].concat()
}

/// The same bytes with one text in the place of another of the same length, everywhere.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "{from} is not in it");
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[track_caller]
fn refused(bytes: &[u8], wanted: &str) {
    match host().load(bytes, None) {
        Err(error) => assert!(error.to_string().contains(wanted), "{error}"),
        Ok(plugin) => panic!("{plugin:?} was loaded"),
    }
}

#[test]
fn what_is_no_component_is_called_what_it_is() {
    refused(b"", "is not WebAssembly");
    refused(b"#!/bin/sh\necho hello\n", "is not WebAssembly");
    refused(b"\0asm\x01\0\0\0", "is a core WebAssembly module, not a component; build it with");
    refused(&[COMPONENT, &[0xff; 64]].concat(), "is damaged at byte");
}

#[test]
fn a_truncated_component_says_so() {
    let whole = guest("guests/hostile.wasm");
    for share in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..share], "is truncated");
    }
}

#[test]
fn an_oversized_component_is_refused_unread() {
    let error = host().load(&vec![0; (32 << 20) + 1], None).unwrap_err();
    assert_eq!(error, LoadError::TooLarge { bytes: (32 << 20) + 1 });
}

#[test]
fn an_import_of_wasi_is_refused_with_the_way_out() {
    refused(
        &importing("wasi:cli/environment@0.2.0"),
        "imports `wasi:cli/environment@0.2.0`; plugins have no WASI: build for wasm32-unknown-unknown",
    );
}

#[test]
fn any_other_import_is_refused_by_name() {
    refused(&importing("acme:cloud/upload@1.0.0"), "imports `acme:cloud/upload@1.0.0`, which is not among");
    refused(&importing("holdfast:plugin/actuator@0.1.0"), "imports `holdfast:plugin/actuator@0.1.0`");
    refused(&importing("holdfast:plugin/files@9.0.0"), "was built for holdfast:plugin 9.0.0, this agent offers 0.1.0");
}

#[test]
fn a_component_for_an_older_or_a_later_contract_says_which_and_what_to_do() {
    for version in ["0.0.9", "0.2.0", "1.0.0"] {
        refused(
            &importing(&format!("holdfast:plugin/files@{version}")),
            &format!(
                "was built for holdfast:plugin {version}, this agent offers 0.1.0; build it with the SDK of this version"
            ),
        );
    }
    // Its exports alone are of a later contract.
    let whole = guest("guests/hostile.wasm");
    let later = replaced(&whole, "holdfast:plugin/lifecycle@0.1.0", "holdfast:plugin/lifecycle@0.2.0");
    refused(&later, "was built for holdfast:plugin 0.2.0, this agent offers 0.1.0");
}

#[test]
fn a_component_for_a_later_contract_of_the_same_line_needs_a_newer_agent_and_says_so() {
    let wanted = "was built for holdfast:plugin 0.1.9, this agent offers 0.1.0; build it with the SDK of this version, or update this \
                  agent to one that offers it";
    refused(&replaced(&guest("guests/hostile.wasm"), "@0.1.0", "@0.1.9"), wanted);
    // What it exports is of this contract, and one of the interfaces that it imports has more than this agent knows.
    refused(&importing_a_function("holdfast:plugin/clock@0.1.9", "tomorrow"), wanted);
    // An older one is helped by no other agent.
    let older = host().load(&importing("holdfast:plugin/files@0.0.9"), None).unwrap_err().to_string();
    assert!(!older.contains("update this agent"), "{older}");
}

/// Exports the lifecycle and the check of this contract as empty instances, and imports one function.
fn importing_a_function(interface: &str, function: &str) -> Vec<u8> {
    let instance_type =
        section(7, &[&[1, 0x42, 2, 1, 0x40, 0, 1, 0, 4, 0], named(function).as_slice(), &[1, 0]].concat());
    let import = section(10, &[&[1, 0], named(interface).as_slice(), &[5, 0]].concat());
    [COMPONENT, &instance_type, &import, &exporting(&["lifecycle", "check"], 1), &manifest_section(MANIFEST)].concat()
}

/// An empty instance with this number, exported under these interfaces.
fn exporting(interfaces: &[&str], number: u8) -> Vec<u8> {
    let instance = section(5, &[1, 1, 0]);
    let export =
        |name: &&str| [&[0], named(&format!("holdfast:plugin/{name}@0.1.0")).as_slice(), &[5, number, 0]].concat();
    let exports: Vec<u8> = interfaces.iter().flat_map(export).collect();
    [instance, section(11, &[&[interfaces.len() as u8], exports.as_slice()].concat())].concat()
}

#[test]
fn an_absurd_manifest_is_refused_by_what_is_absurd_in_it() {
    let with = |text: &str| {
        let content = [named(SECTION), text.as_bytes().to_vec()].concat();
        let mut length = content.len();
        let mut leb = Vec::new();
        while length >= 0x80 {
            leb.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        leb.push(length as u8);
        [COMPONENT, &[0], &leb, &content].concat()
    };
    let roots = (0..65).map(|n| format!("\"/srv/{n}\"")).collect::<Vec<_>>().join(", ");
    for (text, wanted) in [
        ("#".repeat(70_000), "has 70000 bytes; 65536 are allowed".to_owned()),
        ("id = \"../../etc\"\nversion = \"1.0.0\"\n".to_owned(), "write 1 to 64 of a-z 0-9 and -".to_owned()),
        (format!("id = \"{}\"\nversion = \"1.0.0\"\n", "x".repeat(65)), "write 1 to 64".to_owned()),
        ("id = \"x\"\nversion = \"one\"\n".to_owned(), "write three numbers".to_owned()),
        (format!("{MANIFEST}[wants]\nfiles = [{roots}]\n"), "has 65 entries; 64 are allowed".to_owned()),
        (format!("{MANIFEST}[wants]\nfiles = [\"/srv/../etc\"]\n"), "without `.` and `..`".to_owned()),
        (format!("{MANIFEST}[limits]\nmemory-max = \"1EiB\"\n"), String::new()),
        (format!("schedule = \"1ms\"\n{MANIFEST}"), "shorter than".to_owned()),
    ] {
        refused(&with(&text), &wanted);
    }
}

#[test]
fn a_component_without_a_role_is_no_plugin() {
    refused(&[COMPONENT, &manifest_section(MANIFEST)].concat(), "does not export `holdfast:plugin/lifecycle@0.1.0`");
}

#[test]
fn roles_come_from_the_exports_and_a_manifest_that_says_otherwise_is_refused() {
    let whole = guest("guests/hostile.wasm");
    let lying = replaced(&whole, "roles = [\"check\", \"remediator\"]", "roles = [\"check\"              ]");
    refused(&lying, "the manifest names the roles [check], the component exports [check, remediator]");
}

#[test]
fn exactly_one_manifest_speaks_for_a_component() {
    refused(COMPONENT, "has no `holdfast-manifest` section");
    let whole = guest("guests/hostile.wasm");
    let twice = [whole.as_slice(), &manifest_section(MANIFEST)].concat();
    assert_eq!(manifest_of(&twice), Err(ManifestError::Several(2)));
    refused(&[COMPONENT, &manifest_section("id = 5")].concat(), "line 1");
}

#[test]
fn a_manifest_is_read_without_loading() {
    let manifest = manifest_of(&guest("guests/hostile.wasm")).unwrap();
    assert_eq!((manifest.id.as_str(), manifest.major()), ("hostile", 3));
}

#[test]
fn a_grant_for_more_or_for_another_component_is_refused() {
    let whole = guest("guests/hostile.wasm");
    for (grant, wanted) in [
        ("[read]\nfiles = [\"/etc\"]\n", "does not ask for"),
        ("digest = \"abc\"\n", "is for the component with SHA-256 abc"),
        ("[settings]\ndeeds = \"x\"\n", "the settings are deed, with"),
    ] {
        let error = host().load(&whole, Some(Grant::parse(grant).unwrap())).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_manifest_may_lower_a_limit_and_never_raise_it() {
    let plugin = host().load(&guest("guests/hostile.wasm"), None).unwrap();
    assert_eq!(plugin.limits().memory_bytes_max, 64 << 20);
    assert!(plugin.limits().deadline < Limits::default().deadline);
}

#[test]
fn damage_anywhere_is_an_error_or_harmless_and_never_a_panic() {
    let whole = guest("guests/hostile.wasm");
    for at in (8..whole.len()).step_by(whole.len() / 200) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let _ = manifest_of(&damaged);
    }
    for at in [8, 9, 40, 100, 1_000] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let _ = host().load(&damaged, None);
    }
}

#[test]
fn the_plugins_of_this_repository_load_with_what_they_ask_for_and_with_their_example_grants() {
    let folders = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")).unwrap();
    let mut count = 0;
    for folder in folders.map(|it| it.unwrap().path()).filter(|it| it.join("plugin.toml").is_file()) {
        let id = folder.file_name().unwrap().to_str().unwrap();
        let component = guest(&format!("plugins/{id}.wasm"));
        let manifest = manifest_of(&component).unwrap();
        let grant = Grant::everything(&manifest, holdfast_core::model::Mode::Advise);
        let plugin = host().load(&component, Some(grant)).unwrap();
        assert_eq!((plugin.id(), plugin.digest().len()), (id, 64));
        let example = std::fs::read_to_string(folder.join("grant.example.toml")).unwrap();
        plugin.granted(Some(Grant::parse(&example).unwrap())).unwrap_or_else(|error| panic!("{id}: {error}"));
        count += 1;
    }
    assert!(count >= 7, "{count} plugins");
}
