//! What is recognised as a secret without anybody's rule: by the name before it, or by its own shape.
//!
//! A recogniser errs on the side of taking out: a lost value of a setting named `token_count` costs less than a kept token.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::REDACTED;

/// A part of a name that says that the value is a secret.
const NAME: &str = r"(?:passw(?:or)?d|passphrase|passwd|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|credential|auth[-_.]?key|client[-_.]?secret)";

/// A character of a name. `\w` would say the same by some seven hundred ranges of Unicode, which took seven megabytes here.
const WORD: &str = r"[0-9A-Za-z_.\-\u{80}-\u{10FFFF}]";
/// A character of a token: always of ASCII.
const TOKEN: &str = "[0-9A-Za-z_-]";

/// A compiled rule takes no more than this, all together no more than that: a class of Unicode that is repeated is soon larger.
const RULE_BYTES_MAX: usize = 64 << 10;
const RULES_BYTES_MAX: usize = 256 << 10;

/// Each keeps its groups `a` and `b` and loses what is between them.
static RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    sources().iter().filter_map(|it| RegexBuilder::new(it).size_limit(RULE_BYTES_MAX).build().ok()).collect()
});
static ANY: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSetBuilder::new(sources()).size_limit(RULES_BYTES_MAX).build().ok());
static IS_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r"(?i)(?:^|[._-]){NAME}s?$")).ok());

fn sources() -> [String; 9] {
    [
        // A key, whole, also within a diff.
        r"(?P<a>-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----)(?s:.*?)(?P<b>-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)".to_owned(),
        // A line of a key's body whose head a diff has left out; a digest looks alike and is none.
        r"(?m)(?P<a>^[-+ ])(?P<body>[A-Za-z0-9+/]{60,}={0,2})(?P<b>\r?$)".to_owned(),
        // A line of a configuration file or of its diff: all of the value, blanks included.
        format!(
            r#"(?im)(?P<a>^[-+ ]?[ \t]*(?:export[ \t]+|set[ \t]+)?["']?{WORD}*{NAME}{WORD}*["']?[ \t]*[:=][ \t]*)[^\s][^\r\n]*(?P<b>)"#
        ),
        // `name=value` and `"name": "value"` within a line.
        format!(r#"(?i)(?P<a>{WORD}*{NAME}{WORD}*["']?\s*[:=]\s*)(?:"[^"\n]*"|'[^'\n]*'|[^\s"',;&)}}\]]+)(?P<b>)"#),
        // An argument of a command.
        format!(r#"(?i)(?P<a>(?:^|\s)--?{WORD}*{NAME}{WORD}*(?:=|\s+))(?:"[^"\n]*"|'[^'\n]*'|[^\s]+)(?P<b>)"#),
        // An address with a password.
        r"(?i)(?P<a>[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?P<b>@)".to_owned(),
        // A header.
        r"(?i)(?P<a>authorization\s*[:=]\s*(?:basic|bearer|digest|token)?\s*)[^\s]+(?P<b>)".to_owned(),
        r"(?i)(?P<a>(?-u:\b)bearer\s+)[a-z0-9+/_.~-]{16,}=*(?P<b>)".to_owned(),
        // Well-known shapes: cloud access keys, forge and chat tokens, signed web tokens.
        format!(
            r"(?P<a>)(?-u:\b)(?:(?:AKIA|ASIA)[A-Z0-9]{{16}}|gh[pousr]_[A-Za-z0-9]{{36,}}|github_pat_[A-Za-z0-9_]{{40,}}|glpat-{TOKEN}{{20,}}|xox[abeprs]-{TOKEN}{{10,}}|eyJ{TOKEN}{{10,}}\.{TOKEN}{{10,}}\.{TOKEN}{{5,}})(?P<b>)"
        ),
    ]
}

/// Whether a value of that name is a secret: `db.password`, not `password.policy`.
pub(super) fn is_name(name: &str) -> bool {
    IS_NAME.as_ref().is_some_and(|regex| regex.is_match(name))
}

/// The text without secrets; borrowed when it has none.
pub(super) fn take_out(text: &str) -> Cow<'_, str> {
    if !ANY.as_ref().is_none_or(|any| any.is_match(text)) {
        return Cow::Borrowed(text);
    }
    let mut text = Cow::Borrowed(text);
    for rule in RULES.iter() {
        if !rule.is_match(&text) {
            continue;
        }
        let clean = rule.replace_all(&text, |found: &Captures<'_>| {
            let group = |name: &str| found.name(name).map_or("", |it| it.as_str());
            let (whole, before, after) = (found.get(0).map_or("", |it| it.as_str()), group("a"), group("b"));
            // What an earlier rule has taken out is not looked at as a value.
            if whole[before.len()..].starts_with("[redacted") {
                return whole.to_owned();
            }
            let is_digest = found.name("body").is_some_and(|it| it.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
            if is_digest {
                return whole.to_owned();
            }
            format!("{before}{REDACTED}{after}")
        });
        text = Cow::Owned(clean.into_owned());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule that does not compile, or is too large, would take out nothing without a word.
    #[test]
    fn every_rule_compiles() {
        assert_eq!(RULES.len(), sources().len());
        assert!(ANY.is_some() && IS_NAME.is_some());
    }
}
