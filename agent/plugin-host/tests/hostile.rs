//! Each misbehaviour ends its own call, with an error that names the cause; the host and the next call are as before.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{
    Action, Class, Confidence, Finding, FindingId, FindingState, Method, Risk, Severity, Target, Undo, Value,
    VerificationVerdict,
};
use holdfast_plugin_host::{Call, CallError, Grant, HostOptions, Limits, PluginHost, Proposal, World};
use support::{NOW, RELEASED, TestWorld, check, check_in, guest, hostile, hostile_of, run};

/// What a check observed, or how it failed: the same with the guest of every released contract.
#[track_caller]
fn observed(world: &Arc<TestWorld>, deed: &str, with: &str) -> Result<String, String> {
    let each = RELEASED.map(|(_, guest)| observed_by(guest, world, deed, with));
    assert!(each.windows(2).all(|two| two[0] == two[1]), "{deed} {with}: {each:?}");
    each[0].clone()
}

#[track_caller]
fn observed_by(guest: &'static str, world: &Arc<TestWorld>, deed: &str, with: &str) -> Result<String, String> {
    let call = hostile_of(guest, deed, with).check(&run(), &(Arc::clone(world) as Arc<dyn World>));
    match call.result {
        Ok(report) => match report.detections[0].evidence.iter().find(|e| e.name == "observed") {
            Some(evidence) => Ok(evidence.value.to_string()),
            None => panic!("{deed}: nothing observed in {report:?}"),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// The check fails with these words.
#[track_caller]
fn fails(deed: &str, with: &str, wanted: &str) -> Call<holdfast_plugin_host::CheckReport> {
    let call = check(deed, with);
    match &call.result {
        Err(error) => assert!(error.to_string().contains(wanted), "{deed} {with}: {error}"),
        Ok(report) => panic!("{deed} {with}: {report:?}"),
    }
    call
}

#[test]
fn an_ordinary_check_comes_through_with_the_plugins_name_on_it() {
    let report = check("nothing", "").result.unwrap();
    let detection = &report.detections[0];
    assert_eq!(detection.method, Method { name: "plugin:hostile".into(), version: 3 });
    assert_eq!((detection.kind.as_str(), detection.discriminator.as_str()), ("test.rule", "one"));
    assert_eq!((detection.severity, detection.target.clone()), (Severity::Informational, Target::file("/srv/x")));
    assert_eq!((report.evaluated, detection.began_at), (vec!["test.rule".to_owned()], NOW));
}

#[test]
fn a_rule_that_could_not_run_is_neither_passed_nor_failed() {
    let report = check("skip", "").result.unwrap();
    assert_eq!(report.skipped, [("test.rule".to_owned(), "unsupported: no systemd".to_owned())]);
    assert!(report.evaluated.is_empty() && report.detections.is_empty());
}

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    for deed in ["loop", "loop in configure"] {
        let call = fails(deed, "", "deadline had passed");
        // The clock ticks every 10 ms, and a tick under way counts.
        assert!(call.cost.elapsed >= Duration::from_millis(2_900), "{:?}", call.cost);
        assert!(call.cost.elapsed < Duration::from_secs(20), "{:?}", call.cost);
    }
}

#[test]
fn endless_recursion_is_called_that() {
    let call = check("recurse", "");
    // The guest's own stack lies in its memory and ends below address 0: WebAssembly calls that out of bounds.
    let error = call.result.unwrap_err();
    assert!(matches!(&error, CallError::Stack | CallError::Trapped { .. }), "{error:?}");
    assert!(error.is_misbehaviour());
}

#[test]
fn a_memory_bomb_meets_its_limit() {
    let call = fails("memory", "", "it may have 67108864");
    assert!(call.cost.memory_peak_bytes <= 64 << 20, "{:?}", call.cost);
}

#[test]
fn a_panic_says_its_words_before_webassemblys() {
    fails("panic", "", "the moon is made of cheese");
}

#[test]
fn a_log_flood_is_cut_dropped_and_counted() {
    let call = check("log flood", "");
    assert!(call.result.is_ok(), "{:?}", call.result);
    assert_eq!(call.log.len(), 200);
    assert!(call.log.iter().all(|line| line.message.len() < 2_100));
    assert_eq!((call.cost.log_lines_dropped, call.cost.log_lines_cut), (4_800, 200));
}

#[test]
fn too_much_at_once_is_refused_before_it_is_copied() {
    for deed in ["log 20 MiB", "title of 20 MiB", "huge list"] {
        fails(deed, "", "handed to the host at once");
    }
}

#[test]
fn an_answer_that_breaks_a_rule_is_refused_by_name() {
    fails("title of 4 KiB", "", "title has 4096 bytes");
    fails("escape codes in the title", "", "control character");
    fails("too many findings", "", "1001 findings");
    fails("infinite evidence", "", "which is no number");
    fails("four million bytes of evidence", "", "evidence `x` has 4000000 bytes; 8192 are allowed");
    fails("twins", "", "same rule, subject and id");
    fails("rule not evaluated", "", "not among the evaluated");
    fails("bad rule name", "", "rule is `a|b c`");
    for bad in ["NaN", "inf", "-0.01", "1.01"] {
        fails("confidence", bad, "must be a number from 0 to 1");
    }
    assert!(check("confidence", "1").result.is_ok());
}

#[test]
fn host_calls_are_counted_and_end_somewhere() {
    let call = fails("many host calls", "", "host calls in one call");
    assert_eq!(call.cost.host_calls, 100_001);
    assert_eq!(check("ten host calls", "/srv/app").cost.host_calls, 9);
}

#[test]
fn a_host_call_that_takes_too_long_is_an_error_of_its_own() {
    let world = TestWorld { slow: Duration::from_millis(600), ..TestWorld::new() };
    let error = observed(&Arc::new(world), "unit", "web-1.service").unwrap_err();
    assert!(error.contains("`timeout`"), "{error}");
}

#[test]
fn a_host_call_gets_no_more_time_than_its_call_has_left() {
    let world = Arc::new(TestWorld { slow: Duration::from_millis(100), ..TestWorld::new() });
    let call = check_in(&world, "units without end", "web-1.service");
    let error = call.result.unwrap_err();
    assert!(
        error.to_string().contains("own 3000 ms were over") || matches!(error, CallError::Deadline { .. }),
        "{error}"
    );
    let given = world.given.lock().unwrap().clone();
    let whole = Duration::from_millis(300);
    assert!(given[..5].iter().all(|it| *it >= whole), "{given:?}");
    assert!(given.last().unwrap() < &whole, "the last one has what is left: {given:?}");
}

#[test]
fn saying_that_it_cannot_is_an_answer_and_no_misbehaviour() {
    let error = check("fail in configure", "").result.unwrap_err();
    assert_eq!(error, CallError::Answered { kind: "unsupported", text: "not on this host".into() });
    assert!(!error.is_misbehaviour());
}

#[test]
fn reading_keeps_to_the_grant_whatever_the_path_says() {
    let world = TestWorld::new();
    world.write("/srv/app/x", "inside");
    world.write("/srv/application", "outside");
    world.write("/etc/passwd", "outside");
    world.link("/srv/app/near", "x");
    world.link("/srv/app/far", "../../etc/passwd");
    world.link("/srv/app/absolute", "/etc/passwd");
    world.link("/srv/app/up", "..");
    let world = Arc::new(world);
    assert_eq!(observed(&world, "read", "/srv/app/x").as_deref(), Ok("inside"));
    assert_eq!(observed(&world, "read", "/srv/app/near").as_deref(), Ok("inside"));
    for (path, wanted) in [
        ("/etc/passwd", "`denied`: files below `/etc/passwd` is not in the manifest's `wants.files`"),
        ("/srv/application", "`denied`: files below `/srv/application` is not granted"),
        ("/srv/app/../../etc/passwd", "`denied`"),
        ("/srv/app/./x", "`denied`"),
        ("srv/app/x", "`denied`"),
        ("", "`denied`"),
        ("/srv/app/far", "`denied`: `/srv/app/far` leads out"),
        ("/srv/app/absolute", "`denied`"),
        ("/srv/app/up/up/etc/passwd", "`denied`"),
        ("/srv/app/nothing", "`not-found`"),
        ("/srv/app", "`invalid`: the plugin"),
    ] {
        let wanted = wanted.replace(": the plugin", "");
        let error = observed(&world, "read", path).unwrap_err();
        assert!(error.contains(&wanted), "{path}: {error}");
    }
    for deed in ["stat", "hash", "walk", "read link"] {
        let error = observed(&world, deed, "/etc/passwd").unwrap_err();
        assert!(error.contains("`denied`"), "{deed}: {error}");
    }
    // A symlink may be looked at as itself; what it points to is only text.
    assert_eq!(observed(&world, "stat", "/srv/app/far").as_deref(), Ok("Kind::Symlink"));
    assert_eq!(observed(&world, "read link", "/srv/app/far").as_deref(), Ok("../../etc/passwd"));
    assert_eq!(check_in(&world, "read", "/etc/passwd").cost.host_calls_denied, 1);
}

#[test]
fn one_granted_file_does_not_open_its_neighbours() {
    let world = TestWorld::new();
    world.write("/srv/secret", "outside");
    world.link("/srv/single.conf", "secret");
    let world = Arc::new(world);
    let error = observed(&world, "read", "/srv/single.conf").unwrap_err();
    assert!(error.contains("`denied`"), "{error}");
    std::fs::remove_file(world.path("/srv/single.conf")).unwrap();
    world.write("/srv/single.conf", "inside");
    assert_eq!(observed(&world, "read", "/srv/single.conf").as_deref(), Ok("inside"));
    assert!(observed(&world, "read", "/srv/secret").unwrap_err().contains("`denied`"));
}

#[test]
fn magic_links_are_not_followed() {
    // The real /proc: the plugin is granted it, and still reaches nothing through a descriptor or a root link.
    let world = Arc::new(TestWorld { real_root: true, ..TestWorld::new() }) as Arc<dyn World>;
    let file = std::fs::File::open("/etc/passwd").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    for path in [format!("/proc/self/fd/{fd}"), "/proc/self/root/etc/hostname".into(), "/proc/self/exe".into()] {
        for (version, guest) in RELEASED {
            let call = hostile_of(guest, "read", &path).check(&run(), &world);
            let error = call.result.unwrap_err().to_string();
            assert!(error.contains("may not be followed"), "{version} {path}: {error}");
        }
    }
}

#[test]
fn a_symlink_that_is_swapped_all_the_time_never_shows_what_lies_outside() {
    let world = TestWorld::new();
    world.write("/srv/app/in/file", "inside");
    world.write("/etc/file", "outside");
    let world = Arc::new(world);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapper = {
        let (world, stop) = (Arc::clone(&world), Arc::clone(&stop));
        std::thread::spawn(move || {
            let (link, spare) = (world.path("/srv/app/link"), world.path("/srv/app/spare"));
            let outside = world.path("/etc");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for target in [std::path::Path::new("in"), outside.as_path(), std::path::Path::new("../../etc")] {
                    let _ = std::fs::remove_file(&spare);
                    std::os::unix::fs::symlink(target, &spare).unwrap();
                    std::fs::rename(&spare, &link).unwrap();
                }
            }
        })
    };
    let wrong = observed(&world, "read a thousand times", "/srv/app/link/file");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(wrong.as_deref(), Ok("0"));
}

#[test]
fn a_hard_link_that_somebody_else_put_there_is_not_read() {
    let world = TestWorld::new();
    world.write("/etc/shadow", "outside");
    world.write("/srv/app/mine/one", "inside");
    world.write("/srv/app/open/x", "x");
    let hard = |from: &str, to: &str| std::fs::hard_link(world.path(from), world.path(to)).unwrap();
    hard("/srv/app/mine/one", "/srv/app/mine/two");
    hard("/etc/shadow", "/srv/app/open/shadow");
    let mode = |path: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(world.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("/srv/app/mine", 0o755);
    // Whoever may write the directory may have put the link there.
    mode("/srv/app/open", 0o777);
    let foreign = rustix::process::geteuid().is_root();
    if foreign {
        std::fs::create_dir(world.path("/srv/app/theirs")).unwrap();
        hard("/etc/shadow", "/srv/app/theirs/shadow");
        std::os::unix::fs::chown(world.path("/srv/app/theirs"), Some(1_000), None).unwrap();
    }
    world.link("/srv/app/mine/link", "../open/shadow");
    let world = Arc::new(world);
    assert_eq!(observed(&world, "read", "/srv/app/mine/two").as_deref(), Ok("inside"));
    let mut paths = vec!["/srv/app/open/shadow", "/srv/app/mine/link"];
    paths.extend(foreign.then_some("/srv/app/theirs/shadow"));
    for path in paths {
        for deed in ["read", "hash"] {
            let error = observed(&world, deed, path).unwrap_err();
            assert!(error.contains("`denied`") && error.contains("another name"), "{deed} {path}: {error}");
        }
    }
    // What a walk may not hash it names among its errors.
    let seen = observed(&world, "walk", "/srv/app/open").unwrap();
    assert!(seen.contains("/srv/app/open/shadow:Kind::File: ") && seen.ends_with("errors=1"), "{seen}");
}

#[test]
fn a_fifo_and_a_socket_are_never_opened() {
    let world = TestWorld::new();
    let fifo = world.path("/srv/app/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.path("/srv/app/socket")).unwrap();
    let world = Arc::new(world);
    for deed in ["read", "hash"] {
        for path in ["/srv/app/fifo", "/srv/app/socket"] {
            let error = observed(&world, deed, path).unwrap_err();
            assert!(error.contains("is not a regular file"), "{error}");
        }
    }
}

#[test]
fn one_read_and_all_reads_of_a_call_are_bounded() {
    let world = TestWorld::new();
    world.write("/srv/app/big", &"x".repeat(1 << 20));
    let world = Arc::new(world);
    assert_eq!(observed(&world, "read length", "/srv/app/big").as_deref(), Ok("65536"));
    let call = check_in(&world, "read without end", "/srv/app/big");
    assert!(call.result.unwrap_err().to_string().contains("`limit`: 4194304 bytes"));
    assert!(call.cost.returned_bytes <= 4 << 20);
}

#[test]
fn a_walk_goes_in_order_in_pages_with_digests_and_past_nothing_silently() {
    let world = TestWorld::new();
    for (path, content) in [("b/2", "two"), ("a", "one"), ("skipped/x", "x"), ("b/1", "")] {
        world.write(&format!("/srv/app/{path}"), content);
    }
    world.link("/srv/app/link", "a");
    let seen = observed(&Arc::new(world), "walk", "/srv/app").unwrap();
    assert_eq!(
        seen,
        "/srv/app/a:Kind::File:7692c3ad /srv/app/b:Kind::Directory: /srv/app/b/1:Kind::File:e3b0c442 \
         /srv/app/b/2:Kind::File:3fc4ccfe /srv/app/link:Kind::Symlink: errors=0"
    );
}

#[test]
fn leaked_handles_run_into_their_limit_and_dropped_ones_do_not() {
    fails("leak handles", "/srv/app", "`limit`: 8 walks at once");
    // So many calls may take longer on a busy machine than the others may have.
    let patient =
        PluginHost::new(HostOptions { limits: Limits { deadline: Duration::from_mins(1), ..Limits::default() } });
    let grant = "[read]\nfiles = [\"/srv/app\"]\n[settings]\ndeed = \"leak handles on and on\"\nwith = \"/srv/app\"\n";
    let plugin = patient.unwrap().load(&guest("guests/hostile.wasm"), Some(Grant::parse(grant).unwrap())).unwrap();
    let call = plugin.check(&run(), &(Arc::new(TestWorld::new()) as Arc<dyn World>));
    let leaked = call.result.unwrap().detections[0].evidence.iter().find(|it| it.name == "observed").cloned();
    assert_eq!((leaked.unwrap().value.to_string().as_str(), call.cost.host_calls), ("8", 99_999));
    assert!(check("walk and drop", "/srv/app").result.is_ok());
}

#[test]
fn units_are_granted_one_by_one() {
    let world = Arc::new(TestWorld::new());
    assert_eq!(observed(&world, "unit", "web-1.service").as_deref(), Ok("failed"));
    assert_eq!(observed(&world, "units", "").as_deref(), Ok("web-1.service web-2.service"));
    assert!(observed(&world, "unit", "ssh.service").unwrap_err().contains("wants.units"));
    assert!(observed(&world, "unit", "web-3.service").unwrap_err().contains("read.units"));
    assert!(observed(&world, "unit", "web-2.service").unwrap_err().contains("`not-found`"));
}

#[test]
fn what_is_not_asked_or_not_granted_is_denied_with_its_name() {
    let world = Arc::new(TestWorld::new());
    assert!(observed(&world, "processes", "").unwrap_err().contains("`processes` is not in the manifest"));
    assert!(observed(&world, "changes", "").unwrap_err().contains("`changes` is not granted"));
    assert_eq!(observed(&world, "metrics", "system.cpu.utilization").as_deref(), Ok("0"));
}

#[test]
fn state_is_handed_out_only_when_the_call_ended_well() {
    let world = Arc::new(TestWorld::new());
    for count in ["1", "2"] {
        let call = check_in(&world, "count runs", "");
        assert!(call.result.is_ok());
        assert_eq!(call.state, [("runs".to_owned(), Some(count.as_bytes().to_vec()))]);
        world.state.lock().unwrap().extend(call.state.into_iter().filter_map(|(key, value)| Some((key, value?))));
    }
    let call = fails("trap after state", "", "after the state was set");
    assert!(call.state.is_empty());
}

#[test]
fn state_has_a_quota_of_bytes_and_of_keys() {
    for deed in ["state quota", "state keys"] {
        let call = fails(deed, "", "`limit`: state of 1000 keys and 1048576 bytes");
        assert!(call.state.is_empty());
    }
}

#[test]
fn the_second_time_it_may_say_something_else_and_nothing_of_the_first_is_altered() {
    let world = Arc::new(TestWorld::new());
    let first = check_in(&world, "count runs", "");
    world.state.lock().unwrap().insert("runs".to_owned(), b"1".to_vec());
    let second = check_in(&world, "count runs", "");
    let said = |call: &Call<holdfast_plugin_host::CheckReport>| {
        let report = call.result.as_ref().unwrap();
        let evidence = report.detections[0].evidence.iter().find(|it| it.name == "observed").unwrap();
        (report.detections[0].fingerprint(), evidence.value.to_string())
    };
    // Two reports of their own about the same thing: the later one updates the finding, it opens no second one.
    assert_eq!(said(&first).0, said(&second).0);
    assert_eq!((said(&first).1.as_str(), said(&second).1.as_str()), ("1", "2"));
    // What it has once been trusted for does not carry over to a call that breaks off.
    let third = fails("trap after state", "", "after the state was set");
    assert!(third.state.is_empty());
}

#[test]
fn the_same_finding_id_in_two_plugins_is_two_findings() {
    let whole = support::guest("guests/hostile.wasm");
    let (from, to) = (b"id = \"hostile\"".as_slice(), b"id = \"hostlie\"");
    let at = whole.windows(from.len()).position(|it| it == from).unwrap();
    let mut other = whole.clone();
    other[at..at + to.len()].copy_from_slice(to);
    let grant = holdfast_plugin_host::Grant::parse("[settings]\ndeed = \"nothing\"\n").unwrap();
    let other = support::host().load(&other, Some(grant)).unwrap();
    let world = Arc::new(TestWorld::new()) as Arc<dyn World>;
    let theirs = other.check(&run(), &world).result.unwrap();
    let ours = check("nothing", "").result.unwrap();
    assert_eq!(theirs.detections[0].discriminator, ours.detections[0].discriminator);
    assert_ne!(theirs.detections[0].fingerprint(), ours.detections[0].fingerprint());
}

#[test]
fn two_calls_of_one_plugin_do_not_share_anything() {
    let world = Arc::new(TestWorld::new());
    let plugin = hostile("count runs", "");
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (plugin, world) = (plugin.clone(), Arc::clone(&world) as Arc<dyn World>);
            std::thread::spawn(move || plugin.check(&run(), &world).state)
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), [("runs".to_owned(), Some(b"1".to_vec()))]);
    }
}

