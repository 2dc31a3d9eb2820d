use std::collections::BTreeMap;

use holdfast_core::model::{Timestamp, UnitState};
use zbus::{OwnedVariant, Variant};

use super::properties::{Properties, kind_of, name_of_path, unit_state};
use super::read::Listed;
use super::view::{View, matters, relevant};

fn properties(pairs: Vec<(&str, Variant<'static>)>) -> Properties {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), OwnedVariant::try_from(value).unwrap())).collect()
}

#[test]
fn a_failed_service_is_read_with_all_that_a_plan_needs() {
    let unit = properties(vec![
        ("Id", Variant::from("web.service")),
        ("LoadState", Variant::from("loaded")),
        ("ActiveState", Variant::from("failed")),
        ("SubState", Variant::from("failed")),
        ("UnitFileState", Variant::from("enabled")),
        ("InvocationID", Variant::from((0_u8..16).collect::<Vec<u8>>())),
        ("StateChangeTimestamp", Variant::from(1_760_004_000_250_000_u64)),
        ("FragmentPath", Variant::from("/etc/systemd/system/web.service")),
    ]);
    let own = properties(vec![
        ("Result", Variant::from("start-limit-hit")),
        ("NRestarts", Variant::from(5_u32)),
        ("Restart", Variant::from("on-failure")),
        ("MainPID", Variant::from(0_u32)),
    ]);
    let expected = UnitState {
        name: "web.service".into(),
        load_state: "loaded".into(),
        active_state: "failed".into(),
        sub_state: "failed".into(),
        result: "start-limit-hit".into(),
        unit_file_state: "enabled".into(),
        n_restarts: 5,
        invocation_id: Some("000102030405060708090a0b0c0d0e0f".into()),
        main_pid: None,
        restart: "on-failure".into(),
        since: Some(Timestamp::from_ms(1_760_004_000_250)),
        fragment_path: Some("/etc/systemd/system/web.service".into()),
    };
    assert_eq!(unit_state(&unit, &own), expected);
}

#[test]
fn what_is_missing_or_of_another_type_stays_empty() {
    assert_eq!(unit_state(&Properties::new(), &Properties::new()), UnitState::default());
    let odd = properties(vec![
        ("Id", Variant::from(7_u32)),
        ("InvocationID", Variant::from(vec![0_u8; 16])),
        ("StateChangeTimestamp", Variant::from(0_u64)),
        ("FragmentPath", Variant::from("")),
    ]);
    assert_eq!(unit_state(&odd, &odd), UnitState::default());
}

#[test]
fn object_paths_name_their_unit() {
    let check = |label: &str, name: Option<&str>| {
        let path = format!("/org/freedesktop/systemd1/unit/{label}");
        assert_eq!(name_of_path(&path).as_deref(), name, "{path}");
    };
    check("web_2eservice", Some("web.service"));
    check("getty_40tty1_2eservice", Some("getty@tty1.service"));
    check("dev_2ddisk_5cx2dby_2emount", Some("dev-disk\\x2dby.mount"));
    check("_", None);
    check("caf_c3_a9_2eservice", Some("café.service"));
    check("odd_ff_2eservice", None);
    check("a/b", None);
    assert_eq!(name_of_path("/org/freedesktop/systemd1/job/3"), None);
}

#[test]
fn services_sockets_timers_and_the_hosts_own_mounts_matter() {
    for name in ["web.service", "a.b.service", "ssh.socket", "backup.timer", "srv-data.mount", "-.mount"] {
        assert!(matters(name), "{name}");
    }
    for name in ["dev-sda.device", "user.slice", "init.scope", "sys-kernel-debug.mount", "run-user-0.mount", "x"] {
        assert!(!matters(name), "{name}");
    }
    assert_eq!(kind_of("web.service").map(|(_, wanted)| wanted.len()), Some(4));
    assert_eq!(kind_of("ssh.socket").map(|(_, wanted)| wanted.len()), Some(1));
}

fn listed(name: &str, active: &str) -> Listed {
    let load_state = if active == "missing" { "not-found" } else { "loaded" };
    Listed { name: name.into(), load_state: load_state.into(), active_state: active.into(), sub_state: active.into() }
}

fn read(name: &str, active: &str) -> UnitState {
    let Listed { name, load_state, active_state, sub_state } = listed(name, active);
    UnitState { name, load_state, active_state, sub_state, ..UnitState::default() }
}

#[test]
fn the_bound_leaves_out_inactive_units_first_and_failed_ones_last() {
    let all = || {
        vec![
            listed("a.service", "inactive"),
            listed("b.service", "active"),
            listed("z.service", "failed"),
            listed("ghost.service", "missing"),
            listed("x.device", "active"),
        ]
    };
    let names = |max| {
        let (kept, left_out) = relevant(all(), max);
        (kept.into_keys().collect::<Vec<_>>().join(" "), left_out)
    };
    assert_eq!(names(9), ("a.service b.service z.service".into(), 0));
    assert_eq!(names(2), ("b.service z.service".into(), 1));
    assert_eq!(names(1), ("z.service".into(), 2));
}

#[test]
fn a_unit_is_told_once_and_again_when_anything_about_it_differs() {
    let mut view = View::default();
    let at = Timestamp::from_secs(1);
    let first = view.take("web.service", Some(read("web.service", "active")), at).unwrap();
    assert_eq!((first.before, first.now.active_state.as_str()), (None, "active"));
    assert_eq!(view.take("web.service", Some(read("web.service", "active")), at), None);
    let restarted = UnitState { n_restarts: 1, ..read("web.service", "active") };
    let change = view.take("web.service", Some(restarted), at).unwrap();
    assert_eq!((change.before.unwrap().n_restarts, change.now.n_restarts), (0, 1));
}

#[test]
fn a_forgotten_unit_is_told_as_inactive_once() {
    let mut view = View::default();
    let at = Timestamp::from_secs(1);
    assert_eq!(view.take("never.service", None, at), None);
    view.take("run-1.service", Some(read("run-1.service", "failed")), at);
    let gone = view.take("run-1.service", None, at).unwrap();
    assert_eq!((gone.now.load_state.as_str(), gone.now.active_state.as_str()), ("unloaded", "inactive"));
    assert_eq!(view.take("run-1.service", None, at), None);
}

#[test]
fn after_a_loss_only_what_differs_from_the_list_is_read_again() {
    let mut view = View::default();
    let at = Timestamp::from_secs(1);
    for name in ["same.service", "fell.service", "gone.service"] {
        view.take(name, Some(read(name, "active")), at);
    }
    let now: BTreeMap<String, Listed> =
        [listed("same.service", "active"), listed("fell.service", "failed"), listed("new.service", "active")]
            .into_iter()
            .map(|unit| (unit.name.clone(), unit))
            .collect();
    let stale: Vec<String> = view.stale(&now).into_iter().collect();
    assert_eq!(stale, ["fell.service", "gone.service", "new.service"]);
}
