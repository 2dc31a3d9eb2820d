//! Scrapes of a target on port 0 that answers as it is told.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::config::Limits;
use super::super::intake::tests::World;
use super::*;

/// Answers every request with these bytes; gives its address.
async fn target(answer: Vec<u8>) -> ScrapeTarget {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    let labels = [("service.name".to_owned(), "shop".to_owned())].into();
    ScrapeTarget { labels, ..ScrapeTarget::new(url) }
}

fn page(kind: &str, text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

async fn scrape(answer: Vec<u8>, limits: Limits) -> (BTreeMap<String, f64>, ReceiverStatus) {
    let world = World::new(limits);
    let target = target(answer).await;
    let tally = Tally::new("scrape", target.url.clone());
    let scraper = Scraper {
        intake: world.intake.clone(),
        room: Room::new(64 << 10),
        clock: world.clock.clone(),
        standing: Standing::default(),
    };
    scraper.scrape(&http::client(), &target, &tally).await;
    let told = world.tick().into_iter().map(|(key, value)| {
        (
            key.replace(&format!(",holdfast.scrape.target={}", target.url), "")
                .replace(&format!("holdfast.scrape.target={},", target.url), ""),
            value,
        )
    });
    (told.collect(), tally.status())
}

const UP: &str = "holdfast.scrape.up{service.name=shop}";

#[tokio::test]
async fn a_page_becomes_series_and_the_target_is_up() {
    let text = "# TYPE a_total counter\na_total{x=\"1\"} 7\n# TYPE b gauge\nb 2\n";
    let (told, status) = scrape(page("text/plain; version=0.0.4", text), Limits::default()).await;
    assert_eq!((told["a_total{service.name=shop,x=1}"], told["b{service.name=shop}"], told[UP]), (7.0, 2.0, 1.0));
    assert_eq!((status.accepted, status.failing), (2, None));
}

#[tokio::test]
async fn a_target_that_fails_is_down_and_says_why() {
    let cut = page("application/openmetrics-text; version=1.0.0", "a 1\n");
    for (answer, why) in [
        (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".to_vec(), "503"),
        (page("text/plain", "a{ 1\n"), "line 1"),
        (page("text/plain", &"#".repeat(65 << 10)), "body-max"),
        (cut, "# EOF"),
        (Vec::new(), "error"),
    ] {
        let (told, status) = scrape(answer, Limits::default()).await;
        assert_eq!(told[UP], 0.0);
        let failing = status.failing.unwrap();
        assert!(failing.contains(why), "{why}: {failing}");
    }
}

#[tokio::test]
async fn more_series_than_a_target_may_have_are_refused_and_counted() {
    let text: String = (0..50).fold(String::new(), |text, n| text + &format!("a{{n=\"{n}\"}} 1\n"));
    let (told, status) = scrape(page("text/plain", &text), Limits { series_per_source: 12, ..Limits::default() }).await;
    assert_eq!((told.len(), status.accepted, status.rejected["series_per_source"]), (12, 10, 40));
    assert_eq!(told[UP], 1.0);
}
