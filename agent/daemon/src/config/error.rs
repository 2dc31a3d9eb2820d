//! What is wrong with a configuration, shown as TOML's own errors are: file, line, column, the line itself, a caret, a hint.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is there and cannot be read, or was asked for and is not there.
    #[error("cannot read the configuration `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// One or more mistakes, in the order of files and lines.
    #[error("{}", Faults(.0))]
    Invalid(Vec<Fault>),
}

struct Faults<'f>(&'f [Fault]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the flag, that holds it.
    pub file: String,
    /// Line and column counted from 1 (columns in characters), the line's text, and how many characters are meant.
    /// `None`: the mistake is not in a file.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Where in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The whole line.
    pub text: String,
    /// Characters that the caret underlines; at least 1.
    pub width: usize,
}

impl Place {
    /// The place of a byte range in a text. A range beyond the end is the end.
    pub fn of(text: &str, span: &Range<usize>) -> Self {
        let floor = |at: usize| (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let (start, end) = (floor(span.start), floor(span.end));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let width = text[start..end.clamp(start, line_end)].chars().count().max(1);
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: text[line_start..line_end].trim_end_matches('\r').to_owned(),
            width,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(Place { line, column, text, width }) => {
                let gutter = line.to_string().len();
                writeln!(f, "{}:{line}:{column}: {}", self.file, self.message)?;
                writeln!(f, "{:gutter$} |", "")?;
                writeln!(f, "{line} | {text}")?;
                write!(f, "{:gutter$} | {:indent$}{}", "", "", "^".repeat(*width), indent = column - 1)?;
            }
            None => write!(f, "{}: {}", self.file, self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