fn finding() -> Finding {
    Finding {
        id: FindingId::new(NOW, &mut SeededIds(2)),
        fingerprint: "unit_failure|unit.failed|unit:web-1.service|".into(),
        kind: "unit.failed".into(),
        class: Class::Reliability,
        target: Target::unit("web-1.service"),
        title: "web-1.service has failed".into(),
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        method: Method { name: "unit_failure".into(), version: 1 },
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

fn propose(deed: &str, with: &str) -> Result<Option<Proposal>, CallError> {
    let world = Arc::new(TestWorld::new()) as Arc<dyn World>;
    hostile(deed, with).propose(&run(), &world, &finding()).result
}

#[test]
fn a_plan_becomes_actions_with_the_hosts_own_undo_and_at_least_its_risk() {
    let proposal = propose("plan", "").unwrap().unwrap();
    let step = &proposal.steps[0];
    assert_eq!((step.risk, step.undo), (Risk::Low, Undo::NothingToUndo));
    assert!(
        matches!(&step.action, Action::RestartUnit { unit, only_if_invocation: None, .. } if unit == "web-1.service")
    );
    assert_eq!(propose("plan with risk", "").unwrap().unwrap().steps[0].risk, Risk::High);
    assert_eq!(propose("nothing", ""), Ok(None));
}

#[test]
fn a_plan_beyond_the_grant_or_the_vocabulary_is_refused() {
    for (deed, with, wanted) in [
        ("undeclared action", "", "`restore_file` is not in the manifest's `proposes.actions`"),
        ("unknown action", "", "capability `command.run` is unknown"),
        ("absolute argv", "", "capability `command.named` is unknown"),
        ("quarantine", "/srv/*", "propose.paths"),
        ("quarantine", "/**", "proposes.paths"),
        ("unit", "ssh.service", "proposes.units"),
        ("unit", "web-2.service", "add it to `propose.units`"),
        ("unit", "web-*.service", "full unit name"),
        ("quarantine", "/etc/passwd", "proposes.paths"),
        ("quarantine", "/srv/other", "propose.paths"),
        ("quarantine", "/srv/app/../../etc/passwd", "absolute path"),
        ("unknown argument", "", "argument `force` is unknown"),
        ("falsely reversible", "", "it claims to be reversible, which path.reclaim never is"),
        ("cyclic undo", "", "step `restart`: its undo names `file.quarantine`; the agent takes back what it did"),
        ("undo of another step", "", "its undo names `file.quarantine`"),
        ("undo with arguments alone", "", "leave the undo's capability and args empty"),
        ("no steps", "", "0 steps"),
        ("steps", "17", "17 steps; 1 to 16 are allowed"),
        ("step called", "a/b", "a step's id is `a/b`; 1 to 64 of A-Z"),
        ("long summary", "", "summary has 501 bytes; 1 to 500 are allowed"),
        ("many side effects", "", "its side-effects have 17 entries; 16 are allowed"),
        ("large plan", "", "propose less at once"),
        ("same step twice", "", "two steps are called `restart`"),
        ("no timeout", "", "timeout-ms is 0"),
        ("precondition", "", "preconditions are reserved and not read"),
        ("expired", "", "within a day"),
        ("eternal", "", "within a day"),
        ("nan", "", "must be a number from 0 to 1"),
        ("panic", "", "no plan today"),
    ] {
        let error = propose(deed, with).unwrap_err();
        assert!(error.to_string().contains(wanted), "{deed} {with}: {error}");
        assert!(error.is_misbehaviour());
    }
    assert!(propose("quarantine", "/srv/app/bad").unwrap().is_some());
    // A path is a name and no pattern: this is the one file that is really called so.
    let step = propose("quarantine", "/srv/app/**").unwrap().unwrap().steps.remove(0);
    assert!(matches!(&step.action, Action::QuarantinePath { path, .. } if path == "/srv/app/**"), "{step:?}");
}

#[test]
fn the_stricter_word_on_taking_back_counts() {
    let undo = |deed: &str| propose(deed, "").unwrap().unwrap().steps[0].undo;
    assert_eq!(undo("plan"), Undo::NothingToUndo);
    assert_eq!(undo("irreversible"), Undo::Impossible);
    assert_eq!(undo("honestly irreversible"), Undo::Impossible);
}

#[test]
fn a_plan_that_is_another_the_second_time_is_another_plan_for_everybody() {
    let world = Arc::new(TestWorld::new());
    let ask =
        || hostile("another plan each time", "").propose(&run(), &(Arc::clone(&world) as Arc<dyn World>), &finding());
    let first = ask();
    assert_eq!(first.state, [("runs".to_owned(), Some(vec![1]))]);
    world.state.lock().unwrap().insert("runs".to_owned(), vec![1]);
    let (first, second) = (first.result.unwrap().unwrap(), ask().result.unwrap().unwrap());
    assert!(matches!(first.steps[0].action, Action::RestartUnit { .. }));
    assert!(matches!(second.steps[0].action, Action::QuarantinePath { .. }));
    // What is approved is the digest of one of them.
    let sealed = |proposal| holdfast_core::model::Plan::seal(body(proposal)).unwrap().digest().clone();
    assert_eq!(sealed(first.clone()), sealed(first.clone()));
    assert_ne!(sealed(first), sealed(second));
}

fn body(proposal: Proposal) -> holdfast_core::model::PlanBody {
    holdfast_core::model::PlanBody {
        id: holdfast_core::model::PlanId::new(NOW, &mut SeededIds(3)),
        finding: finding().id,
        target: proposal.target,
        proposed_by: "hostile 3.1.0".into(),
        plugin_digest: "0".repeat(64),
        run: run().id,
        summary: proposal.summary,
        confidence: proposal.confidence,
        steps: proposal.steps,
        evidence: proposal.evidence,
        settle_ms: proposal.settle_ms,
        made_at: NOW,
        expires_at: proposal.expires_at,
    }
}

#[test]
fn a_verdict_comes_back_from_what_was_really_done() {
    let proposal = propose("plan", "").unwrap().unwrap();
    let plan = body(proposal);
    let done = holdfast_core::model::StepRecord {
        step: "restart".into(),
        state: holdfast_core::model::StepState::Done,
        started_at: None,
        finished_at: None,
        effects: vec![],
        undo_token: None,
        message: None,
    };
    let world = Arc::new(TestWorld::new()) as Arc<dyn World>;
    let verdict = hostile("nothing", "").verify(&run(), &world, &finding(), &plan, &[done]).result.unwrap();
    assert_eq!(
        (verdict.verdict, verdict.text.as_str()),
        (VerificationVerdict::Inconclusive, "unit.failed unit.restart restart")
    );
}

#[test]
fn without_a_grant_it_is_known_and_never_called() {
    let plugin = hostile("nothing", "").granted(None).unwrap();
    let world = Arc::new(TestWorld::new()) as Arc<dyn World>;
    let error = plugin.check(&run(), &world).result.unwrap_err().to_string();
    assert!(error.contains("no grant"), "{error}");
    assert!(plugin.grant().is_none());
}

#[test]
fn evidence_keeps_its_numbers() {
    let report = check("nothing", "").result.unwrap();
    assert_eq!(report.detections[0].evidence[0].value, Value::Number(1.5));
}
