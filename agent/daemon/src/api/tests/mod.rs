pub(crate) mod world;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use axum::body::Body;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::routes::router;
use super::*;
use crate::request::{Caller, RefusalKind, Request, Role};
use world::World;

fn caller(role: Role) -> Caller {
    Caller { name: "bob (uid 1001)".into(), uid: 1001, role }
}

/// One request through the routes, as if from a caller with this role.
async fn send(world: &World, role: Role, request: hyper::http::request::Builder, body: String) -> (u16, Value) {
    let mut request = request.body(Body::from(body)).unwrap();
    request.extensions_mut().insert(caller(role));
    let answer = router(world.context.clone()).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn get(world: &World, path: &str) -> (u16, Value) {
    send(world, Role::Viewer, hyper::Request::get(path), String::new()).await
}

async fn post(world: &World, role: Role, body: &Value) -> (u16, Value) {
    send(world, role, hyper::Request::post("/api/v1/requests"), body.to_string()).await
}

fn playing() -> World {
    let mut world = World::new();
    tokio::spawn(World::play(world.calls.take().unwrap()));
    world
}

#[tokio::test]
async fn every_read_answers_and_each_mistake_says_what_is_wrong() {
    let world = playing();
    let id = world::finding_id();
    for path in [
        "/api/v1/status".to_owned(),
        "/api/v1/plugins".to_owned(),
        "/api/v1/metrics?metric=system.*".to_owned(),
        "/api/v1/metrics/query?metric=system.memory.utilization&where=system.memory.state%3Dused&since=10m&step=1m&agg=max".to_owned(),
        "/api/v1/metrics/query?metric=system.memory.utilization&across=sum&by=system.memory.state".to_owned(),
        "/api/v1/changes?since=1h&kind=file.*".to_owned(),
        "/api/v1/findings?open=true&since=1h&limit=5".to_owned(),
        format!("/api/v1/findings/{id}"),
        format!("/api/v1/incidents/{}", world::incident_id()),
        "/api/v1/remediations?state=awaiting-approval".to_owned(),
        format!("/api/v1/remediations/{}", world::waiting_id()),
        format!("/api/v1/decisions?finding={id}"),
        format!("/api/v1/decisions/{}", world::decision_id()),
        "/api/v1/deployments?service=web".to_owned(),
        "/api/v1/deployments/web-1.2".to_owned(),
        "/api/v1/gate?deployment=web-1.2".to_owned(),
        "/api/v1/audit?after=1".to_owned(),
        "/api/v1/audit/verify".to_owned(),
        "/api/v1/baseline".to_owned(),
        "/api/v1/baseline/compare".to_owned(),
        "/api/v1/steps/build?limit=3".to_owned(),
    ] {
        let (status, answer) = get(&world, &path).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    for (path, status, kind) in [
        ("/api/v1/findings/fnd_1", 400, "usage"),
        ("/api/v1/findings/fnd_00000000000000000000000000000000", 404, "not_found"),
        ("/api/v1/findings?sinse=1h", 400, "usage"),
        ("/api/v1/findings?since=yesterday", 400, "usage"),
        ("/api/v1/findings?limit=0", 400, "usage"),
        ("/api/v1/remediations?state=asleep", 400, "usage"),
        ("/api/v1/metrics/query", 400, "usage"),
        ("/api/v1/metrics/query?metric=none", 404, "not_found"),
        ("/api/v1/metrics/query?metric=system.memory.utilization&where=x%3Dy", 404, "not_found"),
        ("/api/v1/metrics/query?metric=system.memory.utilization&since=1m&until=2m", 400, "usage"),
        ("/api/v1/metrics/query?metric=system.memory.utilization&step=0s", 400, "usage"),
        ("/api/v1/metrics/query?metric=system.memory.utilization&agg=mode", 400, "usage"),
        ("/api/v1/metrics/query?metric=system.memory.utilization&across=mode", 400, "usage"),
        ("/api/v1/metrics/query?metric=system.memory.utilization&by=x", 400, "usage"),
        ("/api/v1/metrics/query?metric=system.memory.utilization&across=sum&by=nosuch", 400, "usage"),
        ("/api/v1/deployments/unheard/of", 404, "not_found"),
        ("/api/v1/gate", 400, "usage"),
        ("/api/v1/gate?deployment=unheard", 404, "not_found"),
        ("/api/v1/nothing", 404, "not_found"),
        ("/", 404, "not_found"),
    ] {
        let (found, answer) = get(&world, path).await;
        assert_eq!((found, answer["error"]["kind"].as_str()), (status, Some(kind)), "{path}: {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{path}");
    }
}

#[tokio::test]
async fn prometheus_is_told_in_its_own_format() {
    let world = playing();
    let mut request = hyper::Request::get("/metrics").body(Body::empty()).unwrap();
    request.extensions_mut().insert(caller(Role::Viewer));
    let answer = router(world.context.clone()).oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&body).unwrap();
    for start in [
        "holdfast_findings{state=\"in_progress\",severity=\"high\"} 1\n",
        "holdfast_remediations{state=\"awaiting_approval\"} 1\n",
        "holdfast_step_runs 1\n",
        "holdfast_incidents_open 1\n",
    ] {
        assert!(text.contains(&format!("\n{start}")), "{start}\n{text}");
    }
}

#[tokio::test]
async fn roles_are_enforced_before_the_event_loop_hears_of_it() {
    let (rem, fnd) = (world::waiting_id(), world::finding_id());
    let start = json!({ "id": null, "service": "web", "version": "1", "environment": "x" });
    for (body, needed) in [
        (json!("status"), Role::Viewer),
        (json!({ "simulate": { "remediation": rem } }), Role::Viewer),
        (json!({ "label": { "finding": fnd, "label": "false-positive", "note": "" } }), Role::Operator),
        (json!({ "unlabel": { "finding": fnd, "note": "" } }), Role::Operator),
        (json!({ "pause": { "reason": "" } }), Role::Operator),
        (json!({ "deploy_start": start }), Role::Operator),
        (json!({ "run_plugin": { "plugin": "x" } }), Role::Operator),
        (json!({ "approve": { "remediation": rem, "note": "" } }), Role::Approver),
        (json!({ "reject": { "remediation": rem, "note": "" } }), Role::Approver),
        (json!({ "undo": { "remediation": rem, "note": "" } }), Role::Approver),
        (json!({ "tune_apply": { "tuning": {}, "reason": "" } }), Role::Admin),
        (json!({ "tune_revert": { "reason": "" } }), Role::Admin),
        (json!({ "resume": { "reason": "" } }), Role::Admin),
        (json!({ "baseline_accept": { "paths": ["/x"], "reason": "y" } }), Role::Admin),
    ] {
        let world = playing();
        for role in [Role::Viewer, Role::Operator, Role::Approver, Role::Admin] {
            let (status, answer) = post(&world, role, &body).await;
            assert_eq!(status, if role >= needed { 200 } else { 403 }, "{role} {body}: {answer}");
        }
        // Without an event loop, only what is refused before it can answer.
        let mut unheard = World::new();
        let mut calls = unheard.calls.take().unwrap();
        if needed > Role::Viewer {
            let (status, _) = post(&unheard, Role::Viewer, &body).await;
            assert_eq!(status, 403);
        }
        assert!(calls.try_recv().is_err());
    }
}

#[tokio::test]
async fn what_files_contain_is_not_for_viewers() {
    let world = playing();
    let path = "/api/v1/baseline/compare?diff=true";
    let (status, _) = get(&world, path).await;
    assert_eq!(status, 403);
    let (status, answer) = send(&world, Role::Operator, hyper::Request::get(path), String::new()).await;
    assert_eq!((status, &answer["changed"]), (200, &json!(4)));
    let diff = answer["files"][1]["diff"].as_str().unwrap();
    assert!(diff.contains("-port = 80\n+port = 81"), "{diff}");
}

#[tokio::test]
async fn a_body_that_is_no_request_or_too_large_is_refused() {
    let world = playing();
    let (status, answer) = post(&world, Role::Admin, &json!({ "destroy": {} })).await;
    assert_eq!((status, answer["error"]["kind"].as_str()), (400, Some("usage")));
    let large = json!({ "pause": { "reason": "x".repeat(1024 * 1024) } });
    let (status, answer) = post(&world, Role::Admin, &large).await;
    assert_eq!((status, answer["error"]["kind"].as_str()), (413, Some("usage")));
    let put = send(&world, Role::Admin, hyper::Request::put("/api/v1/status"), String::new()).await;
    assert_eq!((put.0, put.1["error"]["kind"].as_str()), (405, Some("usage")));
}

#[tokio::test]
async fn the_yes_is_to_one_plan_only() {
    let world = playing();
    let approve =
        |digest: &str| json!({ "approve": { "remediation": world::waiting_id(), "note": "", "digest": digest } });
    let (status, _) = post(&world, Role::Approver, &approve(&"0".repeat(64))).await;
    assert_eq!(status, 409);
    let right = world::waiting();
    let (status, answer) = post(&world, Role::Approver, &approve(right.plan.digest().as_str())).await;
    assert_eq!((status, answer["state"].as_str()), (200, Some("approved")));
}

#[test]
fn a_client_reads_and_asks_over_the_socket() {
    let served = World::new().serve();
    let client = Client::new(&served.socket).unwrap();
    let findings: wire::FindingsDocument = client.get("/findings", &[("open", "true".into())]).unwrap();
    assert_eq!(findings.findings.len(), 1);
    let refused = client.get::<Value>("/findings/fnd_1", &[]).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    assert!(matches!(refused, ClientError::Refused(r) if r.kind == RefusalKind::Usage));
    let paused: crate::answers::PauseAnswer = client.ask(&Request::Pause { reason: "night & day".into() }).unwrap();
    assert_eq!(paused.paused.unwrap().reason, "night & day");
    let deployment: wire::DeploymentDocument = client.get("/deployments/web-1.2", &[]).unwrap();
    assert_eq!((deployment.changes.len(), deployment.incidents.len()), (1, 1));
}

#[tokio::test]
async fn whoever_is_in_no_list_is_refused_before_any_route() {
    let world = playing();
    let nobody = Access::default().caller(Peer { uid: 4711, gid: 4711 }, &Directory::default());
    let request = hyper::Request::get("/api/v1/status").body(Body::empty()).unwrap();
    let answer = serve::respond(nobody, router(world.context.clone()), request).await;
    assert_eq!(answer.status().as_u16(), 403);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let error: wire::ErrorDocument = serde_json::from_slice(&body).unwrap();
    assert_eq!(error.error.message, "unknown user (uid 4711) has no role on this agent");
}

#[test]
fn nobody_at_the_socket_is_exit_code_4_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::new(dir.path().join("none.sock")).unwrap().get::<Value>("/status", &[]).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("none.sock"), "{error}");
    assert!(error.hint().unwrap().contains("holdfast run"));
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_left_alone() {
    let mut served = World::new().serve();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    assert!(matches!(bind(&served.socket, 0o600), Err(BindError::InUse { .. })));
    served.stop();
    assert!(served.socket.exists(), "a stopped server leaves its socket behind");
    drop(bind(&served.socket, 0o640).unwrap());
    assert_eq!(std::fs::metadata(&served.socket).unwrap().permissions().mode() & 0o777, 0o640);
    let file = served.socket.with_file_name("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(bind(&file, 0o600), Err(BindError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn one_connection_carries_one_request_and_rubbish_ends_it() {
    let served = World::new().serve();
    let talk = |text: &[u8]| {
        let mut stream = UnixStream::connect(&served.socket).unwrap();
        stream.write_all(text).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let twice =
        talk(b"GET /api/v1/baseline HTTP/1.1\r\nhost: x\r\n\r\nGET /api/v1/baseline HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(twice.matches("HTTP/1.1 200").count(), 1, "{twice}");
    assert!(talk(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 rubbish\r\n\r\n").starts_with("HTTP/1.1 400"));
    let long = [b"GET / HTTP/1.1\r\nx: ".as_slice(), vec![b'y'; 100_000].as_slice(), b"\r\n\r\n"].concat();
    assert!(talk(&long).starts_with("HTTP/1.1 431"));
}

#[test]
fn one_user_cannot_take_every_seat() {
    let served = World::new().serve();
    let mut waiting: Vec<UnixStream> = Vec::new();
    // More than there are; those beyond are closed at once, and the rest keeps working when seats are given back.
    for _ in 0..80 {
        waiting.push(UnixStream::connect(&served.socket).unwrap());
    }
    let mut last = waiting.pop().unwrap();
    let mut byte = [0];
    assert!(matches!(last.read(&mut byte), Ok(0) | Err(_)));
    drop(waiting);
    let client = Client::new(&served.socket).unwrap();
    let answered = (0..200).any(|_| client.get::<Value>("/baseline", &[]).is_ok());
    assert!(answered);
}
