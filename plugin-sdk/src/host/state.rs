//! The plugin's own small memory. Written when the call ends well; the only thing that a plugin ever writes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::bindings::host::state as wire;

/// What was kept under a key. What cannot be read any more (an older shape) counts as absent.
///
/// ```
/// use holdfast_plugin_sdk::host::state;
/// use holdfast_plugin_sdk::Error;
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Seen {
///     runs: u64,
/// }
///
/// fn count() -> Result<u64, Error> {
///     let mut seen: Seen = state::get("seen")?.unwrap_or_default();
///     seen.runs += 1;
///     state::set("seen", &seen)?; // kept when this call ends well
///     for old in state::keys("seen.")? {
///         state::delete(&old)?;
///     }
///     Ok(seen.runs)
/// }
/// # let _ = count; // asks the host
/// ```
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    Ok(wire::get(key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Keeps a value under a key.
pub fn set<T: Serialize>(key: &str, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::Other(format!("state `{key}`: {error}")))?;
    wire::set(key, &bytes)
}

/// Forgets a key.
pub fn delete(key: &str) -> Result<(), Error> {
    wire::delete(key)
}

/// Keys that begin with this.
pub fn keys(prefix: &str) -> Result<Vec<String>, Error> {
    wire::keys(prefix)
}
