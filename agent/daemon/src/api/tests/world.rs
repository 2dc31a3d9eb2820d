//! A small world with one of everything, at fixed times: what the API's and the CLI's tests look at.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::detect::labels::Ruling;
use holdfast_core::detect::replay::{Episode, EpisodeSeries};
use holdfast_core::detect::tuning::Tuning;
use holdfast_core::detect::{DetectConfig, Sensitivity, SeriesSettings};
use holdfast_core::model::audit::{AuditKey, AuditKind, Draft, Head};
use holdfast_core::model::finding::Method;
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::*;
use sha2::Digest;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::answers::{
    BaselineAnswer, PauseAnswer, PluginAnswer, PluginForgotten, PurgeAnswer, QuarantineLifted, RestoredBaseline,
    SimulatedStep, Simulation, Skipped, TuningVersion,
};
use crate::api::{Access, ApiContext};
use crate::host::{FakeClock, FsRoot};
use crate::request::{Call, Door, Refusal, RefusalKind, Request, StepMeasurement};
use crate::status::*;
use crate::store::{BaselineFile, Blobs, StateDb, StateReader, TUNING_SETTING, TelemetryDb, TelemetryOptions, Writes};

/// 2027-01-15 08:00:00 UTC; the world looks at itself ten minutes later.
const T0: i64 = 1_800_000_000;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(T0 + second)
}

pub(crate) fn now() -> Timestamp {
    at(600)
}

fn ids(n: u64) -> SeededIds {
    SeededIds(n)
}

pub(crate) fn finding_id() -> FindingId {
    FindingId::new(at(100), &mut ids(1))
}
pub(crate) fn drift_id() -> FindingId {
    FindingId::new(at(200), &mut ids(2))
}
pub(crate) fn suppressed_id() -> FindingId {
    FindingId::new(at(340), &mut ids(44))
}
pub(crate) fn incident_id() -> IncidentId {
    IncidentId::new(at(100), &mut ids(3))
}
/// Waits for a yes.
pub(crate) fn waiting_id() -> RemediationId {
    RemediationId::new(at(102), &mut ids(4))
}
/// Went well.
pub(crate) fn done_id() -> RemediationId {
    RemediationId::new(at(202), &mut ids(5))
}
pub(crate) fn decision_id() -> DecisionId {
    DecisionId::new(at(102), &mut ids(6))
}

fn finding() -> Finding {
    Finding {
        id: finding_id(),
        fingerprint: "unit_failure|unit.failed|unit:web.service|".into(),
        kind: "unit.failed".into(),
        class: Class::Reliability,
        target: Target::unit("web.service"),
        title: "web.service failed: it was killed by a signal".into(),
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        method: Method { name: "unit_failure".into(), version: 1 },
        evidence: vec![
            Evidence::new("unit.active_state", "failed"),
            Evidence::new("unit.result", "signal"),
            Evidence::new("unit.n_restarts", 5_u64),
        ],
        state: FindingState::InProgress,
        count: 3,
        began_at: at(98),
        detected_at: at(100),
        last_seen_at: at(590),
        resolved_at: None,
        incident: Some(incident_id()),
        cause: None,
        label: None,
    }
}

fn drift() -> Finding {
    Finding {
        id: drift_id(),
        fingerprint: "file_drift|file.drift|file:/etc/web.conf|".into(),
        kind: "file.drift".into(),
        class: Class::Compliance,
        target: Target::file("/etc/web.conf"),
        // What an attacker could put into a file's name or content.
        title: "/etc/web.conf differs from what was accepted\u{1b}[2J".into(),
        severity: Severity::Medium,
        confidence: Confidence::clamped(0.95),
        method: Method { name: "file_drift".into(), version: 2 },
        evidence: vec![
            Evidence::new("file.sha256", "b".repeat(64)),
            Evidence::new(
                "file.diff",
                "--- accepted\n+++ present\n@@ -1,2 +1,2 @@\n-port = 80\n+port = 81\n host = a\n",
            ),
        ],
        state: FindingState::Resolved,
        count: 1,
        began_at: at(200),
        detected_at: at(200),
        last_seen_at: at(230),
        resolved_at: Some(at(240)),
        incident: None,
        cause: None,
        label: Some("true-positive".into()),
    }
}

