//! Receivers that are begun, altered and ended while the agent runs, by real requests.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::host::SystemClock;
use intake::tests::Numbers;

/// What OTLP/HTTP is sent: a gauge `level` of the service `shop`, at a time.
fn body(names: &[&str]) -> String {
    let now = SystemClock::new().wall().ns();
    let metric = |name: &&str| {
        format!("{{\"name\":\"{name}\",\"gauge\":{{\"dataPoints\":[{{\"timeUnixNano\":\"{now}\",\"asDouble\":1}}]}}}}")
    };
    let metrics: Vec<String> = names.iter().map(metric).collect();
    format!(
        "{{\"resourceMetrics\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"shop\"}}}}]}},\
         \"scopeMetrics\":[{{\"metrics\":[{}]}}]}}]}}",
        metrics.join(",")
    )
}

async fn post(at: SocketAddr, token: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The status line, once somebody listens.
async fn posted(at: SocketAddr, token: &str, names: &[&str]) -> String {
    for _ in 0..500 {
        if let Ok(answer) = post(at, token, &body(names)).await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody listens at {at}");
}

async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_reload_begins_moves_and_ends_receivers_and_leaves_the_others_with_their_counts() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (first, second) = (free().await, free().await);
    let off = IngestConfig::default();
    let numbers: Arc<dyn Registry> = Arc::new(Numbers(std::sync::Mutex::default(), 10_000));
    let (keep, kept) = watch::channel(Kept::default());
    let every = Duration::from_secs(1);
    let it = Ingest::new(&off, numbers, (kept, every), Arc::new(SystemClock::new()), Arc::new(Redactor::standard()));
    stored::tests::store_at_once(it.stored.clone(), keep);
    let (changes, _changes) = mpsc::channel(4);
    let (door, _calls) = Door::new();
    let (stop, stopping) = watch::channel(false);
    it.start(&off, None, (changes, door), stopping);
    assert_eq!(it.statuses(), []);
    let counts = || -> BTreeMap<String, (String, u64)> {
        it.statuses().into_iter().map(|it| (it.name, (it.address, it.accepted))).collect()
    };
    let told = |name: &str, at: SocketAddr, n: u64| (name.to_owned(), (at.to_string(), n));

    // Begun.
    let on = IngestConfig { otlp_http: Some(first), ..off.clone() };
    it.apply(&on, None).unwrap();
    assert!(posted(first, "", &["a", "b"]).await.starts_with("HTTP/1.1 200"));
    // Another beside it: the first keeps its counts.
    let cdevents = free().await;
    let both = IngestConfig { cdevents: Some(cdevents), ..on.clone() };
    it.apply(&both, None).unwrap();
    assert!(posted(cdevents, "", &[]).await.starts_with("HTTP/1.1 4"));
    assert_eq!(counts(), [told("otlp-http", first, 2), told("cdevents", cdevents, 0)].into());

    // Narrower: what is held stays, nothing is added.
    let narrow = IngestConfig { limits: Limits { series_per_source: 2, ..Limits::default() }, ..both.clone() };
    it.apply(&narrow, None).unwrap();
    let answer = posted(first, "", &["a", "b", "c"]).await;
    assert!(answer.contains("rejectedDataPoints") && answer.contains("series-per-source"), "{answer}");

    // With a token, at once and at the same address.
    let why = it.apply(&narrow, Some(&dir.path().join("mistyped"))).unwrap_err();
    assert!(why.contains("mistyped"), "{why}");
    assert!(posted(first, "", &["a"]).await.starts_with("HTTP/1.1 200"), "a mistake alters nothing");
    it.apply(&narrow, Some(&token)).unwrap();
    for _ in 0..500 {
        if post(first, "", &body(&["a"])).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 401")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(posted(first, "0123456789abcdef", &["a"]).await.starts_with("HTTP/1.1 200"));
    assert!(posted(first, "wrong", &["a"]).await.starts_with("HTTP/1.1 401"));

    // Elsewhere: the old address is free.
    it.apply(&IngestConfig { otlp_http: Some(second), cdevents: None, ..narrow.clone() }, None).unwrap();
    assert!(posted(second, "", &["a"]).await.starts_with("HTTP/1.1 200"));
    let again = TcpListener::bind(first).await;
    assert!(again.is_ok(), "{again:?}");
    drop(again);
    assert_eq!(counts().keys().collect::<Vec<_>>(), ["otlp-http"]);

    // The end of the agent ends what a reload has begun.
    stop.send(true).unwrap();
    for _ in 0..500 {
        if TcpStream::connect(second).await.is_err() {
            // A reload that comes too late begins nothing.
            it.apply(&IngestConfig { otlp_http: Some(first), ..narrow }, None).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(TcpStream::connect(first).await.is_err());
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{second} still listens");
}
