//! "What changed before this?": deployments, packages, files, flags, units.

use crate::Error;
use crate::bindings::host::changes as wire;
use crate::bindings::host::types::Value;

pub use wire::Change;

/// Changes of these kinds between two moments (nanoseconds since the epoch), oldest first, at most `limit`.
pub fn query(kinds: &[&str], start_ns: u64, end_ns: u64, limit: u32) -> Result<Vec<Change>, Error> {
    let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    wire::query(&kinds, start_ns, end_ns, limit)
}

/// A change's detail that is a text, and not empty.
pub fn detail<'c>(change: &'c Change, name: &str) -> Option<&'c str> {
    change.details.iter().find(|arg| arg.name == name).and_then(|arg| match &arg.value {
        Value::Text(text) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    })
}
