//! Over HTTP: compression, TLS, what is too large, what leads elsewhere, and one stream beside another.

use super::server::{Authority, Server};
use super::*;

#[tokio::test]
async fn bodies_are_compressed_as_configured() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let (host, server) = (Host::new(), Server::start(Protocol::HttpProtobuf, None).await);
        host.ticks(0..30);
        let handle = host.export_with(ExportConfig { compression, ..quick(&server.endpoint) });
        until("60 sent", || handle.status().streams["metrics"].sent == 60).await;
        assert_eq!(points_of(server.bodies("/v1/metrics"), "test.total"), numbered(0..30));
        let word = if compression == Compression::Gzip { "gzip" } else { "zstd" };
        assert_eq!(server.seen.lock().unwrap()[0].1["content-encoding"].as_bytes(), word.as_bytes());
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_parted_and_what_cannot_be_is_counted() {
    let (host, receiver) = (Host::new(), Receiver::start().await);
    // Seven ticks, three, one: the first tick alone is still too large.
    for _ in 0..3 {
        receiver.will("/v1/metrics", 413, None, vec![]);
    }
    host.ticks(0..7);
    let handle = host.export(&receiver.endpoint);
    until("all dealt with", || handle.status().streams["metrics"].position == 7).await;
    let counts = handle.status().streams["metrics"].clone();
    assert_eq!((counts.sent, counts.rejected), (12, 2));
    let received = points_of(receiver.bodies("/v1/metrics").split_off(3), "test.level");
    assert_eq!(received, numbered(1..7));
    assert!(host.gaps()[0].reason.contains("HTTP 413"));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_loses_nothing() {
    let (host, receiver) = (Host::new(), Receiver::start().await);
    for _ in 0..6 {
        receiver.will("/v1/metrics", 308, None, vec![]);
    }
    host.ticks(0..7);
    let handle = host.export_with(ExportConfig { streams: vec![Stream::Metrics], ..quick(&receiver.endpoint) });
    until("held", || handle.status().failures > 0).await;
    let status = handle.status();
    assert!(status.last_error.as_ref().is_some_and(|it| it.contains("redirects are not followed")), "{status:?}");
    until("all sent", || handle.status().streams["metrics"].sent == 14).await;
    assert_eq!((handle.status().streams["metrics"].rejected, receiver.bodies("/v1/metrics").len()), (0, 7));
    assert_eq!(host.gaps(), []);
}

#[tokio::test]
async fn a_stream_that_must_wait_holds_up_no_other() {
    let (mut host, receiver) = (Host::new(), Receiver::start().await);
    receiver.will("/v1/metrics", 429, Some("3000"), vec![]);
    host.ticks(0..7);
    let handle = host.export(&receiver.endpoint);
    until("metrics wait", || handle.status().streams["metrics"].failures == 1).await;
    let audit = Draft {
        at: at(2),
        kind: AuditKind::Decision,
        actor: "agent".into(),
        subject: "x".into(),
        body: serde_json::json!({}),
    };
    host.state.commit(Writes { audit: vec![audit], ..Writes::default() }).unwrap();
    until("audit sent", || handle.status().streams["audit"].sent == 1).await;
    let status = handle.status();
    assert_eq!((status.failures, status.last_error.as_deref()), (1, Some("HTTP 429")));
    assert_eq!((status.streams["metrics"].sent, receiver.bodies("/v1/metrics").len()), (0, 1));
    host.stop(handle).await;
}

#[tokio::test]
async fn only_what_is_wanted_is_sent() {
    let (mut host, receiver) = (Host::new(), Receiver::start().await);
    host.ticks(0..7);
    let audit =
        Draft { at: at(2), kind: AuditKind::Decision, actor: "a".into(), subject: "x".into(), body: true.into() };
    host.state.commit(Writes { audit: vec![audit], ..Writes::default() }).unwrap();
    let handle = host.export_with(ExportConfig { streams: vec![Stream::Audit], ..quick(&receiver.endpoint) });
    until("audit sent", || handle.status().streams["audit"].sent == 1).await;
    host.stop(handle).await;
    assert_eq!(receiver.bodies("/v1/metrics").len(), 0);
}

#[tokio::test]
async fn a_new_endpoint_or_a_new_name_goes_on_where_the_old_one_was() {
    let (host, first, second) = (Host::new(), Receiver::start().await, Receiver::start().await);
    host.ticks(0..7);
    let handle = host.export(&first.endpoint);
    until("14 sent", || handle.status().streams["metrics"].sent == 14).await;
    host.stop(handle).await;
    host.ticks(7..14);
    let named = |endpoint: &str| ExportConfig {
        name: "central".into(),
        formerly: Some(first.endpoint.clone()),
        ..quick(endpoint)
    };
    let handle = host.export_with(named(&first.endpoint));
    until("14 sent", || handle.status().streams["metrics"].sent == 14).await;
    host.stop(handle).await;
    host.ticks(14..21);
    let handle = host.export_with(named(&second.endpoint));
    until("14 sent", || handle.status().streams["metrics"].sent == 14).await;
    assert_eq!(points(&first, "test.level"), numbered(0..14));
    assert_eq!(points(&second, "test.level"), numbered(14..21));
}

#[tokio::test]
async fn https_believes_the_named_authority_and_no_other() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let acceptor = authority.acceptor(Protocol::HttpProtobuf, None);
    let server = Server::start(Protocol::HttpProtobuf, Some(acceptor)).await;
    let host = Host::new();
    host.ticks(0..7);
    let ca = host.dir.path().join("ca.pem");
    std::fs::write(&ca, stranger.pem()).unwrap();
    let tls = TlsFiles { ca: Some(ca.clone()), ..TlsFiles::default() };
    let handle = host.export_with(ExportConfig { tls, ..quick(&server.endpoint) });
    until("two failures", || handle.status().failures >= 2).await;
    let why = handle.status().last_error.unwrap_or_default();
    assert!(why.contains("invalid peer certificate"), "{why}");
    assert_eq!(server.seen.lock().unwrap().len(), 0);
    // The right one is put in its place; the agent goes on.
    std::fs::write(&ca, authority.pem()).unwrap();
    until("14 sent", || handle.status().streams["metrics"].sent == 14).await;
    assert_eq!(points_of(server.bodies("/v1/metrics"), "test.level"), numbered(0..7));
    assert_eq!((handle.status().failures, handle.status().last_error), (0, None));
}

