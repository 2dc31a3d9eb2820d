//! Over gRPC: what arrives, what is tried again, what is not.

use super::server::{Answer, Authority, Server};
use super::*;

fn config(server: &Server) -> ExportConfig {
    ExportConfig { protocol: Protocol::Grpc, streams: vec![Stream::Metrics], ..quick(&server.endpoint) }
}

#[tokio::test]
async fn samples_arrive_once_over_grpc_with_and_without_compression() {
    for compression in [Compression::None, Compression::Gzip] {
        let (host, server) = (Host::new(), Server::start(Protocol::Grpc, None).await);
        host.ticks(0..30);
        let headers = vec![("X-Token".to_owned(), "secret".to_owned())];
        let handle = host.export_with(ExportConfig { compression, headers, ..config(&server) });
        until("60 sent", || handle.status().streams["metrics"].sent == 60).await;
        assert_eq!(points_of(server.bodies("MetricsService/Export"), "test.level"), numbered(0..30));
        let (path, headers, _) = server.seen.lock().unwrap()[0].clone();
        assert_eq!(path, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers"), ("x-token", "secret")] {
            assert_eq!(headers[name].as_bytes(), value.as_bytes());
        }
        assert_eq!(headers.get("grpc-encoding").is_some(), compression == Compression::Gzip);
        assert_eq!(*server.connections.lock().unwrap(), 1, "one connection carries all");
    }
}

#[tokio::test]
async fn exactly_what_the_specification_lists_is_tried_again() {
    let (host, server) = (Host::new(), Server::start(Protocol::Grpc, None).await);
    let again = [1, 4, 10, 11, 14, 15].map(Answer::Status);
    server.will(again);
    server.will([Answer::HeadOnly(14), Answer::Http(503), Answer::RetryIn(8, Duration::from_millis(1))]);
    // The first request is at last refused, and so is the second, for want of a RetryInfo.
    server.will([Answer::Status(3), Answer::Status(8)]);
    host.ticks(0..21);
    let handle = host.export_with(config(&server));
    until("the third part sent", || handle.status().streams["metrics"].sent == 14).await;
    let counts = handle.status().streams["metrics"].clone();
    assert_eq!((counts.rejected, server.bodies("Export").len()), (28, 12));
    let gaps = host.gaps();
    let told: Vec<_> = gaps.iter().map(|g| (g.count, g.reason.rsplit("gRPC").next().unwrap())).collect();
    assert_eq!(told, [(14, " INVALID_ARGUMENT: as told"), (14, " RESOURCE_EXHAUSTED: as told")]);
}

#[tokio::test]
async fn a_retry_info_is_waited_for() {
    let (host, server) = (Host::new(), Server::start(Protocol::Grpc, None).await);
    server.will([Answer::RetryIn(14, Duration::from_mins(50))]);
    host.ticks(0..7);
    let handle = host.export_with(config(&server));
    until("the failure is told", || handle.status().failures == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((server.bodies("Export").len(), handle.status().streams["metrics"].sent), (1, 0));
    host.stop(handle).await;
}

#[tokio::test]
async fn a_partial_success_over_grpc_is_counted_and_never_sent_again() {
    let (host, server) = (Host::new(), Server::start(Protocol::Grpc, None).await);
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: "too old".into() };
    server.will([Answer::Message(ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec())]);
    host.ticks(0..14);
    let handle = host.export_with(config(&server));
    until("all dealt with", || handle.status().streams["metrics"].position == 14).await;
    let counts = handle.status().streams["metrics"].clone();
    assert_eq!((counts.sent, counts.rejected), (25, 3));
    assert_eq!(points_of(server.bodies("Export"), "test.level"), numbered(0..14));
}

#[tokio::test]
async fn an_answer_without_end_is_neither_read_nor_asked_for_again() {
    let (host, server) = (Host::new(), Server::start(Protocol::Grpc, None).await);
    server.will([Answer::Message(vec![0; 1 << 20])]);
    host.ticks(0..14);
    let handle = host.export_with(config(&server));
    until("all dealt with", || handle.status().streams["metrics"].position == 14).await;
    assert_eq!((handle.status().streams["metrics"].rejected, server.bodies("Export").len()), (14, 2));
    assert!(host.gaps()[0].reason.contains("too long"), "{:?}", host.gaps());
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_any_more_is_left() {
    let (host, server) = (Host::new(), Server::start(Protocol::Grpc, None).await);
    server.will([Answer::Never]);
    host.ticks(0..7);
    // Longer than files are left unread, so that the connection is made anew.
    let handle = host.export_with(ExportConfig { timeout: Duration::from_millis(1_500), ..config(&server) });
    until("14 sent", || handle.status().streams["metrics"].sent == 14).await;
    assert_eq!((server.bodies("Export").len(), *server.connections.lock().unwrap()), (2, 2));
}

#[tokio::test]
async fn grpc_goes_over_tls() {
    let authority = Authority::new();
    let server = Server::start(Protocol::Grpc, Some(authority.acceptor(Protocol::Grpc, None))).await;
    let host = Host::new();
    host.ticks(0..7);
    let ca = host.dir.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = TlsFiles { ca: Some(ca), ..TlsFiles::default() };
    let handle = host.export_with(ExportConfig { tls, ..config(&server) });
    until("14 sent", || handle.status().streams["metrics"].sent == 14).await;
    assert_eq!(points_of(server.bodies("Export"), "test.level"), numbered(0..7));
}
