//! What senders are answered, over sockets on port 0.

use std::io::Write as _;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::super::config::Limits;
use super::super::intake::tests::World;
use super::super::server;
use super::super::stored;
use super::super::token::Token;
use super::*;
use crate::status::ReceiverStatus;

const BODY_MAX: u64 = 64 << 10;

struct Receiver {
    world: World,
    http: Tally,
    grpc: Tally,
    _stop: watch::Sender<bool>,
}

async fn address(tally: &Tally) -> String {
    for _ in 0..500 {
        let at = tally.status().address;
        if !at.is_empty() {
            return at;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the receiver does not listen");
}

impl Receiver {
    fn start(limits: Limits) -> Self {
        Self::asking(limits, None)
    }

    /// One that asks for the token of a file.
    fn asking(limits: Limits, token: Option<std::path::PathBuf>) -> Self {
        Self::storing(limits, token, stored::tests::at_once())
    }

    /// One whose answers wait for this store.
    fn storing(limits: Limits, token: Option<std::path::PathBuf>, stored: Stored) -> Self {
        let (stop, stopping) = watch::channel(false);
        let (http, grpc) = (Tally::new("http", String::new()), Tally::new("grpc", String::new()));
        let rate = Arc::new(Rate::new(limits.requests_per_second));
        let world = World::new(limits);
        let shared = Shared::new((world.intake.clone(), stored), Room::new(BODY_MAX), rate, world.clock.clone());
        let token = token.map(|path| Token::new(path, world.clock.clone()));
        let any = "127.0.0.1:0".parse().unwrap();
        let handler = Arc::new(Http { shared: shared.clone(), tally: http.clone() });
        tokio::spawn(server::listen((any, token.clone()), handler, http.clone(), stopping.clone()));
        tokio::spawn(server::listen(
            (any, token),
            Arc::new(Grpc { shared, tally: grpc.clone() }),
            grpc.clone(),
            stopping,
        ));
        Self { world, http, grpc, _stop: stop }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, HeaderMap, Vec<u8>) {
        let stream = TcpStream::connect(address(&self.http).await).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(Method::POST).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn metrics(&self, body: Vec<u8>) -> (u16, HeaderMap, Vec<u8>) {
        self.post("/v1/metrics", &[("content-type", "application/x-protobuf")], body).await
    }

    async fn call(&self, method: &str, message: &[u8]) -> (HeaderMap, Vec<u8>) {
        let stream = TcpStream::connect(address(&self.grpc).await).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut framed = vec![0];
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(message);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://localhost{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(framed)))
            .unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let collected = body.collect().await.unwrap();
        let mut headers = head.headers;
        headers.extend(collected.trailers().cloned().unwrap_or_default());
        (headers, collected.to_bytes().to_vec())
    }
}

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

fn pair(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// So many series of one metric of one service, at the moment of the test's clock.
fn series(service: &str, count: usize) -> Vec<u8> {
    let data_points = (0..count).map(|n| NumberDataPoint {
        attributes: vec![pair("n", &n.to_string())],
        time_unix_nano: 1_800_000_000_000_000_000,
        value: Some(number_data_point::Value::AsInt(n as i64)),
        ..NumberDataPoint::default()
    });
    let data = Some(metric::Data::Gauge(Gauge { data_points: data_points.collect() }));
    let metrics = vec![Metric { name: "queue.length".into(), unit: "{item}".into(), data, ..Metric::default() }];
    let resource = Some(Resource {
        attributes: vec![pair("service.name", service), pair("os.type", "linux")],
        ..Resource::default()
    });
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn partial(body: &[u8]) -> (i64, String) {
    let part = ExportMetricsServiceResponse::decode(body).unwrap().partial_success;
    part.map(|it| (it.rejected_data_points, it.error_message)).unwrap_or_default()
}

fn rejected(status: &ReceiverStatus, reason: &str) -> u64 {
    status.rejected.get(reason).copied().unwrap_or(0)
}

#[tokio::test]
async fn points_are_taken_plain_and_compressed_and_reach_the_next_tick() {
    let it = Receiver::start(Limits::default());
    let (status, headers, body) = it.metrics(series("shop", 2)).await;
    assert_eq!((status, partial(&body)), (200, (0, String::new())));
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let told = it.world.tick();
    assert_eq!(told["queue.length{n=1,service.name=shop}"], 1.0);
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let (status, ..) = it.post("/v1/metrics", &headers, gzip(&series("shop", 3))).await;
    assert_eq!((status, it.world.tick().len(), it.http.status().accepted), (200, 3, 5));
}

#[tokio::test]
async fn who_shows_no_token_is_not_heard_over_either_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let it = Receiver::asking(Limits::default(), Some(path));
    let (status, headers, _) = it.metrics(series("shop", 2)).await;
    assert_eq!((status, headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    let (headers, _) = it.call(EXPORT, &series("shop", 2)).await;
    assert_eq!(headers["grpc-status"], "16");
    assert_eq!((it.http.status().accepted, it.grpc.status().accepted), (0, 0));
    assert_eq!(rejected(&it.http.status(), "requests_without_token"), 1);
    assert_eq!(rejected(&it.grpc.status(), "requests_without_token"), 1);
    let shown = [("content-type", "application/x-protobuf"), ("authorization", "Bearer 0123456789abcdef")];
    let (status, ..) = it.post("/v1/metrics", &shown, series("shop", 2)).await;
    assert_eq!((status, it.http.status().accepted), (200, 2));
}

#[tokio::test]
async fn json_is_answered_in_json() {
    let it = Receiver::start(Limits::default());
    let body = br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeMetrics":[{"metrics":[{"name":"a","unit":"1","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
        {"timeUnixNano":"1800000000000000000","asDouble":7.5},{"timeUnixNano":"1","asDouble":1}]}}]}]}]}"#;
    let (status, headers, answer) =
        it.post("/v1/metrics", &[("content-type", "application/json")], body.to_vec()).await;
    assert_eq!((status, &headers["content-type"]), (200, &"application/json".parse().unwrap()));
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["partialSuccess"]["errorMessage"], "1 data points older than one minute");
    assert_eq!(it.world.tick()["a{service.name=shop}"], 7.5);
}

