//! `[[export.otlp]]`: its keys, and what types can't say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::time::Duration;

use holdfast_core::model::Interval;
use serde::{Deserialize, Serialize};

use super::check::Problems;
use super::types::Secret;
use crate::export::{Compression, Protocol, Stream};

/// `[export]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExportSection {
    /// `[[export.otlp]]`: receivers of OTLP. Default: none.
    pub otlp: Vec<OtlpDestination>,
}

/// `[[export.otlp]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtlpDestination {
    /// Under this name positions are kept and status is shown, whatever the endpoint is. Default: the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `http://` or `https://host:port`; over HTTP `/v1/metrics` and its siblings are added.
    pub endpoint: String,
    /// "http/protobuf" or "grpc". Default: "http/protobuf".
    #[serde(default)]
    pub protocol: Protocol,
    /// "none", "gzip" or "zstd" (not over gRPC). Default: "none".
    #[serde(default)]
    pub compression: Compression,
    /// Sent with every request; values are never shown. Default: none.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// More headers, one `name: value` a line: an absolute path, or the name of a systemd credential. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_file: Option<String>,
    /// "metrics", "findings", "decisions", "audit", "remediations", "steps". Default: all of them.
    #[serde(default = "all_streams")]
    pub streams: Vec<Stream>,
    /// Pause when everything is sent. Default: "5s".
    #[serde(default = "interval")]
    pub interval: Interval,
    /// Longest wait for one answer. Default: "10s".
    #[serde(default = "timeout")]
    pub timeout: Interval,
    /// For an `https://` endpoint.
    #[serde(default, skip_serializing_if = "OtlpTls::is_default")]
    pub tls: OtlpTls,
}

/// `[export.otlp.tls]`: each an absolute path of a PEM file, or the name of a systemd credential.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtlpTls {
    /// Whose certificates are believed. Default: those that the host believes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The agent's own certificate, with what stands between it and the authority. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// Its private key. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

impl OtlpTls {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl OtlpDestination {
    /// Its name, or else its endpoint.
    pub fn identity(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.endpoint)
    }
}

fn all_streams() -> Vec<Stream> {
    Stream::ALL.into()
}

fn interval() -> Interval {
    Interval::secs(5)
}

fn timeout() -> Interval {
    Interval::secs(10)
}

pub(super) fn check(found: &mut Problems, all: &[OtlpDestination]) {
    let mut identities = BTreeSet::new();
    for (index, it) in all.iter().enumerate() {
        let key = |name: &str| format!("export.otlp[{index}].{name}");
        endpoint(found, key("endpoint"), it);
        let named = if it.name.is_some() { "name" } else { "endpoint" };
        if !identities.insert(it.identity()) {
            let hint = "one destination has one position in the store: give this one its own `name`".to_owned();
            found.add(key(named), format!("`{}` is named twice", it.identity()), hint);
        }
        if it.name.as_deref().is_some_and(|n| n.trim().is_empty() || n.chars().any(char::is_control)) {
            found.add(key("name"), "the name is empty or not printable", "write a word such as \"central\"".to_owned());
        }
        if it.protocol == Protocol::Grpc && it.compression == Compression::Zstd {
            let hint = "write compression = \"gzip\", or protocol = \"http/protobuf\"".to_owned();
            found.add(key("compression"), "zstd is not sent over gRPC", hint);
        }
        if it.streams.is_empty() {
            let hint = "leave the key out for all of them, or take the destination out".to_owned();
            found.add(key("streams"), "nothing is to be sent", hint);
        }
        found.at_least(key("interval"), it.interval, Interval(Duration::from_millis(100)));
        found.at_least(key("timeout"), it.timeout, Interval(Duration::from_millis(100)));
        for (name, value) in &it.headers {
            let good = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
                && hyper::header::HeaderValue::from_str(value.expose()).is_ok();
            if !good {
                let message = format!("the header `{name}` has a name or a value that HTTP does not allow");
                found.add(key("headers"), message, None);
            }
        }
        let files = [
            ("headers-file", &it.headers_file),
            ("tls.ca-file", &it.tls.ca_file),
            ("tls.cert-file", &it.tls.cert_file),
            ("tls.key-file", &it.tls.key_file),
        ];
        for (name, text) in files {
            if let Some(text) = text.as_deref().filter(|text| !is_file(text)) {
                let hint = "write an absolute path without `..`, or the name of a systemd credential".to_owned();
                found.add(key(name), format!("`{text}` is neither a path nor a credential"), hint);
            }
        }
        match (&it.tls.cert_file, &it.tls.key_file) {
            (Some(_), None) => {
                found.add(key("tls.cert-file"), "a certificate needs its key", "write key-file too".to_owned());
            }
            (None, Some(_)) => {
                found.add(key("tls.key-file"), "a key needs its certificate", "write cert-file too".to_owned());
            }
            _ => {}
        }
        if !it.tls.is_default() && it.endpoint.starts_with("http://") {
            let hint = "write https:// in `endpoint`, or leave [export.otlp.tls] out".to_owned();
            found.add(key("tls"), "an http:// endpoint has no TLS", hint);
        }
    }
}

