//! Redaction: what must not be kept or sent is taken out of texts before anything is stored.
//!
//! Three gates use this, and nothing else does: detections and changes on their way into the engine, plans on their way into
//! their seal, and attributes on their way into the register of series. What is taken out here is in no database, log, audit
//! entry or export. Not altered are the names of targets (a unit, a path) and the arguments of actions: they are what the
//! agent looks at and acts on.

mod secrets;

use std::borrow::Cow;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use hmac::{Hmac, KeyInit, Mac};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::model::{Attributes, Change, Detection, Evidence, Step, Value};

/// What stands where something was taken out.
pub const REDACTED: &str = "[redacted]";

/// Patterns of one configuration.
const PATTERNS_MAX: usize = 64;
/// Characters of one pattern.
const PATTERN_CHARS_MAX: usize = 500;
/// Compiled size of one pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What to do with a person's name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Users {
    /// It stays.
    #[default]
    Keep,
    /// It becomes a keyed digest: the same person is the same word, and the word leads back to nobody without the key.
    Hash,
}

/// What to take out, as the operator writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedactConfig {
    /// Passwords, tokens, keys and the like, wherever they are recognised. Default: true.
    pub secrets: bool,
    /// Regular expressions; what they match is taken out, or only their first group where they have one.
    pub patterns: Vec<String>,
    /// Globs of attribute and evidence names whose values are taken out.
    pub attributes: Vec<String>,
    /// Globs of attribute and evidence names whose values become keyed digests.
    pub hash_attributes: Vec<String>,
    /// Who made a change. The audit chain and approvals keep real names: they are there to say who.
    pub users: Users,
}

impl Default for RedactConfig {
    fn default() -> Self {
        Self { secrets: true, patterns: vec![], attributes: vec![], hash_attributes: vec![], users: Users::Keep }
    }
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` {why}")]
pub struct RedactError {
    /// The key of [`RedactConfig`] in its written form: `patterns`.
    pub key: &'static str,
    /// As written.
    pub rule: String,
    /// What is wrong with it, and what to write instead.
    pub why: String,
}

/// The rules, ready for use; cheap to share behind an `Arc`.
pub struct Redactor {
    secrets: bool,
    patterns: Vec<Regex>,
    hidden: GlobSet,
    hashed: GlobSet,
    users: Users,
    key: [u8; 32],
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("patterns", &self.patterns.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Compiles the rules; `key` makes digests of this host differ from those of any other.
    pub fn new(config: &RedactConfig, key: [u8; 32]) -> Result<Self, RedactError> {
        if config.patterns.len() > PATTERNS_MAX {
            let why = format!("is one of {} patterns; at most {PATTERNS_MAX} are used", config.patterns.len());
            return Err(RedactError { key: "patterns", rule: config.patterns[PATTERNS_MAX].clone(), why });
        }
        Ok(Self {
            secrets: config.secrets,
            patterns: config.patterns.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?,
            hidden: globs("attributes", &config.attributes)?,
            hashed: globs("hash-attributes", &config.hash_attributes)?,
            users: config.users,
            key,
        })
    }

    /// The rules of a fresh host.
    pub fn standard() -> Self {
        let (hidden, hashed) = (GlobSet::empty(), GlobSet::empty());
        Self { secrets: true, patterns: Vec::new(), hidden, hashed, users: Users::Keep, key: [0; 32] }
    }

    /// A text without what the rules take out.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = if self.secrets { secrets::take_out(text) } else { Cow::Borrowed(text) };
        for pattern in &self.patterns {
            if pattern.is_match(&text) {
                text = Cow::Owned(only_group(pattern, &text));
            }
        }
        text
    }

    /// The value of an attribute or a piece of evidence of that name.
    pub fn value<'t>(&self, name: &str, text: &'t str) -> Cow<'t, str> {
        if self.hidden.is_match(name) {
            return Cow::Borrowed(REDACTED);
        }
        if self.hashed.is_match(name) {
            return Cow::Owned(self.digest(text));
        }
        if self.secrets && secrets::is_name(name) {
            return Cow::Borrowed(REDACTED);
        }
        self.text(text)
    }

    /// Attributes of a series or a change, in place.
    pub fn attributes(&self, attributes: &mut Attributes) {
        for (name, value) in attributes.iter_mut() {
            *value = self.value(name, value).into_owned();
        }
    }

    /// A finding in the making, in place; its target stays.
    pub fn detection(&self, detection: &mut Detection) {
        self.line(&mut detection.title);
        self.evidence(&mut detection.evidence);
    }

    /// A change, in place; its target stays.
    pub fn change(&self, change: &mut Change) {
        self.line(&mut change.summary);
        self.attributes(&mut change.attributes);
        if let (Users::Hash, Some(actor)) = (self.users, &mut change.actor) {
            *actor = self.digest(actor);
        }
    }

    /// The words of a step, in place; its action stays.
    pub fn step(&self, step: &mut Step) {
        self.line(&mut step.rationale);
        for effect in &mut step.side_effects {
            self.line(effect);
        }
    }

    /// Evidence, in place.
    pub fn evidence(&self, evidence: &mut [Evidence]) {
        for it in evidence {
            match &mut it.value {
                Value::Text(text) => *text = self.value(&it.name, text).into_owned(),
                Value::Texts(texts) => {
                    for text in texts {
                        *text = self.value(&it.name, text).into_owned();
                    }
                }
                // A number that must not be known is said by its name only.
                value if self.hidden.is_match(&it.name) => *value = Value::Text(REDACTED.to_owned()),
                Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => {}
            }
        }
    }

    /// One line, in place.
    pub fn line(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.text(text) {
            *text = clean;
        }
    }

    /// A text as a keyed digest: the same text is the same word, and the word leads back to none without the key.
    pub fn digest(&self, text: &str) -> String {
        // An HMAC takes a key of any length.
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key) else { return REDACTED.to_owned() };
        mac.update(text.as_bytes());
        let digest = crate::model::plan::hex(&mac.finalize().into_bytes());
        format!("hash:{}", &digest[..16])
    }
}

/// Takes out the first group of each match, or the whole match where the pattern has no group.
fn only_group(pattern: &Regex, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for found in pattern.captures_iter(text) {
        let Some(place) = found.get(1).or_else(|| found.get(0)).filter(|place| !place.is_empty()) else { continue };
        out.push_str(&text[done..place.start()]);
        out.push_str(REDACTED);
        done = place.end();
    }
    out.push_str(&text[done..]);
    out
}

fn pattern(text: &str) -> Result<Regex, RedactError> {
    let wrong = |why: String| RedactError { key: "patterns", rule: text.to_owned(), why };
    if text.chars().count() > PATTERN_CHARS_MAX {
        return Err(wrong(format!("is longer than {PATTERN_CHARS_MAX} characters")));
    }
    let regex = RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
    let regex = regex.map_err(|error| wrong(format!("is no regular expression: {error}")))?;
    if regex.is_match("") {
        return Err(wrong("matches the empty text, so it would match everywhere".to_owned()));
    }
    Ok(regex)
}

fn globs(key: &'static str, texts: &[String]) -> Result<GlobSet, RedactError> {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        let glob = GlobBuilder::new(text).build();
        let why = |error: globset::Error| format!("is no glob: {error}; write a name such as `enduser.id` or `user.*`");
        set.add(glob.map_err(|error| RedactError { key, rule: text.clone(), why: why(error) })?);
    }
    let why = |error: globset::Error| RedactError { key, rule: texts.join(", "), why: error.to_string() };
    set.build().map_err(why)
}

#[cfg(test)]
mod tests;
