//! The manifest of a release: which file has which digest, in the formats that `sha256sum` writes and reads.
//!
//! `<digest>  <path>`, `<digest> *<path>`, names with a leading `\` where a backslash or line break is escaped, and `--tag`'s
//! `SHA256 (<path>) = <digest>`. A path that leads out of the release is an error: such a manifest is not trusted at all.

use std::collections::BTreeMap;
use std::fmt;

use holdfast_plugin_sdk::{HostPath, Sha256};

/// Paths relative to the release, with their digests.
pub type Manifest = BTreeMap<String, Sha256>;

/// A line that is no line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Reads a manifest. An empty one is an error: it would call every file foreign.
pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
    let mut manifest = Manifest::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: &str| ManifestError { line: index + 1, what: what.to_owned() };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (escaped, line) = match line.strip_prefix('\\') {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (digest, path) = tagged(line).or_else(|| plain(line)).ok_or_else(|| wrong("not `<digest>  <path>`"))?;
        let digest = Sha256::parse(digest).map_err(|_| wrong("no SHA-256 digest of 64 hexadecimal digits"))?;
        let path =
            if escaped { unescape(path).ok_or_else(|| wrong("a broken escape in the path"))? } else { path.to_owned() };
        let path = path.strip_prefix("./").map_or(path.clone(), str::to_owned);
        if HostPath::new(format!("/{path}")).is_err() && !path.contains(['\n', '\t'])
            || path.split('/').any(|p| p == "..")
        {
            return Err(wrong("its path is not a plain path within the release"));
        }
        if manifest.insert(path, digest.clone()).is_some_and(|other| other != digest) {
            return Err(wrong("the path has another digest further up"));
        }
    }
    if manifest.is_empty() { Err(ManifestError { line: 1, what: "it lists no file".to_owned() }) } else { Ok(manifest) }
}

fn plain(line: &str) -> Option<(&str, &str)> {
    let (digest, rest) = line.split_at_checked(64)?;
    let path = rest.strip_prefix("  ").or_else(|| rest.strip_prefix(" *"))?;
    (!path.is_empty()).then_some((digest, path))
}

fn tagged(line: &str) -> Option<(&str, &str)> {
    let (path, digest) = line.strip_prefix("SHA256 (")?.rsplit_once(") = ")?;
    (!path.is_empty()).then_some((digest, path))
}

fn unescape(path: &str) -> Option<String> {
    let (mut out, mut chars) = (String::with_capacity(path.len()), path.chars());
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn every_format_of_sha256sum_is_read() {
        let text =
            format!("# release 7\n{A}  ./bin/app\n{B} *data/b\r\n\nSHA256 (a (1).txt) = {A}\n\\{B}  odd\\\\na\\nme\n");
        let manifest = parse(&text).unwrap();
        let paths: Vec<&str> = manifest.keys().map(String::as_str).collect();
        assert_eq!(paths, ["a (1).txt", "bin/app", "data/b", "odd\\na\nme"]);
        assert_eq!(manifest["bin/app"].as_str(), A);
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_with_its_line() {
        for (text, line, says) in [
            (format!("{A}  a\n{B}  ../../etc/passwd"), 2, "within the release"),
            (format!("{A}  /etc/passwd"), 1, "within the release"),
            (format!("{A}  a//b"), 1, "within the release"),
            (format!("{A}  a\n{B}  a"), 2, "another digest"),
            (format!("{A} a"), 1, "not `<digest>  <path>`"),
            (format!("{}  a", &A[1..]), 1, "not `<digest>  <path>`"),
            (format!("{}z  a", &A[1..]), 1, "no SHA-256"),
            (format!("\\{A}  a\\x"), 1, "broken escape"),
            ("<html>".to_owned(), 1, "not `<digest>"),
            (String::new(), 1, "lists no file"),
        ] {
            let error = parse(&text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.what.contains(says), "{error}");
        }
    }

    #[test]
    fn the_same_line_twice_is_no_contradiction() {
        assert_eq!(parse(&format!("{A}  a\n{A}  a")).unwrap().len(), 1);
    }
}
