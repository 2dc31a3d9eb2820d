//! Reading what a guest hands over: texts are cut or refused, numbers are checked, nothing is trusted.

use holdfast_core::model::{Confidence, Evidence, Target, Value};

use crate::bindings::types;
use crate::limits::{EVIDENCE_MAX, LINE_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// One line for logs and messages: control characters become spaces, cut at a character's boundary, with `…` where it was cut.
pub(crate) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut line: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

/// A line for people: not empty, not too long, no control characters.
pub(crate) fn line(name: &str, text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > LINE_BYTES_MAX {
        return Err(format!("{name} has {} bytes; 1 to {LINE_BYTES_MAX} are allowed", text.len()));
    }
    no_control(name, text)
}

/// As [`line`], and it may be empty and longer.
pub(crate) fn text(name: &str, text: &str) -> Result<String, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("{name} has {} bytes; {TEXT_BYTES_MAX} are allowed", text.len()));
    }
    match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some(bad) => Err(format!("{name} contains the control character {bad:?}")),
        None => Ok(text.to_owned()),
    }
}

fn no_control(name: &str, text: &str) -> Result<String, String> {
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(format!("{name} contains the control character {bad:?}")),
        None => Ok(text.to_owned()),
    }
}

/// A dotted or dashed word for programs: `unit.failed`, `1`.
pub(crate) fn word(name: &str, text: &str) -> Result<String, String> {
    let fits =
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:/@+".contains(&b));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("{name} is `{}`; 1 to 128 characters of A-Z a-z 0-9 . _ - : / @ + are allowed", one_line(text, 64)))
    }
}

/// 0 to 1 and a number; nothing is clamped.
pub(crate) fn confidence(name: &str, value: f64) -> Result<Confidence, String> {
    Confidence::new(value).map_err(|_| format!("{name} is {value}; it must be a number from 0 to 1"))
}

/// A subject's kind is a word, its name a line.
pub(crate) fn target(name: &str, subject: &types::Subject) -> Result<Target, String> {
    if subject.name.len() > NAME_BYTES_MAX || subject.name.is_empty() {
        return Err(format!("{name}.name has {} bytes; 1 to {NAME_BYTES_MAX} are allowed", subject.name.len()));
    }
    Ok(Target::new(word(&format!("{name}.kind"), &subject.kind)?, no_control(&format!("{name}.name"), &subject.name)?))
}

/// Evidence: not too much, texts bounded, numbers finite.
pub(crate) fn evidence(name: &str, items: &[types::Evidence]) -> Result<Vec<Evidence>, String> {
    if items.len() > EVIDENCE_MAX {
        return Err(format!("{name} has {} pieces; {EVIDENCE_MAX} are allowed", items.len()));
    }
    items
        .iter()
        .map(|item| {
            let key = word(&format!("a name in {name}"), &item.name)?;
            let value = value(&format!("{name} `{key}`"), &item.value)?;
            Ok(Evidence { name: key, value })
        })
        .collect()
}

fn value(name: &str, value: &types::Value) -> Result<Value, String> {
    Ok(match value {
        types::Value::Text(it) => Value::Text(text(name, it)?),
        types::Value::Integer(it) => Value::Integer(*it),
        types::Value::Number(it) if it.is_finite() => Value::Number(*it),
        types::Value::Number(it) => return Err(format!("{name} is {it}, which is no number")),
        types::Value::Boolean(it) => Value::Boolean(*it),
        types::Value::Bytes(it) if it.len() <= TEXT_BYTES_MAX / 2 => Value::Text(holdfast_core::model::plan::hex(it)),
        types::Value::Bytes(it) => {
            return Err(format!("{name} has {} bytes; {} are allowed", it.len(), TEXT_BYTES_MAX / 2));
        }
        types::Value::Texts(it) => {
            if it.iter().map(String::len).sum::<usize>() > TEXT_BYTES_MAX || it.len() > TEXT_BYTES_MAX / 16 {
                return Err(format!("{name} is a list of more than {TEXT_BYTES_MAX} bytes"));
            }
            Value::Texts(it.iter().map(|t| text(name, t)).collect::<Result<_, _>>()?)
        }
    })
}

/// Lines for people, not too many.
pub(crate) fn lines(name: &str, items: &[String]) -> Result<Vec<String>, String> {
    if items.len() > EVIDENCE_MAX {
        return Err(format!("{name} has {} entries; {EVIDENCE_MAX} are allowed", items.len()));
    }
    items.iter().map(|item| line(name, item)).collect()
}

/// The kind and the words of a WIT error.
pub(crate) fn error(error: &types::Error) -> (&'static str, String) {
    let (kind, text) = match error {
        types::Error::Denied(text) => ("denied", text),
        types::Error::NotFound(text) => ("not-found", text),
        types::Error::Invalid(text) => ("invalid", text),
        types::Error::Limit(text) => ("limit", text),
        types::Error::Timeout(text) => ("timeout", text),
        types::Error::Io(text) => ("io", text),
        types::Error::Unsupported(text) => ("unsupported", text),
        types::Error::Other(text) => ("other", text),
    };
    (kind, one_line(text, LINE_BYTES_MAX))
}

/// Evidence on its way to a guest.
pub(crate) fn to_evidence(items: &[Evidence]) -> Vec<types::Evidence> {
    let value = |value: &Value| match value {
        Value::Boolean(it) => types::Value::Boolean(*it),
        Value::Integer(it) => types::Value::Integer(*it),
        Value::Number(it) => types::Value::Number(*it),
        Value::Texts(it) => types::Value::Texts(it.clone()),
        Value::Text(it) => types::Value::Text(it.clone()),
    };
    items.iter().map(|e| types::Evidence { name: e.name.clone(), value: value(&e.value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_a_characters_boundary_and_has_no_escape_codes() {
        assert_eq!(one_line("a\u{1b}[31mb\nc", 100), "a [31mb c");
        assert_eq!(one_line("ääää", 5), "ää…");
    }

    #[test]
    fn nan_and_what_lies_outside_is_refused_not_clamped() {
        for bad in [f64::NAN, f64::INFINITY, -0.1, 1.000_1] {
            assert!(confidence("x", bad).is_err(), "{bad}");
        }
        assert!(confidence("x", 1.0).is_ok());
    }
}
