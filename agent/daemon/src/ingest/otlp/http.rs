//! OTLP over HTTP/1.1: `/v1/metrics`, `/v1/traces`, `/v1/logs`, in protobuf or JSON, plain or compressed with gzip.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};

use super::super::body::Fault;
use super::super::server::{Answer, Answering, Handler, full};
use super::super::tally::Tally;
use super::{Encoding, Shared, Signal};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// See the module.
pub(crate) struct Http {
    pub(crate) shared: Shared,
    pub(crate) tally: Tally,
}

impl Handler for Http {
    const HTTP2: bool = false;

    fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answering {
        Box::pin(async move { self.take(request).await })
    }
}

impl Http {
    async fn take(&self, request: Request<Incoming>) -> Answer {
        let plain = |status, text: &str| full(status, "text/plain", text.as_bytes().to_vec());
        let signal = match request.uri().path() {
            "/v1/metrics" => Signal::Metrics,
            "/v1/traces" => Signal::Traces,
            "/v1/logs" => Signal::Logs,
            _ => {
                self.tally.reject("requests_elsewhere", 1);
                return plain(StatusCode::NOT_FOUND, "OTLP is taken at /v1/metrics, /v1/traces and /v1/logs");
            }
        };
        if request.method() != Method::POST {
            self.tally.reject("requests_elsewhere", 1);
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "OTLP is sent with POST");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let kind = header(CONTENT_TYPE).and_then(|it| it.split(';').next()).unwrap_or_default().trim();
        let encoding = match kind {
            PROTOBUF => Encoding::Protobuf,
            JSON => Encoding::Json,
            _ => {
                self.tally.reject("requests_elsewhere", 1);
                let why = "OTLP is written as application/x-protobuf or application/json";
                return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
            }
        };
        let compression = header(CONTENT_ENCODING).map(str::to_owned);
        match self.message(signal, encoding, compression, request.into_body()).await {
            Ok(message) => full(StatusCode::OK, content_type(encoding), message),
            Err(fault) => self.refuse(encoding, &fault),
        }
    }

    async fn message(
        &self,
        signal: Signal,
        encoding: Encoding,
        compression: Option<String>,
        body: Incoming,
    ) -> Result<Vec<u8>, Fault> {
        let (bytes, permit) = self.shared.room.read(body, 0).await?;
        let body = self.shared.room.plain(compression.as_deref(), &bytes)?;
        drop(bytes);
        let taken = self.shared.take(signal, encoding, body, &self.tally).await?;
        // Whoever waits for the store holds no body any more.
        drop(permit);
        self.shared.settled(taken).await
    }

    /// The protocol's errors: a status, and a message of `google.rpc.Status` in the encoding of the request.
    fn refuse(&self, encoding: Encoding, fault: &Fault) -> Answer {
        self.tally.reject(fault.word(), 1);
        self.tally.error(&fault.text());
        let (status, code) = match fault {
            Fault::TooLarge(_) | Fault::TooMany(_) => (StatusCode::PAYLOAD_TOO_LARGE, 8),
            Fault::Malformed(_) => (StatusCode::BAD_REQUEST, 3),
            Fault::Compression(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
            Fault::Slow => (StatusCode::REQUEST_TIMEOUT, 4),
            Fault::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, 8),
            Fault::Unstored => (StatusCode::SERVICE_UNAVAILABLE, 14),
            Fault::Failed => (StatusCode::INTERNAL_SERVER_ERROR, 13),
        };
        let body = match encoding {
            Encoding::Json => serde_json::json!({ "code": code, "message": fault.text() }).to_string().into_bytes(),
            Encoding::Protobuf => super::grpc::status_message(code, &fault.text(), None),
        };
        let mut answer = full(status, content_type(encoding), body);
        if let Some(seconds) = fault.retry_after_s() {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    }
}
