use std::path::Path;
use std::sync::Arc;

use holdfast_core::gate::judge;
use holdfast_core::model::audit::AuditKey;
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::{
    Attributes, Change, ChangeId, Class, Confidence, DeploymentState, FileState, Finding, FindingId, FindingState,
    Method, MetricKind, SampleBatch, SeriesKey, Severity,
};
use insta::assert_snapshot;

use super::*;
use crate::host::SystemClock;
use crate::pipeline::exec::tests::with_agent;
use crate::store::{BaselineFile, StateDb, TelemetryDb, TelemetryOptions, Writes};

const T0: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(T0 + second)
}

fn deployment(id: &str) -> Deployment {
    Deployment {
        id: id.parse().unwrap(),
        service: "web".into(),
        version: "1.2.3".into(),
        environment: "production".into(),
        artifact: None,
        revision: None,
        actor: "ci (uid 1000)".into(),
        release_dir: Some("/srv/web/42".into()),
        units: vec!["web".into()],
        paths: vec![],
        state: DeploymentState::Succeeded,
        started_at: at(0),
        finished_at: Some(at(10)),
    }
}

fn baseline(path: &str) -> BaselineFile {
    let state = FileState {
        path: path.into(),
        sha256: Some("0".repeat(64)),
        bytes: 1,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified_at: None,
    };
    BaselineFile { state, blob: None, accepted_at: at(10), accepted_by: "ci".into(), reason: "released".into() }
}

fn finding(kind: &str, path: &str, detected: i64, state: FindingState) -> Finding {
    Finding {
        id: FindingId::new(at(detected), &mut SeededIds(detected as u64)),
        fingerprint: path.into(),
        kind: kind.into(),
        class: Class::Security,
        target: Target::file(path),
        title: "content is not what the release's manifest says".into(),
        severity: Severity::Critical,
        confidence: Confidence::CERTAIN,
        method: Method { name: "plugin:release-verify".into(), version: 1 },
        evidence: vec![],
        state,
        count: 1,
        began_at: at(detected),
        detected_at: at(detected),
        last_seen_at: at(detected),
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    }
}

struct Stores {
    _dir: tempfile::TempDir,
    state: StateDb,
    telemetry: TelemetryDb,
}

impl Stores {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &Path| {
            let state = StateDb::open(path, AuditKey::new([7; 32])).unwrap();
            let options = TelemetryOptions { opened_at: at(-200), ..TelemetryOptions::default() };
            (state, TelemetryDb::open(path, options).unwrap())
        };
        let (state, telemetry) = open(dir.path());
        Self { _dir: dir, state, telemetry }
    }

    /// One sample of the uptime a second.
    fn telemetry(&self, seconds: std::ops::RangeInclusive<i64>) {
        let key = SeriesKey {
            metric: "system.uptime".into(),
            unit: "s".into(),
            kind: MetricKind::Gauge,
            attributes: Attributes::new(),
        };
        let (id, _) = self.telemetry.registry().intern(&key);
        for second in seconds {
            let samples = vec![(id, second as f64)];
            self.telemetry.write_batch(Arc::new(SampleBatch { at: at(second), new_series: vec![], samples }));
            self.telemetry.flush().unwrap();
        }
    }

    fn unit(&self, second: i64, kind: &str) {
        self.telemetry.write_change(Change {
            id: ChangeId::new(at(second), &mut SeededIds(second as u64)),
            at: at(second),
            kind: kind.into(),
            target: Target::unit("web.service"),
            actor: None,
            summary: kind.into(),
            attributes: Attributes::new(),
            deployment: None,
            cause: None,
        });
        self.telemetry.flush().unwrap();
    }

    fn report(&self, now: i64) -> GateReport {
        let id = "web-42".parse().unwrap();
        let inputs =
            collect_inputs(&self.state.reader(), &self.telemetry.reader(), &Pasts::default(), (&id, None), at(now))
                .unwrap();
        judge(&inputs.unwrap())
    }
}

