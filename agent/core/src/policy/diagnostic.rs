//! What is wrong in a document, and where: file, line, column, a caret, and what to write instead.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;

/// Whether it can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It works, but perhaps not as meant.
    Warning,
    /// It cannot be used, and until it is mended nothing runs.
    Error,
}

impl Level {
    /// The word in the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong in a document. Printed in the look of the toml parser's own errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub level: Level,
    /// The document's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line with a caret under the place.
    pub excerpt: Option<String>,
}

/// Longest line shown, in characters.
const LINE_CHARS_MAX: usize = 160;

impl Diagnostic {
    /// At a byte range of a text.
    pub(super) fn at(level: Level, file: &str, text: &str, span: &Range<usize>, message: impl Into<String>) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.floor_char_boundary(span.end.min(text.len())).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[..line_start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        let whole = text[line_start..].lines().next().unwrap_or("");
        let marked = text[start..end].lines().next().unwrap_or("").chars().count().max(1);
        let shown: String = whole.chars().take(LINE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let excerpt = (column <= LINE_CHARS_MAX).then(|| {
            let (margin, before) = (line.to_string().len(), column - 1);
            let carets = marked.min(shown.chars().count().saturating_sub(before).max(1));
            format!("{:margin$} |\n{line} | {shown}\n{:margin$} | {:before$}{}", "", "", "", "^".repeat(carets))
        });
        Self { level, file: file.into(), line, column, message: message.into(), hint: None, excerpt }
    }

    /// From the toml parser.
    pub(super) fn toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        Self::at(Level::Error, file, text, &error.span().unwrap_or(0..0), error.message())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = format!("{} in {} at line {}, column {}", self.level.as_str(), self.file, self.line, self.column);
        if let Some(excerpt) = &self.excerpt {
            let _ = write!(out, "\n{excerpt}");
        }
        let _ = write!(out, "\n{}", self.message);
        if let Some(hint) = &self.hint {
            let _ = write!(out, "\nhint: {hint}");
        }
        f.write_str(&out)
    }
}
