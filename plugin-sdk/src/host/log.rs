//! Log lines: a constant sentence and facts as fields. The host cuts, counts and tags them.

use crate::bindings::host::log::{self as wire, Level};
use crate::bindings::host::types::Label;

fn say(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<Label> =
        fields.iter().map(|(key, value)| Label { key: (*key).to_owned(), value: (*value).to_owned() }).collect();
    wire::log(level, message, &fields);
}

/// For the author.
///
/// ```
/// use holdfast_plugin_sdk::host::log;
///
/// fn says_what_it_sees(path: &str, bytes: u64) {
///     log::debug("A file was looked at.", &[("path", path), ("bytes", &bytes.to_string())]);
/// }
/// # let _ = says_what_it_sees; // asks the host
/// ```
pub fn debug(message: &str, fields: &[(&str, &str)]) {
    say(Level::Debug, message, fields);
}

/// Worth knowing: why nothing was proposed, what was passed over.
///
/// ```
/// use holdfast_plugin_sdk::host::log;
///
/// fn says_why(unit: &str) {
///     log::info("Nothing is proposed: the unit is masked.", &[("unit", unit)]);
/// }
/// # let _ = says_why; // asks the host
/// ```
pub fn info(message: &str, fields: &[(&str, &str)]) {
    say(Level::Info, message, fields);
}

/// Less was done than asked.
///
/// ```
/// use holdfast_plugin_sdk::host::log;
///
/// fn says_what_is_missing(path: &str, why: &str) {
///     log::warn("A directory was passed over.", &[("path", path), ("why", why)]);
/// }
/// # let _ = says_what_is_missing; // asks the host
/// ```
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    say(Level::Warn, message, fields);
}

/// An operator must look.
///
/// ```
/// use holdfast_plugin_sdk::host::log;
///
/// fn says_that_it_cannot_work(setting: &str) {
///     log::error("A setting names nothing that there is.", &[("setting", setting)]);
/// }
/// # let _ = says_that_it_cannot_work; // asks the host
/// ```
pub fn error(message: &str, fields: &[(&str, &str)]) {
    say(Level::Error, message, fields);
}
