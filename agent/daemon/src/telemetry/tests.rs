use std::time::Duration;

use opentelemetry::trace::Tracer;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::events::{Event, ExportSkipped};
use crate::export::receiver::Receiver;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn own_spans_and_counters_reach_a_collector() {
    let receiver = Receiver::start().await;
    let resource = [("service.name".to_owned(), "holdfast".to_owned())];
    let guard = super::init::exporters(&receiver.endpoint, &resource).unwrap();
    guard.tracer("test").unwrap().in_span("collector", |_| ());
    ExportSkipped { endpoint: "http://x", ticks: 3 }.emit();
    let stopped = tokio::task::spawn_blocking(move || guard.stop());
    tokio::time::timeout(Duration::from_secs(20), stopped).await.unwrap().unwrap();
    let spans = receiver.bodies("/v1/traces");
    let spans = ExportTraceServiceRequest::decode(spans[0].as_slice()).unwrap();
    assert_eq!(spans.resource_spans[0].scope_spans[0].spans[0].name, "collector");
    let counts = receiver.bodies("/v1/metrics");
    let counts = ExportMetricsServiceRequest::decode(counts[0].as_slice()).unwrap();
    let names: Vec<_> = counts.resource_metrics[0].scope_metrics[0].metrics.iter().map(|m| m.name.as_str()).collect();
    assert!(names.contains(&"holdfast.export.skipped"), "{names:?}");
}
