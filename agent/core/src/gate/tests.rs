use super::*;
use crate::model::id::SeededIds;
use crate::model::{
    Attributes, Change, ChangeId, Class, Confidence, DeploymentState, FindingId, FindingState, IncidentId,
    IncidentState, Method, Severity, Suspect, Target,
};
use proptest::prelude::*;

const T0: i64 = 1_800_000_000;

/// Seconds since the deployment started; it finishes at 10.
fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(T0 + second)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn id(text: &str) -> DeploymentId {
    text.parse().unwrap()
}

/// A good release of `web.service`, asked 45 s after its start: started at 8 s, finished at 10 s, 35 s of telemetry.
fn good() -> GateInputs {
    GateInputs {
        deployment: Deployment {
            id: id("web-42"),
            service: "web".into(),
            version: "1.2.3".into(),
            environment: "production".into(),
            artifact: None,
            revision: None,
            actor: "ci (uid 1000)".into(),
            release_dir: Some("/srv/web/42".into()),
            units: vec!["web.service".into()],
            paths: vec![],
            state: DeploymentState::Succeeded,
            started_at: at(0),
            finished_at: Some(at(10)),
        },
        at: at(45),
        limits: GateLimits::default(),
        incidents: vec![],
        findings: vec![],
        units: vec![UnitFacts { name: "web.service".into(), now: None, changes: vec![change(8, "unit.restarted")] }],
        release_files: Some(12),
        complete: true,
        before: Coverage { samples: 601, covered: secs(600) },
        after: Coverage { samples: 36, covered: secs(35) },
        contrast: None,
    }
}

fn change(second: i64, kind: &str) -> Change {
    Change {
        id: ChangeId::new(at(second), &mut SeededIds(second as u64)),
        at: at(second),
        kind: kind.into(),
        target: Target::unit("web.service"),
        actor: None,
        summary: String::new(),
        attributes: Attributes::new(),
        deployment: None,
        cause: None,
    }
}

fn unit(active_state: &str, since: i64, n_restarts: u32) -> UnitState {
    UnitState {
        name: "web.service".into(),
        active_state: active_state.into(),
        since: Some(at(since)),
        n_restarts,
        ..UnitState::default()
    }
}

