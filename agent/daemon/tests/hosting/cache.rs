//! What the cache holds is used when it is whole, and otherwise compiled again; never mapped.

use super::*;
use std::os::unix::fs::PermissionsExt;

/// With a program that compiles nothing, only the cache makes a plugin ready.
const NOBODY: &str = "/bin/false";

fn host() -> Host {
    let host = Host::new();
    host.install("unit-medic", &guest("plugins/unit-medic.wasm"));
    assert_eq!(host.states(&host.options(BINARY)).0, [state("unit-medic", "ready")]);
    host
}

#[test]
fn what_was_compiled_once_is_not_compiled_again() {
    let host = host();
    assert_eq!(host.states(&host.options(NOBODY)), (vec![state("unit-medic", "ready")], String::new()));
    let mode = std::fs::metadata(&host.kept()[0]).unwrap().permissions().mode();
    assert_eq!((host.kept().len(), mode & 0o7777), (1, 0o600));
}

/// After the entry was damaged it is not used, and a start that can compile mends it.
#[track_caller]
fn damaged(damage: impl Fn(&Host, &Path)) {
    let host = host();
    let file = host.kept().remove(0);
    let whole = std::fs::read(&file).unwrap();
    damage(&host, &file);
    let (states, problems) = host.states(&host.options(NOBODY));
    assert_eq!(states, [state("unit-medic", "refused")], "{problems}");
    assert!(problems.contains("the compiler ended"), "{problems}");
    assert_eq!(host.states(&host.options(BINARY)), (vec![state("unit-medic", "ready")], String::new()));
    assert_eq!(host.states(&host.options(NOBODY)).0, [state("unit-medic", "ready")]);
    let file = host.kept().remove(0);
    assert_eq!(std::fs::read(&file).unwrap().len(), whole.len());
    assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
}

#[test]
fn a_flipped_bit_is_seen_wherever_it_is() {
    for share in [0, 31, 32, 500, 999] {
        damaged(|_, file| {
            let mut bytes = std::fs::read(file).unwrap();
            let at = if share < 33 { share } else { bytes.len() * share / 1_000 };
            bytes[at] ^= 0x10;
            std::fs::write(file, bytes).unwrap();
        });
    }
}

#[test]
fn a_truncated_or_empty_entry_is_not_used() {
    for keep in [0, 16, 10_000] {
        damaged(|_, file| std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(keep).unwrap());
    }
}

#[test]
fn an_entry_that_others_may_write_is_not_used() {
    damaged(|_, file| std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o666)).unwrap());
}

#[test]
fn an_entry_of_another_user_is_not_used() {
    if rustix::process::geteuid().is_root() {
        damaged(|_, file| std::os::unix::fs::chown(file, Some(65_534), None).unwrap());
    }
}

#[test]
fn a_symlink_to_a_good_entry_is_not_followed() {
    damaged(|host, file| {
        let elsewhere = host.path("elsewhere");
        std::fs::rename(file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(elsewhere, file).unwrap();
    });
}

#[test]
fn the_entry_of_another_component_is_not_used_under_this_name() {
    let other = Host::new();
    other.install("hostile", &guest("guests/hostile.wasm"));
    other.states(&other.options(BINARY));
    let theirs = std::fs::read(&other.kept()[0]).unwrap();
    let host = host();
    let file = host.kept().remove(0);
    std::fs::write(&file, theirs).unwrap();
    assert_eq!(host.states(&host.options(NOBODY)).0, [state("unit-medic", "refused")]);
}

#[test]
fn what_another_hosts_agent_sealed_is_not_used() {
    let host = host();
    let mut options = host.options(NOBODY);
    options.cache = Some((host.path("cache"), CacheKey::new([8; 32])));
    assert_eq!(host.states(&options).0, [state("unit-medic", "refused")]);
}

#[test]
fn entries_that_nobody_uses_go_away() {
    let host = host();
    let before = host.kept();
    std::fs::remove_file(host.path("plugins/unit-medic.wasm")).unwrap();
    std::fs::remove_file(host.path("plugins.d/unit-medic.toml")).unwrap();
    host.install("release-verify", &guest("plugins/release-verify.wasm"));
    host.states(&host.options(BINARY));
    assert_eq!(host.kept().len(), 1);
    assert_ne!(host.kept(), before);
}