#[tokio::test]
async fn a_flood_of_series_is_told_to_its_sender_and_counted() {
    let it = Receiver::start(Limits { series_per_source: 100, ..Limits::default() });
    let (status, _, body) = it.metrics(series("shop", 700)).await;
    let (count, message) = partial(&body);
    assert_eq!((status, count), (200, 600));
    assert!(message.contains("series-per-source"), "{message}");
    assert_eq!(rejected(&it.http.status(), "series_per_source"), 600);
}

#[tokio::test]
async fn too_much_at_once_is_answered_413_and_a_bomb_is_not_unpacked() {
    let it = Receiver::start(Limits::default());
    // So long that it fills every buffer between here and there: the answer is seen all the same.
    let (status, ..) = it.metrics(vec![0; 20 << 20]).await;
    assert_eq!(status, 413);
    let bomb = gzip(&vec![0; 50 << 20]);
    assert!(bomb.len() < BODY_MAX as usize);
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let (status, ..) = it.post("/v1/metrics", &headers, bomb).await;
    assert_eq!((status, rejected(&it.http.status(), "requests_too_large")), (413, 2));
}

#[tokio::test]
async fn over_its_rate_a_service_is_asked_to_wait_and_others_are_not() {
    let it = Receiver::start(Limits { requests_per_second: 1, ..Limits::default() });
    for _ in 0..2 {
        assert_eq!(it.metrics(series("shop", 1)).await.0, 200);
    }
    let (status, headers, _) = it.metrics(series("shop", 1)).await;
    assert_eq!((status, &headers["retry-after"]), (429, &"1".parse().unwrap()));
    assert_eq!(it.metrics(series("other", 1)).await.0, 200);
    let (headers, _) = it.call(EXPORT, &series("shop", 1)).await;
    assert_eq!(headers["grpc-status"], "8");
    assert!(headers.contains_key("grpc-status-details-bin"), "without RetryInfo nobody may try again");
    assert_eq!(rejected(&it.grpc.status(), "requests_over_rate"), 1);
}

#[tokio::test]
async fn grpc_answers_with_its_own_frames_and_codes() {
    let it = Receiver::start(Limits { series_per_source: 2, ..Limits::default() });
    let (headers, body) = it.call(EXPORT, &series("shop", 3)).await;
    assert_eq!(headers["grpc-status"], "0");
    assert_eq!(partial(&body[5..]).0, 1);
    assert_eq!(it.world.tick().len(), 2);
    for (method, message, code) in [
        (EXPORT, vec![0xff; 9], "3"),
        (EXPORT, vec![0; BODY_MAX as usize + 1], "8"),
        ("/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export", vec![], "12"),
    ] {
        assert_eq!(it.call(method, &message).await.0["grpc-status"], code, "{method}");
    }
}

