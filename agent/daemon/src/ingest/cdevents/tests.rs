//! What pipelines are answered, over a socket on port 0, and what reaches the loop.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::super::{server, stored};
use super::*;
use crate::host::FakeClock;
use crate::request::{Call, Refusal};
use holdfast_core::model::Timestamp;

struct Receiver<C = Change> {
    tally: Tally,
    changes: mpsc::Receiver<C>,
    calls: mpsc::Receiver<Call>,
    stop: watch::Sender<bool>,
}

/// With a loop that takes each change at once.
fn start(queue: usize) -> Receiver {
    let mut it = untaken(queue, stored::tests::at_once());
    let mut told = std::mem::replace(&mut it.changes, mpsc::channel(1).1);
    let (sender, changes) = mpsc::channel(queue);
    tokio::spawn(async move {
        while let Some(Told { change, taken }) = told.recv().await {
            sender.send(change).await.unwrap();
            let _ = taken.send(true);
        }
    });
    Receiver { tally: it.tally, changes, calls: it.calls, stop: it.stop }
}

fn untaken(queue: usize, stored: Stored) -> Receiver<Told> {
    let (stop, stopping) = watch::channel(false);
    let tally = Tally::new("cdevents", String::new());
    let (sender, changes) = mpsc::channel(queue);
    let (door, calls) = Door::new();
    let clock = Arc::new(FakeClock::at(Timestamp::from_secs(1_800_000_000)));
    let limits = (Room::new(8 << 10), Arc::new(Rate::new(50)));
    let handler = Arc::new(CdEvents::new(limits, clock, tally.clone(), (sender, door), stored));
    tokio::spawn(server::listen(("127.0.0.1:0".parse().unwrap(), None), handler, tally.clone(), stopping));
    Receiver { tally, changes, calls, stop }
}

const STRUCTURED: &[(&str, &str)] = &[("content-type", "application/cloudevents+json; charset=utf-8")];

async fn post(tally: &Tally, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Value) {
    let mut at = String::new();
    for _ in 0..500 {
        at = tally.status().address;
        if !at.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(PATH).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn data(kind: &str, content: Value) -> Value {
    json!({ "context": { "type": kind, "timestamp": "2027-01-15T07:59:00Z" }, "subject": { "id": "shop", "content": content } })
}

fn event(id: &str, kind: &str, content: Value) -> Vec<u8> {
    let data = data(kind, content);
    json!({ "specversion": "1.0", "id": id, "source": "/ci", "type": kind, "data": data }).to_string().into_bytes()
}

const FINISHED: &str = "dev.cdevents.pipelinerun.finished.0.2.0";
const DEPLOYED: &str = "dev.cdevents.service.deployed.0.2.0";

#[tokio::test]
async fn both_modes_become_changes_and_an_event_counts_once() {
    let mut it = start(8);
    let body = event("1", FINISHED, json!({ "outcome": "failure", "pipelineName": "build" }));
    assert_eq!(post(&it.tally, STRUCTURED, body.clone()).await, (202, json!({ "status": "accepted" })));
    assert_eq!(post(&it.tally, STRUCTURED, body).await, (202, json!({ "status": "duplicate" })));
    let headers = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/ci"),
        ("ce-type", FINISHED),
    ];
    assert_eq!(post(&it.tally, &headers, data(FINISHED, json!({})).to_string().into_bytes()).await.0, 202);
    let first = it.changes.recv().await.unwrap();
    assert_eq!(
        (first.kind.as_str(), first.attributes["cdevents.outcome"].as_str()),
        ("pipeline_run.finished", "failure")
    );
    assert_eq!(first.at.to_string(), "2027-01-15T07:59:00Z");
    assert_eq!(it.changes.recv().await.unwrap().attributes["cloudevents.event_id"], "2");
    assert!(it.changes.try_recv().is_err());
    assert_eq!(it.tally.status().accepted, 2);
}

#[tokio::test]
async fn a_deployed_service_goes_through_the_door_and_falls_back_to_a_change() {
    let mut it = start(8);
    let content = json!({ "environment": { "id": "prod" }, "artifactId": "pkg:oci/shop@1.2" });
    let mut calls = std::mem::replace(&mut it.calls, Door::new().1);
    let answering = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Some(Call { request, answer, .. }) = calls.recv().await {
            let refuse = asked.len() == 2;
            asked.push(request.describe());
            let refusal = Refusal::new(RefusalKind::Failed, "no room on the disk");
            let _ = answer.send(if refuse { Err(refusal) } else { Ok(json!({})) });
            if refuse {
                break;
            }
        }
        asked
    });
    assert_eq!(post(&it.tally, STRUCTURED, event("1", DEPLOYED, content.clone())).await.0, 202);
    assert!(it.changes.try_recv().is_err(), "the deployment's own change is made by the engine");
    assert_eq!(post(&it.tally, STRUCTURED, event("2", DEPLOYED, content)).await.0, 202);
    assert_eq!(it.changes.recv().await.unwrap().kind, "service.deployed");
    assert_eq!(answering.await.unwrap(), ["record a deployment"; 3]);
}