fn tuning_versions() -> Vec<TuningVersion> {
    let sustained = |seconds| Tuning { sustained: Some(Interval::secs(seconds)), ..Tuning::default() };
    let series = SeriesSettings {
        metric: "system.memory.utilization".into(),
        where_: Attributes::from([("system.memory.state".to_owned(), "used".to_owned())]),
        sensitivity: Some(Sensitivity::Low),
        sustained: None,
    };
    let second = Tuning { series: vec![series], ..sustained(120) };
    let one = |number, tuning: Tuning, before: &Tuning, reason: &str| TuningVersion {
        number,
        differences: tuning.differences(before),
        tuning,
        by: "alice (uid 1000)".into(),
        at: at(number as i64 * 250),
        reason: reason.into(),
        proof: None,
        reverted_to: None,
        not_replayed: 0,
    };
    vec![one(1, sustained(60), &Tuning::default(), "too nervous"), one(2, second, &sustained(60), "still too nervous")]
}

/// Some minutes of memory, for the finding that was labelled.
fn episode() -> Episode {
    let label = labels().remove(1);
    let key = SeriesKey {
        metric: "system.memory.utilization".into(),
        unit: "1".into(),
        kind: MetricKind::Gauge,
        attributes: Attributes::from([("system.memory.state".to_owned(), "used".to_owned())]),
    };
    let points: Vec<(Timestamp, f64)> = (0..120).map(|second| (at(second - 60), 0.5)).collect();
    Episode { series: vec![EpisodeSeries::new(key, &points)], ..Episode::of(&label, &DetectConfig::default()) }
}

/// A departure that was no trouble before, and comes again.
fn suppressed() -> Finding {
    let key = "system.memory.utilization{system.memory.state=used}";
    let mut evidence = vec![
        Evidence::new("series.key", key),
        Evidence::new("series.expected", 0.5),
        Evidence::new("series.extreme", 0.8),
        Evidence::new(COURSE, "2026-07-01T08:00:00Z 60s 0.5 0.51 0.49 0.5 - 0.5 0.62 0.8 0.78"),
    ];
    let label = labels()[1].finding.clone();
    Ruling::Suppressed { label }.tell(&mut evidence);
    Finding {
        id: suppressed_id(),
        fingerprint: format!("baseline_robust|metric.anomaly|series:{key}|"),
        kind: "metric.anomaly".into(),
        class: Class::Reliability,
        target: Target::series(key),
        title: "memory is 0.80, expected about 0.50, for 40 s".into(),
        severity: Severity::Low,
        method: Method { name: "baseline_robust".into(), version: 2 },
        evidence,
        state: FindingState::Suppressed,
        count: 1,
        began_at: at(300),
        detected_at: at(340),
        last_seen_at: at(340),
        incident: None,
        ..finding()
    }
}

fn labels() -> Vec<Label> {
    let one = |finding: &Finding, says, note: &str| Label::of(finding, says, "alice (uid 1000)", at(250), note);
    let earlier = Finding {
        id: FindingId::new(at(10), &mut ids(45)),
        kind: "metric.anomaly".into(),
        title: "memory is 0.78, expected about 0.50, for 40 s".into(),
        severity: Severity::Low,
        ..finding()
    };
    let mut applied = one(&earlier, Says::FalsePositive, "the nightly job");
    (applied.applied, applied.applied_at) = (3, Some(at(340)));
    vec![one(&drift(), Says::TruePositive, ""), applied]
}

