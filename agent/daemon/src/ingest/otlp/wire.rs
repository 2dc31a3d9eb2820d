//! The OTLP messages that come in: the only file of this room that knows their types. Pure but for the intake it fills.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_core::model::{Attributes, MetricKind, SeriesKey, Timestamp};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    SummaryDataPoint, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, span, status};
use prost::Message;

use super::super::intake::quantile::Shape;
use super::super::intake::{Intake, LogSeverity, Point, Reason, Refused, Request, Said};
use super::super::privacy;
use super::{Encoding, Signal};

/// Attributes of the resource that tell series apart; the rest says the same of all of them and is not kept.
const KEPT: [(&str, &str); 5] = [
    ("service.name", "service.name"),
    ("service.namespace", "service.namespace"),
    ("service.instance.id", "service.instance.id"),
    ("deployment.environment.name", "deployment.environment.name"),
    // As it was called before the conventions' version 1.27.
    ("deployment.environment", "deployment.environment.name"),
];
/// As the specification names a service that has none.
const UNKNOWN: &str = "unknown_service";
/// `DataPointFlags`: the point says that there is no value.
const NO_RECORDED_VALUE: u32 = 1;

/// Why a message can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the body is not the protobuf message of this path: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("the body is not the JSON message of this path: {0}")]
    Json(#[from] serde_json::Error),
}

/// What came of one request.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) accepted: u64,
    pub(super) refused: Refused,
    /// Longest wait that a source over its rate had better make.
    pub(super) wait: Option<Duration>,
    pub(super) attributes_dropped: u64,
}

impl Taken {
    /// Of a point that takes an earlier one's place one of the two is lost.
    fn count(&mut self, result: Result<bool, Reason>) {
        match result {
            Ok(false) => self.accepted += 1,
            Ok(true) => self.refused.add(Reason::Superseded, 1),
            Err(reason) => self.refused.add(reason, 1),
        }
    }

    /// The service that a resource is, if it may be heard now.
    fn service(&mut self, resource: Option<&Resource>, items: usize, limit: Limit<'_>) -> Option<Attributes> {
        let mut kept = Attributes::new();
        for pair in resource.iter().flat_map(|it| &it.attributes) {
            match KEPT.iter().find(|(name, _)| *name == pair.key).zip(text(pair)) {
                Some(((_, name), value)) => {
                    kept.entry((*name).to_owned()).or_insert(value);
                }
                None => self.attributes_dropped += 1,
            }
        }
        let name = kept.entry("service.name".to_owned()).or_insert_with(|| UNKNOWN.to_owned());
        if let Err(wait) = limit(name) {
            self.wait = self.wait.max(Some(wait));
            self.refused.add(Reason::Rate, items as u64);
            return None;
        }
        Some(kept)
    }
}

type Limit<'a> = &'a dyn Fn(&str) -> Result<(), Duration>;

fn decode<M: Message + Default + for<'de> serde::Deserialize<'de>>(
    encoding: Encoding,
    body: &[u8],
) -> Result<M, Unreadable> {
    match encoding {
        Encoding::Protobuf => Ok(M::decode(body)?),
        Encoding::Json => Ok(serde_json::from_slice(body)?),
    }
}

/// Reads a message and puts what it says into the intake.
pub(super) fn take(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    intake: &Intake,
    limit: Limit<'_>,
) -> Result<Taken, Unreadable> {
    let mut taken = Taken::default();
    match signal {
        Signal::Metrics => metrics(decode(encoding, body)?, intake, limit, &mut taken),
        Signal::Traces => traces(&decode(encoding, body)?, intake, limit, &mut taken),
        Signal::Logs => logs(&decode(encoding, body)?, intake, limit, &mut taken),
    }
    Ok(taken)
}

/// The answer to a request that was taken, in whole or in part.
pub(super) fn answer(signal: Signal, encoding: Encoding, rejected: u64, error_message: String) -> Vec<u8> {
    fn encode<M: Message + serde::Serialize>(encoding: Encoding, message: &M) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => message.encode_to_vec(),
            Encoding::Json => serde_json::to_vec(message).unwrap_or_default(),
        }
    }
    let rejected = i64::try_from(rejected).unwrap_or(i64::MAX);
    let part = rejected > 0;
    if encoding == Encoding::Json && !part {
        return b"{}".to_vec();
    }
    match signal {
        Signal::Metrics => {
            let partial_success =
                part.then_some(ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message });
            encode(encoding, &ExportMetricsServiceResponse { partial_success })
        }
        Signal::Traces => {
            let partial_success = part.then_some(ExportTracePartialSuccess { rejected_spans: rejected, error_message });
            encode(encoding, &ExportTraceServiceResponse { partial_success })
        }
        Signal::Logs => {
            let partial_success =
                part.then_some(ExportLogsPartialSuccess { rejected_log_records: rejected, error_message });
            encode(encoding, &ExportLogsServiceResponse { partial_success })
        }
    }
}

