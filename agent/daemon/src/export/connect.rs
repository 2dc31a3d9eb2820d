//! Connections to one destination: plain or TLS, HTTP/1.1 or HTTP/2, and the headers that go with every request.
//!
//! Everything that lies in files (headers, authorities, certificate, key) is read when a [`Connection`] is made; a new one is
//! made after a failure, so that a renewed certificate or token is in use without a restart. Secrets are never part of an
//! error.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{ExportConfig, ExportError, Protocol, TlsFiles};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A file of headers, certificates or a key is no longer than this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a request needs besides its own content; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    pub(super) headers: HeaderMap,
}

impl Connection {
    /// Reads what lies in files; nothing is connected yet.
    pub(super) fn new(config: &ExportConfig) -> Result<Self, ExportError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        let grpc = config.protocol == Protocol::Grpc;
        let https = HttpsConnectorBuilder::new().with_tls_config(tls(config)?).https_or_http();
        let connector =
            if grpc { https.enable_http2().wrap_connector(tcp) } else { https.enable_http1().wrap_connector(tcp) };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .http2_only(grpc)
            .build(connector);
        Ok(Self { client, headers: headers(config)? })
    }
}

/// The endpoint without a slash at its end; the error says why it is none.
pub(crate) fn base(endpoint: &str, protocol: Protocol) -> Result<String, &'static str> {
    let base = endpoint.trim_end_matches('/');
    let uri: Uri = base.parse().map_err(|_| "it is not an address like http://127.0.0.1:4318")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err("it must begin with http:// or https:// and name a host");
    }
    if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err("a user and password belong into a header, such as `authorization`");
    }
    if uri.query().is_some() {
        return Err("it must not have a query");
    }
    if protocol == Protocol::Grpc && uri.path() != "/" {
        return Err("over gRPC there is no path: name scheme, host and port");
    }
    Ok(base.to_owned())
}

fn headers(config: &ExportConfig) -> Result<HeaderMap, ExportError> {
    let mut map = HeaderMap::new();
    map.insert(USER_AGENT, HeaderValue::from_static(concat!("holdfast/", env!("CARGO_PKG_VERSION"))));
    let mut add = |name: &str, value: &str| {
        let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (key, mut value) = pair.ok_or_else(|| ExportError::Header { name: name.to_owned() })?;
        value.set_sensitive(true);
        map.insert(key, value);
        Ok(())
    };
    for (name, value) in &config.headers {
        add(name, value)?;
    }
    if let Some(path) = &config.headers_file {
        let text = String::from_utf8(read_with(crate::host::read_secret, config, "headers-file", path)?)
            .map_err(|_| unusable(config, "headers-file", "it is not UTF-8 text"))?;
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
            let (name, value) = line.split_once(':').ok_or_else(|| {
                unusable(config, "headers-file", &format!("line {} is not `name: value`", number + 1))
            })?;
            add(name.trim(), value.trim())?;
        }
    }
    Ok(map)
}

fn tls(config: &ExportConfig) -> Result<ClientConfig, ExportError> {
    let TlsFiles { ca, cert, key } = &config.tls;
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let (added, _) = roots.add_parsable_certificates(certificates(config, "ca-file", path)?);
        if added == 0 {
            return Err(unusable(config, "ca-file", "it holds no certificate of an authority"));
        }
    } else if config.endpoint.starts_with("https://") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let why = "this host believes no authority; install ca-certificates or name a file";
            return Err(unusable(config, "ca-file", why));
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(config, "tls", &error.to_string()))?
        .with_root_certificates(roots);
    let (Some(cert), Some(key)) = (cert, key) else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(config, "cert-file", cert)?;
    let key = PrivateKeyDer::from_pem_slice(&read_with(crate::host::read_secret, config, "key-file", key)?)
        .map_err(|_| unusable(config, "key-file", "it holds no private key in PEM"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| unusable(config, "cert-file", &error.to_string()))
}

fn certificates(
    config: &ExportConfig,
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ExportError> {
    let pem = read_with(crate::host::read_trusted, config, key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(unusable(config, key, "it holds no certificate in PEM")),
    }
}

fn read_with(
    read: fn(&Path, u64) -> std::io::Result<Vec<u8>>,
    config: &ExportConfig,
    key: &'static str,
    path: &Path,
) -> Result<Vec<u8>, ExportError> {
    read(path, FILE_BYTES_MAX).map_err(|source| ExportError::File {
        name: config.name.clone(),
        key,
        path: path.to_owned(),
        source,
    })
}

fn unusable(config: &ExportConfig, key: &'static str, why: &str) -> ExportError {
    ExportError::Unusable { name: config.name.clone(), key, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_endpoint_is_an_address_without_secrets() {
        let http = |text| base(text, Protocol::HttpProtobuf);
        assert_eq!(http("http://127.0.0.1:4318/"), Ok("http://127.0.0.1:4318".to_owned()));
        assert_eq!(http("https://collector/otlp"), Ok("https://collector/otlp".to_owned()));
        assert_eq!(base("https://[::1]:4317", Protocol::Grpc), Ok("https://[::1]:4317".to_owned()));
        for bad in ["", "collector:4318", "ftp://x", "http://", "http:// x", "http://u:p@x", "http://x?y"] {
            assert!(http(bad).is_err(), "{bad}");
        }
        assert!(base("http://x:4317/v1", Protocol::Grpc).unwrap_err().contains("no path"));
    }

    #[test]
    fn headers_come_from_a_file_and_are_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headers");
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let config = ExportConfig { headers_file: Some(path.clone()), ..ExportConfig::new("http://x:1") };
            Connection::new(&config)
        };
        let good = with("# a comment\nauthorization: Bearer abc:def\n\nx-scope : 7\n").unwrap();
        assert_eq!(good.headers["authorization"].as_bytes(), b"Bearer abc:def");
        assert_eq!(good.headers["x-scope"].as_bytes(), b"7");
        assert!(!format!("{good:?}").contains("abc"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let open = ExportConfig { headers_file: Some(path.clone()), ..ExportConfig::new("http://x:1") };
        let error = std::error::Error::source(&Connection::new(&open).unwrap_err()).unwrap().to_string();
        assert!(error.contains("chmod o= "), "{error}");
        for bad in ["Bearer abc", "auth orization: abc", "a: abc\nabc"] {
            let error = with(bad).unwrap_err().to_string();
            assert!(!error.contains("abc"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        let config = |tls| ExportConfig { tls, name: "far".into(), ..ExportConfig::new("https://x:1") };
        let error = Connection::new(&config(TlsFiles { ca: Some(path), ..TlsFiles::default() })).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the ca-file of the OTLP destination `far` cannot be used: it holds no certificate in PEM"
        );
        let away = TlsFiles { ca: Some("/nowhere/ca.pem".into()), ..TlsFiles::default() };
        let error = Connection::new(&config(away)).unwrap_err().to_string();
        assert_eq!(error, "cannot read the ca-file `/nowhere/ca.pem` of the OTLP destination `far`");
    }
}
