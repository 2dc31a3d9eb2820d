//! The OTLP documents: the only file that knows their types. Pure.

use std::sync::Arc;

use holdfast_core::model::{
    AuditEntry, Decision, Finding, MetricKind, Remediation, RemediationState, Severity, StepState, Timestamp, Value,
};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};
use prost::Message;
use sha2::{Digest, Sha256};

use super::settings::Signal;
use crate::request::StepMeasurement;
use crate::store::ExportSeries;

/// Evidence that stays on this host: what may hold the content of files, and two and a half hours of samples, which have a way of their own.
const KEPT_HERE: [&str; 2] = ["file.diff", "series.course"];

/// What every exported item says about where it comes from.
pub(super) type Origin = Arc<Resource>;

/// (rejected items, message) of an accepting answer's body; what does not decode rejects nothing.
pub(super) fn rejected(signal: Signal, body: &[u8]) -> (u64, String) {
    let partial = match signal {
        Signal::Metrics => {
            let partial = ExportMetricsServiceResponse::decode(body).ok().and_then(|r| r.partial_success);
            partial.map(|p| (p.rejected_data_points, p.error_message))
        }
        Signal::Logs => {
            let partial = ExportLogsServiceResponse::decode(body).ok().and_then(|r| r.partial_success);
            partial.map(|p| (p.rejected_log_records, p.error_message))
        }
        Signal::Traces => {
            let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|r| r.partial_success);
            partial.map(|p| (p.rejected_spans, p.error_message))
        }
    };
    partial.map(|(count, message)| (u64::try_from(count).unwrap_or(0), message)).unwrap_or_default()
}

fn any(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, any_value::Value::StringValue(value.into()))
}

fn texts(key: &str, values: impl Iterator<Item = String>) -> KeyValue {
    let values = values.map(|v| any(any_value::Value::StringValue(v))).collect();
    pair(key, any_value::Value::ArrayValue(ArrayValue { values }))
}

fn evidence(name: &str, value: &Value) -> KeyValue {
    match value {
        Value::Boolean(v) => pair(name, any_value::Value::BoolValue(*v)),
        Value::Integer(v) => pair(name, any_value::Value::IntValue(*v)),
        Value::Number(v) => pair(name, any_value::Value::DoubleValue(*v)),
        Value::Texts(v) => texts(name, v.iter().cloned()),
        Value::Text(v) => text(name, v.clone()),
    }
}

fn ns(at: Timestamp) -> u64 {
    u64::try_from(at.ns()).unwrap_or(0)
}

fn scope() -> InstrumentationScope {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    InstrumentationScope { name: "holdfast".to_owned(), version, ..InstrumentationScope::default() }
}

pub(super) fn resource(attributes: &[(String, String)]) -> Origin {
    let attributes = attributes.iter().map(|(key, value)| text(key, value.clone())).collect();
    Arc::new(Resource { attributes, ..Resource::default() })
}