fn text(pair: &KeyValue) -> Option<String> {
    match pair.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(it) => Some(it.clone()),
        any_value::Value::BoolValue(it) => Some(it.to_string()),
        any_value::Value::IntValue(it) => Some(it.to_string()),
        any_value::Value::DoubleValue(it) => Some(it.to_string()),
        _ => None,
    }
}

fn moment(ns: u64) -> Timestamp {
    Timestamp::from_ns(i64::try_from(ns).unwrap_or(i64::MAX))
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(metric::Data::Gauge(it)) => it.data_points.len(),
        Some(metric::Data::Sum(it)) => it.data_points.len(),
        Some(metric::Data::Histogram(it)) => it.data_points.len(),
        Some(metric::Data::ExponentialHistogram(it)) => it.data_points.len(),
        Some(metric::Data::Summary(it)) => it.data_points.len(),
        None => 0,
    }
}

fn metrics(request: ExportMetricsServiceRequest, intake: &Intake, limit: Limit<'_>, taken: &mut Taken) {
    for resource in request.resource_metrics {
        let items = resource.scope_metrics.iter().flat_map(|it| &it.metrics).map(points).sum();
        let Some(service) = taken.service(resource.resource.as_ref(), items, limit) else { continue };
        let source = service.get("service.name").cloned().unwrap_or_default();
        for metric in resource.scope_metrics.into_iter().flat_map(|it| it.metrics) {
            let of = Of { metric: &metric.name, unit: &metric.unit, service: &service, intake };
            let mut put = |point: Option<Point>| {
                taken.count(point.map_or(Err(Reason::Malformed), |point| intake.newest(&source, point)));
            };
            match &metric.data {
                Some(metric::Data::Gauge(it)) => {
                    it.data_points.iter().for_each(|p| put(of.number(p, MetricKind::Gauge, false)));
                }
                Some(metric::Data::Sum(it)) => {
                    let kind = if it.is_monotonic { MetricKind::Counter } else { MetricKind::Gauge };
                    let delta = is_delta(it.aggregation_temporality);
                    it.data_points.iter().for_each(|p| put(of.number(p, kind, delta)));
                }
                Some(metric::Data::Histogram(it)) => {
                    let delta = is_delta(it.aggregation_temporality);
                    it.data_points.iter().for_each(|p| put(of.histogram(p, delta)));
                }
                Some(metric::Data::ExponentialHistogram(it)) => {
                    let delta = is_delta(it.aggregation_temporality);
                    it.data_points.iter().for_each(|p| put(of.exponential(p, delta)));
                }
                Some(metric::Data::Summary(it)) => it.data_points.iter().for_each(|p| put(of.summary(p))),
                None => {}
            }
        }
    }
}

fn is_delta(temporality: i32) -> bool {
    temporality == AggregationTemporality::Delta as i32
}

/// What the points of one metric share.
struct Of<'a> {
    metric: &'a str,
    unit: &'a str,
    service: &'a Attributes,
    intake: &'a Intake,
}