fn endpoint(found: &mut Problems, key: String, it: &OtlpDestination) {
    let (port, example) = match it.protocol {
        Protocol::HttpProtobuf => ("4318", "http://127.0.0.1"),
        Protocol::Grpc => ("4317", "http://127.0.0.1"),
    };
    if let Err(why) = crate::export::base(&it.endpoint, it.protocol) {
        let hint = format!("write an address such as \"{example}:{port}\"");
        found.add(key, format!("`{}` cannot be used: {why}", it.endpoint), hint);
    }
}

/// An absolute path without `..`, or a bare name.
pub(super) fn is_file(text: &str) -> bool {
    let path = Path::new(text);
    let credential = !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    credential || (path.is_absolute() && !path.components().any(|part| part == Component::ParentDir))
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    fn refused(rest: &str) -> String {
        let text = format!("[[export.otlp]]\n{rest}\n");
        parse(&text, "holdfast.toml").expect_err(rest).to_string()
    }

    #[test]
    fn a_destination_may_be_said_in_full() {
        let text = "\
[[export.otlp]]
name = \"central\"
endpoint = \"https://otel.example:4317\"
protocol = \"grpc\"
compression = \"gzip\"
headers = { x-tenant = \"ops\" }
headers-file = \"otlp-headers\"
streams = [\"findings\", \"audit\"]
interval = \"1s\"
timeout = \"5s\"
[export.otlp.tls]
ca-file = \"/etc/holdfast/ca.pem\"
cert-file = \"/etc/holdfast/agent.pem\"
key-file = \"otlp-key\"
[[export.otlp]]
endpoint = \"http://127.0.0.1:4318\"
compression = \"zstd\"
";
        let config = parse(text, "holdfast.toml").unwrap();
        let (far, near) = (&config.export.otlp[0], &config.export.otlp[1]);
        assert_eq!((far.identity(), near.identity()), ("central", "http://127.0.0.1:4318"));
        assert_eq!((far.streams.len(), near.streams.len()), (2, 6));
        let shown = toml::to_string(&config).unwrap();
        assert!(shown.contains("(hidden)") && !shown.contains("ops"), "{shown}");
    }

    #[test]
    fn what_cannot_be_meant_is_pointed_at_with_what_to_write() {
        let url = "endpoint = \"https://a:1\"";
        for (rest, place, part) in [
            ("endpoint = \"https://a\"\nprotocol = \"grpcs\"", "3:12", "did you mean `grpc`?"),
            (
                "endpoint = \"https://a\"\nprotocol = \"grpc\"\ncompression = \"zstd\"",
                "4:15",
                "write compression = \"gzip\"",
            ),
            ("endpoint = \"https://a/otlp\"\nprotocol = \"grpc\"", "2:12", "no path"),
            ("endpoint = \"ftp://a\"", "2:12", "\"http://127.0.0.1:4318\""),
            ("endpoint = \"http://u:p@a\"", "2:12", "belong into a header"),
            (&format!("{url}\nstreams = []"), "3:11", "nothing is to be sent"),
            (&format!("{url}\nstreams = [\"finding\"]"), "3:12", "did you mean `findings`?"),
            (&format!("{url}\nname = \" \""), "3:8", "the name is empty"),
            (&format!("{url}\nheaders-file = \"a/b\""), "3:16", "neither a path nor a credential"),
            (&format!("{url}\ntls.cert-file = \"/a\""), "3:17", "write key-file too"),
            (&format!("{url}\ntls.key-file = \"/a\""), "3:16", "write cert-file too"),
            (&format!("{url}\n[export.otlp.tls]\nca-files = \"/a\""), "4:1", "did you mean `ca-file`?"),
            ("endpoint = \"http://a\"\ntls.ca-file = \"/a\"", "3:1", "write https://"),
            (&format!("{url}\ntimeout = \"1ms\""), "3:11", "too short"),
            (&format!("{url}\n[[export.otlp]]\n{url}"), "4:12", "named twice"),
            (
                &format!("{url}\nname = \"x\"\n[[export.otlp]]\n{url}\nname = \"x\""),
                "6:8",
                "give this one its own `name`",
            ),
        ] {
            let error = refused(rest);
            assert!(
                error.starts_with(&format!("holdfast.toml:{place}: ")) && error.contains(part),
                "{rest} -> {error}"
            );
        }
    }
}