/// Samples, one metric a name, unit and kind.
pub(super) fn metrics(resource: &Resource, mut series: Vec<ExportSeries>) -> Vec<u8> {
    series.sort_by(|a, b| a.key.cmp(&b.key));
    let mut metrics: Vec<Metric> = Vec::new();
    for one in series {
        let attributes: Vec<KeyValue> = one.key.attributes.iter().map(|(k, v)| text(k, v.clone())).collect();
        let start_time_unix_nano = one.started_at.map_or(0, ns);
        let points = one.points.into_iter().map(|(at, value)| NumberDataPoint {
            attributes: attributes.clone(),
            start_time_unix_nano,
            time_unix_nano: ns(at),
            value: Some(number_data_point::Value::AsDouble(value)),
            ..NumberDataPoint::default()
        });
        let counter = one.key.kind == MetricKind::Counter;
        let same = metrics.last_mut().filter(|m| {
            m.name == one.key.metric
                && m.unit == one.key.unit
                && matches!(m.data, Some(metric::Data::Sum(_))) == counter
        });
        match same.and_then(|m| m.data.as_mut()) {
            Some(metric::Data::Sum(sum)) => sum.data_points.extend(points),
            Some(metric::Data::Gauge(gauge)) => gauge.data_points.extend(points),
            _ => {
                let data_points = points.collect();
                let data = if counter {
                    let aggregation_temporality = AggregationTemporality::Cumulative.into();
                    metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
                } else {
                    metric::Data::Gauge(Gauge { data_points })
                };
                let (name, unit) = (one.key.metric.clone(), one.key.unit.clone());
                metrics.push(Metric { name, unit, data: Some(data), ..Metric::default() });
            }
        }
    }
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
    let resource = Some(resource.clone());
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn record(event: &str, at: Timestamp, severity: i32, body: String, attributes: Vec<KeyValue>) -> LogRecord {
    LogRecord {
        time_unix_nano: ns(at),
        observed_time_unix_nano: ns(at),
        severity_number: severity,
        body: Some(any(any_value::Value::StringValue(body))),
        attributes,
        event_name: event.to_owned(),
        ..LogRecord::default()
    }
}

/// OpenTelemetry's severity numbers: INFO, INFO2, WARN, ERROR, FATAL.
fn severity(severity: Severity) -> i32 {
    match severity {
        Severity::Informational => 9,
        Severity::Low => 10,
        Severity::Medium => 13,
        Severity::High => 17,
        Severity::Critical => 21,
    }
}

/// The JSON word of a unit variant.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

pub(super) fn finding(it: &Finding) -> LogRecord {
    let mut attributes = vec![
        text("holdfast.finding.id", it.id.as_str()),
        text("holdfast.finding.kind", it.kind.clone()),
        text("holdfast.finding.class", word(&it.class)),
        text("holdfast.finding.state", word(&it.state)),
        text("holdfast.finding.severity", it.severity.as_str()),
        pair("holdfast.finding.confidence", any_value::Value::DoubleValue(it.confidence.get())),
        text("holdfast.finding.method", format!("{} {}", it.method.name, it.method.version)),
        text("holdfast.target", it.target.to_string()),
    ];
    attributes.extend(it.incident.as_ref().map(|id| text("holdfast.incident.id", id.as_str())));
    attributes.extend(it.cause.as_ref().map(|id| text("holdfast.cause", id.as_str())));
    let told = it.evidence.iter().filter(|e| !KEPT_HERE.contains(&e.name.as_str()));
    attributes.extend(told.map(|e| evidence(&format!("holdfast.evidence.{}", e.name), &e.value)));
    let at = it.resolved_at.unwrap_or(it.last_seen_at);
    record("holdfast.finding", at, severity(it.severity), it.title.clone(), attributes)
}

pub(super) fn decision(it: &Decision) -> LogRecord {
    let mut attributes = vec![
        text("holdfast.decision.id", it.id.as_str()),
        text("holdfast.decision.verdict", word(&it.verdict)),
        text("holdfast.decision.mode", it.mode.as_str()),
        texts("holdfast.decision.reasons", it.reasons.iter().map(|r| r.code.clone())),
        text("holdfast.finding.id", it.finding.as_str()),
        text("holdfast.policy.digest", it.policy_digest.clone()),
    ];
    attributes.extend(it.plan.as_ref().map(|p| text("holdfast.plan.digest", p.as_str())));
    attributes.extend(it.rule.as_ref().map(|r| text("holdfast.rule", r.clone())));
    let why = it.reasons.first().map_or("no reason was found to allow it", |r| r.text.as_str());
    record("holdfast.decision", it.at, 9, format!("{}: {why}", it.verdict), attributes)
}

/// An anchor of the chain outside this host: number and hash, not the facts.
pub(super) fn audit_head(it: &AuditEntry) -> LogRecord {
    let attributes = vec![
        pair("holdfast.audit.seq", any_value::Value::IntValue(i64::try_from(it.seq).unwrap_or(i64::MAX))),
        text("holdfast.audit.hash", it.hash.clone()),
        text("holdfast.audit.kind", word(&it.kind)),
        text("holdfast.audit.subject", it.subject.clone()),
    ];
    record("holdfast.audit.head", it.at, 9, format!("audit entry {} has hash {}", it.seq, it.hash), attributes)
}

pub(super) fn logs(resource: &Resource, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
    let resource = Some(resource.clone());
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// Ids follow from the remediation's own: a repetition names the same spans, and a pasted id finds its trace.
fn trace_id(it: &Remediation) -> Vec<u8> {
    let digits = it.id.as_str().rsplit('_').next().unwrap_or_default();
    (0..digits.len() / 2).filter_map(|i| u8::from_str_radix(digits.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}

fn span_id(it: &Remediation, part: &str) -> Vec<u8> {
    Sha256::digest(format!("{}/{part}", it.id).as_bytes())[..8].to_vec()
}

/// One remediation: a root span, and one span each for deciding, waiting for a yes, every step, and verifying.
pub(super) fn remediation(it: &Remediation) -> Vec<Span> {
    let span = |part: &str, name: String, from: Timestamp, to: Timestamp, attributes, failed: Option<String>| Span {
        trace_id: trace_id(it),
        span_id: span_id(it, part),
        parent_span_id: if part == "root" { Vec::new() } else { span_id(it, "root") },
        name,
        kind: span::SpanKind::Internal.into(),
        start_time_unix_nano: ns(from),
        end_time_unix_nano: ns(to.max(from)),
        attributes,
        status: Some(match failed {
            Some(message) => Status { message, code: status::StatusCode::Error.into() },
            None => Status { message: String::new(), code: status::StatusCode::Ok.into() },
        }),
        ..Span::default()
    };
    let mut about = vec![
        text("holdfast.remediation.id", it.id.as_str()),
        text("holdfast.remediation.state", it.state.as_str()),
        text("holdfast.finding.id", it.finding.as_str()),
        text("holdfast.rule", it.rule.clone()),
        text("holdfast.plan.digest", it.plan.digest().as_str()),
        text("holdfast.target", it.plan.body().target.to_string()),
    ];
    about.extend(it.incident.as_ref().map(|id| text("holdfast.incident.id", id.as_str())));
    let bad = (it.state != RemediationState::Succeeded).then(|| it.outcome.clone().unwrap_or_default());
    let mut spans = vec![span("root", "remediation".to_owned(), it.created_at, it.updated_at, about, bad)];
    let verdict = vec![text("holdfast.decision.verdict", word(&it.decision.verdict))];
    let decided = it.decision.at;
    spans.push(span("decide", "decide".to_owned(), decided.min(it.created_at), decided, verdict, None));
    if let Some(approval) = &it.approval {
        let approver = vec![text("holdfast.approver", approval.approver.clone())];
        spans.push(span("approve", "approve".to_owned(), decided, approval.at, approver, None));
    }
    let mut last = decided;
    for (record, step) in it.steps.iter().zip(&it.plan.body().steps) {
        let Some(from) = record.started_at else { continue };
        let to = record.finished_at.unwrap_or(from);
        last = last.max(to);
        let failed = matches!(record.state, StepState::Failed | StepState::Unknown | StepState::Started);
        let message = failed.then(|| record.message.clone().unwrap_or_else(|| word(&record.state)));
        let mut attributes = vec![
            text("holdfast.step.id", record.step.clone()),
            text("holdfast.step.state", word(&record.state)),
            text("holdfast.action", step.action.verb()),
            text("holdfast.target", step.action.target().to_string()),
        ];
        attributes.push(texts("holdfast.effects", record.effects.iter().map(|e| format!("{} {}", e.kind, e.subject))));
        let name = format!("step {}", step.action.verb());
        spans.push(span(&format!("step/{}", record.step), name, from, to, attributes, message));
    }
    if let Some(verification) = &it.verification {
        let verdict = vec![text("holdfast.verification.verdict", word(&verification.verdict))];
        spans.push(span("verify", "verify".to_owned(), last, verification.at, verdict, None));
    }
    spans
}

/// Bytes of an id in hexadecimal; `None` for what is no id of that length.
fn id_bytes(text: &str, bytes: usize) -> Option<Vec<u8>> {
    let id: Option<Vec<u8>> =
        (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect();
    id.filter(|id| text.len() == bytes * 2 && id.iter().any(|b| *b != 0))
}

/// One run of a build step, in the words of OpenTelemetry's CI/CD conventions. `None` when its caller asked for no span.
pub(super) fn step_run(it: &StepMeasurement) -> Option<Span> {
    if it.trace.as_ref().is_some_and(|trace| !trace.sampled) {
        return None;
    }
    // A run that was recorded without a trace gets one that follows from what it is.
    let run = it.run.as_ref().map_or_else(|| format!("{}/{}", it.step, it.started_at), ToString::to_string);
    let own = Sha256::digest(run.as_bytes());
    let trace_id = it.trace.as_ref().and_then(|t| id_bytes(&t.trace_id, 16));
    let span_id = it.trace.as_ref().and_then(|t| id_bytes(&t.span_id, 8));
    let parent = it.trace.as_ref().and_then(|t| id_bytes(t.parent_span_id.as_deref()?, 8));
    let result = match it.exit_code {
        0 => "success",
        // Killed by SIGINT or SIGTERM: somebody wanted it to end.
        130 | 143 => "cancellation",
        _ => "failure",
    };
    let integer =
        |key: &str, value: u64| pair(key, any_value::Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    let mut attributes = vec![
        text("cicd.pipeline.task.name", it.step.clone()),
        text("cicd.pipeline.task.run.result", result),
        text("process.executable.name", it.program.clone()),
        pair("process.exit.code", any_value::Value::IntValue(i64::from(it.exit_code))),
        pair("holdfast.step.cpu_s", any_value::Value::DoubleValue(it.cpu_s)),
    ];
    attributes.extend(it.run.as_ref().map(|run| text("cicd.pipeline.task.run.id", run.as_str())));
    attributes.extend(it.peak_memory_bytes.map(|v| integer("holdfast.step.peak_memory_bytes", v)));
    attributes.extend(it.read_bytes.map(|v| integer("holdfast.step.read_bytes", v)));
    attributes.extend(it.written_bytes.map(|v| integer("holdfast.step.written_bytes", v)));
    let failed = it.exit_code != 0;
    if failed {
        attributes.push(text("error.type", it.exit_code.to_string()));
    }
    let duration_ns = (it.duration_s.clamp(0.0, 1e9) * 1e9) as u64;
    let code = if failed { status::StatusCode::Error } else { status::StatusCode::Ok };
    let message = if failed { format!("exit code {}", it.exit_code) } else { String::new() };
    Some(Span {
        trace_id: trace_id.unwrap_or_else(|| own[..16].to_vec()),
        span_id: span_id.unwrap_or_else(|| own[16..24].to_vec()),
        parent_span_id: parent.unwrap_or_default(),
        name: it.step.clone(),
        kind: span::SpanKind::Internal.into(),
        start_time_unix_nano: ns(it.started_at),
        end_time_unix_nano: ns(it.started_at).saturating_add(duration_ns),
        attributes,
        status: Some(Status { message, code: code.into() }),
        ..Span::default()
    })
}

pub(super) fn traces(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
    let resource = Some(resource.clone());
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}
