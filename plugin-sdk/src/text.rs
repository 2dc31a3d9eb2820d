//! Texts as the host takes them: one line, without control characters, not too long.
//!
//! A file's name is chosen by whoever made the file. What reaches a title is made plain here, so that a name with a line break in
//! it cannot get a whole report refused.

/// Longest line for people, in bytes, before the `…`; the agent refuses more than 500.
///
/// ```
/// use holdfast_plugin_sdk::text::{self, LINE_BYTES_MAX};
/// assert!(text::line(&"x".repeat(10_000)).len() <= LINE_BYTES_MAX + '…'.len_utf8());
/// ```
pub const LINE_BYTES_MAX: usize = 480;
/// Longest name of a subject, in bytes; the host refuses more than 4096.
///
/// ```
/// use holdfast_plugin_sdk::text::{NAME_BYTES_MAX, is_plain};
/// assert!(is_plain(&"x".repeat(NAME_BYTES_MAX)) && !is_plain(&"x".repeat(NAME_BYTES_MAX + 1)));
/// ```
pub const NAME_BYTES_MAX: usize = 4_000;

/// A line for people: control characters are shown escaped, and what is too long ends in `…`.
///
/// ```
/// use holdfast_plugin_sdk::text;
/// assert_eq!(text::line("a\nb"), "a\\nb");
/// assert_eq!(text::line(&"x".repeat(10_000)).chars().last(), Some('…'));
/// ```
pub fn line(text: &str) -> String {
    plain(text, LINE_BYTES_MAX)
}

/// Whether a name can be given to the host as it is.
///
/// ```
/// use holdfast_plugin_sdk::text::is_plain;
/// assert!(is_plain("/srv/größe") && !is_plain("a\tb") && !is_plain(""));
/// ```
pub fn is_plain(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX && !text.is_empty() && !text.chars().any(misleads)
}

/// Control characters, and those that turn or hide text on a terminal.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

pub(crate) fn plain(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        let shown = if misleads(c) { c.escape_default().to_string() } else { c.to_string() };
        if out.len() + shown.len() > bytes_max {
            out.push('…');
            return out;
        }
        out.push_str(&shown);
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

/// Bytes for people: three figures and a binary unit, `1.46 GiB`.
///
/// ```
/// use holdfast_plugin_sdk::text;
/// assert_eq!([text::bytes(900), text::bytes(3 << 29)], ["900 B", "1.50 GiB"]);
/// ```
pub fn bytes(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift {
            return format!("{:.2} {unit}", bytes as f64 / (1_u64 << shift) as f64);
        }
    }
    format!("{bytes} B")
}

/// Lower-case hexadecimal digits, two a byte.
///
/// ```
/// assert_eq!(holdfast_plugin_sdk::text::hex(&[0, 0xab]), "00ab");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A span of time for people, in nanoseconds: the largest whole unit, `3 d`, `5 h`, `12 min`, `40 s`.
///
/// ```
/// use holdfast_plugin_sdk::text;
/// assert_eq!(text::span(3 * 3_600_000_000_000), "3 h");
/// ```
pub fn span(ns: u64) -> String {
    let secs = ns / 1_000_000_000;
    for (unit, each) in [("d", 86_400), ("h", 3_600), ("min", 60)] {
        if secs >= 2 * each {
            return format!("{} {unit}", secs / each);
        }
    }
    format!("{secs} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_with_a_line_break_stays_one_line() {
        assert_eq!(line("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(line("a\u{202e}b"), "a\\u{202e}b");
        assert!(!is_plain("a\nb") && !is_plain("a\u{202e}b"));
    }

    #[test]
    fn sizes_and_spans_read_as_people_say_them() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(3 << 30)], ["0 B", "1023 B", "1.50 KiB", "3.00 GiB"]);
        assert_eq!(
            [span(0), span(119_000_000_000), span(120_000_000_000), span(3 * 86_400_000_000_000)],
            ["0 s", "119 s", "2 min", "3 d"]
        );
    }

    proptest! {
        #[test]
        fn every_line_is_taken_by_the_host(text in "\\PC*|[\u{0}-\u{7f}]{0,2000}") {
            let line = line(&text);
            prop_assert!((1..=500).contains(&line.len()) && !line.chars().any(char::is_control), "{line:?}");
        }
    }
}