/// A deployment with everything that a pass needs, as the stores hold it.
fn released() -> Stores {
    let mut stores = Stores::new();
    stores.telemetry(-90..=-1);
    stores.unit(8, "unit.restarted");
    stores.telemetry(0..=45);
    let writes = Writes {
        deployments: vec![deployment("web-42")],
        baselines: vec![baseline("/srv/web/42/app"), baseline("/srv/web/42/conf/a"), baseline("/etc/web.conf")],
        ..Writes::default()
    };
    stores.state.commit(writes).unwrap();
    stores
}

#[test]
fn what_the_stores_hold_makes_a_good_release_pass() {
    let report = released().report(45);
    assert_eq!(exit_code(&report), 0, "{}", text(&report));
    assert_snapshot!(text(&report), @r#"
    pass web-42
      pass          deployment    web 1.2.3 succeeded, in 10 s
      pass          evidence      90 s of telemetry before the start (91 samples; wanted 60 s); 35 s since the finish (36 samples; wanted 30 s)
      pass          units         web.service is active for 35 s since the finish, no failure, no restart
      pass          incidents     no incident is open or was resolved since the start
      pass          integrity     2 files recorded below /srv/web/42, none of them altered since
      pass          thresholds    no threshold breached for its sustained time since the start
      inconclusive  contrast      no series of the units or of the host is there to compare with its past
    "#);
}

#[test]
fn a_deployment_that_nobody_announced_is_none() {
    let stores = released();
    let id = "web-43".parse().unwrap();
    let inputs =
        collect_inputs(&stores.state.reader(), &stores.telemetry.reader(), &Pasts::default(), (&id, None), at(45))
            .unwrap();
    assert_eq!(inputs, None);
}

#[test]
fn without_history_it_is_inconclusive_and_says_what_is_missing() {
    let mut stores = Stores::new();
    stores.telemetry(0..=12);
    stores.state.commit(Writes { deployments: vec![deployment("web-42")], ..Writes::default() }).unwrap();
    let report = stores.report(12);
    assert_eq!((exit_code(&report), report.settled), (3, false), "{}", text(&report));
    assert_snapshot!(text(&report), @r#"
    inconclusive web-42 (may settle in 28 s: --wait waits for it)
      pass          deployment    web 1.2.3 succeeded, in 10 s
      inconclusive  evidence      0.0 s of telemetry before the start (1 samples; wanted 60 s); 2.0 s since the finish (3 samples; wanted 30 s): 28 s more to wait
      inconclusive  units         the state of web.service is not known: the agent has seen no start or stop of it
      pass          incidents     no incident is open or was resolved since the start
      inconclusive  integrity     no file below /srv/web/42 was recorded at the finish, so what lies there cannot be compared
      pass          thresholds    no threshold breached for its sustained time since the start
      inconclusive  contrast      no series of the units or of the host is there to compare with its past
    "#);
    // Later nothing that was missing has come.
    let report = stores.report(200);
    assert_eq!((exit_code(&report), report.settled), (3, true), "{}", text(&report));
}

#[test]
fn a_release_that_breaks_its_unit_and_is_tampered_with_fails_with_the_reasons() {
    let mut stores = released();
    stores.unit(20, "unit.failed");
    let open = finding("release.tampered", "/srv/web/42/app", 30, FindingState::New);
    let old = finding("release.tampered", "/srv/web/42/old", -3000, FindingState::Resolved);
    stores.state.commit(Writes { findings: vec![open, old], ..Writes::default() }).unwrap();
    let report = stores.report(45);
    assert_eq!((exit_code(&report), report.settled), (1, true), "{}", text(&report));
    assert_snapshot!(junit(&report), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="holdfast gate" tests="7" failures="2" skipped="1">
      <testsuite name="holdfast gate web-42" tests="7" failures="2" errors="0" skipped="1" timestamp="2027-01-15T08:00:45Z">
        <properties>
          <property name="verdict" value="fail"/>
          <property name="settled" value="true"/>
        </properties>
        <testcase name="deployment" classname="holdfast.gate.web-42">
          <system-out>web 1.2.3 succeeded, in 10 s</system-out>
        </testcase>
        <testcase name="evidence" classname="holdfast.gate.web-42">
          <system-out>90 s of telemetry before the start (91 samples; wanted 60 s); 35 s since the finish (36 samples; wanted 30 s)</system-out>
        </testcase>
        <testcase name="units" classname="holdfast.gate.web-42">
          <failure message="web.service is failed for 25 s, 35 s after the finish; since then failed once" type="fail">web.service is failed for 25 s, 35 s after the finish; since then failed once</failure>
        </testcase>
        <testcase name="incidents" classname="holdfast.gate.web-42">
          <system-out>no incident is open or was resolved since the start</system-out>
        </testcase>
        <testcase name="integrity" classname="holdfast.gate.web-42">
          <failure message="1 finding against 2 recorded files: &quot;content is not what the release&apos;s manifest says&quot; on file:/srv/web/42/app (critical, confidence 1.00)" type="fail">1 finding against 2 recorded files: &quot;content is not what the release&apos;s manifest says&quot; on file:/srv/web/42/app (critical, confidence 1.00)</failure>
        </testcase>
        <testcase name="thresholds" classname="holdfast.gate.web-42">
          <system-out>no threshold breached for its sustained time since the start</system-out>
        </testcase>
        <testcase name="contrast" classname="holdfast.gate.web-42">
          <skipped message="no series of the units or of the host is there to compare with its past"/>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
    assert_snapshot!(markdown(&report), @r#"
    ## Gate: fail for `web-42`

    Judged at 2027-01-15T08:00:45Z.

    | check | verdict | measured |
    | --- | --- | --- |
    | deployment | pass | web 1.2.3 succeeded, in 10 s |
    | evidence | pass | 90 s of telemetry before the start (91 samples; wanted 60 s); 35 s since the finish (36 samples; wanted 30 s) |
    | units | **fail** | web.service is failed for 25 s, 35 s after the finish; since then failed once |
    | incidents | pass | no incident is open or was resolved since the start |
    | integrity | **fail** | 1 finding against 2 recorded files: "content is not what the release's manifest says" on file:/srv/web/42/app (critical, confidence 1.00) |
    | thresholds | pass | no threshold breached for its sustained time since the start |
    | contrast | not applicable | no series of the units or of the host is there to compare with its past |
    "#);
    assert_snapshot!(progress(&report), @"fail web-42");
}

#[test]
fn what_is_shown_cannot_leave_its_place() {
    let mut report = released().report(45);
    report.checks.truncate(1);
    report.checks[0].text = "</testcase>\"&'\u{1}\n| <script> `x` *y* @all".into();
    let xml = junit(&report);
    assert!(xml.contains("&lt;/testcase&gt;&quot;&amp;&apos;\u{fffd}&#10;| &lt;script&gt;"), "{xml}");
    let page = markdown(&report);
    assert!(page.contains("&lt;/testcase>\"&amp;'\u{1} \\| &lt;script> \\`x\\` \\*y\\* \\@all |"), "{page}");
}

#[test]
fn a_pipeline_asks_over_the_socket_and_gets_the_verdict_and_its_exit_code() {
    let past = Timestamp::from_secs(1_700_000_000);
    let old = Deployment { started_at: past, finished_at: Some(past), ..deployment("web/42") };
    let failed = Deployment { state: DeploymentState::Failed, ..deployment("web-41") };
    let held = Writes { deployments: vec![old, failed], ..Writes::default() };
    with_agent(held, |socket, _| {
        let ask = |id: &str| {
            let (deployment, wait_for) = (id.parse().unwrap(), Duration::from_mins(10));
            let options =
                WaitOptions { socket: socket.to_owned(), deployment, sibling: None, wait: wait_for, progress: false };
            wait(&options, &SystemClock::new())
        };
        // Nothing was ever collected: it says so at once instead of waiting for ten minutes.
        let report = ask("web/42").unwrap();
        assert_eq!((exit_code(&report), report.settled), (3, true), "{}", text(&report));
        assert_eq!(exit_code(&ask("web-41").unwrap()), 1);
        let error = ask("web-40").unwrap_err();
        assert_eq!((error.exit_code(), error.to_string().as_str()), (2, "there is no deployment `web-40` here"));
    });
    let options = WaitOptions {
        socket: "/nonexistent/holdfast.sock".into(),
        deployment: "web-42".parse().unwrap(),
        sibling: None,
        wait: Duration::from_mins(10),
        progress: false,
    };
    assert_eq!(wait(&options, &SystemClock::new()).unwrap_err().exit_code(), 4);
}

impl Stores {
    /// Memory and CPU time of a unit every ten seconds, as such things wander; `more` bytes from the finish on.
    fn unit_series(&self, unit: &str, from_s: i64, until_s: i64, more: f64) {
        let attributes = |extra: &[(&str, &str)]| -> Attributes {
            let own = [("holdfast.unit.name", unit)];
            own.iter().chain(extra).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let key = |metric: &str, unit: &str, kind, extra: &[(&str, &str)]| SeriesKey {
            metric: metric.into(),
            unit: unit.into(),
            kind,
            attributes: attributes(extra),
        };
        let memory = key("holdfast.unit.memory.usage", "By", MetricKind::Gauge, &[]);
        let cpu = key("holdfast.unit.cpu.time", "s", MetricKind::Counter, &[("cpu.mode", "user")]);
        let (memory, _) = self.telemetry.registry().intern(&memory);
        let (cpu, _) = self.telemetry.registry().intern(&cpu);
        let (mut state, mut level, mut used) = (unit.len() as u64, 0.0, 0.0);
        for second in (from_s..until_s).step_by(10) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            level = 0.9 * level + ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5);
            used += 3.0 + 0.1 * level;
            let held = 300e6 + 6e6 * level + if second >= 10 { more } else { 0.0 };
            let samples = vec![(memory, held), (cpu, used)];
            self.telemetry.write_batch(Arc::new(SampleBatch { at: at(second), new_series: vec![], samples }));
            if second % 1000 == 0 {
                self.telemetry.flush().unwrap();
            }
        }
        self.telemetry.flush().unwrap();
    }
}

fn contrast(report: &GateReport) -> &holdfast_core::gate::GateCheck {
    report.checks.iter().find(|it| it.name == "contrast").unwrap()
}

#[test]
fn a_unit_that_uses_more_than_ever_fails_by_its_own_past() {
    let stores = released();
    stores.unit_series("web.service", -40_000, 60, 200e6);
    let report = stores.report(55);
    assert_eq!((contrast(&report).verdict, report.verdict), (GateVerdict::Fail, GateVerdict::Fail), "{report:#?}");
    let text = &contrast(&report).text;
    assert!(
        text.starts_with("more than it comes and goes: web.service memory rose by ") && text.contains(" MiB ("),
        "{text}"
    );

    let stores = released();
    stores.unit_series("web.service", -40_000, 60, 0.0);
    let report = stores.report(55);
    assert_eq!((contrast(&report).verdict, report.verdict), (GateVerdict::Pass, GateVerdict::Pass), "{report:#?}");
}

#[test]
fn a_unit_without_a_long_past_is_not_judged_by_it() {
    let stores = released();
    stores.unit_series("web.service", -3_000, 60, 200e6);
    let report = stores.report(55);
    assert_eq!(
        (contrast(&report).verdict, report.verdict),
        (GateVerdict::Inconclusive, GateVerdict::Pass),
        "{report:#?}"
    );
    assert!(contrast(&report).text.contains("wants 8 h 20 min"), "{}", contrast(&report).text);
}

#[test]
fn an_instance_is_compared_with_the_one_that_was_left_alone() {
    let mut stores = released();
    let deployment = Deployment { units: vec!["web@1".into()], ..deployment("web-42") };
    stores.state.commit(Writes { deployments: vec![deployment], ..Writes::default() }).unwrap();
    for unit in ["web@1.service", "web@2.service"] {
        // Both by the same: that is what they have to do, and not the deployment.
        stores.unit_series(unit, -40_000, 60, 200e6);
    }
    let report = stores.report(55);
    let check = contrast(&report);
    assert_eq!(check.verdict, GateVerdict::Pass, "{check:#?}");
    assert!(check.text.contains("beside web@2.service"), "{}", check.text);
}

#[test]
fn what_another_deployment_may_have_done_fails_nobody() {
    let mut stores = released();
    let two = Deployment { units: vec!["web@1".into()], ..deployment("web-42") };
    stores.state.commit(Writes { deployments: vec![two], ..Writes::default() }).unwrap();
    stores.unit_series("web@1.service", -40_000, 60, 0.0);
    // The sibling falls with its own deployment: beside it, this one would have risen.
    stores.unit_series("web@2.service", -40_000, 60, -200e6);
    assert_eq!(contrast(&stores.report(55)).verdict, GateVerdict::Fail);
    let (units, started_at) = (vec!["web@2".into()], at(-20));
    let other = Deployment { units, started_at, finished_at: Some(at(12)), ..deployment("web-43") };
    stores.state.commit(Writes { deployments: vec![other], ..Writes::default() }).unwrap();
    let report = stores.report(55);
    let check = contrast(&report);
    assert_eq!(check.verdict, GateVerdict::Pass, "{check:#?}");
    let said = "the host and what web-43 deploys are left out: it ran meanwhile";
    assert!(check.text.contains(said) && !check.text.contains("beside"), "{}", check.text);
}

#[test]
fn a_sibling_that_is_gone_is_passed_over() {
    let mut stores = released();
    let one = Deployment { units: vec!["web@1".into()], ..deployment("web-42") };
    stores.state.commit(Writes { deployments: vec![one], ..Writes::default() }).unwrap();
    stores.unit_series("web@1.service", -40_000, 60, 200e6);
    stores.unit_series("web@0.service", -40_000, -9_000, 0.0);
    let check = stores.report(55);
    assert!(!contrast(&check).text.contains("beside"), "{}", contrast(&check).text);
    assert_eq!(contrast(&check).verdict, GateVerdict::Fail, "by its own past");
    stores.unit_series("web@3.service", -40_000, 60, 200e6);
    let check = stores.report(55);
    assert!(contrast(&check).text.contains("beside web@3.service"), "{}", contrast(&check).text);
}

#[test]
fn an_open_incident_takes_an_hour_of_the_past_and_only_if_it_moves_what_is_compared() {
    use holdfast_core::model::{Incident, IncidentId, IncidentState};
    let mut stores = released();
    stores.unit_series("web.service", -40_000, 60, 200e6);
    for (kind, seed) in [("metric.anomaly", 1), ("user.drift", 2)] {
        let found = finding(kind, "/x", -39_000 + seed, FindingState::New);
        let incident = Incident {
            id: IncidentId::new(at(-39_000), &mut SeededIds(seed as u64)),
            state: IncidentState::Open,
            title: String::new(),
            severity: Severity::High,
            confidence: Confidence::CERTAIN,
            findings: vec![found.id.clone()],
            suspects: vec![],
            timeline: vec![],
            began_at: at(-39_000),
            detected_at: at(-39_000),
            resolved_at: None,
            outcome: None,
            reopened: 0,
            reopened_at: None,
        };
        stores.state.commit(Writes { findings: vec![found], incidents: vec![incident], ..Writes::default() }).unwrap();
    }
    let ranges = super::usual::left_out(&stores.state.reader(), &deployment("web-42"), 4000).unwrap();
    assert_eq!((ranges.len(), ranges.first()), (1, Some(&(90..461))), "an hour, and a hundred seconds before it");
    assert_eq!(contrast(&stores.report(55)).verdict, GateVerdict::Fail, "{:#?}", stores.report(55));
}