fn finding(kind: &str, target: Target, began: i64) -> Finding {
    Finding {
        id: FindingId::new(at(began), &mut SeededIds(began as u64)),
        fingerprint: String::new(),
        kind: kind.into(),
        class: Class::Reliability,
        title: format!("{kind} on {target}"),
        target,
        severity: Severity::High,
        confidence: Confidence::clamped(0.97),
        method: Method { name: "threshold".into(), version: 1 },
        evidence: vec![Evidence::new("threshold.above", 0.9), Evidence::new("threshold.measured", 0.987)],
        state: FindingState::New,
        count: 1,
        began_at: at(began),
        detected_at: at(began),
        last_seen_at: at(began),
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

fn incident(began: i64, suspects: &[(&str, f64)], findings: &[&Finding]) -> Incident {
    let suspects = suspects.iter().map(|(deployment, score)| Suspect {
        change: ChangeId::new(at(began), &mut SeededIds(1)),
        kind: "service.deployed".into(),
        target: Target::new("service", "web"),
        summary: String::new(),
        at: at(0),
        deployment: deployment.parse().ok(),
        score: *score,
        evidence: vec![],
    });
    Incident {
        id: IncidentId::new(at(began), &mut SeededIds(began as u64)),
        state: IncidentState::Open,
        title: "web.service failed".into(),
        severity: Severity::High,
        confidence: Confidence::clamped(0.99),
        findings: findings.iter().map(|f| f.id.clone()).collect(),
        suspects: suspects.collect(),
        timeline: vec![],
        began_at: at(began),
        detected_at: at(began),
        resolved_at: None,
        outcome: None,
        reopened: 0,
        reopened_at: None,
    }
}

fn altered(alter: impl FnOnce(&mut GateInputs)) -> GateInputs {
    let mut inputs = good();
    alter(&mut inputs);
    inputs
}

/// The whole verdict, whether it is settled, the verdict of one check, and words that its text must hold.
#[track_caller]
fn check(alter: impl FnOnce(&mut GateInputs), name: &str, expected: (GateVerdict, bool, GateVerdict), words: &[&str]) {
    let report = judge(&altered(alter));
    let part = report.checks.iter().find(|c| c.name == name).unwrap();
    assert_eq!((report.verdict, report.settled, part.verdict), expected, "{report:#?}");
    for word in words {
        assert!(part.text.contains(word), "`{word}` is not in `{}`", part.text);
    }
}

use GateVerdict::{Fail, Inconclusive, Pass};

#[test]
fn a_good_release_passes_with_its_numbers() {
    check(
        |_| {},
        "evidence",
        (Pass, true, Pass),
        &["10 min 0 s", "601 samples", "35 s since the finish", "36 samples"],
    );
    check(
        |_| {},
        "units",
        (Pass, true, Pass),
        &["web.service is active for 35 s since the finish, no failure, no restart"],
    );
    check(|_| {}, "deployment", (Pass, true, Pass), &["web 1.2.3 succeeded, in 10 s"]);
    check(|_| {}, "integrity", (Pass, true, Pass), &["12 files recorded below /srv/web/42"]);
}

#[test]
fn the_pipelines_own_word_counts() {
    check(|i| i.deployment.state = DeploymentState::Failed, "deployment", (Fail, true, Fail), &["failed after 10 s"]);
    check(|i| i.deployment.state = DeploymentState::Expired, "deployment", (Fail, true, Fail), &["time limit"]);
    let running = |i: &mut GateInputs| {
        (i.deployment.state, i.deployment.finished_at) = (DeploymentState::Running, None);
        i.after = Coverage::default();
    };
    check(running, "deployment", (Inconclusive, false, Inconclusive), &["runs for 45 s"]);
    check(running, "units", (Inconclusive, false, Inconclusive), &["once the deployment has finished"]);
}

#[test]
fn too_little_telemetry_is_inconclusive_and_says_how_long_it_takes() {
    let early = |i: &mut GateInputs| {
        (i.at, i.after) = (at(22), Coverage { samples: 13, covered: secs(12) });
    };
    check(
        early,
        "evidence",
        (Inconclusive, false, Inconclusive),
        &["12 s since the finish", "wanted 30 s", "18 s more"],
    );
    assert_eq!(judge(&altered(early)).settles_at, Some(at(40)));
    let fresh = |i: &mut GateInputs| i.before = Coverage { samples: 6, covered: secs(5) };
    check(
        fresh,
        "evidence",
        (Inconclusive, true, Inconclusive),
        &["5.0 s of telemetry", "wanted 60 s", "waiting does not"],
    );
    let deaf = |i: &mut GateInputs| (i.at, i.after) = (at(75), Coverage { samples: 2, covered: secs(1) });
    check(deaf, "evidence", (Inconclusive, true, Inconclusive), &["nothing collects"]);
}

#[test]
fn without_history_and_without_units_it_never_passes() {
    let bare = |i: &mut GateInputs| {
        (i.units, i.before, i.after) = (vec![], Coverage::default(), Coverage::default());
        i.at = at(200);
    };
    check(bare, "units", (Inconclusive, true, Inconclusive), &["names no unit", "--unit"]);
    check(|i| i.units.clear(), "units", (Inconclusive, true, Inconclusive), &[]);
}

#[test]
fn a_unit_that_fails_after_the_finish_fails_the_gate_at_once() {
    let crash = |i: &mut GateInputs| {
        i.at = at(12);
        i.after = Coverage { samples: 2, covered: secs(1) };
        i.units[0].changes.push(change(11, "unit.failed"));
    };
    check(
        crash,
        "units",
        (Fail, true, Fail),
        &["web.service is failed for 1.0 s", "2.0 s after the finish", "failed once"],
    );
}

#[test]
fn a_unit_that_came_back_after_a_crash_still_fails_the_gate() {
    let back = |i: &mut GateInputs| {
        i.units[0].changes.extend([
            change(11, "unit.failed"),
            change(12, "unit.restarted"),
            change(20, "unit.restarted"),
        ]);
    };
    check(back, "units", (Fail, true, Fail), &["is active, but since the finish failed once, started again once"]);
}

#[test]
fn restarts_that_only_systemd_counted_count() {
    check(|i| i.units[0].now = Some(unit("active", 12, 3)), "units", (Fail, true, Fail), &["started again 3 times"]);
    // Counted before the finish: not this deployment's.
    check(|i| i.units[0].now = Some(unit("active", 9, 3)), "units", (Pass, true, Pass), &[]);
}

#[test]
fn a_crash_that_systemd_restarted_within_the_grace_counts() {
    let restarts = |before: &'static str, after: &'static str| {
        move |i: &mut GateInputs| {
            let changes = [(8, before), (12, after)].map(|(second, n)| {
                let mut it = change(second, "unit.started");
                it.attributes.insert("unit.n_restarts".into(), n.into());
                it
            });
            i.units[0].changes = changes.into();
        }
    };
    check(restarts("0", "1"), "units", (Fail, true, Fail), &["started again once"]);
    check(restarts("4", "6"), "units", (Fail, true, Fail), &["started again 2 times"]);
    check(restarts("4", "0"), "units", (Pass, true, Pass), &[]);
    check(restarts("3", "3"), "units", (Pass, true, Pass), &[]);
}

#[test]
fn news_of_the_start_may_be_late_by_the_grace_and_no_more() {
    let late = |second: i64| {
        move |i: &mut GateInputs| {
            i.at = at(second);
            i.units[0].changes = vec![change(-100, "unit.failed")];
        }
    };
    check(late(12), "units", (Inconclusive, false, Inconclusive), &["failed"]);
    check(late(16), "units", (Fail, true, Fail), &["web.service is failed for 116 s"]);
    let own = |i: &mut GateInputs| i.units[0].changes = vec![change(9, "unit.stopped"), change(13, "unit.started")];
    check(own, "units", (Pass, true, Pass), &["active for 32 s"]);
    let stopped = |i: &mut GateInputs| i.units[0].changes.push(change(30, "unit.stopped"));
    check(stopped, "units", (Fail, true, Fail), &["inactive for 15 s", "stopped once"]);
}

#[test]
fn a_unit_under_way_is_waited_for_but_not_for_ever() {
    let moving =
        |second: i64| move |i: &mut GateInputs| (i.at, i.units[0].now) = (at(second), Some(unit("activating", 11, 0)));
    check(moving(25), "units", (Inconclusive, false, Inconclusive), &["activating for 14 s"]);
    check(moving(41), "units", (Fail, true, Fail), &["activating for 30 s"]);
}

#[test]
fn a_unit_of_unknown_state_is_inconclusive() {
    check(|i| i.units[0].changes.clear(), "units", (Inconclusive, true, Inconclusive), &["not known"]);
    let observed = |i: &mut GateInputs| {
        let mut seen = change(10, "unit.observed");
        seen.attributes.insert("unit.active_state".into(), "active".into());
        i.units[0].changes = vec![seen];
    };
    check(observed, "units", (Pass, true, Pass), &[]);
}

#[test]
fn every_unit_counts() {
    let second = UnitFacts { name: "worker.service".into(), now: None, changes: vec![] };
    check(
        |i| i.units.push(second),
        "units",
        (Inconclusive, true, Inconclusive),
        &["web.service is active", "worker.service"],
    );
}

#[test]
fn an_incident_that_suspects_the_deployment_fails_it() {
    let blamed = |score: f64| {
        move |i: &mut GateInputs| i.incidents = vec![incident(20, &[("web-42", score), ("db-7", 0.4)], &[])]
    };
    let words = ["web.service failed", "high", "confidence 0.99", "suspect score 0.81", "open"];
    check(blamed(0.81), "incidents", (Fail, true, Fail), &words);
    check(blamed(0.3), "incidents", (Pass, true, Pass), &["1 incident is open", "does not point"]);
    check(blamed(f64::NAN), "incidents", (Fail, true, Fail), &["not a number"]);
}

#[test]
fn what_was_there_before_the_deployment_is_none_of_its_work() {
    let began = |second: i64| move |i: &mut GateInputs| i.incidents = vec![incident(second, &[("web-42", 0.8)], &[])];
    check(began(20), "incidents", (Fail, true, Fail), &[]);
    check(began(-5), "incidents", (Pass, true, Pass), &["1 incident is open", "does not point"]);
}

#[test]
fn what_somebody_altered_elsewhere_while_it_ran_is_none_of_its_work_but_a_symptom_may_be() {
    let nearby = |kind: &'static str, fit: f64| {
        move |i: &mut GateInputs| {
            let it = finding(kind, Target::file("/etc/other"), 20);
            let mut about = incident(20, &[("web-42", 0.55)], &[&it]);
            about.suspects[0].evidence = vec![Evidence::new("suspect.target_match", fit)];
            (i.incidents, i.findings) = (vec![about], vec![it]);
        }
    };
    check(nearby("file.drift", 0.05), "incidents", (Pass, true, Pass), &[]);
    check(nearby("file.drift", 0.8), "incidents", (Fail, true, Fail), &["suspect score 0.55"]);
    check(nearby("unit.failed", 0.05), "incidents", (Fail, true, Fail), &["suspect score 0.55"]);
}

#[test]
fn an_incident_resolved_meanwhile_counts_and_an_older_one_does_not() {
    let resolved = |second: i64| {
        move |i: &mut GateInputs| {
            let mut it = incident(second - 1, &[("web-42", 0.8)], &[]);
            (it.state, it.resolved_at) = (IncidentState::Resolved, Some(at(second)));
            i.incidents = vec![it];
        }
    };
    check(resolved(30), "incidents", (Fail, true, Fail), &["resolved meanwhile"]);
    check(resolved(-30), "incidents", (Pass, true, Pass), &["no incident is open"]);
}

#[test]
fn an_incident_about_the_deployments_unit_belongs_to_it() {
    let about = |name: &'static str, began: i64, suspects: &'static [(&str, f64)]| {
        move |i: &mut GateInputs| {
            let it = finding("unit.failed", Target::unit(name), began);
            i.incidents = vec![incident(began, suspects, &[&it])];
            i.findings = vec![it];
        }
    };
    check(about("web.service", 20, &[]), "incidents", (Fail, true, Fail), &["about what this deployment put there"]);
    check(about("db.service", 20, &[]), "incidents", (Pass, true, Pass), &[]);
    check(about("web.service", -20, &[]), "incidents", (Pass, true, Pass), &[]);
    check(about("web.service", 20, &[("web-43", 0.9)]), "incidents", (Pass, true, Pass), &[]);
}

#[test]
fn tampering_below_the_release_directory_fails_it() {
    let tampered = |kind: &'static str, path: &'static str| {
        move |i: &mut GateInputs| i.findings = vec![finding(kind, Target::file(path), 20)]
    };
    let words = ["1 finding against 12 recorded files", "release.tampered on file:/srv/web/42/app", "confidence 0.97"];
    check(tampered("release.tampered", "/srv/web/42/app"), "integrity", (Fail, true, Fail), &words);
    check(tampered("file.drift", "/srv/web/42/conf/a"), "integrity", (Fail, true, Fail), &[]);
    check(tampered("release.tampered", "/srv/web/423/app"), "integrity", (Pass, true, Pass), &[]);
    check(tampered("file.drift", "/etc/passwd"), "integrity", (Pass, true, Pass), &[]);
    let no_files = |i: &mut GateInputs| i.release_files = Some(0);
    check(no_files, "integrity", (Inconclusive, true, Inconclusive), &["no file below /srv/web/42"]);
    let no_dir = |i: &mut GateInputs| (i.deployment.release_dir, i.release_files) = (None, None);
    check(no_dir, "integrity", (Pass, true, Inconclusive), &["--release-dir"]);
}

#[test]
fn a_sustained_threshold_since_the_start_fails_it() {
    let breached = |began: i64, state: FindingState| {
        move |i: &mut GateInputs| {
            i.findings = vec![Finding { state, ..finding("metric.threshold", Target::series("cpu"), began) }];
        }
    };
    let words = ["threshold.above=0.9", "threshold.measured=0.987"];
    check(breached(5, FindingState::New), "thresholds", (Fail, true, Fail), &words);
    check(breached(5, FindingState::Resolved), "thresholds", (Fail, true, Fail), &[]);
    check(breached(5, FindingState::Suppressed), "thresholds", (Pass, true, Pass), &[]);
    check(breached(-5, FindingState::New), "thresholds", (Pass, true, Pass), &[]);
}

#[test]
fn what_was_not_looked_through_is_no_pass() {
    check(|i| i.complete = false, "incidents", (Inconclusive, true, Inconclusive), &["more findings or incidents"]);
}

#[test]
fn holes_in_telemetry_are_not_covered() {
    let times = |all: &[i64]| Coverage::of(&all.iter().map(|s| at(*s)).collect::<Vec<_>>());
    assert_eq!(times(&[0, 1, 2, 100, 101]), Coverage { samples: 5, covered: secs(3) });
    assert_eq!(times(&[0, 10, 20]), Coverage { samples: 3, covered: secs(20) });
    assert_eq!(times(&[]), Coverage::default());
    assert_eq!(times(&[5]), Coverage { samples: 1, covered: Duration::ZERO });
}

#[test]
fn a_report_keeps_its_words_in_json() {
    let report = judge(&altered(|i| i.units.clear()));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["verdict"], &json["checks"][2]["name"]), (&"inconclusive".into(), &"units".into()));
    assert_eq!(serde_json::from_value::<GateReport>(json).unwrap(), report);
}

