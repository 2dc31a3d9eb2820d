//! Components that are small for a disk and large for a compiler.

use super::*;

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], leb(content.len()).as_slice(), content].concat()
}

/// Functions of one argument that add to it again and again, until they are about `bytes` long.
fn module(functions: usize, bytes: usize) -> Vec<u8> {
    let mut body = vec![0];
    while body.len() < bytes {
        // local.get 0, local.get 0, i32.mul, i32.const 5, i32.add, local.tee 0, drop
        body.extend([0x20, 0, 0x20, 0, 0x6c, 0x41, 5, 0x6a, 0x22, 0, 0x1a]);
    }
    body.extend([0x20, 0, 0x0b]);
    let one = [leb(body.len()), body].concat();
    let types = section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let declared = section(3, &[leb(functions), vec![0; functions]].concat());
    let code = section(10, &[leb(functions), one.repeat(functions)].concat());
    [b"\0asm\x01\0\0\0".as_slice(), &types, &declared, &code].concat()
}

/// A component around a module, with a manifest.
pub(crate) fn component(id: &str, functions: usize, bytes: usize) -> Vec<u8> {
    let manifest = format!("id = \"{id}\"\nversion = \"1.0.0\"\nroles = [\"check\"]\n");
    let name = b"holdfast-manifest";
    let manifest = section(0, &[&[name.len() as u8], name.as_slice(), manifest.as_bytes()].concat());
    [b"\0asm\x0d\0\x01\0".as_slice(), &section(1, &module(functions, bytes)), &manifest].concat()
}

fn with(host: &Host, limits: Confinement, deadline: Duration) -> PluginsOptions {
    PluginsOptions { compiler: Compiler::Child { program: BINARY.into(), limits, deadline }, ..host.options(BINARY) }
}

#[test]
fn a_compile_bomb_costs_its_child_and_the_others_load() {
    let host = Host::new();
    host.install("a-bomb", &component("a-bomb", 4, 3_500_000));
    host.install("unit-medic", &guest("plugins/unit-medic.wasm"));
    let limits = Confinement { cpu_s: 2, ..Confinement::default() };
    let (states, problems) = host.states(&with(&host, limits, Duration::from_mins(2)));
    assert!(problems.contains("a-bomb.wasm: compiling it took more than 2 s of CPU time"), "{problems}");
    assert_eq!(states, [state("a-bomb", "refused"), state("unit-medic", "ready")]);
}

#[test]
fn a_component_that_wants_too_much_memory_to_compile_is_refused_as_that() {
    let host = Host::new();
    host.install("a-bomb", &component("a-bomb", 1, 7_000_000));
    let limits = Confinement { memory_bytes: 320 << 20, ..Confinement::default() };
    let (states, problems) = host.states(&with(&host, limits, Duration::from_mins(2)));
    assert!(problems.contains("compiling it took more than 320 MiB of memory"), "{problems}");
    assert_eq!(states, [state("a-bomb", "refused")]);
}

#[test]
fn a_compilation_that_is_not_done_in_time_is_ended() {
    let host = Host::new();
    host.install("a-bomb", &component("a-bomb", 4, 3_500_000));
    let (_, problems) = host.states(&with(&host, Confinement::default(), Duration::from_secs(1)));
    assert!(problems.contains("compiling it took longer than 1 s and was ended"), "{problems}");
}

#[test]
fn the_same_component_in_small_compiles_and_is_refused_for_what_it_is() {
    let host = Host::new();
    host.install("small", &component("small", 1, 100));
    let (_, problems) = host.states(&host.options(BINARY));
    assert!(problems.contains("does not export `holdfast:plugin/lifecycle@0.1.0`"), "{problems}");
}
