//! Guests that misbehave outside their exports' bodies: while the module starts, and after an answer was taken.
//!
//! They are written byte by byte, because no compiler would.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use holdfast_plugin_host::{Call, CheckReport, Grant, SECTION, World};
use support::{TestWorld, host, run};
use wit_component::{ComponentEncoder, StringEncoding};

const LOOP: &[u8] = &[0x03, 0x40, 0x0c, 0x00, 0x0b];
const TRAP: &[u8] = &[0x00];

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn section(id: u8, items: &[Vec<u8>]) -> Vec<u8> {
    let content = [leb(items.len()), items.concat()].concat();
    [vec![id], leb(content.len()), content].concat()
}

fn export(name: &str, kind: u8, index: u8) -> Vec<u8> {
    [leb(name.len()), name.as_bytes().to_vec(), vec![kind, index]].concat()
}

fn body(code: &[u8]) -> Vec<u8> {
    [leb(code.len() + 2), vec![0], code.to_vec(), vec![0x0b]].concat()
}

/// A check that finds nothing: both answers lie in memory that is all zero, but for the length of the list of evaluated rules.
#[derive(Default)]
struct Guest {
    start: Option<&'static [u8]>,
    after: &'static [u8],
    evaluated: u32,
}

/// Where its answers lie; with the list's length 16 bytes further on.
const LENGTH_AT: &[u8] = &[0x41, 0x90, 0x08, 0x0b];
/// 32 MiB: room for four million empty texts.
const PAGES: usize = 512;

impl Guest {
    fn component(&self) -> Vec<u8> {
        let i32s = |n: usize| [leb(n), vec![0x7f; n]].concat();
        let function = |params: usize, results: usize| [vec![0x60], i32s(params), i32s(results)].concat();
        let types = section(1, &[function(6, 1), function(0, 1), function(4, 1), function(1, 0), function(0, 0)]);
        let functions = section(3, &(0..5).map(|n| vec![n]).collect::<Vec<_>>());
        let exports = section(
            7,
            &[
                export("holdfast:plugin/lifecycle@0.1.0#configure", 0, 0),
                export("holdfast:plugin/check@0.1.0#run", 0, 1),
                export("cabi_realloc", 0, 2),
                export("cabi_post_holdfast:plugin/check@0.1.0#run", 0, 3),
                export("memory", 2, 0),
            ],
        );
        let start = self.start.map_or_else(Vec::new, |_| vec![8, 1, 4]);
        let (answer, room) = ([0x41, 0x80, 0x08].as_slice(), [0x41, 0x80, 0x20].as_slice());
        let bodies = [body(answer), body(answer), body(room), body(self.after), body(self.start.unwrap_or_default())];
        let memory = section(5, &[[vec![0], leb(PAGES)].concat()]);
        let data = section(11, &[[&[0], LENGTH_AT, &[4], &self.evaluated.to_le_bytes()].concat()]);
        let code = section(10, &bodies);
        let mut module = [b"\0asm\x01\0\0\0".to_vec(), types, functions, memory, exports, start, code, data].concat();
        let mut resolve = wit_parser::Resolve::default();
        let wit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let (package, _) = resolve.push_dir(wit).unwrap();
        let world = resolve.select_world(&[package], Some("check-plugin")).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
        let component = ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap();
        let manifest = b"id = \"early\"\nversion = \"1.0.0\"\nroles = [\"check\"]\n";
        let content = [leb(SECTION.len()), SECTION.as_bytes().to_vec(), manifest.to_vec()].concat();
        [component, vec![0], leb(content.len()), content].concat()
    }

    fn check(&self) -> Call<CheckReport> {
        let plugin = host().load(&self.component(), Some(Grant::default())).unwrap();
        plugin.check(&run(), &(Arc::new(TestWorld::new()) as Arc<dyn World>))
    }
}

#[test]
fn the_same_guest_without_misbehaviour_answers() {
    let report = Guest::default().check().result.unwrap();
    assert!(report.detections.is_empty() && report.evaluated.is_empty());
}

#[track_caller]
fn stopped(guest: &Guest) {
    let call = guest.check();
    let error = call.result.unwrap_err().to_string();
    assert!(error.contains("deadline had passed"), "{error}");
    assert!(call.cost.elapsed < Duration::from_secs(20), "{:?}", call.cost);
}

#[test]
fn an_endless_loop_while_the_module_starts_ends_at_the_deadline() {
    stopped(&Guest { start: Some(LOOP), ..Guest::default() });
}

#[test]
fn an_endless_loop_when_its_answer_is_dropped_ends_at_the_deadline() {
    stopped(&Guest { after: LOOP, ..Guest::default() });
}

#[test]
fn a_trap_when_its_answer_is_dropped_fails_the_call() {
    let error = Guest { after: TRAP, ..Guest::default() }.check().result.unwrap_err();
    assert!(error.is_misbehaviour(), "{error}");
}

#[test]
fn a_list_of_four_million_elements_is_refused_before_it_is_copied() {
    let call = Guest { evaluated: 4_000_000, ..Guest::default() }.check();
    let error = call.result.unwrap_err();
    assert!(error.to_string().contains("handed to the host at once"), "{error}");
    assert!(error.is_misbehaviour() && call.cost.elapsed < Duration::from_secs(2), "{:?}", call.cost);
}

#[test]
fn a_list_that_reaches_beyond_its_memory_is_no_list() {
    for evaluated in [5_000_000, 600_000_000, u32::MAX] {
        let error = Guest { evaluated, ..Guest::default() }.check().result.unwrap_err();
        assert!(error.is_misbehaviour(), "{evaluated}: {error}");
    }
}
