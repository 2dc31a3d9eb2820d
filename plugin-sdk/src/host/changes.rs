//! "What changed before this?": deployments, packages, files, flags, units.

use crate::Error;
use crate::bindings::host::changes as wire;
use crate::bindings::host::types::Value;

pub use wire::Change;

/// Changes of these kinds between two moments (nanoseconds since the epoch), oldest first, at most `limit`.
///
/// ```
/// use holdfast_plugin_sdk::host::{changes, clock};
/// use holdfast_plugin_sdk::Error;
///
/// /// Whether anything was deployed within the last hour.
/// fn is_fresh() -> Result<bool, Error> {
///     let now = clock::now_ns();
///     Ok(!changes::query(&["service.*"], now.saturating_sub(3_600_000_000_000), now, 1)?.is_empty())
/// }
/// # let _ = is_fresh; // asks the host: there is none here
/// ```
pub fn query(kinds: &[&str], start_ns: u64, end_ns: u64, limit: u32) -> Result<Vec<Change>, Error> {
    let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    wire::query(&kinds, start_ns, end_ns, limit)
}

/// A change's detail that is a text, and not empty.
///
/// ```
/// use holdfast_plugin_sdk::host::changes::{Change, detail};
/// use holdfast_plugin_sdk::subject;
/// let change = Change {
///     id: "chg_1".into(), kind: "package.upgraded".into(), at: 0, subject: subject("package", "nginx"), actor: None,
///     summary: "nginx 1.24".into(), details: vec![],
/// };
/// assert_eq!(detail(&change, "version"), None);
/// ```
pub fn detail<'c>(change: &'c Change, name: &str) -> Option<&'c str> {
    change.details.iter().find(|arg| arg.name == name).and_then(|arg| match &arg.value {
        Value::Text(text) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    })
}
