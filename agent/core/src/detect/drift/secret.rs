//! Values of keys that look like secrets are left out of what is stored as evidence and sent away.
//!
//! Both sides of a difference pass through here before they are compared, so a secret that only changed its value shows as no
//! difference, and the caller says so. Better too much left out than one key shown.

/// Parts of a key that make its value a secret.
const SECRET_WORDS: [&str; 9] =
    ["password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "credential", "key"];
const REDACTED: &str = "[redacted]";

/// The text with the values of secret-looking keys replaced, and with the bodies of PEM private keys left out.
pub(super) fn redacted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        if in_key {
            in_key = !body.contains("-----END ");
            out.push_str(if in_key { REDACTED } else { body });
        } else {
            in_key = body.contains("-----BEGIN ") && body.contains("PRIVATE KEY");
            out.push_str(&redacted_line(body));
        }
        out.push_str(end);
    }
    out
}

fn redacted_line(line: &str) -> String {
    let line = without_url_password(line);
    let mut rest = line.as_str();
    let mut done = 0;
    // The first separator whose left side ends in a secret-looking word; what follows is its value.
    while let Some(at) = rest.find([':', '=', ' ', '\t']) {
        let key_end = done + at;
        let value_at = key_end + line[key_end..].find(|c| !matches!(c, ':' | '=' | ' ' | '\t' | '>')).unwrap_or(0);
        if looks_secret(&line[..key_end]) && value_at > key_end {
            return format!("{}{REDACTED}", &line[..value_at]);
        }
        done = key_end + 1;
        rest = &line[done..];
    }
    line
}

/// Whether the last word before a separator names a secret: `db_password`, `"apiKey"`, `ssl-key`, `--token`.
fn looks_secret(before: &str) -> bool {
    let word: String = before
        .chars()
        .rev()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\''))
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let word: String = word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    !PLAIN_WORDS.contains(&word.as_str()) && SECRET_WORDS.iter().any(|secret| word.contains(secret))
}

/// Contain a secret's word and are none.
const PLAIN_WORDS: [&str; 4] = ["keepalive", "keyword", "keyboard", "monkey"];

/// `https://user:password@host` without the password.
fn without_url_password(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let authority = &after[..after.find(['/', ' ', '\t', '"', '\'']).unwrap_or(after.len())];
        rest = match authority.rfind('@').zip(authority.find(':')) {
            Some((end, colon)) if colon < end => {
                out.push_str(&authority[..=colon]);
                out.push_str(REDACTED);
                &after[end..]
            }
            _ => after,
        };
    }
    out.push_str(rest);
    out
}