#[tokio::test]
async fn what_a_source_calls_itself_brings_no_control_characters_into_the_audit_chain() {
    let mut it = start(8);
    let data = data(DEPLOYED, json!({ "environment": { "id": "prod" }, "artifactId": "pkg:oci/shop@1.2" }));
    let source = "/ci\u{1b}[2J\r\nagent";
    let event = json!({ "specversion": "1.0", "id": "1", "source": source, "type": DEPLOYED, "data": data });
    let mut calls = std::mem::replace(&mut it.calls, Door::new().1);
    let answering = tokio::spawn(async move {
        let call = calls.recv().await.unwrap();
        let _ = call.answer.send(Err(Refusal::new(RefusalKind::Failed, "no room on the disk")));
        call.caller.name
    });
    assert_eq!(post(&it.tally, STRUCTURED, event.to_string().into_bytes()).await.0, 202);
    assert_eq!(answering.await.unwrap(), "cdevents /ci[2Jagent");
}

#[tokio::test]
async fn a_full_queue_is_told_and_the_event_may_come_again() {
    let mut it = untaken(1, stored::tests::at_once());
    let (tally, body) = (it.tally.clone(), event("1", FINISHED, json!({})));
    let first = tokio::spawn(async move { post(&tally, STRUCTURED, body).await.0 });
    for _ in 0..500 {
        if !it.changes.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(post(&it.tally, STRUCTURED, event("2", FINISHED, json!({}))).await.0, 429);
    let take = |told: Told| told.taken.send(true).unwrap();
    take(it.changes.recv().await.unwrap());
    assert_eq!(first.await.unwrap(), 202);
    let (tally, body) = (it.tally.clone(), event("2", FINISHED, json!({})));
    let again = tokio::spawn(async move { post(&tally, STRUCTURED, body).await });
    take(it.changes.recv().await.unwrap());
    assert_eq!(again.await.unwrap(), (202, json!({ "status": "accepted" })));
}

#[tokio::test]
async fn what_is_not_stored_is_not_acknowledged_and_may_come_again() {
    let (keep, stored) = stored::tests::waiting(Duration::from_secs(2));
    let mut it = untaken(8, stored.clone());
    let sent =
        |tally: Tally| tokio::spawn(async move { post(&tally, STRUCTURED, event("1", FINISHED, json!({}))).await });
    let first = sent(it.tally.clone());
    let _ = it.changes.recv().await.unwrap().taken.send(true);
    assert_eq!(first.await.unwrap().0, 503, "no tick followed");

    let again = sent(it.tally.clone());
    let Told { change, taken } = it.changes.recv().await.unwrap();
    assert_eq!(change.attributes["cloudevents.event_id"], "1");
    assert_eq!(post(&it.tally, STRUCTURED, event("1", FINISHED, json!({}))).await.0, 429, "it is on its way");
    let _ = taken.send(true);
    for second in 0..1_000 {
        if again.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let at = Timestamp::from_secs(1_800_000_000 + second);
        stored.tick(at, || {});
        keep.send_modify(|kept| kept.add(at));
    }
    assert_eq!(again.await.unwrap(), (202, json!({ "status": "accepted" })));

    let refused = tokio::spawn({
        let tally = it.tally.clone();
        async move { post(&tally, STRUCTURED, event("2", FINISHED, json!({}))).await.0 }
    });
    let _ = it.changes.recv().await.unwrap().taken.send(false);
    assert_eq!(refused.await.unwrap(), 503, "the store had no room");
}

#[tokio::test]
async fn what_is_no_event_is_answered_with_what_is_missing() {
    let it = start(8);
    for (headers, body, status, wanted) in [
        (STRUCTURED, b"{".to_vec(), 422, "not JSON"),
        (STRUCTURED, event("", FINISHED, json!({})), 422, "no `id`"),
        (&[("content-type", "application/json")][..], b"{}".to_vec(), 422, "send a CloudEvent"),
        (STRUCTURED, vec![b' '; 9 << 10], 413, "body-max"),
    ] {
        let (is, answer) = post(&it.tally, headers, body).await;
        assert!(is == status && answer["error"].as_str().unwrap().contains(wanted), "{is} {answer}");
    }
    assert_eq!(it.tally.status().rejected["requests_malformed"], 3);
}