fn plan(finding: FindingId, target: Target, action: Action, made: i64) -> Plan {
    let (risk, undo) = (action.minimum_risk(), action.undo());
    Plan::seal(PlanBody {
        id: PlanId::new(at(made), &mut ids(10)),
        finding,
        target,
        proposed_by: "unit-medic 0.1.0".into(),
        plugin_digest: "c".repeat(64),
        run: RunId::new(at(made), &mut ids(11)),
        summary: action.describe(),
        confidence: Confidence::clamped(0.9),
        steps: vec![Step {
            id: "1".into(),
            action,
            rationale: "it crashed five times and systemd has given up".into(),
            side_effects: vec!["open connections are closed".into()],
            risk,
            undo,
            timeout_ms: 30_000,
        }],
        evidence: vec![Evidence::new("unit.start_limit_hit", true)],
        settle_ms: 2_000,
        made_at: at(made),
        expires_at: at(made + 3_600),
    })
    .unwrap()
}

pub(crate) fn decision() -> Decision {
    let reason = |code: &str, verdict, origin: &str, text: &str| Reason {
        code: code.into(),
        verdict,
        origin: origin.into(),
        text: text.into(),
    };
    Decision {
        id: decision_id(),
        at: at(102),
        finding: finding_id(),
        plan: None,
        rule: Some("restart-crashed-web".into()),
        mode: Mode::Approve,
        verdict: Verdict::RequireApproval,
        reasons: vec![
            reason("rule_mode", Verdict::RequireApproval, "web.toml:1", "the rule is in mode approve"),
            reason("budget", Verdict::Allow, "web.toml:9", "0 of 3 runs within 1h are used"),
        ],
        policy_digest: "d".repeat(64),
        inputs: serde_json::json!({ "paused": false }),
    }
}

pub(crate) fn waiting() -> Remediation {
    let action = Action::RestartUnit {
        unit: "web.service".into(),
        only_if_invocation: Some("e".repeat(32)),
        only_if_active_state: "failed".into(),
    };
    Remediation {
        id: waiting_id(),
        finding: finding_id(),
        incident: Some(incident_id()),
        rule: "restart-crashed-web".into(),
        requested_by: None,
        plan: plan(finding_id(), Target::unit("web.service"), action, 102),
        state: RemediationState::AwaitingApproval,
        decision: decision(),
        approval: None,
        steps: vec![StepRecord {
            step: "1".into(),
            state: StepState::Pending,
            started_at: None,
            finished_at: None,
            effects: vec![],
            undo_token: None,
            message: None,
        }],
        verification: None,
        created_at: at(102),
        updated_at: at(102),
        outcome: None,
    }
}

fn done() -> Remediation {
    let action = Action::RestoreFile {
        path: "/etc/web.conf".into(),
        only_if_sha256: Some("b".repeat(64)),
        sha256: "a".repeat(64),
        bytes: 20,
        mode: 0o644,
        uid: 0,
        gid: 0,
    };
    let plan = plan(drift_id(), Target::file("/etc/web.conf"), action, 202);
    let approval = Approval {
        approver: "alice (uid 1000)".into(),
        plan: plan.digest().clone(),
        at: at(210),
        expires_at: at(3_810),
        note: "as agreed".into(),
    };
    let effect = Effect {
        kind: "file.restored".into(),
        subject: "/etc/web.conf".into(),
        bytes: 20,
        detail: "sha256:aaaa".into(),
    };
    Remediation {
        id: done_id(),
        finding: drift_id(),
        incident: None,
        rule: "restore-web-conf".into(),
        requested_by: None,
        plan,
        state: RemediationState::Succeeded,
        decision: Decision {
            finding: drift_id(),
            id: DecisionId::new(at(202), &mut ids(7)),
            at: at(202),
            ..decision()
        },
        approval: Some(approval),
        steps: vec![StepRecord {
            step: "1".into(),
            state: StepState::Done,
            started_at: Some(at(211)),
            finished_at: Some(at(212)),
            effects: vec![effect],
            undo_token: Some("u1".into()),
            message: None,
        }],
        verification: Some(Verification {
            verdict: VerificationVerdict::Healed,
            at: at(240),
            text: "the file has its accepted content".into(),
            evidence: vec![],
        }),
        created_at: at(202),
        updated_at: at(240),
        outcome: Some("healed after 38 s".into()),
    }
}

