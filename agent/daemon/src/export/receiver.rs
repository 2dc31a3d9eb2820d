//! A receiver for tests: keeps what it was sent, answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// (path, headers, body) of every request, in order.
type Requests = Vec<(String, HeaderMap, Vec<u8>)>;

/// (path, status, Retry-After, body) of an answer; status 0 stands for none at all.
type Scripted = (&'static str, u16, Option<&'static str>, Vec<u8>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Receiver {
    pub(crate) requests: Arc<Mutex<Requests>>,
    /// Answers still to be given. Without one for its path a request gets a plain 200.
    pub(crate) script: Arc<Mutex<VecDeque<Scripted>>>,
    pub(crate) endpoint: String,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::start_on(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn start_on(listener: tokio::net::TcpListener) -> Self {
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self { endpoint, ..Self::default() };
        let state = receiver.clone();
        let app = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
            match state.answer(uri.path(), headers, body.to_vec()) {
                Some(response) => response,
                None => std::future::pending().await,
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    pub(crate) fn will(&self, path: &'static str, status: u16, retry_after: Option<&'static str>, body: Vec<u8>) {
        self.script.lock().unwrap().push_back((path, status, retry_after, body));
    }

    fn answer(&self, path: &str, headers: HeaderMap, body: Vec<u8>) -> Option<Response> {
        self.requests.lock().unwrap().push((path.to_owned(), headers, body));
        let mut script = self.script.lock().unwrap();
        let scripted = script.iter().position(|(p, ..)| *p == path).and_then(|at| script.remove(at));
        let (_, status, retry_after, body) = scripted.unwrap_or(("", 200, None, Vec::new()));
        if status == 0 {
            return None;
        }
        let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
        if let Some(value) = retry_after {
            response.headers_mut().insert("retry-after", HeaderValue::from_static(value));
        }
        Some(response)
    }

    /// Bodies sent to one path, in order.
    pub(crate) fn bodies(&self, path: &str) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().iter().filter(|(p, ..)| p == path).map(|(.., body)| body.clone()).collect()
    }
}
