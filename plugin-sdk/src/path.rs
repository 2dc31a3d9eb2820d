//! The two values that a plan must never get wrong: a path, and a digest.

use std::fmt;

use crate::Error;

/// An absolute, normal path of the host: no `.`, no `..`, no empty part, no control character.
///
/// ```
/// use holdfast_plugin_sdk::HostPath;
/// let path = HostPath::new("/srv/app")?.join("bin/x")?;
/// assert_eq!(path.as_str(), "/srv/app/bin/x");
/// assert!(HostPath::new("/srv/../etc/shadow").is_err() && HostPath::new("srv").is_err());
/// # Ok::<(), holdfast_plugin_sdk::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(String);

impl HostPath {
    /// Checked; the error says what is wrong.
    pub fn new(path: impl Into<String>) -> Result<Self, Error> {
        let path = path.into();
        let normal = path == "/"
            || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
        if normal && crate::text::is_plain(&path) {
            Ok(Self(path))
        } else {
            Err(Error::Invalid(format!("`{}` is not an absolute, normal path", crate::text::line(&path))))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path below this one.
    pub fn join(&self, relative: &str) -> Result<Self, Error> {
        Self::new(format!("{}/{relative}", self.0.trim_end_matches('/')))
    }

    /// The rest of a path that lies strictly below this one.
    ///
    /// ```
    /// use holdfast_plugin_sdk::HostPath;
    /// let root = HostPath::new("/srv/app")?;
    /// assert_eq!(root.below("/srv/app/bin/x"), Some("bin/x"));
    /// assert_eq!(root.below("/srv/application"), None);
    /// # Ok::<(), holdfast_plugin_sdk::Error>(())
    /// ```
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.0.trim_end_matches('/'))?.strip_prefix('/').filter(|rest| !rest.is_empty())
    }
}

/// As operators write it in settings: a `/` at its end is no mistake.
///
/// ```
/// use holdfast_plugin_sdk::HostPath;
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     dirs: Vec<HostPath>,
/// }
///
/// let settings: Settings = serde_json::from_str(r#"{"dirs": ["/srv/app/", "/"]}"#)?;
/// assert_eq!([settings.dirs[0].as_str(), settings.dirs[1].as_str()], ["/srv/app", "/"]);
/// assert!(serde_json::from_str::<Settings>(r#"{"dirs": ["srv"]}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
impl<'de> serde::Deserialize<'de> for HostPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let normal = text.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(&text);
        Self::new(normal).map_err(|_| {
            serde::de::Error::custom(format!("`{}` is not an absolute, normal path", crate::text::line(&text)))
        })
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 digest: 64 lower-case hexadecimal digits.
///
/// ```
/// use holdfast_plugin_sdk::Sha256;
/// let digest = Sha256::parse(&format!("sha256:{}", "AB".repeat(32)))?;
/// assert_eq!((digest.as_str().len(), digest.short()), (64, "abababababab"));
/// assert_eq!(Sha256::from_bytes(&[0xab; 32]), digest);
/// assert!(Sha256::parse("abc").is_err());
/// # Ok::<(), holdfast_plugin_sdk::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(String);

impl Sha256 {
    /// Takes upper and lower case, and the `sha256:` that others write before it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(hex))
        } else {
            Err(Error::Invalid(format!("`{}` is not a SHA-256 digest", crate::text::line(text))))
        }
    }

    /// From the 32 bytes of the digest.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(crate::text::hex(bytes))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: enough for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_normal_paths_are_paths() {
        for good in ["/", "/a", "/a/b.c", "/a/..b"] {
            assert!(HostPath::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "/a/", "//a", "/a/../b", "/./a", "/a\nb", "/a\0"] {
            assert!(HostPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_has_64_digits() {
        let digits = "0123456789ABCDEF".repeat(4);
        assert_eq!(Sha256::parse(&format!("sha256:{digits}")).unwrap().as_str(), digits.to_lowercase());
        assert_eq!(Sha256::from_bytes(&[0xab; 32]).as_str(), "ab".repeat(32));
        for bad in ["", "sha256:", "xyz", &digits[1..], &"g".repeat(64)] {
            assert!(Sha256::parse(bad).is_err(), "{bad}");
        }
    }
}