impl Of<'_> {
    fn point(&self, kind: MetricKind, attributes: &[KeyValue], at: u64, start: u64, said: Said) -> Option<Point> {
        let mut all = self.service.clone();
        for pair in attributes {
            // What is neither text nor number can't tell series apart; leaving it out would make two of them one.
            all.insert(pair.key.clone(), privacy::kept(self.intake.redactor(), &pair.key, text(pair)?));
        }
        let key = SeriesKey { metric: self.metric.to_owned(), unit: self.unit.to_owned(), kind, attributes: all };
        Some(Point { key, at: moment(at), start: (start > 0).then(|| moment(start)), said })
    }

    fn number(&self, p: &NumberDataPoint, kind: MetricKind, delta: bool) -> Option<Point> {
        let value = match p.value.filter(|_| p.flags & NO_RECORDED_VALUE == 0)? {
            number_data_point::Value::AsDouble(it) => it,
            number_data_point::Value::AsInt(it) => it as f64,
        };
        let said = if delta { Said::Delta(value) } else { Said::Value(value) };
        self.point(kind, &p.attributes, p.time_unix_nano, p.start_time_unix_nano, said)
    }

    fn histogram(&self, p: &HistogramDataPoint, delta: bool) -> Option<Point> {
        if p.flags & NO_RECORDED_VALUE != 0 {
            return None;
        }
        let shape = (!p.bucket_counts.is_empty())
            .then(|| Shape::Explicit { bounds: p.explicit_bounds.clone(), counts: p.bucket_counts.clone() });
        let said = Said::Histogram { count: p.count, sum: p.sum, shape, delta };
        self.point(MetricKind::Gauge, &p.attributes, p.time_unix_nano, p.start_time_unix_nano, said)
    }

    fn exponential(&self, p: &ExponentialHistogramDataPoint, delta: bool) -> Option<Point> {
        if p.flags & NO_RECORDED_VALUE != 0 {
            return None;
        }
        let negative = p.negative.as_ref().is_some_and(|it| it.bucket_counts.iter().any(|n| *n > 0));
        let mut counts = BTreeMap::new();
        if let Some(it) = &p.positive {
            for (index, count) in (it.offset..=i32::MAX).zip(&it.bucket_counts).filter(|(_, n)| **n > 0) {
                counts.insert(index, *count);
            }
        }
        // Of negative values the count and the sum are kept; latency has none.
        let shape = (!negative).then_some(Shape::Exponential { scale: p.scale, zero: p.zero_count, counts });
        let said = Said::Histogram { count: p.count, sum: p.sum, shape, delta };
        self.point(MetricKind::Gauge, &p.attributes, p.time_unix_nano, p.start_time_unix_nano, said)
    }

    fn summary(&self, p: &SummaryDataPoint) -> Option<Point> {
        if p.flags & NO_RECORDED_VALUE != 0 {
            return None;
        }
        let quantiles = p.quantile_values.iter().map(|it| (it.quantile, it.value)).collect();
        let said = Said::Summary { count: p.count, sum: p.sum, quantiles };
        self.point(MetricKind::Gauge, &p.attributes, p.time_unix_nano, p.start_time_unix_nano, said)
    }
}

fn traces(request: &ExportTraceServiceRequest, intake: &Intake, limit: Limit<'_>, taken: &mut Taken) {
    for resource in &request.resource_spans {
        let spans = || resource.scope_spans.iter().flat_map(|it| &it.spans);
        let Some(mut service) = taken.service(resource.resource.as_ref(), spans().count(), limit) else { continue };
        service.remove("service.instance.id");
        for span in spans() {
            let counted = match served(span) {
                Served::Nothing => Ok(()),
                Served::Impossible => Err(Reason::Malformed),
                Served::Request(request) => intake.request(&service, &request),
            };
            taken.count(counted.map(|()| false));
        }
    }
}

/// What a span served.
enum Served<'a> {
    /// A client's or an internal span: it is taken, and counts for nothing.
    Nothing,
    /// Its times can't be.
    Impossible,
    Request(Request<'a>),
}

fn served(span: &Span) -> Served<'_> {
    let kinds = [span::SpanKind::Server as i32, span::SpanKind::Consumer as i32];
    if !kinds.contains(&span.kind) {
        return Served::Nothing;
    }
    let Some(ns) =
        span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).filter(|_| span.start_time_unix_nano > 0)
    else {
        return Served::Impossible;
    };
    let of = |name: &str| span.attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref();
    let status = of("http.response.status_code").or_else(|| of("http.status_code"));
    let broke = matches!(status, Some(any_value::Value::IntValue(500..)));
    let said = span.status.as_ref().is_some_and(|it| it.code == status::StatusCode::Error as i32);
    let operation = match of("http.route") {
        Some(any_value::Value::StringValue(route)) => route,
        _ => &span.name,
    };
    Served::Request(Request {
        operation,
        ended_at: moment(span.end_time_unix_nano),
        seconds: ns as f64 / 1e9,
        failed: broke || said,
    })
}

fn logs(request: &ExportLogsServiceRequest, intake: &Intake, limit: Limit<'_>, taken: &mut Taken) {
    for resource in &request.resource_logs {
        let records = || resource.scope_logs.iter().flat_map(|it| &it.log_records);
        let Some(mut service) = taken.service(resource.resource.as_ref(), records().count(), limit) else { continue };
        service.remove("service.instance.id");
        for record in records() {
            let logged = intake.log(&service, LogSeverity::of_number(record.severity_number));
            taken.count(logged.map(|()| false));
        }
    }
}