proptest! {
    /// Whatever is missing, and however much else is fine, the gate does not pass; and what speaks against it fails it.
    #[test]
    fn it_never_passes_without_a_required_input(missing in 1_u32..128, now in 45_i64..10_000, extra in 0_u64..10_000) {
        let inputs = altered(|i| {
            i.at = at(now);
            i.before.covered += secs(extra);
            let lacks = |bit: u32| missing >> bit & 1 == 1;
            if lacks(0) { i.before = Coverage { samples: extra, covered: secs(59) }; }
            if lacks(1) { i.after = Coverage { samples: extra, covered: secs(29) }; }
            if lacks(2) { i.units.clear(); }
            if lacks(3) { i.units.iter_mut().for_each(|u| u.changes.clear()); }
            if lacks(4) { i.release_files = Some(0); }
            if lacks(5) { i.complete = false; }
            if lacks(6) { (i.deployment.state, i.deployment.finished_at) = (DeploymentState::Running, None); }
        });
        prop_assert_ne!(judge(&inputs).verdict, Pass);
    }

    #[test]
    fn a_verdict_is_the_worst_of_its_checks(bits in 0_u32..32, second in 0_i64..100, covered in 0_u64..100) {
        let inputs = altered(|i| {
            i.at = at(second);
            i.after.covered = secs(covered);
            let has = |bit: u32| bits >> bit & 1 == 1;
            if has(0) { i.findings.push(finding("release.tampered", Target::file("/srv/web/42/a"), second)); }
            if has(1) { i.findings.push(finding("metric.threshold", Target::series("x"), second)); }
            if has(2) { i.incidents.push(incident(second, &[("web-42", 0.5)], &[])); }
            if has(3) { i.units[0].changes.push(change(second, "unit.failed")); }
            if has(4) { i.deployment.state = DeploymentState::Failed; }
        });
        let report = judge(&inputs);
        let any = |v| report.checks.iter().any(|c| c.verdict == v && (c.required || v == Fail));
        let expected = if any(Fail) { Fail } else if any(Inconclusive) { Inconclusive } else { Pass };
        prop_assert_eq!(report.verdict, expected);
        prop_assert!(report.settled || report.verdict == Inconclusive);
        prop_assert!(bits & 0b1_0111 == 0 || report.verdict == Fail, "{:#?}", report);
    }
}

