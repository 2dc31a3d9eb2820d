//! Prometheus' text format 0.0.4 and OpenMetrics 1.0. Pure; a line that is not understood fails the whole text, as it does
//! for Prometheus: half a page would look like series that have gone.

use std::collections::HashMap;

/// One line's sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    /// As written: milliseconds in 0.0.4, seconds in OpenMetrics.
    pub(super) time: Option<f64>,
}

/// What a page says of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Other,
}

/// A whole page.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Page {
    pub(super) kinds: HashMap<String, Kind>,
    pub(super) units: HashMap<String, String>,
    pub(super) samples: Vec<Sample>,
}

/// A line that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(super) struct Fault {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) reason: &'static str,
}

/// Reads a page. `open_metrics`: as its content type says.
pub(super) fn parse(text: &str, open_metrics: bool) -> Result<Page, Fault> {
    let mut page = Page::default();
    let mut ended = false;
    for (index, line) in text.lines().enumerate() {
        let fault = |reason| Fault { line: index + 1, reason };
        let line = line.trim_start_matches([' ', '\t']);
        if ended && !line.is_empty() {
            return Err(fault("there is something after `# EOF`"));
        }
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.split_ascii_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("EOF"), None, None) => ended = true,
                (Some("TYPE"), Some(name), Some(kind)) => {
                    let kind = match kind {
                        "counter" => Kind::Counter,
                        "gauge" => Kind::Gauge,
                        "histogram" => Kind::Histogram,
                        "summary" => Kind::Summary,
                        _ => Kind::Other,
                    };
                    page.kinds.insert(name.to_owned(), kind);
                }
                (Some("UNIT"), Some(name), Some(unit)) => {
                    page.units.insert(name.to_owned(), unit.to_owned());
                }
                _ => {}
            }
        } else if !line.trim_end().is_empty() {
            page.samples.push(sample(line).map_err(fault)?);
        }
    }
    if open_metrics && !ended {
        return Err(Fault { line: text.lines().count(), reason: "the text ends without `# EOF`: it may be cut off" });
    }
    Ok(page)
}

fn name_end(text: &str, colon: bool) -> usize {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    text.find(|c| !good(c)).unwrap_or(text.len())
}

fn sample(line: &str) -> Result<Sample, &'static str> {
    let end = name_end(line, true);
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("a line begins with the name of a metric");
    }
    let mut labels = Vec::new();
    rest = rest.trim_start();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_at(name_end(rest, false));
            if label.is_empty() {
                return Err("a label has no name");
            }
            let quoted = after.trim_start().strip_prefix('=').map(str::trim_start).and_then(|it| it.strip_prefix('"'));
            let (value, after) = unquote(quoted.ok_or("a label has no value in quotes")?)?;
            labels.push((label.to_owned(), value));
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after.trim_start(),
                None if rest.starts_with('}') => {}
                None => return Err("labels are parted by commas and end with `}`"),
            }
        }
    }
    // What follows ` # ` is an exemplar, which is not kept.
    let numbers = rest.split_once(" # ").map_or(rest, |(before, _)| before);
    let mut words = numbers.split_ascii_whitespace();
    let value = words.next().and_then(number).ok_or("there is no value, or it is no number")?;
    let time = match words.next() {
        Some(word) => Some(word.parse().map_err(|_| "the time is no number")?),
        None => None,
    };
    if words.next().is_some() {
        return Err("there is something after the time");
    }
    Ok(Sample { name: name.to_owned(), labels, value, time })
}

fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, it @ ('"' | '\\'))) => out.push(it),
                // Others are kept as they stand, as Prometheus does.
                Some((_, it)) => out.extend(['\\', it]),
                None => break,
            },
            it => out.push(it),
        }
    }
    Err("the value of a label has no end")
}

fn number(word: &str) -> Option<f64> {
    match word {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, name: &str, labels: &[(&str, &str)], value: f64, time: Option<f64>) {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(sample(line), Ok(Sample { name: name.to_owned(), labels, value, time }), "{line}");
    }

    #[test]
    fn lines_are_read_as_both_formats_write_them() {
        check("up 1", "up", &[], 1.0, None);
        check("a:b{} 2.5e3 1700000000000", "a:b", &[], 2_500.0, Some(1.7e12));
        check("x{a=\"1\",b=\"2\",} +Inf", "x", &[("a", "1"), ("b", "2")], f64::INFINITY, None);
        check(r#"x { a = "q\"\\\n{}," } 1"#, "x", &[("a", "q\"\\\n{},")], 1.0, None);
        check(r#"x_bucket{le="1"} 4 # {trace_id="ab"} 0.5 1.7"#, "x_bucket", &[("le", "1")], 4.0, None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, reason) in [
            ("ok 1\n1a 2", "begins with the name"),
            ("ok 1\na", "no value"),
            ("ok 1\na{b} 1", "in quotes"),
            ("ok 1\na{b=\"x} 1", "no end"),
            ("ok 1\na{b=\"x\" c=\"y\"} 1", "commas"),
            ("ok 1\na 1 2 3", "after the time"),
        ] {
            let fault = parse(text, false).unwrap_err();
            assert!(fault.line == 2 && fault.reason.contains(reason), "{text}: {fault}");
        }
    }

    #[test]
    fn openmetrics_ends_with_its_mark() {
        assert!(parse("a 1\n# EOF\n", true).is_ok());
        assert!(parse("a 1\n", true).is_err());
        assert!(parse("a 1\n# EOF\nb 1\n", true).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "([a-z]{0,2}[{]?[a-z]?=?\"?\\PC{0,4}\"?,?[}]? [0-9.]{0,3}\n?){0,8}", all in "\\PC{0,80}") {
            let _ = parse(&text, false);
            let _ = parse(&all, true);
        }
        #[test]
        fn any_value_of_a_label_comes_back(value in "[^\u{0}]{0,30}") {
            prop_assume!(!value.contains(['\r', '\u{b}', '\u{c}']));
            let written = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let read = sample(&format!("a{{b=\"{written}\"}} 1")).unwrap();
            prop_assert_eq!(&read.labels[0].1, &value);
        }
    }
}
