//! The plain `http://` client under everything that leaves for a collector, and what an endpoint may look like.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read.
pub(crate) const ANSWER_MAX: usize = 64 << 10;

pub(crate) type Client = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

pub(crate) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(2)
        .build(connector)
}

/// The endpoint without a slash at its end. Only `http://host[:port][/base]` can be used so far; the error says why.
pub(crate) fn base(endpoint: &str) -> Result<String, &'static str> {
    let base = endpoint.trim_end_matches('/');
    let uri: Uri = base.parse().map_err(|_| "it is not an address like http://127.0.0.1:4318")?;
    match uri.scheme_str() {
        Some("http") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(base.to_owned()),
        Some("https") => Err("https is not supported yet; send to a collector on this host over http"),
        _ => Err("it must begin with http:// and name a host"),
    }
}

/// The same client for OpenTelemetry's own exporters. They run on threads of their own, the requests on the runtime.
#[derive(Debug, Clone)]
pub(super) struct OnRuntime {
    pub(super) client: Client,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) timeout: Duration,
}

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let Self { client, runtime, timeout } = self.clone();
        Box::pin(async move {
            let exchange = async move {
                let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
                let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
                Ok::<_, HttpError>(Response::from_parts(head, body))
            };
            runtime.spawn(async move { tokio::time::timeout(timeout, exchange).await? }).await?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_http_endpoint_is_taken() {
        assert_eq!(base("http://127.0.0.1:4318/"), Ok("http://127.0.0.1:4318".to_owned()));
        assert_eq!(base("http://collector/otlp"), Ok("http://collector/otlp".to_owned()));
        assert!(base("https://collector:4318").unwrap_err().contains("https is not supported yet"));
        for bad in ["", "collector:4318", "ftp://x", "http://", "http:// x"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