fn changes() -> Vec<Change> {
    let change = |n: u64, second: i64, kind: &str, target: Target, summary: &str| Change {
        id: ChangeId::new(at(second), &mut ids(n)),
        at: at(second),
        kind: kind.into(),
        target,
        actor: Some("ci (uid 998)".into()),
        summary: summary.into(),
        attributes: Attributes::new(),
        deployment: None,
        cause: None,
    };
    let deployed = Change {
        deployment: Some("web-1.2".parse().unwrap()),
        ..change(20, 60, "service.deployed", Target::new("service", "web"), "web 1.2 is deployed to production")
    };
    let file = change(21, 200, "file.modified", Target::file("/etc/web.conf"), "edited");
    vec![deployed, file]
}

fn incident() -> Incident {
    let deployed = changes().remove(0);
    Incident {
        id: incident_id(),
        state: IncidentState::Open,
        title: finding().title,
        severity: Severity::High,
        confidence: Confidence::CERTAIN,
        findings: vec![finding_id()],
        suspects: vec![Suspect {
            change: deployed.id,
            kind: deployed.kind,
            target: deployed.target,
            summary: deployed.summary,
            at: deployed.at,
            deployment: deployed.deployment,
            score: 0.87,
            evidence: vec![
                Evidence::new("suspect.before_s", 38.0),
                Evidence::new("suspect.contrast", 1.0),
                Evidence::new(
                    "suspect.contrast_reason",
                    "0.0810 just before it, 0.9300 now: a clear difference of 0.8490 (0.8010 to 0.8970), 41.20 robust deviations; 100 % of the departure came after it",
                ),
            ],
        }],
        timeline: vec![
            TimelineEntry {
                at: at(100),
                kind: "finding".into(),
                reference: finding_id().to_string(),
                text: "web.service failed".into(),
            },
            TimelineEntry {
                at: at(102),
                kind: "plan".into(),
                reference: waiting_id().to_string(),
                text: "unit-medic proposes to restart it".into(),
            },
        ],
        began_at: at(98),
        detected_at: at(100),
        resolved_at: None,
        outcome: None,
        reopened: 0,
        reopened_at: None,
    }
}

fn deployment() -> Deployment {
    Deployment {
        id: "web-1.2".parse().unwrap(),
        service: "web".into(),
        version: "1.2".into(),
        environment: "production".into(),
        artifact: Some("sha256:1234".into()),
        revision: None,
        actor: "ci (uid 998)".into(),
        release_dir: None,
        units: vec!["web.service".into()],
        paths: vec!["/etc/web".into()],
        state: DeploymentState::Succeeded,
        started_at: at(50),
        finished_at: Some(at(62)),
    }
}

fn step_run() -> StepMeasurement {
    StepMeasurement {
        run: None,
        step: "build".into(),
        program: "make".into(),
        exit_code: 0,
        started_at: at(10),
        duration_s: 12.5,
        cpu_s: 20.0,
        peak_memory_bytes: Some(1 << 20),
        read_bytes: None,
        written_bytes: None,
        trace: None,
    }
}

