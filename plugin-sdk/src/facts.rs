//! Small doors to the open values of findings: evidence by name, subjects by kind.

use crate::bindings::host::types::{Evidence, Finding, Subject, Value};

/// A subject: `subject("unit", "web.service")`.
///
/// ```
/// use holdfast_plugin_sdk::subject;
/// let unit = subject("unit", "web.service");
/// assert_eq!((unit.kind.as_str(), unit.name.as_str()), ("unit", "web.service"));
/// ```
pub fn subject(kind: &str, name: impl Into<String>) -> Subject {
    Subject { kind: kind.to_owned(), name: name.into() }
}

/// One named fact: `evidence("unit.result", "signal")`.
///
/// ```
/// use holdfast_plugin_sdk::{Value, evidence};
/// assert_eq!(evidence("unit.result", "signal").value, Value::Text("signal".into()));
/// assert_eq!(evidence("file.bytes", 5_u64).value, Value::Integer(5));
/// ```
pub fn evidence(name: &str, value: impl Into<Value>) -> Evidence {
    Evidence { name: name.to_owned(), value: value.into() }
}

/// A finding's fact by name.
///
/// ```
/// use holdfast_plugin_sdk::{Problem, Value, evidence, facts, subject};
/// let problem = Problem::new("unit.failed", "1", subject("unit", "a.service"), "a.service has failed");
/// let problem = problem.evidence(evidence("unit.restarts", 3_u32)).evidence(evidence("unit.result", "signal"));
/// let finding = problem.finding();
/// assert_eq!(facts::find(finding, "unit.restarts"), Some(&Value::Integer(3)));
/// assert_eq!((facts::count(finding, "unit.restarts"), facts::text(finding, "unit.result")), (Some(3), Some("signal")));
/// assert_eq!(facts::text(finding, "unit.restarts"), None);
/// ```
pub fn find<'f>(finding: &'f Finding, name: &str) -> Option<&'f Value> {
    finding.evidence.iter().find(|e| e.name == name).map(|e| &e.value)
}

/// A finding's fact that is a text.
pub fn text<'f>(finding: &'f Finding, name: &str) -> Option<&'f str> {
    match find(finding, name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// A finding's fact that is a whole number of zero or more; a number without a fraction counts too.
pub fn count(finding: &Finding, name: &str) -> Option<u64> {
    match find(finding, name)? {
        Value::Integer(n) => u64::try_from(*n).ok(),
        Value::Number(n) if n.fract() == 0.0 && (0.0..9e15).contains(n) => Some(*n as u64),
        _ => None,
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
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}
impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::Texts(value)
    }
}
