//! A plugin that nobody calls is let go from memory, and is there again for the next call.

use super::*;
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{RunId, Timestamp};

const ID: &str = "ssh-hardening";

fn host() -> Host {
    let host = Host::new();
    host.install(ID, &guest("plugins/ssh-hardening.wasm"));
    host
}

/// What a call says: without a grant to read anything it ran all the same.
fn called(plugins: &Plugins) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let at = Timestamp::from_secs(1_800_000_000);
    let run = RunId::new(at, &mut SeededIds(1));
    match runtime.block_on(plugins.check(ID, run, at)) {
        Ok(_) => "it ran".to_owned(),
        Err(error) => std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}

#[test]
fn what_nobody_calls_is_let_go_once_and_a_call_has_it_again() {
    let host = host();
    let (plugins, _) = host.load(&host.options(BINARY));
    let first = called(&plugins);
    assert!(!first.contains("again"), "{first}");
    assert_eq!((plugins.rest(), plugins.rest(), plugins.rest()), (0, 1, 0), "called since, let go, gone already");
    assert_eq!(called(&plugins), first);
    assert_eq!((plugins.rest(), plugins.rest()), (0, 1));
}

#[test]
fn a_kept_form_that_is_gone_or_altered_is_compiled_anew() {
    let host = host();
    let (plugins, _) = host.load(&host.options(BINARY));
    let first = called(&plugins);
    let file = host.kept().remove(0);
    let whole = std::fs::read(&file).unwrap();
    let alter: [&dyn Fn(); 2] = [&|| std::fs::remove_file(&file).unwrap(), &|| std::fs::write(&file, b"x").unwrap()];
    for alter in alter {
        while plugins.rest() == 0 {}
        alter();
        assert_eq!(called(&plugins), first);
        assert_eq!(std::fs::read(&file).unwrap().len(), whole.len(), "it is kept again");
    }
}

#[test]
fn another_component_in_its_place_never_runs_under_its_grant() {
    let host = host();
    let (plugins, _) = host.load(&host.options(BINARY));
    while plugins.rest() == 0 {}
    std::fs::remove_file(host.kept().remove(0)).unwrap();
    host.install(ID, &guest("plugins/unit-medic.wasm"));
    for _ in 0..4 {
        let said = called(&plugins);
        assert!(said.contains("back into memory") && said.contains("is another one by now"), "{said}");
    }
    assert_eq!(plugins.list()[0].state, "ready", "nothing of that is the plugin's doing");
}

#[test]
fn what_can_be_kept_nowhere_any_more_stays_in_memory() {
    let host = host();
    let (plugins, _) = host.load(&host.options(BINARY));
    let first = called(&plugins);
    while plugins.rest() == 0 {}
    std::fs::remove_dir_all(host.path("cache/plugins")).unwrap();
    assert_eq!(called(&plugins), first);
    assert_eq!((plugins.rest(), plugins.rest()), (0, 0));
}

#[test]
fn without_a_cache_nothing_is_let_go() {
    let host = host();
    let (plugins, _) = host.load(&PluginsOptions { cache: None, ..host.options(BINARY) });
    assert_eq!((plugins.rest(), plugins.rest()), (0, 0));
}