/// Memory of the unit and load of the host, wandering as such do, eight hours and more before the start; then moved by so much.
fn contrasted(memory: f64, load: f64, steps: usize) -> GateInputs {
    let mut state = 7_u64;
    let mut level = [0.0_f64; 2];
    let mut step = |which: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        level[which] = 0.9 * level[which] + ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5);
        level[which]
    };
    let mut series: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for (which, (at, by)) in [(300e6, memory), (0.3, load)].into_iter().enumerate() {
        let history: Vec<f64> = (0..3200).map(|_| at * (1.0 + 0.02 * step(which))).collect();
        let after = (0..steps).map(|_| at * (1.0 + 0.02 * step(which)) + by).collect();
        series.push((history, after));
    }
    let histories: Vec<&[f64]> = series.iter().map(|it| it.0.as_slice()).collect();
    let placebo = crate::stats::placebo::Placebo::of(&histories, 2, &[]);
    let named = [("web.service memory", "By", 16e6), ("CPU of the host", "1", 0.02)];
    let series = named.into_iter().zip(&series).map(|((name, unit, least), (_, after))| ContrastSeries {
        name: name.into(),
        unit: unit.into(),
        least,
        level: None,
        after: after.clone(),
    });
    altered(|it| {
        it.contrast = Some(Contrast {
            step: secs(10),
            history: 3200,
            siblings: vec![],
            series: series.collect(),
            placebo,
            why: String::new(),
            left_out: String::new(),
        });
    })
}

