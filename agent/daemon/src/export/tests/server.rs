//! A receiver that speaks what axum's does not: gRPC, and TLS under either protocol.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::super::{Protocol, body, grpc};

/// What the next request is answered with; without a word a plain yes.
pub(super) enum Answer {
    /// A status in the trailers.
    Status(u8),
    /// A status in the trailers that asks for a pause.
    RetryIn(u8, std::time::Duration),
    /// A status in the head, and nothing else.
    HeadOnly(u8),
    /// Yes, with a message.
    Message(Vec<u8>),
    /// An HTTP status without any gRPC status.
    Http(u16),
    /// None.
    Never,
}

/// Path, headers and body (without its frame) of a request.
pub(super) type Seen = (String, HeaderMap, Vec<u8>);

#[derive(Clone, Default)]
pub(super) struct Server {
    pub(super) endpoint: String,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    pub(super) script: Arc<Mutex<VecDeque<Answer>>>,
    /// Connections that were accepted, TLS included.
    pub(super) connections: Arc<Mutex<usize>>,
}

impl Server {
    pub(super) async fn start(protocol: Protocol, tls: Option<TlsAcceptor>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endpoint = match &tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let server = Self { endpoint, ..Self::default() };
        let it = server.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (it, tls) = (it.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                it.serve(protocol, stream).await;
                            }
                        }
                        None => it.serve(protocol, tcp).await,
                    }
                });
            }
        });
        server
    }

    async fn serve(
        self,
        protocol: Protocol,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) {
        *self.connections.lock().unwrap() += 1;
        let service = service_fn(move |request: Request<Incoming>| {
            let it = self.clone();
            async move { Ok::<_, Infallible>(it.answer(protocol, request).await) }
        });
        let stream = TokioIo::new(stream);
        let _ = match protocol {
            Protocol::HttpProtobuf => {
                hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
            }
            Protocol::Grpc => {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
            }
        };
    }

    async fn answer(
        &self,
        protocol: Protocol,
        request: Request<Incoming>,
    ) -> Response<http_body_util::combinators::BoxBody<Bytes, Infallible>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let skipped = if protocol == Protocol::Grpc { body::FRAME_HEAD } else { 0 };
        self.seen.lock().unwrap().push((head.uri.path().to_owned(), head.headers, body[skipped..].to_vec()));
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Answer::Message(Vec::new()));
        let mut trailers = HeaderMap::new();
        let (mut status, mut message) = (0, Vec::new());
        let mut response = Response::builder().header("content-type", "application/grpc");
        match answer {
            Answer::Never => std::future::pending().await,
            Answer::Http(code) => {
                return response.status(code).body(Full::default().boxed()).unwrap();
            }
            Answer::HeadOnly(code) => {
                response = response.header("grpc-status", code.to_string()).header("grpc-message", "head%20only");
                return response.body(Full::default().boxed()).unwrap();
            }
            Answer::Status(code) => status = code,
            Answer::RetryIn(code, delay) => {
                status = code;
                let details = grpc::details_asking_for(delay);
                trailers.insert("grpc-status-details-bin", HeaderValue::try_from(details).unwrap());
            }
            Answer::Message(bytes) => message = bytes,
        }
        if protocol == Protocol::HttpProtobuf {
            return Response::new(Full::from(message).boxed());
        }
        trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
        trailers.insert("grpc-message", HeaderValue::from_static("as%20told"));
        let framed = body::wrap(Protocol::Grpc, super::Compression::None, message).unwrap();
        response.body(Full::from(framed).with_trailers(async move { Some(Ok(trailers)) }).boxed()).unwrap()
    }

    /// Bodies sent to paths that end so, in order, decompressed.
    pub(super) fn bodies(&self, path_end: &str) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|(path, ..)| path.ends_with(path_end))
            .map(|(_, headers, body)| plain(headers, body))
            .collect()
    }

    pub(super) fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().extend(answers);
    }
}

pub(super) fn plain(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let encoding = headers.get("content-encoding").or(headers.get("grpc-encoding")).map(HeaderValue::as_bytes);
    match encoding {
        None => body.to_vec(),
        Some(b"gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
            plain
        }
        Some(b"zstd") => zstd::bulk::decompress(body, 1 << 24).unwrap(),
        Some(other) => panic!("{other:?}"),
    }
}

/// An authority and what it has signed, as PEM.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key for a name.
    pub(super) fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A server named localhost; with `clients` it wants a certificate that this authority has signed.
    pub(super) fn acceptor(&self, protocol: Protocol, clients: Option<&Self>) -> TlsAcceptor {
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (cert, key) = self.signed("localhost");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(der(&authority.pem())).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![der(&cert)], key).unwrap();
        if protocol == Protocol::Grpc {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        TlsAcceptor::from(Arc::new(config))
    }
}
