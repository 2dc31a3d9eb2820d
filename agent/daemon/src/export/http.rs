//! One HTTP client for everything that leaves: plain `http://`, bounded in time and in what is read back.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};

use super::ExportError;
use crate::telemetry::Chain;
use crate::telemetry::http::{self, ANSWER_MAX};

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
}

/// A client bound to one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Client {
    inner: http::Client,
    base: String,
    headers: HeaderMap,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(endpoint: &str, headers: &[(String, String)], timeout: Duration) -> Result<Self, ExportError> {
        let base = http::base(endpoint)
            .map_err(|why| ExportError::Endpoint { endpoint: endpoint.to_owned(), why: why.to_owned() })?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (key, mut value) = pair.ok_or_else(|| ExportError::Header { name: name.clone() })?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self { inner: http::client(), base, headers: map, timeout })
    }

    /// Posts and reads the answer; the error is a connection that failed, broke or took too long.
    pub(super) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Reply, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.base))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = self.headers.clone();
        let exchange = async {
            let answer = self.inner.request(request).await.map_err(|e| Chain(&e).to_string())?;
            let retry_after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
            // A 2xx whose body breaks off was still received: what it says counts.
            let body = body.map(|b| b.to_bytes().to_vec()).unwrap_or_default();
            Ok(Reply { status, retry_after, body })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", self.timeout.as_secs_f64())),
        }
    }
}
