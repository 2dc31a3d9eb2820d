//! Each test spoils one thing of a plan that is fine, and names the problem that must be said.

use std::time::Duration;

use super::*;
use crate::model::id::SeededIds;
use crate::model::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn finding(target: Target) -> Finding {
    Finding {
        id: FindingId::new(NOW, &mut SeededIds(1)),
        fingerprint: String::new(),
        kind: "k".into(),
        class: Class::Reliability,
        target,
        title: String::new(),
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        method: Method { name: "m".into(), version: 1 },
        evidence: vec![],
        state: FindingState::New,
        count: 1,
        began_at: NOW,
        detected_at: NOW,
        last_seen_at: NOW,
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

fn body(finding: &Finding, action: Action) -> PlanBody {
    PlanBody {
        id: PlanId::new(NOW, &mut SeededIds(2)),
        finding: finding.id.clone(),
        target: finding.target.clone(),
        proposed_by: "p 1.0.0".into(),
        plugin_digest: DIGEST.into(),
        run: RunId::new(NOW, &mut SeededIds(3)),
        summary: "do it".into(),
        confidence: Confidence::CERTAIN,
        steps: vec![step("1", action)],
        evidence: vec![Evidence::new("x", 1.0)],
        settle_ms: 1_000,
        made_at: NOW,
        expires_at: NOW.plus(Duration::from_mins(10)),
    }
}

fn step(id: &str, action: Action) -> Step {
    Step {
        id: id.into(),
        rationale: "because".into(),
        side_effects: vec!["a short pause".into()],
        risk: action.minimum_risk(),
        undo: action.undo(),
        action,
        timeout_ms: 30_000,
    }
}

fn restart(unit: &str) -> Action {
    Action::RestartUnit {
        unit: unit.into(),
        only_if_invocation: Some("0".repeat(32)),
        only_if_active_state: "failed".into(),
    }
}

fn quarantine(path: &str) -> Action {
    Action::QuarantinePath { path: path.into(), only_if_sha256: DIGEST.into() }
}

fn restore(path: &str) -> Action {
    Action::RestoreFile {
        path: path.into(),
        only_if_sha256: None,
        sha256: DIGEST.into(),
        bytes: 5,
        mode: 0o644,
        uid: 0,
        gid: 0,
    }
}

fn reclaim(root: &str, paths: &[&str]) -> Action {
    let entry =
        |path: &&str| ReclaimEntry { path: (*path).into(), files: 1, bytes: 1, newest_change: Timestamp::from_secs(1) };
    Action::ReclaimPaths { root: root.into(), entries: paths.iter().map(entry).collect() }
}

fn problems(finding: &Finding, body: &PlanBody) -> Vec<String> {
    let all = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    check(
        body,
        &PlanFacts {
            finding,
            actions: &all(&Action::VERBS),
            units: &all(&["web-*.service", "holdfast*"]),
            paths: &all(&["/srv/app/**", "/srv/one/*", "/srv/app"]),
            now: NOW,
        },
    )
}

/// A plan of one action for a finding about that target; `None`: it is fine.
#[track_caller]
fn check_action(target: Target, action: Action, expected: Option<&str>) {
    check_body(target, action, |_| {}, expected);
}

/// Spoils the plan, and compares its only problem.
#[track_caller]
fn check_body(target: Target, action: Action, spoil: impl FnOnce(&mut PlanBody), expected: Option<&str>) {
    let finding = finding(target);
    let mut body = body(&finding, action);
    spoil(&mut body);
    let found = problems(&finding, &body);
    match expected {
        None => assert!(found.is_empty(), "{found:#?}"),
        Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:#?}"),
    }
}

#[track_caller]
fn spoiled(spoil: impl FnOnce(&mut PlanBody), expected: &str) {
    check_body(Target::unit("web-1.service"), restart("web-1.service"), spoil, Some(expected));
}

#[test]
fn plans_of_every_verb_can_be_fine() {
    let unit = || Target::unit("web-1.service");
    check_action(unit(), restart("web-1.service"), None);
    check_action(unit(), Action::ResetFailedUnit { unit: "web-1.service".into(), only_if_invocation: None }, None);
    check_action(Target::file("/srv/app/a"), restore("/srv/app/a"), None);
    check_action(Target::new("deployment", "d"), quarantine("/srv/app/a/b"), None);
    check_action(
        Target::filesystem("/srv"),
        reclaim("/srv/app", &["/srv/app/a", "/srv/app/a-b", "/srv/app/b/c"]),
        None,
    );
    check_action(Target::filesystem("/"), reclaim("/srv/app", &["/srv/app/a"]), None);
}

#[test]
fn a_plan_acts_on_what_its_finding_is_about() {
    let about = "and the finding is about";
    check_action(Target::unit("web-1.service"), restart("web-2.service"), Some(about));
    check_action(Target::file("/srv/app/a"), restart("web-1.service"), Some(about));
    check_action(Target::unit("web-1.service"), restore("/srv/app/a"), Some(about));
    check_action(Target::file("/srv/app/a"), restore("/srv/app/b"), Some(about));
    check_action(Target::file("/srv/app/a"), restore("/srv/app/a/b"), Some(about));
    check_action(Target::new("directory", "/srv/app/a"), restore("/srv/app/ab"), Some(about));
    check_action(Target::new("directory", "/srv/app/a"), restore("/srv/app/a/b"), None);
    check_action(
        Target::filesystem("/data"),
        reclaim("/srv/app", &["/srv/app/a"]),
        Some("does not lie on the file system"),
    );
    check_action(
        Target::filesystem("/srv/ap"),
        reclaim("/srv/app", &["/srv/app/a"]),
        Some("does not lie on the file system"),
    );
    spoiled(|b| b.target = Target::unit("web-2.service"), "the plan is about unit:web-2.service");
    spoiled(|b| b.finding = FindingId::new(NOW, &mut SeededIds(7)), "the plan is for");
}

#[test]
fn what_is_not_granted_is_a_problem() {
    check_action(Target::unit("db.service"), restart("db.service"), Some("not granted unit db.service"));
    check_action(Target::file("/etc/passwd"), restore("/etc/passwd"), Some("not granted /etc/passwd"));
    check_action(Target::file("/srv/one/a/b"), restore("/srv/one/a/b"), Some("not granted"));
    check_action(Target::file("/srv/apple"), restore("/srv/apple"), Some("not granted"));
    let finding = finding(Target::unit("web-1.service"));
    let facts = PlanFacts { finding: &finding, actions: &[], units: &["web-*".into()], paths: &[], now: NOW };
    assert_eq!(
        check(&body(&finding, restart("web-1.service")), &facts),
        ["step 1: the plugin is not granted `restart_unit`"]
    );
    let broken = PlanFacts { actions: &["restart_unit".into()], units: &["web-[".into()], ..facts };
    let found = check(&body(&finding, restart("web-1.service")), &broken);
    assert!(found.len() == 2 && found[0].contains("not valid") && found[1].contains("not granted unit"), "{found:?}");
}

#[test]
fn the_agent_does_not_act_on_itself() {
    for unit in OWN_UNITS {
        check_action(Target::unit(unit), restart(unit), Some("its own units"));
    }
}

#[test]
fn names_of_units_are_names() {
    for bad in [
        "",
        "web",
        "web-1.service/../x.service",
        "web-*.service",
        "web 1.service",
        "-web.service",
        "web-1.service\n",
        "wéb.service",
    ] {
        check_action(Target::unit(bad), restart(bad), Some("is not the name of a unit"));
    }
}

#[test]
fn a_path_is_written_in_the_one_way_that_names_it() {
    for bad in [
        "/srv/app/../../etc/passwd",
        "/srv/app//a",
        "/srv/app/./a",
        "srv/app/a",
        "/srv/app/a/",
        "",
        "/srv/app/..",
        "/srv/app/a/../b",
    ] {
        check_action(
            Target::new("service", "a"),
            restore(bad),
            Some("normal path").filter(|_| bad.starts_with('/')).or(Some("not an absolute path")),
        );
    }
    for bad in ["/srv/app/a\0b", "/srv/app/\u{1b}[2Ja", "/srv/app/a\nb", "/srv/app/\u{202e}txt.exe"] {
        check_action(Target::new("service", "a"), quarantine(bad), Some("control characters"));
    }
    check_action(Target::new("service", "a"), quarantine(&format!("/srv/app/{}", "a".repeat(5_000))), Some("too long"));
}

#[test]
fn every_guard_is_there_and_is_one() {
    let unit = || Target::unit("web-1.service");
    let state = |state: &str| Action::RestartUnit {
        unit: "web-1.service".into(),
        only_if_invocation: None,
        only_if_active_state: state.into(),
    };
    check_action(unit(), state(""), Some("not an active state"));
    check_action(unit(), state("any"), Some("not an active state"));
    let invocation =
        |id: &str| Action::ResetFailedUnit { unit: "web-1.service".into(), only_if_invocation: Some(id.into()) };
    check_action(unit(), invocation(""), Some("not an invocation id"));
    check_action(unit(), invocation(&"g".repeat(32)), Some("not an invocation id"));
    for bad in ["", "0011", &DIGEST.to_uppercase()] {
        let action = Action::QuarantinePath { path: "/srv/app/a".into(), only_if_sha256: bad.into() };
        check_action(Target::file("/srv/app/a"), action, Some("not a SHA-256"));
    }
}

#[test]
fn a_restore_brings_no_more_than_a_plain_file() {
    let with = |change: fn(&mut u32, &mut u64, &mut String)| {
        let mut action = restore("/srv/app/a");
        if let Action::RestoreFile { mode, bytes, sha256, .. } = &mut action {
            change(mode, bytes, sha256);
        }
        action
    };
    for action in
        [with(|mode, _, _| *mode = 0o4755), with(|mode, _, _| *mode = 0o2755), with(|mode, _, _| *mode = 0o100_644)]
    {
        check_action(Target::file("/srv/app/a"), action, Some("more than permission bits"));
    }
    check_action(Target::file("/srv/app/a"), with(|_, bytes, _| *bytes = u64::MAX), Some("more than can be restored"));
    check_action(Target::file("/srv/app/a"), with(|_, _, sha| *sha = "../../x".into()), Some("not a SHA-256"));
}

#[test]
fn what_a_step_says_of_itself_is_true() {
    spoiled(|b| b.steps[0].risk = Risk::None, "`restart_unit` has at least low");
    spoiled(|b| b.steps[0].undo = Undo::Kept, "does not say truly");
    spoiled(|b| b.steps[0].timeout_ms = 0, "1 to 600000 are possible");
    spoiled(|b| b.steps[0].timeout_ms = 600_001, "1 to 600000 are possible");
    check_body(
        Target::filesystem("/srv"),
        reclaim("/srv/app", &["/srv/app/a"]),
        |b| b.steps[0].undo = Undo::Kept,
        Some("does not say truly"),
    );
    // Less than the action promises is the plugin's to say.
    let unit = (Target::unit("web-1.service"), restart("web-1.service"));
    check_body(unit.0, unit.1, |b| b.steps[0].undo = Undo::Impossible, None);
}

#[test]
fn steps_are_counted_and_have_ids_of_their_own() {
    let unit = || restart("web-1.service");
    spoiled(|b| b.steps.clear(), "has 0 steps");
    spoiled(|b| b.steps = (0..17).map(|n| step(&n.to_string(), unit())).collect(), "has 17 steps");
    spoiled(|b| b.steps.push(b.steps[0].clone()), "same id");
    spoiled(|b| b.steps[0].id = String::new(), "its id must have");
    spoiled(|b| b.steps[0].id = "a/b".into(), "its id must have");
}

#[test]
fn a_plan_is_for_now_and_not_for_ever() {
    spoiled(|b| b.expires_at = NOW, "must be after now");
    spoiled(|b| b.expires_at = NOW.plus(Duration::from_secs(24 * 3_600 + 1)), "at most 24 h ahead");
    spoiled(|b| b.expires_at = Timestamp::from_ns(i64::MAX), "at most 24 h ahead");
    spoiled(|b| b.made_at = NOW.plus(Duration::from_secs(1)), "in the future");
    spoiled(|b| b.settle_ms = 600_001, "settling takes");
}

#[test]
fn texts_are_short_and_harmless_on_a_terminal() {
    spoiled(|b| b.summary = "x".repeat(501), "the summary has 501 bytes");
    spoiled(|b| b.summary = "\u{1b}[2Jnothing to see".into(), "the summary has control characters");
    spoiled(|b| b.summary = "restart \u{202e}bd".into(), "the summary has control characters");
    spoiled(|b| b.steps[0].rationale = "x".repeat(2_001), "the rationale has 2001 bytes");
    spoiled(|b| b.steps[0].side_effects = vec![String::new(); 17], "17 side effects");
    spoiled(|b| b.steps[0].side_effects = vec!["a\nb".into()], "a side effect has control characters");
    spoiled(|b| b.proposed_by = "x".repeat(129), "the plugin's name has 129 bytes");
    spoiled(|b| b.plugin_digest = "x".into(), "digest is not one");
}

#[test]
fn evidence_is_counted_and_can_be_stored() {
    spoiled(|b| b.evidence = vec![Evidence::new("x", 1.0); 65], "65 pieces of evidence");
    spoiled(|b| b.evidence = vec![Evidence::new("x", "y".repeat(65_537))], "has 65537 bytes");
    spoiled(
        |b| b.evidence = vec![Evidence { name: "x".into(), value: Value::Number(f64::NAN) }],
        "not a finite number",
    );
    spoiled(|b| b.evidence = vec![Evidence::new("x", "y".repeat(65_000)); 13], "the plan has");
}

#[test]
fn a_reclaim_stays_strictly_below_its_root() {
    let disk = || Target::filesystem("/srv");
    check_action(disk(), reclaim("/srv/app", &["/srv/app"]), Some("strictly below"));
    check_action(disk(), reclaim("/srv/app", &["/srv/one/a"]), Some("strictly below"));
    check_action(disk(), reclaim("/srv/ap", &["/srv/app/a"]), Some("strictly below"));
    check_action(disk(), reclaim("/", &["/srv/app/a"]), Some("below `/`"));
    check_action(disk(), reclaim("/srv/app/", &["/srv/app/a"]), Some("normal path"));
    check_action(disk(), reclaim("/srv/app", &["/srv/app/../one/a"]), Some("normal path"));
    check_action(disk(), reclaim("/srv", &["/srv/other"]), Some("not granted"));
    check_action(disk(), reclaim("/srv/app", &[]), Some("0 entries"));
}

#[test]
fn nothing_is_reclaimed_twice() {
    let disk = || Target::filesystem("/srv");
    let within = Some("lies within");
    check_action(disk(), reclaim("/srv/app", &["/srv/app/a", "/srv/app/a"]), within);
    check_action(disk(), reclaim("/srv/app", &["/srv/app/a/b/c", "/srv/app/a-b", "/srv/app/a"]), within);
}

#[test]
fn the_guard_of_a_reclaim_is_a_moment_that_was() {
    let spoil = |at: Timestamp| {
        move |b: &mut PlanBody| {
            if let Action::ReclaimPaths { entries, .. } = &mut b.steps[0].action {
                entries[0].newest_change = at;
            }
        }
    };
    let action = || reclaim("/srv/app", &["/srv/app/a"]);
    for at in
        [NOW.plus(Duration::from_nanos(1)), Timestamp::from_ns(i64::MAX), Timestamp::from_ns(0), Timestamp::from_ns(-1)]
    {
        check_body(Target::filesystem("/srv"), action(), spoil(at), Some("which cannot be"));
    }
    check_body(Target::filesystem("/srv"), action(), spoil(NOW), None);
}

#[test]
fn sums_that_overflow_are_a_problem_not_a_crash() {
    let huge = |b: &mut PlanBody| {
        if let Action::ReclaimPaths { entries, .. } = &mut b.steps[0].action {
            for entry in entries {
                entry.bytes = u64::MAX;
            }
        }
    };
    check_body(
        Target::filesystem("/srv"),
        reclaim("/srv/app", &["/srv/app/a", "/srv/app/b"]),
        huge,
        Some("larger than any disk"),
    );
}

#[test]
fn a_flood_of_problems_is_counted_not_listed() {
    let paths: Vec<String> = (0..5_000).map(|n| format!("/etc/{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let finding = finding(Target::filesystem("/"));
    let found = problems(&finding, &body(&finding, reclaim("/srv/app", &paths)));
    assert_eq!(found.len(), PROBLEMS_MAX + 1);
    assert!(found.iter().all(|text| text.len() < 500), "{found:?}");
}

proptest::proptest! {
    #[test]
    fn whatever_stands_in_a_path_only_granted_ones_pass(path in "(/|srv|app|one|\\.|\\.\\.|a|\\*|\\PC){0,12}") {
        let finding = finding(Target::new("deployment", "d"));
        let found = problems(&finding, &body(&finding, quarantine(&path)));
        let granted = path.starts_with("/srv/app/") || path.starts_with("/srv/one/") || path == "/srv/app";
        let tricky = path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
        if found.is_empty() { proptest::prop_assert!(granted && !tricky, "{path}"); }
        for text in found { proptest::prop_assert!(!text.chars().any(char::is_control)); }
    }
}
