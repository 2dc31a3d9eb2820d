//! `oci://HOST[:PORT]/NAME[:TAG][@sha256:…]`, checked before anything is asked. Pure.

use std::fmt;
use std::str::FromStr;

use super::address;

/// What a reference begins with.
pub(super) const SCHEME: &str = "oci://";
/// The tag that a reference without tag and digest means, as everywhere.
const LATEST: &str = "latest";
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

/// Where a plugin lies in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    host: String,
    name: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// A reference that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no plugin in a registry: {why}")]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

impl ReferenceError {
    /// What to write.
    pub const HINT: &'static str = "write oci://HOST[:PORT]/NAME:TAG or oci://HOST[:PORT]/NAME@sha256:DIGEST, such as oci://registry.example/plugins/unit-medic:0.1.0";
}

impl Reference {
    /// Host and port, as written.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// The repository's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
    /// The tag, where one was written or nothing else was.
    pub fn tag(&self) -> Option<&str> {
        match &self.digest {
            None => Some(self.tag.as_deref().unwrap_or(LATEST)),
            Some(_) => self.tag.as_deref(),
        }
    }
    /// The manifest's digest, `sha256:…`, where it was pinned.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
    /// The same place pinned to a manifest.
    #[must_use]
    pub fn at(&self, digest: &str) -> Self {
        Self { tag: None, digest: Some(digest.to_owned()), ..self.clone() }
    }
    /// Whether TLS is spoken: with every host but this one.
    pub(super) fn is_secure(&self) -> bool {
        !address::is_loopback(&self.host)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.name)?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |why| ReferenceError { text: text.chars().take(300).collect(), why };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with oci://"))?;
        let (host, path) = rest.split_once('/').ok_or_else(|| wrong("there is no name after the host"))?;
        if !is_host(host) {
            return Err(wrong("the host is no name or address with a port"));
        }
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) if is_digest(digest) => (path, Some(digest.to_owned())),
            Some(_) => return Err(wrong("after @ comes sha256: and 64 of 0-9 a-f")),
            None => (path, None),
        };
        let (name, tag) = match path.split_once(':') {
            Some((name, tag)) if is_tag(tag) => (name, Some(tag.to_owned())),
            Some(_) => {
                return Err(wrong("a tag is 1 to 128 of letters, digits, _ . and -, and begins with none of . and -"));
            }
            None => (path, None),
        };
        if name.len() > NAME_BYTES_MAX || !name.split('/').all(is_part) {
            return Err(wrong("a name is parts of a-z and 0-9, with . _ or - between them, separated by /"));
        }
        Ok(Self { host: host.to_owned(), name: name.to_owned(), tag, digest })
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, port)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => (None, port.strip_prefix(':').or(Some(port))),
        Some(_) => return false,
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let named = |name: &str| {
        !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
            && !name.starts_with(['-', '.'])
    };
    name.is_none_or(named)
        && port.is_none_or(|port| port.is_empty() && name.is_none() || port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_tag(tag: &str) -> bool {
    (1..=TAG_BYTES_MAX).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// Letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_part(part: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let runs = part.as_bytes().chunk_by(|a, b| alnum(*a) == alnum(*b));
    let joins = |run: &[u8]| alnum(run[0]) || matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-');
    let ends = |b: Option<u8>| b.is_some_and(alnum);
    ends(part.bytes().next()) && ends(part.bytes().last()) && runs.into_iter().all(joins)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[track_caller]
    fn check(text: &str, host: &str, name: &str, tag: Option<&str>, digest: Option<&str>) {
        let found: Reference = text.parse().unwrap();
        assert_eq!((found.host(), found.name(), found.tag(), found.digest()), (host, name, tag, digest));
        assert_eq!(found.to_string().parse::<Reference>().unwrap(), found.to_string().parse().unwrap());
    }

    #[test]
    fn host_port_name_tag_and_digest_are_told_apart() {
        check("oci://registry.example/unit-medic", "registry.example", "unit-medic", Some("latest"), None);
        check("oci://127.0.0.1:5000/a/b_c/d--e:1.0", "127.0.0.1:5000", "a/b_c/d--e", Some("1.0"), None);
        check("oci://[::1]:5000/x:1", "[::1]:5000", "x", Some("1"), None);
        check("oci://[::1]/x:1", "[::1]", "x", Some("1"), None);
        check(&format!("oci://h/x@{DIGEST}"), "h", "x", None, Some(DIGEST));
        check(&format!("oci://h/x:1.2@{DIGEST}"), "h", "x", Some("1.2"), Some(DIGEST));
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("registry.example/x", "begin with oci://"),
            ("oci://registry.example", "no name"),
            ("oci:///x", "the host"),
            ("oci://h:0/x", "the host"),
            ("oci://h:99999/x", "the host"),
            ("oci://user:pass@h/x", "the host"),
            ("oci://h\u{0}/x", "the host"),
            ("oci://[::g]/x", "the host"),
            ("oci://h/", "a name is"),
            ("oci://h/X", "a name is"),
            ("oci://h/a//b", "a name is"),
            ("oci://h/../etc", "a name is"),
            ("oci://h/a-", "a name is"),
            ("oci://h/a._b", "a name is"),
            ("oci://h/x?y=z", "a name is"),
            ("oci://h/x:", "a tag is"),
            ("oci://h/x:-1", "a tag is"),
            ("oci://h/x:1/2", "a tag is"),
            ("oci://h/x@sha256:00", "after @"),
            ("oci://h/x@sha512:00", "after @"),
            (&format!("oci://h/x@{}", DIGEST.to_uppercase()), "after @"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn only_this_host_goes_without_tls() {
        for (host, secure) in [("127.0.0.1:5000", false), ("localhost", false), ("[::1]:5000", false)] {
            assert_eq!(format!("oci://{host}/x").parse::<Reference>().unwrap().is_secure(), secure, "{host}");
        }
        for host in ["registry.example", "10.0.0.1:5000", "localhost.example", "127.0.0.1.example", "[fe80::1]:5000"] {
            assert!(format!("oci://{host}/x").parse::<Reference>().unwrap().is_secure(), "{host}");
        }
    }
}
