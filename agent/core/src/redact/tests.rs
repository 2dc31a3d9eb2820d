use super::*;
use crate::model::{ChangeId, SeededIds, Target, Timestamp};

fn redactor(config: RedactConfig) -> Redactor {
    Redactor::new(&config, [7; 32]).unwrap()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(redactor(RedactConfig::default()).text(text), expected);
}

#[test]
fn secrets_are_recognised_by_the_name_before_them() {
    check("db_password = hunter2 and more", "db_password = [redacted]");
    check("+  secret: \"a b c\"", "+  secret: [redacted]");
    check("-DB_PASSWD='x y'\n+DB_PASSWD='z'\n port = 1", "-DB_PASSWD=[redacted]\n+DB_PASSWD=[redacted]\n port = 1");
    check("connect host=db password=hunter2 port=1", "connect host=db password=[redacted] port=1");
    check("{\"user\": \"a\", \"api_key\": \"k-1\"}", "{\"user\": \"a\", \"api_key\": [redacted]}");
    check("curl --token abc --verbose", "curl --token [redacted] --verbose");
    check("psql --password=abc -h db", "psql --password=[redacted] -h db");
    check("größe_password = a b c", "größe_password = [redacted]");
    check("run --größe-token abc now", "run --größe-token [redacted] now");
    check("パスワード_secret: x y", "パスワード_secret: [redacted]");
}

#[test]
fn secrets_are_recognised_by_their_shape() {
    check("https://ci:hunter2@example.org/x", "https://ci:[redacted]@example.org/x");
    check("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]");
    check("sent with bearer 0123456789abcdef0123", "sent with bearer [redacted]");
    check("key AKIAABCDEFGHIJKLMNOP is used", "key [redacted] is used");
    check("ключAKIAABCDEFGHIJKLMNOP", "ключ[redacted]");
    check(&format!("push with ghp_{}", "a".repeat(36)), "push with [redacted]");
    let key = "+-----BEGIN RSA PRIVATE KEY-----\n+MIIB\n+AAAA\n+-----END RSA PRIVATE KEY-----\n+x";
    check(key, "+-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----\n+x");
    check(&format!("-{}\n+b", "aB3/".repeat(16)), "-[redacted]\n+b");
    let digests = format!("-{}\n+{}", "a1".repeat(32), "b2".repeat(32));
    check(&digests, &digests);
    let cut_off = "-----BEGIN PRIVATE KEY-----\nMIIB\nAAAA";
    check(cut_off, "-----BEGIN PRIVATE KEY-----[redacted]");
}

#[test]
fn what_is_no_secret_stays_and_is_not_copied() {
    for text in [
        "web.service was killed by a signal (result signal)",
        "/etc/ssl/private/key.pem is not as accepted",
        "https://example.org:8443/a?b=c",
        "sha256:37107a4e5ea873399e16cc41781ede69752273d4232675d990fda44a0603dfa2",
        "37107a4e5ea873399e16cc41781ede69752273d4232675d990fda44a0603dfa2",
        "max-connections = 100",
        "author: somebody",
    ] {
        let redactor = redactor(RedactConfig::default());
        assert!(matches!(redactor.text(text), Cow::Borrowed(same) if same == text), "{text}");
    }
}

#[test]
fn a_rule_of_the_operator_takes_out_its_group_or_all_that_it_matches() {
    let patterns = vec![r"customer (\d+)".to_owned(), r"/home/[^/\s]+".to_owned()];
    let redactor = redactor(RedactConfig { patterns, ..RedactConfig::default() });
    assert_eq!(redactor.text("customer 17 in /home/alice/x"), "customer [redacted] in [redacted]/x");
}

#[test]
fn a_rule_that_cannot_be_used_is_named() {
    for (pattern, wanted) in [("(", "is no regular expression"), ("a*", "matches the empty text")] {
        let config = RedactConfig { patterns: vec![pattern.to_owned()], ..RedactConfig::default() };
        let error = Redactor::new(&config, [0; 32]).unwrap_err();
        assert!(error.key == "patterns" && error.to_string().contains(wanted), "{error}");
    }
    let config = RedactConfig { attributes: vec!["a[".to_owned()], ..RedactConfig::default() };
    assert!(Redactor::new(&config, [0; 32]).unwrap_err().to_string().contains("is no glob"));
}

#[test]
fn values_are_hidden_or_hashed_by_name_and_a_hash_says_the_same_of_the_same() {
    let config = RedactConfig {
        attributes: vec!["enduser.*".to_owned()],
        hash_attributes: vec!["host.ip".to_owned()],
        ..RedactConfig::default()
    };
    let redactor = redactor(config);
    let mut attributes = Attributes::from([
        ("enduser.id".to_owned(), "alice".to_owned()),
        ("host.ip".to_owned(), "10.0.0.7".to_owned()),
        ("db.password".to_owned(), "x".to_owned()),
        ("device".to_owned(), "sda".to_owned()),
    ]);
    redactor.attributes(&mut attributes);
    assert_eq!((attributes["enduser.id"].as_str(), attributes["db.password"].as_str()), (REDACTED, REDACTED));
    assert_eq!(attributes["device"], "sda");
    assert!(attributes["host.ip"].starts_with("hash:") && !attributes["host.ip"].contains("10.0"));
    assert_eq!(redactor.value("host.ip", "10.0.0.7"), attributes["host.ip"]);
    let other =
        Redactor::new(&RedactConfig { hash_attributes: vec!["host.ip".into()], ..RedactConfig::default() }, [8; 32]);
    assert_ne!(other.unwrap().value("host.ip", "10.0.0.7"), attributes["host.ip"], "another host, another word");
}

#[test]
fn a_change_loses_its_secrets_and_its_actor_and_keeps_its_target() {
    let at = Timestamp::from_secs(1);
    let mut change = Change {
        id: ChangeId::new(at, &mut SeededIds(1)),
        at,
        kind: "file.modified".into(),
        target: Target::file("/etc/token"),
        actor: Some("alice (uid 1000)".into()),
        summary: "ran with --token abc".into(),
        attributes: Attributes::from([("a".to_owned(), "password=x".to_owned())]),
        deployment: None,
        cause: None,
    };
    redactor(RedactConfig { users: Users::Hash, ..RedactConfig::default() }).change(&mut change);
    assert_eq!(
        (change.summary.as_str(), change.attributes["a"].as_str()),
        ("ran with --token [redacted]", "password=[redacted]")
    );
    assert!(change.actor.unwrap().starts_with("hash:"));
    assert_eq!(change.target.name, "/etc/token");
}

proptest::proptest! {
    #[test]
    fn a_password_never_survives_whatever_stands_around_it(
        before in "[ -~\n]{0,40}", name in "(db_)?(password|secret|api-key|token)", sign in "( = |=|: )", value in "[a-z0-9]{12,20}"
    ) {
        let text = format!("{before}\n{name}{sign}{value}zq");
        let clean = redactor(RedactConfig::default()).text(&text).into_owned();
        proptest::prop_assert!(!clean.contains(&format!("{value}zq")), "{clean}");
    }
}