#[track_caller]
fn check_contrast(inputs: &GateInputs, expected: (GateVerdict, GateVerdict), words: &[&str]) {
    let report = judge(inputs);
    let part = report.checks.iter().find(|it| it.name == "contrast").unwrap();
    assert_eq!((report.verdict, part.verdict), expected, "{part:#?}");
    for word in words {
        assert!(part.text.contains(word), "{word:?} in {}", part.text);
    }
}

#[test]
fn what_rose_more_than_it_comes_and_goes_fails_with_its_size_and_interval() {
    use GateVerdict::{Fail, Inconclusive, Pass};
    let said = ["web.service memory rose by", "MiB (", "from 28", "p 0.0", "2 series compared"];
    check_contrast(&contrasted(150e6, 0.0, 3), (Fail, Fail), &said);
    check_contrast(&contrasted(0.0, 0.0, 3), (Pass, Pass), &["none rose more than it comes and goes"]);
    // Less is not worse, and a rise of a fiftieth is nothing, however sure.
    check_contrast(&contrasted(-150e6, -0.1, 30), (Pass, Pass), &["fell by"]);
    check_contrast(&contrasted(0.0, 0.015, 60), (Pass, Pass), &[]);
    check_contrast(&contrasted(150e6, 0.0, 2), (Inconclusive, Inconclusive), &["fewer than 3 steps"]);
}