pub(crate) fn status() -> StatusDocument {
    StatusDocument {
        version: "0.1.0".into(),
        host: "web-1".into(),
        pid: 4242,
        started_at: at(-3_600),
        uptime_s: 4_200,
        own: OwnCost {
            cpu_percent: Some(0.42),
            cpu_s: Some(17.6),
            resident_bytes: Some(38 << 20),
            cpu_us_per_sample: Some(1.9),
        },
        mode_ceiling: Mode::Approve,
        paused: Some(Paused { by: "alice (uid 1000)".into(), at: at(300), reason: "maintenance".into() }),
        collectors: vec![
            CollectorStatus {
                name: "cpu".into(),
                last_run: Some(at(599)),
                cost_us: 80,
                runs: 4_200,
                errors: 0,
                failing: None,
                absent: None,
            },
            CollectorStatus {
                name: "pressure".into(),
                last_run: None,
                cost_us: 0,
                runs: 0,
                errors: 0,
                failing: None,
                absent: Some("the kernel has no /proc/pressure".into()),
            },
        ],
        plugins: vec![PluginStatus {
            id: "unit-medic".into(),
            version: "0.1.0".into(),
            digest: "c".repeat(64),
            roles: vec!["remediator".into()],
            state: "ready".into(),
            reason: None,
            mode: Mode::Auto,
            calls: 3,
            failures: 0,
            last_error: None,
            last_cost_us: Some(1_800),
            memory_peak_bytes: Some(2 << 20),
            last_memory_bytes: None,
            last_returned_bytes: Some(4_096),
            last_host_calls: Some(9),
            cost_us: 0,
            returned_bytes: 0,
            host_calls: 0,
            host_calls_denied: 0,
            quarantines: 0,
            quarantined_until: None,
            update_refused: None,
        }],
        store: StoreStatus {
            bytes: 3 << 20,
            size_max_bytes: 2 << 30,
            retention_s: 2_592_000,
            series: 2,
            samples_held: 122,
            samples_stored: 122,
            lost: 0,
            series_refused: 0,
            oldest: Some(at(0)),
            newest: Some(at(599)),
            failing: None,
        },
        exports: vec![serde_json::json!({
            "endpoint": "http://127.0.0.1:4318", "streams": {}, "exported_until": at(590), "lag_s": 9, "failures": 2,
            "last_error": "connection refused",
        })],
        policy: PolicyStatus { digest: "d".repeat(64), files: vec!["web.toml".into()], rules: 2 },
        open_findings: 1,
        tuning: Some(TuningStatus {
            number: 2,
            by: "alice (uid 1000)".into(),
            at: at(500),
            entries: tuning_versions()[1].tuning.entries(),
        }),
        labels: LabelsStatus { false_positives: 2, true_positives: 1, suppressed: 1 },
        series_watched: 412,
        series_left_out: 3,
        open_incidents: 1,
        pending_approvals: 1,
        audit_head: Head { seq: 3, hash: "f".repeat(64) },
        receivers: vec![crate::status::ReceiverStatus {
            name: "otlp-http".into(),
            address: "127.0.0.1:4318".into(),
            failing: None,
            requests: 120,
            accepted: 48_000,
            rejected: [("series_per_source".to_owned(), 1_500)].into(),
            attributes_left_out: 0,
            last_error: Some("1500 data points over ingest.limits.series-per-source for this service.name".into()),
        }],
        problems: vec!["the actuator does not answer".into()],
    }
}

