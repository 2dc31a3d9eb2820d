//! Golden files: the whole answers of a case, to be read in a review.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use similar::TextDiff;

/// Lines around a difference that are shown.
const CONTEXT: usize = 3;
/// Lines of a difference that are shown; the rest is counted.
const DIFF_LINES_MAX: usize = 60;

/// `NAME.expected.json` beside `NAME.toml`, and `expected.json` beside `case.toml`.
fn golden_file(case: &Path) -> PathBuf {
    if case.file_name().is_some_and(|name| name == "case.toml") {
        case.with_file_name("expected.json")
    } else {
        case.with_extension("expected.json")
    }
}

/// Compares the answers with the golden file; true when it was written instead. The error is the difference.
pub(super) fn compare(case: &Path, answers: &[Value], bless: bool) -> Result<bool, String> {
    let file = golden_file(case);
    let mut now = serde_json::to_string_pretty(answers).map_err(|error| error.to_string())?;
    now.push('\n');
    let kept = match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    if kept.as_ref() == Some(&now) {
        return Ok(false);
    }
    if bless {
        std::fs::write(&file, &now).map_err(|error| format!("{}: {error}", file.display()))?;
        return Ok(true);
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Err(match kept {
        None => format!("there is no {name} yet; read the answer, and keep it with --bless:\n{}", cut(&now)),
        Some(kept) => {
            let diff = TextDiff::from_lines(&kept, &now);
            let text = diff.unified_diff().context_radius(CONTEXT).header(&name, "the answer now").to_string();
            format!("the answer is not the one in {name}; if it is right, keep it with --bless:\n{}", cut(&text))
        }
    })
}

fn cut(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = lines[..lines.len().min(DIFF_LINES_MAX)].join("\n");
    if lines.len() > DIFF_LINES_MAX {
        let _ = write!(shown, "\n… and {} more lines", lines.len() - DIFF_LINES_MAX);
    }
    shown
}