#[test]
fn without_a_long_past_the_contrast_says_nothing_and_nothing_hangs_on_it() {
    use GateVerdict::{Inconclusive, Pass};
    check_contrast(&good(), (Pass, Inconclusive), &["no series"]);
    let mut short = contrasted(150e6, 0.0, 3);
    if let Some(it) = &mut short.contrast {
        (it.placebo, it.why) = (None, "too short a past".to_owned());
    }
    check_contrast(&short, (Pass, Inconclusive), &["too short a past"]);
}

/// The unit's CPU time after the deployment: its usual level and noise, times these.
fn contrasted_cpu(settling: usize, times: impl Fn(usize) -> f64) -> GateInputs {
    let mut state = 7_u64;
    let mut level = 0.0_f64;
    let mut step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        level = 0.9 * level + ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5);
        1.0 + 0.2 * level
    };
    let history: Vec<f64> = (0..3200).map(|_| step()).collect();
    let after: Vec<f64> = (0..40).map(|at| times(at) * step()).collect();
    let placebo = crate::stats::placebo::Placebo::settling(&[(&history, settling)], 2, &[]);
    let (name, unit, left_out) = ("web.service CPU time".into(), "{core}".into(), String::new());
    let series = vec![ContrastSeries { name, unit, least: 0.05, level: None, after }];
    let (step, siblings, why) = (secs(10), vec![], String::new());
    altered(|it| it.contrast = Some(Contrast { step, history: 3200, siblings, series, placebo, why, left_out }))
}