#[tokio::test]
async fn of_several_seconds_in_one_request_the_newest_is_kept_and_the_others_are_told() {
    let it = Receiver::start(Limits::default());
    let minute: Vec<String> = (0..30)
        .map(|second| {
            format!(
                "{{\"timeUnixNano\":\"{}\",\"asInt\":\"{second}\"}}",
                1_800_000_000_000_000_000_i64 - (30 - second) * 1_000_000_000
            )
        })
        .collect();
    let body = format!(
        "{{\"resourceMetrics\":[{{\"scopeMetrics\":[{{\"metrics\":[{{\"name\":\"level\",\"gauge\":{{\"dataPoints\":[{}]}}}}]}}]}}]}}",
        minute.join(",")
    );
    let (status, _, answer) = it.post("/v1/metrics", &[("content-type", "application/json")], body.into_bytes()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        status == 200 && answer.contains("\"rejectedDataPoints\":29") && answer.contains("one of a series each second"),
        "{status} {answer}"
    );
    assert_eq!(it.world.tick().into_values().collect::<Vec<_>>(), [29.0]);
    let status = it.http.status();
    assert_eq!((status.accepted, rejected(&status, "superseded")), (1, 29));
}

#[tokio::test]
async fn nobody_is_told_yes_before_it_is_stored() {
    let (keep, kept) = watch::channel(crate::store::Kept::default());
    let stored = Stored::new(kept, Duration::from_secs(1));
    let it = Arc::new(Receiver::storing(Limits::default(), None, stored.clone()));
    let post = |count| {
        let it = Arc::clone(&it);
        tokio::spawn(async move { it.metrics(series("shop", count)).await })
    };
    let answer = post(2);
    for second in 0..2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!answer.is_finished(), "nothing is stored at second {second}");
        stored.tick(holdfast_core::model::Timestamp::from_secs(second), || {});
    }
    keep.send_modify(|kept| (0..2).for_each(|second| kept.add(holdfast_core::model::Timestamp::from_secs(second))));
    let (status, _, body) = answer.await.unwrap();
    assert_eq!((status, partial(&body)), (200, (0, String::new())));
    // Of what nothing was taken nothing is waited for; spans and log records are counted.
    assert_eq!(it.metrics(Vec::new()).await.0, 200);

    // The store is gone.
    drop(keep);
    stored.tick(holdfast_core::model::Timestamp::from_secs(3), || {});
    let answers = (post(1), {
        let it = Arc::clone(&it);
        tokio::spawn(async move { it.call(EXPORT, &series("shop", 1)).await })
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    stored.tick(holdfast_core::model::Timestamp::from_secs(4), || {});
    let (status, headers, _) = answers.0.await.unwrap();
    assert_eq!((status, &headers["retry-after"]), (503, &"5".parse().unwrap()));
    let (headers, _) = answers.1.await.unwrap();
    assert_eq!(headers["grpc-status"], "14");
    assert!(headers.contains_key("grpc-status-details-bin"), "without RetryInfo nobody may try again");
    assert_eq!(rejected(&it.http.status(), "requests_unstored"), 1);
}

#[tokio::test]
async fn what_is_no_otlp_is_refused_and_counted() {
    let it = Receiver::start(Limits::default());
    let protobuf = [("content-type", "application/x-protobuf")];
    for (path, headers, body, expected) in [
        ("/v1/metrics", &protobuf[..], vec![0xff; 40], 400),
        ("/v1/profiles", &protobuf[..], vec![], 404),
        ("/v1/metrics", &[("content-type", "text/plain")][..], vec![], 415),
        ("/v1/metrics", &[protobuf[0], ("content-encoding", "zstd")][..], vec![1], 415),
        ("/v1/metrics", &[protobuf[0], ("origin", "http://evil.example")][..], vec![], 403),
    ] {
        assert_eq!(it.post(path, headers, body).await.0, expected, "{path} {headers:?}");
    }
    assert_eq!(rejected(&it.http.status(), "requests_malformed"), 1);
}
