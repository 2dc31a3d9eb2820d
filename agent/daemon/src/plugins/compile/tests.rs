//! How a child's end is told. The child itself is tested with the real binary: `agent/daemon/tests/compile.rs`.

use super::*;

/// A program that understands nothing that it is asked.
fn compiler(program: &str) -> Compiler {
    Compiler::Child { program: program.into(), limits: Confinement::default(), deadline: Duration::from_secs(10) }
}

#[track_caller]
fn check(program: &str, wanted: &str) {
    let key = holdfast_plugin_host::CacheKey::new([1; 32]);
    let host = holdfast_plugin_host::PluginHost::new(holdfast_plugin_host::HostOptions::default()).unwrap();
    let error = compiler(program)
        .compile(b"x", &host.artifact(holdfast_plugin_host::ComponentDigest::of(b"x"), &key))
        .unwrap_err();
    assert!(error.contains(wanted), "{error}");
}

#[test]
fn a_child_that_gives_nothing_is_told_apart_from_one_that_cannot_be_started() {
    check("/no such program", "cannot be started");
    check("/bin/true", "said nothing");
}
