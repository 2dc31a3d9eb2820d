//! What attributes of applications may say in the store: no secrets, and of persons only what tells them apart. Pure.

use holdfast_core::redact::Redactor;

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

/// The value as it may be stored. Persons become digests with the key of this host: a bare digest of a name or an address is
/// undone by trying all of them.
pub(crate) fn kept(redactor: &Redactor, name: &str, value: String) -> String {
    let lower = name.to_ascii_lowercase();
    let last = lower.rsplit('.').next().unwrap_or_default();
    if SECRET.iter().any(|part| last.contains(part)) {
        return "(hidden)".to_owned();
    }
    if PERSONAL.iter().any(|start| lower.starts_with(start)) {
        return redactor.digest(&value);
    }
    value
}

#[cfg(test)]
mod tests {
    use holdfast_core::redact::RedactConfig;

    use super::*;

    fn kept_by(key: u8, name: &str, value: &str) -> String {
        kept(&Redactor::new(&RedactConfig::default(), [key; 32]).unwrap(), name, value.to_owned())
    }

    #[test]
    fn secrets_are_hidden_persons_are_told_apart_and_routes_are_left() {
        assert_eq!(kept_by(1, "http.request.header.Authorization", "Bearer x"), "(hidden)");
        assert_eq!(kept_by(1, "http.route", "/user/{id}"), "/user/{id}");
        let (ann, bob) = (kept_by(1, "user.name", "ann"), kept_by(1, "user.name", "bob"));
        assert!(ann.starts_with("hash:") && ann != bob && !ann.contains("ann"), "{ann} {bob}");
    }

    #[test]
    fn a_person_is_the_same_word_on_this_host_and_another_on_every_other() {
        assert_eq!(kept_by(1, "client.address", "192.0.2.7"), kept_by(1, "client.address", "192.0.2.7"));
        assert_ne!(kept_by(1, "client.address", "192.0.2.7"), kept_by(2, "client.address", "192.0.2.7"));
    }
}
