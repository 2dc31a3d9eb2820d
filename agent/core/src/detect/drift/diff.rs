//! A unified diff for people: bounded in work and length, without binary content and without secrets.

use similar::TextDiff;

use super::secret::redacted;

/// A diff longer than this is cut; evidence is stored with the finding.
const DIFF_BYTES_MAX: usize = 16 << 10;
/// Texts larger than this aren't compared line by line.
const CONTENT_BYTES_MAX: usize = 1 << 20;
/// Lines compared, both sides together, after what is equal at both ends is taken off: the work grows with lines times differences.
const LINES_MAX: usize = 8_000;
/// Unchanged lines shown around a change.
const CONTEXT_LINES: usize = 3;
const LINE_CHARS_MAX: usize = 400;

/// The difference, or one line that says why there is none to show.
pub(super) fn unified(path: &str, before: Option<&[u8]>, now: Option<&[u8]>) -> String {
    let (Some(before), Some(now)) = (before, now) else {
        return "(the content was not kept, so no difference can be shown)".to_owned();
    };
    if before.len().max(now.len()) > CONTENT_BYTES_MAX {
        return format!("(too large to compare by line: {} bytes before, {} now)", before.len(), now.len());
    }
    let (Some(before), Some(now)) = (as_text(before), as_text(now)) else {
        return format!("(binary content differs: {} bytes before, {} now)", before.len(), now.len());
    };
    let (before, now) = (redacted(before), redacted(now));
    if before == now {
        return "(only values of keys that look like secrets differ; they are not shown)".to_owned();
    }
    if differing_lines(&before, &now) > LINES_MAX {
        let (a, b) = (before.lines().count(), now.lines().count());
        return format!("(too many lines differ to compare them: {a} lines before, {b} now)");
    }
    let diff = TextDiff::from_lines(before.as_str(), now.as_str());
    let text = diff
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&format!("{path} (accepted)"), &format!("{path} (now)"))
        .to_string();
    capped(&text)
}

fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn differing_lines(before: &str, now: &str) -> usize {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    a.len() + b.len() - 2 * (head + tail)
}

fn capped(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(DIFF_BYTES_MAX));
    let mut lines = text.lines();
    for line in lines.by_ref() {
        let mut shown = line;
        if let Some((cut, _)) = line.char_indices().nth(LINE_CHARS_MAX) {
            shown = &line[..cut];
        }
        if out.len() + shown.len() > DIFF_BYTES_MAX {
            let left = 1 + lines.count();
            return out + &format!("(cut: {left} more lines of difference)\n");
        }
        out.push_str(shown);
        if shown.len() < line.len() {
            out.push('…');
        }
        out.push('\n');
    }
    out
}
