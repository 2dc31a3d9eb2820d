//! How a registry wants to know who asks: a name and a password, or a token that somebody else gives for them, or for nothing.

use std::fmt;
use std::io;
use std::path::Path;

use base64::Engine;
use hyper::header::HeaderValue;

use crate::host::read_secret_text;

/// One line.
const FILE_BYTES_MAX: u64 = 4 * 1024;

/// A name and a password. Never shown.
#[derive(Clone)]
pub struct Credentials(String);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

impl Credentials {
    /// From a file whose first line is `NAME:PASSWORD` and that only its owner, and at most a group, may read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = read_secret_text(path, FILE_BYTES_MAX)?;
        match text.lines().next().filter(|line| line.split_once(':').is_some_and(|(name, _)| !name.is_empty())) {
            Some(line) => Ok(Self(line.to_owned())),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is not NAME:PASSWORD")),
        }
    }

    /// `Authorization: Basic …`.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        header(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&self.0)))
    }
}

/// `Authorization: Bearer …`; `None`: a token of characters that no header holds.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    header(&format!("Bearer {token}"))
}

fn header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What `WWW-Authenticate` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password with each request.
    Basic,
    /// A token from there.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// `None`: nothing that is understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        Some(Self::Bearer { realm: find("realm")?, service: find("service"), scope: find("scope") })
    }
}

/// `a="b",c=d`, with names in lower case.
fn parameters(text: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_ascii_lowercase();
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            quoted_string(quoted)
        } else {
            let (value, after) = after.split_once(',').unwrap_or((after, ""));
            (value.trim().to_owned(), after)
        };
        found.push((name, value));
        rest = after;
    }
    found
}

/// Up to the closing quote, with what is escaped, and what comes after it.
fn quoted_string(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_challenge_is_read_in_any_order_and_with_or_without_quotes() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(Into::into),
                scope: scope.map(Into::into),
            })
        };
        for (text, wanted) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/token\",service=\"r\",scope=\"repository:x/y:pull,push\"",
                bearer("https://a/token", Some("r"), Some("repository:x/y:pull,push")),
            ),
            ("bearer service=r , realm=\"https://a/\\\"q\"", bearer("https://a/\"q", Some("r"), None)),
            ("Bearer service=\"r\"", None),
            ("Bearer realm=\"https://a", bearer("https://a", None, None)),
            ("Negotiate abc", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn credentials_that_everybody_may_read_are_not_taken_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("login");
        let with = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            Credentials::read(&file)
        };
        let good = with("me:s:ecret\n", 0o640).unwrap();
        assert_eq!(good.basic().unwrap(), "Basic bWU6czplY3JldA==");
        assert!(!format!("{good:?} {:?}", good.basic()).contains("bWU6"));
        assert!(with("me:secret\n", 0o644).unwrap_err().to_string().contains("chmod o="));
        assert!(with("secret\n", 0o600).is_err() && with("", 0o600).is_err() && with(":x", 0o600).is_err());
    }
}
