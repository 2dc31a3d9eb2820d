mod grpc;
mod http;
mod outage;
mod server;
mod steps;

use super::receiver::Receiver;
use super::*;
use crate::host::SystemClock;
use crate::store::{StateDb, TelemetryOptions, Writes};
use holdfast_core::model::audit::{AuditKey, AuditKind, Draft};
use holdfast_core::model::id::SeededIds;
use holdfast_core::model::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::path::Path;
use std::time::Duration;

const T0: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(T0 + second)
}

struct Host {
    dir: tempfile::TempDir,
    telemetry: TelemetryDb,
    state: StateDb,
    stop: watch::Sender<bool>,
}

fn telemetry(dir: &Path, retention: Duration) -> TelemetryDb {
    let options = TelemetryOptions { opened_at: at(0), seal_ticks: 10, retention, ..TelemetryOptions::default() };
    TelemetryDb::open(dir, options).unwrap()
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let telemetry = telemetry(dir.path(), Duration::from_hours(24));
        let state = StateDb::open(dir.path(), AuditKey::new([1; 32])).unwrap();
        Self { dir, telemetry, state, stop: watch::channel(false).0 }
    }

    /// Ticks with a gauge and a counter, each second's value being its number.
    fn ticks(&self, seconds: std::ops::Range<i64>) {
        let key = |metric: &str, kind| SeriesKey {
            metric: metric.into(),
            unit: "By".into(),
            kind,
            attributes: Attributes::from([("device".to_owned(), "sda".to_owned())]),
        };
        let gauge = self.telemetry.registry().intern(&key("test.level", MetricKind::Gauge)).0;
        let counter = self.telemetry.registry().intern(&key("test.total", MetricKind::Counter)).0;
        for second in seconds {
            let samples = vec![(gauge, second as f64), (counter, second as f64)];
            self.telemetry.write_batch(std::sync::Arc::new(SampleBatch {
                at: at(second),
                new_series: vec![],
                samples,
            }));
        }
        self.telemetry.flush().unwrap();
    }

    fn export(&self, endpoint: &str) -> ExportHandle {
        self.export_with(ExportConfig { headers: vec![("x-token".into(), "secret".into())], ..quick(endpoint) })
    }

    fn export_with(&self, config: ExportConfig) -> ExportHandle {
        self.try_export(config).unwrap()
    }

    fn try_export(&self, config: ExportConfig) -> Result<ExportHandle, ExportError> {
        let resource = resource_attributes("box", "i-1", Some("prod"));
        let (telemetry, state) = (self.telemetry.clone(), self.state.reader());
        let ready = prepare(config, telemetry, state, &resource, Arc::new(SystemClock::new()))?;
        Ok(ready.start(&self.stop.subscribe()))
    }

    /// Stops what was started, so that it can be started again.
    async fn stop(&self, handle: ExportHandle) {
        self.stop.send(true).unwrap();
        handle.stopped().await;
        self.stop.send_replace(false);
    }

    fn gaps(&self) -> Vec<crate::store::Gap> {
        self.telemetry.flush().unwrap();
        self.telemetry.reader().gaps(at(0), 1_000).unwrap()
    }
}

/// A destination that waits for nothing longer than it must: seven ticks of two samples in one request.
fn quick(endpoint: &str) -> ExportConfig {
    ExportConfig {
        interval: Duration::from_millis(5),
        backoff: Duration::from_millis(5),
        samples_max: 14,
        ..ExportConfig::new(endpoint)
    }
}

/// Waits for a level, not an edge; a test that hangs is a failed one.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come to this: {what}");
}

fn metrics(bodies: Vec<Vec<u8>>) -> Vec<Metric> {
    let decode = |body: Vec<u8>| ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
    let requests = bodies.into_iter().map(decode);
    requests.flat_map(|r| r.resource_metrics).flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics).collect()
}

/// (second, start second) of every point of a metric, in the order of arrival.
fn points(receiver: &Receiver, name: &str) -> Vec<(i64, i64)> {
    points_of(receiver.bodies("/v1/metrics"), name)
}

fn points_of(bodies: Vec<Vec<u8>>, name: &str) -> Vec<(i64, i64)> {
    let seconds = |ns: u64| ns as i64 / 1_000_000_000 - T0;
    let mut found = Vec::new();
    for metric in metrics(bodies).into_iter().filter(|m| m.name == name) {
        let points = match metric.data.unwrap() {
            metric::Data::Gauge(gauge) => gauge.data_points,
            metric::Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
                sum.data_points
            }
            other => panic!("{other:?}"),
        };
        found.extend(
            points
                .iter()
                .map(|p| (seconds(p.time_unix_nano), seconds(p.start_time_unix_nano.max(T0 as u64 * 1_000_000_000)))),
        );
    }
    found
}