/// Plays the event loop: answers what it is asked, and alters nothing.
fn answer(request: &Request) -> Result<serde_json::Value, Refusal> {
    let json = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|e| Refusal::new(RefusalKind::Failed, e.to_string()))
    };
    let not_found = || Refusal::new(RefusalKind::NotFound, "there is no such remediation");
    match request {
        Request::Status => json(serde_json::to_value(status())),
        Request::Approve { remediation, digest, .. } if *remediation == waiting_id() => {
            let plan = waiting();
            if digest.as_deref().is_some_and(|d| d != plan.plan.digest().as_str()) {
                return Err(Refusal::new(RefusalKind::Conflict, "the plan has another digest"));
            }
            json(serde_json::to_value(Remediation { state: RemediationState::Approved, ..plan }))
        }
        Request::Reject { .. } => {
            json(serde_json::to_value(Remediation { state: RemediationState::Rejected, ..waiting() }))
        }
        Request::Undo { .. } => json(serde_json::to_value(Remediation { state: RemediationState::Undone, ..done() })),
        Request::Simulate { remediation } if *remediation == waiting_id() => json(serde_json::to_value(Simulation {
            remediation: remediation.clone(),
            digest: waiting().plan.digest().clone(),
            steps: vec![SimulatedStep {
                step: "1".into(),
                action: "remove 2 entries (3.00 KiB) below /var/cache/web".into(),
                effects: vec![
                    Effect {
                        kind: "path.removed".into(),
                        subject: "/var/cache/web/a".into(),
                        bytes: 1024,
                        detail: String::new(),
                    },
                    Effect {
                        kind: "path.removed".into(),
                        subject: "/var/cache/web/b".into(),
                        bytes: 2048,
                        detail: "4 files".into(),
                    },
                ],
                refused: None,
            }],
        })),
        Request::Purge { .. } => json(serde_json::to_value(PurgeAnswer {
            series: 1,
            samples: 61,
            changes: 0,
            episodes: 1,
            findings: vec![],
            set_aside: vec!["/var/lib/holdfast/telemetry.db.corrupt-1800000000".into()],
        })),
        Request::Approve { .. } | Request::Simulate { .. } => Err(not_found()),
        Request::Label { label, .. } => {
            let mut evidence = finding().evidence;
            Ruling::Suppressed { label: finding_id() }.tell(&mut evidence);
            json(serde_json::to_value(Finding { label: Some(label.clone()), evidence, ..finding() }))
        }
        Request::BaselineRestore { version, .. } => json(serde_json::to_value(RestoredBaseline {
            version: *version,
            number: 3,
            subjects: vec!["/etc/web.conf".into()],
            ends: vec!["/srv/web/2/index.html".into()],
        })),
        Request::TuneApply { .. } | Request::TuneRevert { .. } => json(serde_json::to_value(&tuning_versions()[1])),
        Request::Unlabel { .. } => json(serde_json::to_value(finding())),
        Request::Pause { reason } => json(serde_json::to_value(PauseAnswer {
            changed: true,
            paused: Some(Paused { by: "root (uid 0)".into(), at: now(), reason: reason.clone() }),
        })),
        Request::Resume { .. } => json(serde_json::to_value(PauseAnswer { changed: true, paused: None })),
        Request::DeployStart(start) => json(serde_json::to_value(Deployment {
            service: start.service.clone(),
            release_dir: start.release_dir.clone(),
            state: DeploymentState::Running,
            finished_at: None,
            ..deployment()
        })),
        Request::DeployFinish { succeeded, .. } => {
            let state = if *succeeded { DeploymentState::Succeeded } else { DeploymentState::Failed };
            json(serde_json::to_value(Deployment { state, ..deployment() }))
        }
        Request::BaselineCapture { paths } | Request::BaselineAccept { paths, .. } => {
            json(serde_json::to_value(BaselineAnswer {
                accepted: paths.clone(),
                skipped: vec![Skipped { subject: "/etc/secret".into(), reason: "permission denied".into() }],
            }))
        }
        Request::LiftQuarantine { plugin, .. } => {
            json(serde_json::to_value(QuarantineLifted { plugin: plugin.clone(), was_quarantined: true }))
        }
        Request::ForgetPlugin { plugin, .. } => {
            json(serde_json::to_value(PluginForgotten { plugin: plugin.clone(), keys: 2 }))
        }
        Request::RunPlugin { plugin } => json(serde_json::to_value(PluginAnswer {
            plugin: plugin.clone(),
            run: RunId::new(now(), &mut ids(30)),
            detections: vec![Detection {
                kind: "release.tampered".into(),
                class: Class::Security,
                target: Target::file("/srv/web/app"),
                discriminator: String::new(),
                presence: Presence::Present,
                title: "/srv/web/app is not what was released".into(),
                severity: Severity::Critical,
                confidence: Confidence::CERTAIN,
                method: Method { name: "plugin:release-verify".into(), version: 1 },
                evidence: vec![Evidence::new("file.sha256", "0".repeat(64))],
                began_at: now(),
                cause: None,
            }],
            evaluated: vec!["release.tampered".into()],
            skipped: vec![Skipped { subject: "release.extra".into(), reason: "no manifest".into() }],
            elapsed_us: 2_300,
        })),
        Request::LookAtPlugins => Ok(serde_json::json!({})),
        Request::RecordStep(_) | Request::Reload => Err(Refusal::new(RefusalKind::Failed, "not in this world")),
    }
}

