use super::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

/// A peer that reads one request with its content, and answers with `answer` or hangs up.
async fn asked(answer: Option<Answer>, blob: Option<Vec<u8>>) -> (Result<Performed, ActError>, Request, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("a.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let peer = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        let request: Request = serde_json::from_str(&line).unwrap();
        let Op::Do { blob_bytes, .. } = request.op else { panic!("{request:?}") };
        let mut blob = vec![0; blob_bytes as usize];
        reader.read_exact(&mut blob).await.unwrap();
        if let Some(answer) = answer {
            let mut line = serde_json::to_vec(&answer).unwrap();
            line.push(b'\n');
            reader.get_mut().write_all(&line).await.unwrap();
        }
        (request, blob)
    });
    let action = Action::ResetFailedUnit { unit: "web.service".into(), only_if_invocation: None };
    let result = ActuatorClient::new(socket).execute(&action, 1_000, "rem/1/do", blob).await;
    let (request, blob) = peer.await.unwrap();
    (result, request, blob)
}

#[tokio::test]
async fn the_content_follows_the_line_and_the_effects_come_back() {
    let done = Answer::Done { effects: vec![], undo_token: Some("t".into()) };
    let (result, request, blob) = asked(Some(done), Some(b"hello".to_vec())).await;
    assert_eq!(result, Ok(Performed { effects: vec![], undo_token: Some("t".into()) }));
    assert_eq!((request.request_id.as_str(), blob.as_slice()), ("rem/1/do", b"hello".as_slice()));
}

#[tokio::test]
async fn a_peer_that_hangs_up_leaves_the_outcome_open() {
    let (result, ..) = asked(None, None).await;
    let error = result.unwrap_err();
    assert!(matches!(error, ActError::NoAnswer { .. }), "{error}");
    assert!(!error.nothing_changed());
}

#[tokio::test]
async fn a_refusal_says_that_nothing_changed() {
    let (result, ..) = asked(Some(Answer::Refused { code: Code::Guard, reason: "it moved".into() }), None).await;
    let error = result.unwrap_err();
    assert!(error.nothing_changed());
    assert_eq!(error.to_string(), "the actuator refused (guard): it moved");
}

#[tokio::test]
async fn a_missing_actuator_is_unreachable_and_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    let error = ActuatorClient::new(dir.path().join("none.sock")).undo("r", "t").await.unwrap_err();
    assert!(matches!(error, ActError::Unreachable { .. }), "{error}");
}