#[test]
fn a_fall_or_a_burst_before_an_ordinary_rise_does_not_make_it_rare() {
    use GateVerdict::{Fail, Pass};
    check_contrast(&contrasted_cpu(0, |_| 3.0), (Fail, Fail), &["rose by"]);
    check_contrast(&contrasted_cpu(0, |at| if at < 5 { 0.01 } else { 1.12 }), (Pass, Pass), &[]);
    check_contrast(&contrasted_cpu(0, |at| if at < 5 { 4.0 } else { 1.12 }), (Pass, Pass), &[]);
}

#[test]
fn what_every_start_costs_fails_nothing() {
    use GateVerdict::{Fail, Inconclusive, Pass};
    let upto = |burst: usize, steps: usize| {
        let mut inputs = contrasted_cpu(SETTLING, |at| if at < burst { 4.0 } else { 1.0 });
        if let Some(it) = &mut inputs.contrast {
            it.series[0].after.truncate(steps);
        }
        inputs
    };
    check_contrast(&upto(2, 3), (Pass, Inconclusive), &["from 2 min 0 s after the finish on"]);
    for steps in [15, 16, 20, 40] {
        check_contrast(&upto(2, steps), (Pass, Pass), &[]);
        check_contrast(&upto(12, steps), (Pass, Pass), &[]);
        check_contrast(&upto(40, steps), (Fail, Fail), &["rose by"]);
    }
}

#[test]
fn a_contrast_that_could_not_fail_does_not_pass() {
    use GateVerdict::{Inconclusive, Pass};
    let mut inputs = contrasted(150e6, 0.0, 3);
    let histories: Vec<Vec<f64>> = (0..8_u32)
        .map(|which| (0..3200_u32).map(|at| f64::from(at.wrapping_mul(2_654_435_761 + 2 * which) >> 8)).collect())
        .collect();
    let histories: Vec<&[f64]> = histories.iter().map(Vec::as_slice).collect();
    if let Some(it) = &mut inputs.contrast {
        it.placebo = crate::stats::placebo::Placebo::of(&histories, 2, &[]);
        it.series = vec![it.series[0].clone(); 8];
    }
    check_contrast(&inputs, (Pass, Inconclusive), &["too short a past for so many series: of 8"]);
    let running = altered(|it| it.deployment.finished_at = None);
    check_contrast(&running, (Inconclusive, Inconclusive), &["once the deployment has finished"]);
}

#[test]
fn a_rise_beside_a_sibling_is_set_against_the_units_own_level() {
    use GateVerdict::{Fail, Pass};
    // The difference lies at 1: a rise to 2 is much of that, and little of what the unit uses.
    let mut inputs = contrasted_cpu(0, |_| 2.0);
    check_contrast(&inputs, (Fail, Fail), &[]);
    if let Some(it) = &mut inputs.contrast {
        it.series[0].level = Some(30.0);
    }
    check_contrast(&inputs, (Pass, Pass), &[]);
}
