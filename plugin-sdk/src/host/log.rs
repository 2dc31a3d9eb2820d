//! Log lines: a constant sentence and facts as fields. The host cuts, counts and tags them.

use crate::bindings::host::log::{self as wire, Level};
use crate::bindings::host::types::Label;

fn say(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<Label> =
        fields.iter().map(|(key, value)| Label { key: (*key).to_owned(), value: (*value).to_owned() }).collect();
    wire::log(level, message, &fields);
}

/// For the author.
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
pub fn warn(message: &str, fields: &[(&str, &str)]) {
    say(Level::Warn, message, fields);
}

/// An operator must look.
pub fn error(message: &str, fields: &[(&str, &str)]) {
    say(Level::Error, message, fields);
}
