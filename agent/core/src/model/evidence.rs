//! The numbers, lines and digests that a finding rests on.

use serde::{Deserialize, Serialize};

/// Evidence of what else departed at the same moment begins with this, and is no part of what a finding is like.
pub const RELATED_EVIDENCE: &str = "related.";
/// Units that use more of what a finding is about, each as `NAME SHARE`, the largest share first.
pub const RELATED_UNITS: &str = "related.units";

/// One named fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Dotted name: `unit.result`, `filesystem.full_in_s`, `file.diff`.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// A value of an attribute, an argument or a piece of evidence. Written in JSON as the plain value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// true or false
    Boolean(bool),
    /// a whole number
    Integer(i64),
    /// a finite number
    Number(f64),
    /// a list of texts
    Texts(Vec<String>),
    /// a text
    Text(String),
}

impl Evidence {
    /// A fact with a value of any of the kinds of [`Value`].
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}
impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}
impl From<f64> for Value {
    /// A number that is not finite becomes its text: JSON has no NaN, and evidence is never dropped.
    fn from(value: f64) -> Self {
        if value.is_finite() { Self::Number(value) } else { Self::Text(value.to_string()) }
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::Texts(value)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(v) => v.fmt(f),
            Self::Integer(v) => v.fmt(f),
            Self::Number(v) => v.fmt(f),
            Self::Texts(v) => f.write_str(&v.join(", ")),
            Self::Text(v) => f.write_str(v),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_survives_json() {
        for value in [
            Value::from(true),
            Value::from(3_i64),
            Value::from(3.0),
            Value::from(f64::NAN),
            Value::from("x"),
            Value::from(vec!["a".to_owned()]),
        ] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{json}");
        }
    }
}