/// Reads a file's state for comparisons, as the agent's own reader does.
fn read_file(fs: &FsRoot, path: &str, _: u64) -> io::Result<(FileState, Option<Vec<u8>>)> {
    let absent = FileState { path: path.into(), sha256: None, bytes: 0, mode: 0, uid: 0, gid: 0, modified_at: None };
    let content = match std::fs::read(fs.path(path)) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((absent, None)),
        Err(error) => return Err(error),
    };
    let sha256 = Some(plan::hex(&sha2::Sha256::digest(&content)));
    Ok((FileState { sha256, bytes: content.len() as u64, mode: 0o644, ..absent }, Some(content)))
}

/// What the host is made of: an account came and one went, groups cannot be read, a port closed.
fn items() -> Vec<(ItemKind, Option<Items>)> {
    let item = |value: &str| Item { value: value.to_owned(), ..Item::default() };
    let stated = Item { stated_by: Some("the image made it".to_owned()), ..item("uid=99") };
    let users = Items::from([("root".to_owned(), item("uid=0")), ("eve".to_owned(), stated)]);
    let ports = Items::from([("root".to_owned(), item("uid=0"))]);
    vec![(ItemKind::User, Some(users)), (ItemKind::Group, None), (ItemKind::Listener, Some(ports))]
}

