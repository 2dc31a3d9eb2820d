//! Where a request goes: scheme, host and path, and where a redirect may lead. Pure.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// An address of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    secure: bool,
    /// Host and port.
    pub(super) authority: String,
    /// With the query; begins with `/`.
    path: String,
}

impl Address {
    pub(super) fn new(secure: bool, authority: &str, path: impl Into<String>) -> Self {
        Self { secure, authority: authority.to_owned(), path: path.into() }
    }

    /// Where a `Location` or a token's realm leads, seen from here. Nothing leads from TLS to none, nor from this host's own registry
    /// without TLS to another host without it.
    ///
    /// Errors: why it is not followed.
    pub(super) fn to(&self, location: &str) -> Result<Self, &'static str> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok(Self { path: location.to_owned(), ..self.clone() });
        }
        let uri: hyper::Uri = location.parse().map_err(|_| "it is no address")?;
        let authority = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or("it names no host")?.to_string();
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if !self.secure && is_loopback(&authority) => false,
            Some("http") => return Err("it leads to where no TLS is spoken"),
            _ => return Err("it is neither https nor http"),
        };
        let path = uri.path_and_query().map_or("/", |it| it.as_str()).to_owned();
        Ok(Self { secure, authority, path })
    }

    /// The same with one more parameter.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        Self { path: format!("{}{joint}{name}={}", self.path, encode(value)), ..self.clone() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.authority, self.path)
    }
}

/// Whether a host, with or without a port, is this one.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Percent-encodes everything but unreserved characters.
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: (bool, &str), location: &str, wanted: Result<&str, &str>) {
        let found = Address::new(from.0, from.1, "/v2/x").to(location).map(|it| it.to_string());
        assert_eq!(found.as_deref().map_err(|why| *why), wanted, "{location}");
    }

    #[test]
    fn a_redirect_never_leads_away_from_tls() {
        let far = (true, "r.example");
        check(far, "/v2/y?z=1", Ok("https://r.example/v2/y?z=1"));
        check(far, "https://cdn.example/y?sig=%2F", Ok("https://cdn.example/y?sig=%2F"));
        check(far, "http://r.example/v2/y", Err("it leads to where no TLS is spoken"));
        check(far, "http://127.0.0.1/v2/y", Err("it leads to where no TLS is spoken"));
        let here = (false, "127.0.0.1:5000");
        check(here, "http://localhost:5001/y", Ok("http://localhost:5001/y"));
        check(here, "https://cdn.example/y", Ok("https://cdn.example/y"));
        check(here, "http://cdn.example/y", Err("it leads to where no TLS is spoken"));
        for bad in ["file:///etc/passwd", "//evil.example/x", "y", "https://u:p@r.example/", ""] {
            assert!(Address::new(true, "r.example", "/").to(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let address = Address::new(true, "a", "/token").with("service", "r 1").with("scope", "repository:x:pull");
        assert_eq!(address.to_string(), "https://a/token?service=r%201&scope=repository%3Ax%3Apull");
    }
}