#[tokio::test]
async fn a_receiver_that_asks_who_is_there_is_shown_the_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let acceptor = authority.acceptor(Protocol::HttpProtobuf, Some(&clients));
    let server = Server::start(Protocol::HttpProtobuf, Some(acceptor)).await;
    let host = Host::new();
    host.ticks(0..7);
    let path = |name: &str| host.dir.path().join(name);
    let (cert, key) = clients.signed("box");
    for (name, text) in [("ca.pem", &authority.pem()), ("cert.pem", &cert), ("key.pem", &key)] {
        std::fs::write(path(name), text).unwrap();
        std::fs::set_permissions(path(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let anonymous = TlsFiles { ca: Some(path("ca.pem")), ..TlsFiles::default() };
    let refused = host.export_with(ExportConfig { tls: anonymous.clone(), ..quick(&server.endpoint) });
    until("failures", || refused.status().failures >= 2).await;
    host.stop(refused).await;
    assert_eq!(server.seen.lock().unwrap().len(), 0);
    let tls = TlsFiles { cert: Some(path("cert.pem")), key: Some(path("key.pem")), ..anonymous };
    let handle = host.export_with(ExportConfig { tls, ..quick(&server.endpoint) });
    until("14 sent", || handle.status().streams["metrics"].sent == 14).await;
}
