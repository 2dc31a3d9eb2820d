//! Build steps as spans.

use super::*;
use crate::request::{StepMeasurement, StepTrace};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn run(n: i64, exit_code: i32, trace: Option<StepTrace>) -> StepMeasurement {
    StepMeasurement {
        run: Some(RunId::new(at(n), &mut SeededIds(n as u64 + 1))),
        step: "build".into(),
        program: "make".into(),
        exit_code,
        started_at: at(n),
        duration_s: 2.5,
        cpu_s: 4.0,
        peak_memory_bytes: Some(1 << 20),
        read_bytes: None,
        written_bytes: Some(7),
        trace,
    }
}

fn spans(receiver: &Receiver) -> Vec<Span> {
    let requests = receiver.bodies("/v1/traces").into_iter();
    let requests = requests.map(|b| ExportTraceServiceRequest::decode(b.as_slice()).unwrap());
    requests.flat_map(|r| r.resource_spans).flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
}

#[tokio::test]
async fn a_step_is_a_span_of_its_callers_trace_and_keeps_what_it_was_told() {
    let (mut host, receiver) = (Host::new(), Receiver::start().await);
    let trace = |sampled, parent: Option<&str>| StepTrace {
        trace_id: TRACE.into(),
        span_id: "00f067aa0ba902b7".into(),
        parent_span_id: parent.map(str::to_owned),
        sampled,
    };
    let handle = host.export_with(ExportConfig { streams: vec![Stream::Steps], ..quick(&receiver.endpoint) });
    let step_runs = vec![
        run(0, 0, Some(trace(true, Some("b7ad6b7169203331")))),
        run(1, 0, Some(trace(false, None))),
        run(2, 143, None),
        run(3, 2, Some(StepTrace { trace_id: "no id".into(), ..trace(true, None) })),
    ];
    host.state.commit(Writes { step_runs, ..Writes::default() }).unwrap();
    until("three sent", || handle.status().streams["steps"].sent == 3).await;
    host.state.commit(Writes { step_runs: vec![run(4, 0, Some(trace(false, None)))], ..Writes::default() }).unwrap();
    until("the last passed by", || handle.status().streams["steps"].position == 5).await;
    let spans = spans(&receiver);
    let hex = |bytes: &[u8]| holdfast_core::model::plan::hex(bytes);
    assert_eq!((hex(&spans[0].trace_id), hex(&spans[0].span_id)), (TRACE.into(), "00f067aa0ba902b7".into()));
    assert_eq!(hex(&spans[0].parent_span_id), "b7ad6b7169203331");
    assert_eq!(spans[0].end_time_unix_nano - spans[0].start_time_unix_nano, 2_500_000_000);
    assert_eq!((spans[1].trace_id.len(), spans[1].span_id.len(), spans[1].parent_span_id.len()), (16, 8, 0));
    assert_eq!(spans[2].trace_id.len(), 16);
    let results: Vec<String> =
        spans.iter().map(|s| attribute(&s.attributes, "cicd.pipeline.task.run.result")).collect();
    assert_eq!(results, ["success", "cancellation", "failure"]);
    assert_eq!(attribute(&spans[0].attributes, "cicd.pipeline.task.name"), "build");
    assert_eq!(attribute(&spans[2].attributes, "error.type"), "2");
    assert_eq!(spans[2].status.clone().unwrap().code, 2);
}