/// The stores, the tree of files and what holds them.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) context: ApiContext,
    pub(crate) calls: Option<tokio::sync::mpsc::Receiver<Call>>,
    _access: watch::Sender<Access>,
    _state: StateDb,
    pub(crate) telemetry: TelemetryDb,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = AuditKey::new([7; 32]);
        let mut state = StateDb::open(dir.path(), key.clone()).unwrap();
        let blobs = Blobs::open(dir.path(), u64::MAX).unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/web.conf"), "port = 81\nhost = a\n").unwrap();
        let accepted = "port = 80\nhost = a\n";
        let blob = blobs.put(accepted.as_bytes()).unwrap().unwrap();
        let baseline = |path: &str, sha256: Option<String>| BaselineFile {
            state: FileState {
                path: path.into(),
                sha256: sha256.clone(),
                bytes: 19,
                mode: 0o644,
                uid: 0,
                gid: 0,
                modified_at: None,
            },
            blob: sha256,
            accepted_at: at(0),
            accepted_by: "root (uid 0)".into(),
            reason: "first capture".into(),
        };
        let audit = |second: i64, kind, subject: String| Draft {
            at: at(second),
            kind,
            actor: "agent".into(),
            subject,
            body: serde_json::json!({ "n": second }),
        };
        let writes = Writes {
            findings: vec![finding(), drift(), suppressed()],
            incidents: vec![incident()],
            remediations: vec![waiting(), done()],
            decisions: vec![decision()],
            deployments: vec![deployment()],
            labels: labels().into_iter().map(|it| (it.finding.clone(), Some(it))).collect(),
            baselines: vec![baseline("/etc/web.conf", Some(blob)), baseline("/etc/gone.conf", Some("9".repeat(64)))],
            step_runs: vec![step_run()],
            episodes: vec![(episode().finding, Some(Box::new(episode())))],
            settings: ["user", "group", "listener"]
                .map(|kind| (format!("inventory.{kind}"), serde_json::json!({ "root": "uid=0", "gone": "uid=7" })))
                .into_iter()
                .chain([(TUNING_SETTING.to_owned(), serde_json::json!(tuning_versions()))])
                .collect(),
            audit: vec![
                audit(1, AuditKind::AgentStarted, String::new()),
                audit(100, AuditKind::Finding, finding_id().to_string()),
                audit(102, AuditKind::Decision, decision_id().to_string()),
            ],
            ..Writes::default()
        };
        state.commit(writes).unwrap();
        let options = TelemetryOptions { opened_at: now(), ..TelemetryOptions::default() };
        let telemetry = TelemetryDb::open(dir.path(), options).unwrap();
        let series = |name: &str| SeriesKey {
            metric: "system.memory.utilization".into(),
            unit: "1".into(),
            kind: MetricKind::Gauge,
            attributes: Attributes::from([("system.memory.state".to_owned(), name.to_owned())]),
        };
        let (used, _) = telemetry.registry().intern(&series("used"));
        let (free, _) = telemetry.registry().intern(&series("free"));
        for n in 0..=60 {
            let share = f64::from(n) / 100.0;
            let samples = vec![(used, share), (free, 1.0 - share)];
            let batch = SampleBatch { at: at(i64::from(n) * 10), new_series: vec![], samples };
            telemetry.write_batch(Arc::new(batch));
        }
        for change in changes() {
            telemetry.write_change(change);
        }
        telemetry.flush().unwrap();
        let (door, calls) = Door::new();
        let own = rustix::process::geteuid().as_raw();
        let (access, seen) = watch::channel(Access::new(&[], &[], &[], &[], own));
        let context = ApiContext {
            door,
            state: state.reader(),
            telemetry: telemetry.reader(),
            access: seen,
            clock: Arc::new(FakeClock::at(now())),
            units: Arc::new(crate::plugins::NoUnits("no systemd here".to_owned())),
            required: Arc::default(),
            redactor: Arc::new(holdfast_core::redact::Redactor::standard()),
            fs: FsRoot::new(root),
            look: Arc::new(items),
            blobs,
            retention_records: Duration::from_hours(400 * 24),
            pasts: std::sync::Arc::default(),
            read_file,
            detect: Arc::new(DetectConfig::default()),
            data_dir: dir.path().to_owned(),
            audit_key: key,
        };
        Self { dir, context, calls: Some(calls), _access: access, _state: state, telemetry }
    }

    /// The stores without their API.
    pub(crate) fn state(&self) -> &StateReader {
        &self.context.state
    }

    /// Answers calls until the door is gone.
    pub(crate) async fn play(mut calls: tokio::sync::mpsc::Receiver<Call>) {
        while let Some(call) = calls.recv().await {
            let _ = call.answer.send(answer(&call.request));
        }
    }

    /// Serves this world on a socket, on threads of its own, for as long as the guard lives.
    pub(crate) fn serve(mut self) -> Served {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let socket = self.dir.path().join("run/holdfast.sock");
        let (stop, stopped) = watch::channel(false);
        let guard = runtime.enter();
        let listener = crate::api::bind(&socket, 0o600).unwrap();
        drop(guard);
        runtime.spawn(Self::play(self.calls.take().unwrap()));
        let server = runtime.spawn(crate::api::serve(self.context.clone(), listener, stopped));
        Served { socket, world: self, runtime, server: Some(server), stop }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.telemetry.close();
    }
}

/// A world behind a socket.
pub(crate) struct Served {
    pub(crate) socket: std::path::PathBuf,
    pub(crate) world: World,
    runtime: tokio::runtime::Runtime,
    server: Option<tokio::task::JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Served {
    /// Stops serving, and waits until it has stopped.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(server) = self.server.take() {
            self.runtime
                .block_on(async { tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap() });
        }
    }
}