fn numbered(range: std::ops::Range<i64>) -> Vec<(i64, i64)> {
    range.map(|s| (s, 0)).collect()
}

fn attribute(attributes: &[KeyValue], key: &str) -> String {
    match attributes.iter().find(|a| a.key == key).and_then(|a| a.value.clone()).and_then(|v| v.value) {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn every_sample_arrives_once_with_its_true_time() {
    let (host, receiver) = (Host::new(), Receiver::start().await);
    host.ticks(0..37);
    let handle = host.export(&receiver.endpoint);
    until("74 sent", || handle.status().streams["metrics"].sent == 74).await;
    host.ticks(37..40);
    until("80 sent", || handle.status().streams["metrics"].sent == 80).await;
    assert_eq!(points(&receiver, "test.level"), numbered(0..40));
    assert_eq!(points(&receiver, "test.total"), numbered(0..40));
    let (_, headers, body) = receiver.requests.lock().unwrap()[0].clone();
    assert_eq!(
        (headers["content-type"].as_bytes(), headers["x-token"].as_bytes()),
        (&b"application/x-protobuf"[..], &b"secret"[..])
    );
    let request = ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
    let resource = request.resource_metrics[0].resource.clone().unwrap().attributes;
    let wanted = [
        ("service.name", "holdfast"),
        ("host.name", "box"),
        ("service.instance.id", "i-1"),
        ("deployment.environment.name", "prod"),
    ];
    for (key, value) in wanted {
        assert_eq!(attribute(&resource, key), value);
    }
    let status = handle.status();
    assert_eq!((status.lag_s, status.last_error, status.failures), (0, None, 0));
    host.stop.send(true).unwrap();
    handle.stopped().await;
}

#[tokio::test]
async fn an_outage_loses_nothing_and_is_told() {
    let host = Host::new();
    host.ticks(0..5);
    let held = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = held.local_addr().unwrap();
    drop(held);
    let handle = host.export(&format!("http://{address}"));
    until("some failures", || handle.status().failures >= 2).await;
    host.ticks(5..33);
    assert_eq!(handle.status().lag_s, 32);
    assert!(handle.status().last_error.is_some());
    let receiver = Receiver::start_on(tokio::net::TcpListener::bind(address).await.unwrap());
    until("66 sent", || handle.status().streams["metrics"].sent == 66).await;
    assert_eq!(points(&receiver, "test.level"), numbered(0..33));
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_2xx_was() {
    let (mut host, receiver) = (Host::new(), Receiver::start().await);
    host.ticks(0..20);
    let handle = host.export(&receiver.endpoint);
    until("40 sent", || handle.status().streams["metrics"].sent == 40).await;
    host.stop.send(true).unwrap();
    handle.stopped().await;
    host.telemetry.close().unwrap();
    host.telemetry = telemetry(host.dir.path(), Duration::from_hours(24));
    host.stop.send_replace(false);
    host.ticks(20..25);
    let handle = host.export(&receiver.endpoint);
    until("10 sent", || handle.status().streams["metrics"].sent == 10).await;
    assert_eq!(points(&receiver, "test.level"), numbered(0..25));
}

#[tokio::test]
async fn busy_receivers_are_asked_again_and_refusals_are_not() {
    let (host, receiver) = (Host::new(), Receiver::start().await);
    for status in [503, 429, 502, 504] {
        receiver.will("/v1/metrics", status, Some("0"), vec![]);
    }
    receiver.will("/v1/metrics", 400, None, b"bad".to_vec());
    host.ticks(0..14);
    let handle = host.export(&receiver.endpoint);
    until("the second half sent", || handle.status().streams["metrics"].sent == 14).await;
    let counts = handle.status().streams["metrics"].clone();
    // Four times busy and once refused: the same request. What follows is another, in one piece or two: what is sealed
    // meanwhile is read for itself.
    let bodies = receiver.bodies("/v1/metrics");
    assert_eq!(counts.rejected, 14);
    assert!(bodies[..5].iter().all(|body| *body == bodies[0]));
    assert!(bodies.len() <= 7 && bodies[5..].iter().all(|body| *body != bodies[0]), "{} requests", bodies.len());
    host.telemetry.flush().unwrap();
    let gaps = host.telemetry.reader().gaps(at(0), 9).unwrap();
    assert_eq!((gaps.len(), gaps[0].count, gaps[0].stream.as_str()), (1, 14, "metrics"));
    assert!(gaps[0].reason.contains("HTTP 400: bad"), "{}", gaps[0].reason);
}

#[tokio::test]
async fn a_wrong_token_or_address_holds_a_destination_and_costs_nothing() {
    let (host, receiver) = (Host::new(), Receiver::start().await);
    for status in [401, 403, 404, 308, 401, 407] {
        receiver.will("/v1/metrics", status, None, b"who are you".to_vec());
    }
    (0..100).for_each(|_| receiver.will("/v1/logs", 404, None, vec![]));
    host.ticks(0..14);
    let handle = host.export(&receiver.endpoint);
    until("held", || handle.status().streams["metrics"].failures >= 2).await;
    let status = handle.status();
    assert!(status.last_error.as_ref().is_some_and(|it| it.contains("nothing is dropped")), "{status:?}");
    until("all sent", || handle.status().streams["metrics"].sent == 28).await;
    let counts = handle.status().streams["metrics"].clone();
    assert_eq!((counts.rejected, counts.failures), (0, 0));
    let bodies = receiver.bodies("/v1/metrics");
    assert!(bodies[..7].iter().all(|body| *body == bodies[0]), "held where it was");
    assert_eq!(points_of(bodies[6..].to_vec(), "test.level"), numbered(0..14));
    assert_eq!(host.gaps(), []);
}

#[tokio::test]
async fn a_partial_success_is_counted_and_never_sent_again() {
    let (host, receiver) = (Host::new(), Receiver::start().await);
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: "too old".into() };
    let answer = ExportMetricsServiceResponse { partial_success: Some(partial) };
    receiver.will("/v1/metrics", 200, None, answer.encode_to_vec());
    host.ticks(0..7);
    let handle = host.export(&receiver.endpoint);
    until("all dealt with", || handle.status().streams["metrics"].position == 7).await;
    host.ticks(7..8);
    until("the next sent", || handle.status().streams["metrics"].position == 8).await;
    let counts = handle.status().streams["metrics"].clone();
    assert_eq!((counts.sent, counts.rejected), (11 + 2, 3));
    assert_eq!(points(&receiver, "test.level"), numbered(0..8));
}

#[tokio::test]
async fn a_slow_destination_holds_up_no_other() {
    let (host, receiver) = (Host::new(), Receiver::start().await);
    // One takes connections and reads nothing, two read everything and never answer.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute = Receiver::start().await;
    (0..100).for_each(|_| mute.will("/v1/metrics", 0, None, vec![]));
    let mute_rpc = server::Server::start(Protocol::Grpc, None).await;
    mute_rpc.will((0..100).map(|_| server::Answer::Never));
    host.ticks(0..10);
    let named = |name: &str, endpoint: &str| ExportConfig { name: name.into(), ..quick(endpoint) };
    let slow = [
        host.export(&format!("http://{}", silent.local_addr().unwrap())),
        host.export_with(named("mute", &mute.endpoint)),
        host.export_with(ExportConfig { protocol: Protocol::Grpc, ..named("rpc", &mute_rpc.endpoint) }),
    ];
    until("both have the first", || {
        mute.bodies("/v1/metrics").len() == 1 && mute_rpc.bodies("MetricsService/Export").len() == 1
    })
    .await;
    let quick = host.export(&receiver.endpoint);
    until("20 sent", || quick.status().streams["metrics"].sent == 20).await;
    host.ticks(10..20);
    until("40 sent", || quick.status().streams["metrics"].sent == 40).await;
    for handle in &slow {
        assert_eq!(handle.status().streams["metrics"].sent, 0);
    }
    host.stop.send(true).unwrap();
    for handle in slow {
        handle.stopped().await;
    }
}

#[tokio::test]
async fn what_was_deleted_before_it_was_sent_is_in_the_ledger() {
    let mut host = Host::new();
    host.telemetry.close().unwrap();
    host.telemetry = telemetry(host.dir.path(), Duration::from_secs(20));
    let receiver = Receiver::start().await;
    (0..6).for_each(|n| host.ticks(n * 10..n * 10 + 10));
    let handle = host.export(&receiver.endpoint);
    until("all dealt with", || handle.status().streams["metrics"].position == 60).await;
    let (first, skipped) = (points(&receiver, "test.level")[0].0 as u64, handle.status().streams["metrics"].skipped);
    assert!(first > 0 && skipped == first, "{first} {skipped}");
    host.telemetry.flush().unwrap();
    assert_eq!(host.telemetry.reader().gaps(at(0), 9).unwrap()[0].count, skipped);
}

#[tokio::test]
async fn a_lost_position_sends_nothing_of_state_twice() {
    let (mut host, receiver) = (Host::new(), Receiver::start().await);
    let draft = |number: i64| Draft {
        at: at(number),
        kind: AuditKind::Decision,
        actor: "agent".into(),
        subject: "x".into(),
        body: serde_json::json!({}),
    };
    host.state.commit(Writes { audit: (0..5).map(draft).collect(), ..Writes::default() }).unwrap();
    host.ticks(0..7);
    host.telemetry.close().unwrap();
    std::fs::write(host.dir.path().join("telemetry.db"), vec![b'x'; 8192]).unwrap();
    host.telemetry = telemetry(host.dir.path(), Duration::from_hours(24));
    let streams = vec![Stream::Metrics, Stream::Audit, Stream::Findings];
    let handle = host.export_with(ExportConfig { streams, ..quick(&receiver.endpoint) });
    until("it has begun", || host.telemetry.reader().export_cursor(&receiver.endpoint, "audit").unwrap() == 5).await;
    host.ticks(8..9);
    host.state.commit(Writes { audit: vec![draft(9)], ..Writes::default() }).unwrap();
    until("all sent", || ["metrics", "audit"].iter().all(|it| handle.status().streams[*it].sent > 0)).await;
    let logs = receiver.bodies("/v1/logs").into_iter().map(|b| ExportLogsServiceRequest::decode(b.as_slice()).unwrap());
    let records = logs.flat_map(|l| l.resource_logs).flat_map(|r| r.scope_logs).flat_map(|s| s.log_records).count();
    assert_eq!(records, 1, "only what came later");
    assert_eq!(points(&receiver, "test.level"), numbered(8..9));
    let told = host.telemetry.reader().gaps(Timestamp::from_ns(1), 9).unwrap();
    assert!(told.iter().any(|gap| gap.stream == "audit" && gap.reason.contains("up to number 5")), "{told:?}");
}

fn remediation(ids: &mut SeededIds) -> Remediation {
    let finding = FindingId::new(at(0), ids);
    let step = Step {
        id: "restart".into(),
        action: Action::RestartUnit {
            unit: "web.service".into(),
            only_if_invocation: None,
            only_if_active_state: "failed".into(),
        },
        rationale: "it crashed".into(),
        side_effects: vec![],
        risk: Risk::Low,
        undo: Undo::NothingToUndo,
        timeout_ms: 1_000,
    };
    let body = PlanBody {
        id: PlanId::new(at(1), ids),
        finding: finding.clone(),
        target: Target::unit("web.service"),
        proposed_by: "unit-medic 0.1.0".into(),
        plugin_digest: "0".repeat(64),
        run: RunId::new(at(1), ids),
        summary: "restart".into(),
        confidence: Confidence::CERTAIN,
        steps: vec![step],
        evidence: vec![],
        settle_ms: 0,
        made_at: at(1),
        expires_at: at(100),
    };
    let plan = Plan::seal(body).unwrap();
    let decision = Decision {
        id: DecisionId::new(at(2), ids),
        at: at(2),
        finding: finding.clone(),
        plan: Some(plan.digest().clone()),
        rule: Some("web".into()),
        mode: Mode::Auto,
        verdict: Verdict::Allow,
        reasons: vec![Reason {
            code: "rule_mode".into(),
            verdict: Verdict::Allow,
            origin: "web.toml:1".into(),
            text: "the rule says auto".into(),
        }],
        policy_digest: "d".repeat(64),
        inputs: serde_json::json!({}),
    };
    let record = StepRecord {
        step: "restart".into(),
        state: StepState::Done,
        started_at: Some(at(3)),
        finished_at: Some(at(4)),
        effects: vec![],
        undo_token: None,
        message: None,
    };
    let verification =
        Verification { verdict: VerificationVerdict::Healed, at: at(9), text: "active".into(), evidence: vec![] };
    Remediation {
        id: RemediationId::new(at(1), ids),
        finding,
        incident: None,
        rule: "web".into(),
        requested_by: None,
        plan,
        state: RemediationState::Succeeded,
        decision,
        approval: None,
        steps: vec![record],
        verification: Some(verification),
        created_at: at(1),
        updated_at: at(9),
        outcome: Some("healed".into()),
    }
}

#[tokio::test]
async fn a_remediation_is_a_trace_with_true_times_and_its_decision_a_record() {
    let (mut host, receiver) = (Host::new(), Receiver::start().await);
    let it = remediation(&mut SeededIds(5));
    let audit = Draft {
        at: at(2),
        kind: AuditKind::Decision,
        actor: "agent".into(),
        subject: it.id.to_string(),
        body: serde_json::json!({ "kept": "here" }),
    };
    let running = Remediation { state: RemediationState::Running, ..it.clone() };
    host.state.commit(Writes { remediations: vec![running], ..Writes::default() }).unwrap();
    let handle = host.export(&receiver.endpoint);
    let writes = Writes {
        remediations: vec![it.clone()],
        decisions: vec![it.decision.clone()],
        audit: vec![audit],
        ..Writes::default()
    };
    let head = host.state.commit(writes).unwrap().pop().unwrap();
    until("trace and logs sent", || {
        ["remediations", "decisions", "audit"].iter().all(|s| handle.status().streams[*s].sent > 0)
    })
    .await;

    let bodies = receiver.bodies("/v1/traces");
    assert_eq!(bodies.len(), 1, "only when it is at its end");
    let request = ExportTraceServiceRequest::decode(bodies[0].as_slice()).unwrap();
    let spans: Vec<Span> = request.resource_spans[0].scope_spans[0].spans.clone();
    let seconds = |ns: u64| ns as i64 / 1_000_000_000 - T0;
    let told: Vec<_> = spans
        .iter()
        .map(|s| (s.name.as_str(), seconds(s.start_time_unix_nano), seconds(s.end_time_unix_nano)))
        .collect();
    assert_eq!(told, [("remediation", 1, 9), ("decide", 1, 2), ("step restart_unit", 3, 4), ("verify", 4, 9)]);
    assert!(spans[1..].iter().all(|s| s.parent_span_id == spans[0].span_id && s.trace_id == spans[0].trace_id));
    assert_eq!((spans[0].trace_id.len(), spans[0].span_id.len()), (16, 8));

    let logs = receiver.bodies("/v1/logs").into_iter().map(|b| ExportLogsServiceRequest::decode(b.as_slice()).unwrap());
    let records: Vec<_> =
        logs.flat_map(|l| l.resource_logs).flat_map(|r| r.scope_logs).flat_map(|s| s.log_records).collect();
    let named = |name: &str| records.iter().find(|r| r.event_name == name).unwrap();
    assert_eq!(attribute(&named("holdfast.decision").attributes, "holdfast.decision.verdict"), "allow");
    assert_eq!(attribute(&named("holdfast.audit.head").attributes, "holdfast.audit.hash"), head.hash);
    assert_eq!(seconds(named("holdfast.decision").time_unix_nano), 2);
    assert!(receiver.bodies("/v1/logs").iter().all(|b| !b.windows(4).any(|w| w == b"kept")), "facts stay here");
}

#[test]
fn the_diff_of_a_file_stays_on_the_host() {
    let mut ids = SeededIds(9);
    let finding = Finding {
        id: FindingId::new(at(0), &mut ids),
        fingerprint: "f".into(),
        kind: "file.drift".into(),
        class: Class::Compliance,
        target: Target::file("/etc/app.conf"),
        title: "/etc/app.conf was altered".into(),
        severity: Severity::Medium,
        confidence: Confidence::CERTAIN,
        method: finding::Method { name: "file_drift".into(), version: 1 },
        evidence: vec![Evidence::new("file.diff", "+password = hunter2"), Evidence::new("file.sha256_actual", "abc")],
        state: FindingState::New,
        count: 1,
        began_at: at(0),
        detected_at: at(0),
        last_seen_at: at(0),
        resolved_at: None,
        incident: None,
        cause: None,
        label: None,
    };
    let record = wire::finding(&finding);
    assert!(!format!("{record:?}").contains("hunter2"));
    assert_eq!(attribute(&record.attributes, "holdfast.evidence.file.sha256_actual"), "abc");
    assert_eq!(record.severity_number, 13);
}

#[tokio::test]
async fn a_destination_that_cannot_be_used_is_refused_at_once() {
    let host = Host::new();
    let refused = |config: ExportConfig| host.try_export(config).unwrap_err().to_string();
    assert!(refused(ExportConfig::new("ftp://collector:4318")).contains("http:// or https://"));
    let header = vec![("bad name".to_owned(), "x".to_owned())];
    assert!(refused(ExportConfig { headers: header, ..ExportConfig::new("http://x:1") }).contains("bad name"));
}
