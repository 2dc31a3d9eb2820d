//! What was accepted, and how the files stand against it now.
//!
//! Files are read with the agent's rights, so a diff shows contents that the caller could not read otherwise: it takes the
//! role operator. Whether a file differs, a viewer may know.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use holdfast_core::model::{FileState, ItemName};
use similar::TextDiff;

use super::params::Params;
use super::read::reading;
use super::routes::{Reply, permit};
use super::wire::{BaselineDocument, ComparisonDocument, FileComparison, FileVerdict};
use super::{ApiContext, items};
use crate::request::{Caller, Refusal, RefusalKind, Role};
use crate::store::{BaselineFile, StateReader};

/// Larger files are compared by digest only.
const DIFF_BYTES_MAX: u64 = 1024 * 1024;
/// Most bytes read to compute a digest.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest diff of one file, in characters.
const DIFF_CHARS_MAX: usize = 64 * 1024;
/// Longest computation of one diff; after that it is coarser, not wrong.
const DIFF_DEADLINE: Duration = Duration::from_secs(2);

pub(super) async fn accepted(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<BaselineDocument> {
    let mut params = Params::new(pairs);
    let paths = params.all("path");
    params.end()?;
    reading(context, move |context| Ok(BaselineDocument { files: chosen(&context.state, &paths)? })).await
}

pub(super) async fn compare(
    State(context): State<ApiContext>,
    Extension(caller): Extension<Caller>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<ComparisonDocument> {
    let mut params = Params::new(pairs);
    let paths = params.all("path");
    let diff = params.parsed("diff")?.unwrap_or(false);
    params.end()?;
    if diff {
        permit(&caller, Role::Operator, "see what files contain")?;
    }
    reading(context, move |context| {
        let (names, paths): (Vec<String>, Vec<String>) =
            paths.into_iter().partition(|it| it.parse::<ItemName>().is_ok());
        let names: Vec<ItemName> = names.iter().filter_map(|it| it.parse().ok()).collect();
        let files = if paths.is_empty() && !names.is_empty() { vec![] } else { chosen(&context.state, &paths)? };
        let files: Vec<_> = files.into_iter().map(|file| one(context, file, diff)).collect();
        let items = if names.is_empty() && !paths.is_empty() {
            items::Compared::default()
        } else {
            items::compare(context, &names)?
        };
        let count = |of: fn(FileVerdict) -> bool| files.iter().filter(|f| of(f.verdict)).count() as u64;
        Ok(ComparisonDocument {
            unchanged: count(|v| v == FileVerdict::Unchanged) + items.unchanged,
            unknown: count(|v| v == FileVerdict::Unknown) + items.unknown,
            changed: count(|v| !matches!(v, FileVerdict::Unchanged | FileVerdict::Unknown))
                + items.changed.len() as u64,
            files,
            items: items.changed,
        })
    })
    .await
}

fn chosen(state: &StateReader, paths: &[String]) -> Result<Vec<BaselineFile>, Refusal> {
    if paths.is_empty() {
        return Ok(state.baselines()?);
    }
    let one = |path: &String| {
        state.baseline(path)?.ok_or_else(|| {
            Refusal::new(RefusalKind::NotFound, format!("nothing is accepted for {path}"))
                .hint(format!("`holdfast baseline capture {path}` records it as it is now"))
        })
    };
    paths.iter().map(one).collect()
}

fn one(context: &ApiContext, accepted: BaselineFile, with_diff: bool) -> FileComparison {
    let path = accepted.state.path.clone();
    let (current, content) = match (context.read_file)(&context.fs, &path, FILE_BYTES_MAX) {
        Ok(read) => read,
        Err(error) => {
            let reason = Some(format!("cannot read it: {error}"));
            let verdict = FileVerdict::Unknown;
            return FileComparison {
                path,
                verdict,
                accepted: accepted.state,
                current: None,
                differs: vec![],
                diff: None,
                reason,
            };
        }
    };
    let (verdict, differs) = verdict(&accepted.state, &current);
    let mut comparison = FileComparison {
        path,
        verdict,
        accepted: accepted.state,
        current: Some(current),
        differs,
        diff: None,
        reason: None,
    };
    if with_diff && comparison.differs.iter().any(|d| d == "content") {
        match texts(context, accepted.blob.as_deref(), &comparison, content.as_deref()) {
            Ok((before, after)) => {
                let mut diff = unified(&comparison.path, &before, &after);
                context.redactor.line(&mut diff);
                comparison.diff = Some(diff);
            }
            Err(reason) => comparison.reason = Some(reason),
        }
    }
    comparison
}

fn verdict(accepted: &FileState, current: &FileState) -> (FileVerdict, Vec<String>) {
    match (&accepted.sha256, &current.sha256) {
        (None, None) => return (FileVerdict::Unchanged, vec![]),
        (Some(_), None) => return (FileVerdict::Missing, vec!["content".to_owned()]),
        (None, Some(_)) => return (FileVerdict::Appeared, vec!["content".to_owned()]),
        (Some(_), Some(_)) => {}
    }
    let parts = [
        ("content", accepted.sha256 != current.sha256),
        ("mode", accepted.mode != current.mode),
        ("owner", (accepted.uid, accepted.gid) != (current.uid, current.gid)),
    ];
    let differs: Vec<String> = parts.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()).collect();
    (if differs.is_empty() { FileVerdict::Unchanged } else { FileVerdict::Changed }, differs)
}

fn texts(
    context: &ApiContext,
    blob: Option<&str>,
    file: &FileComparison,
    current: Option<&[u8]>,
) -> Result<(String, String), String> {
    let text = |bytes: Vec<u8>, which: &str| {
        if bytes.len() as u64 > DIFF_BYTES_MAX {
            return Err(format!("the {which} content is larger than {DIFF_BYTES_MAX} bytes"));
        }
        String::from_utf8(bytes)
            .ok()
            .filter(|t| !t.contains('\0'))
            .ok_or_else(|| format!("the {which} content is not text"))
    };
    let before = match (&file.accepted.sha256, blob) {
        (None, _) => String::new(),
        (Some(_), None) => return Err("the accepted content is not kept".to_owned()),
        (Some(_), Some(blob)) => match context.blobs.get(blob) {
            Ok(Some(bytes)) => text(bytes, "accepted")?,
            Ok(None) => return Err("the accepted content is not kept any more".to_owned()),
            Err(error) => return Err(error.to_string()),
        },
    };
    let there = file.current.as_ref().is_some_and(|c| c.sha256.is_some());
    let after = match current {
        Some(bytes) => text(bytes.to_vec(), "present")?,
        None if there => return Err(format!("the present content is larger than {FILE_BYTES_MAX} bytes")),
        None => String::new(),
    };
    Ok((before, after))
}

pub(super) fn unified(path: &str, before: &str, after: &str) -> String {
    let diff = TextDiff::configure().timeout(DIFF_DEADLINE).diff_lines(before, after);
    let mut text =
        diff.unified_diff().context_radius(3).header(&format!("accepted{path}"), &format!("present{path}")).to_string();
    if let Some((end, _)) = text.char_indices().nth(DIFF_CHARS_MAX) {
        text.truncate(end);
        text.push_str("\n(cut off here)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(sha256: Option<&str>, mode: u32) -> FileState {
        let sha256 = sha256.map(str::to_owned);
        FileState { path: "/etc/x".into(), sha256, bytes: 1, mode, uid: 0, gid: 0, modified_at: None }
    }

    #[track_caller]
    fn check(accepted: (Option<&str>, u32), current: (Option<&str>, u32), expected: (FileVerdict, &[&str])) {
        let (found, differs) = verdict(&state(accepted.0, accepted.1), &state(current.0, current.1));
        assert_eq!((found, differs.iter().map(String::as_str).collect::<Vec<_>>()), (expected.0, expected.1.to_vec()));
    }

    #[test]
    fn what_differs_is_named() {
        check((Some("a"), 0o644), (Some("a"), 0o644), (FileVerdict::Unchanged, &[]));
        check((Some("a"), 0o644), (Some("b"), 0o600), (FileVerdict::Changed, &["content", "mode"]));
        check((Some("a"), 0o644), (None, 0), (FileVerdict::Missing, &["content"]));
        check((None, 0), (Some("a"), 0o644), (FileVerdict::Appeared, &["content"]));
        check((None, 0), (None, 0), (FileVerdict::Unchanged, &[]));
    }

    #[test]
    fn a_diff_is_unified_and_bounded() {
        let diff = unified("/etc/x", "a\nb\n", "a\nc\n");
        assert_eq!(diff, "--- accepted/etc/x\n+++ present/etc/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        let long = "line\n".repeat(40_000);
        assert!(unified("/etc/x", "", &long).len() < DIFF_CHARS_MAX + 100);
    }
}
