//! What attributes of applications may say in the store: no secrets, and of persons only what tells them apart. Pure.

use holdfast_core::model::plan::hex;
use sha2::{Digest, Sha256};

/// Parts of the last word of names whose values are secrets.
const SECRET: [&str; 8] = ["password", "passwd", "secret", "token", "authorization", "cookie", "api_key", "credential"];
/// Beginnings of names whose values are about persons, or may hold anything.
const PERSONAL: [&str; 14] = [
    "client.address",
    "db.query.text",
    "db.statement",
    "enduser.",
    "http.request.header.",
    "http.response.header.",
    "http.target",
    "http.url",
    "net.peer.ip",
    "process.command",
    "session.",
    "url.full",
    "url.query",
    "user.",
];

/// The value as it may be stored.
pub(crate) fn kept(name: &str, value: String) -> String {
    let lower = name.to_ascii_lowercase();
    let last = lower.rsplit('.').next().unwrap_or_default();
    if SECRET.iter().any(|part| last.contains(part)) {
        return "(hidden)".to_owned();
    }
    if PERSONAL.iter().any(|start| lower.starts_with(start)) {
        return format!("sha256:{}", hex(&Sha256::digest(value.as_bytes())[..6]));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_persons_are_told_apart_and_routes_are_left() {
        assert_eq!(kept("http.request.header.Authorization", "Bearer x".into()), "(hidden)");
        assert_eq!(kept("http.route", "/user/{id}".into()), "/user/{id}");
        let (ann, bob) = (kept("user.name", "ann".into()), kept("user.name", "bob".into()));
        assert!(ann.starts_with("sha256:") && ann != bob && !ann.contains("ann"), "{ann} {bob}");
    }
}
