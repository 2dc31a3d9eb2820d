//! Versions of what is accepted: who accepted what, when and why; and how two of them differ.
//!
//! As with files as they are now, contents take the role operator.

use axum::Extension;
use axum::extract::{Query, State};
use serde_json::Value;

use super::ApiContext;
use super::baseline::unified;
use super::params::Params;
use super::read::reading;
use super::routes::{Reply, permit};
use super::wire::{VersionChange, VersionDocument, VersionsDiffDocument, VersionsDocument};
use crate::request::{Caller, Refusal, RefusalKind, Role};
use crate::store::{BaselineFile, VERSIONS_READ_MAX, together};

/// Versions that a list gives, and at most.
const LIST: (usize, usize) = (50, 1_000);
/// Subjects that a list names of one version.
const NAMED_MAX: usize = 3;
/// Longer contents are not compared line by line.
const DIFF_BYTES_MAX: usize = 1024 * 1024;

pub(super) async fn list(
    State(context): State<ApiContext>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<VersionsDocument> {
    let mut params = Params::new(pairs);
    let limit = params.limit(LIST.0, LIST.1)?;
    params.end()?;
    reading(context, move |context| {
        let newest = context.state.baseline_version()?;
        let all = context.state.baseline_versions(newest.saturating_sub(limit as u64), limit)?;
        let one = |it: crate::store::BaselineVersion| VersionDocument {
            number: it.number,
            at: it.at,
            by: it.by,
            reason: it.reason,
            altered: it.entries.len() as u64,
            subjects: it.entries.into_iter().take(NAMED_MAX).map(|entry| entry.subject).collect(),
        };
        Ok(VersionsDocument { versions: all.into_iter().rev().map(one).collect() })
    })
    .await
}

fn file(value: Option<&Value>) -> Option<BaselineFile> {
    serde_json::from_value(value?.clone()).ok()
}

/// What was accepted, in a line.
fn line(value: &Value) -> String {
    let Some(it) = file(Some(value)) else { return value.as_str().unwrap_or("?").to_owned() };
    match it.state.sha256 {
        None => "absent".to_owned(),
        Some(sha256) => {
            let short = sha256.get(..12).unwrap_or(&sha256);
            format!("sha256:{short}, mode {:04o}, owner {}:{}", it.state.mode, it.state.uid, it.state.gid)
        }
    }
}

/// The kept text of a file; nothing where it was absent.
fn text(context: &ApiContext, value: Option<&Value>) -> Option<String> {
    let Some(it) = file(value) else { return value.is_none().then(String::new) };
    if it.state.sha256.is_none() {
        return Some(String::new());
    }
    let bytes = context.blobs.get(it.blob.as_deref()?).ok()??;
    String::from_utf8(bytes).ok().filter(|text| text.len() <= DIFF_BYTES_MAX && !text.contains('\0'))
}

pub(super) async fn diff(
    State(context): State<ApiContext>,
    Extension(caller): Extension<Caller>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Reply<VersionsDiffDocument> {
    let mut params = Params::new(pairs);
    let from = params.parsed::<u64>("from")?;
    let to = params.parsed::<u64>("to")?;
    params.end()?;
    permit(&caller, Role::Operator, "see what files contain")?;
    reading(context, move |context| {
        let (oldest, newest) = (context.state.baseline_reach()?, context.state.baseline_version()?);
        let (from, to) = (from.unwrap_or(oldest), to.unwrap_or(newest));
        if from < oldest || from >= to || to > newest {
            return Err(Refusal::new(
                RefusalKind::Usage,
                format!("{from} is no version before {to}, or one of them is not kept"),
            )
            .hint(format!("versions go from {oldest} to {newest}; 0 is what was accepted before the first")));
        }
        let mut between = context.state.baseline_versions(from, VERSIONS_READ_MAX)?;
        between.retain(|it| it.number <= to);
        let changes = together(&between).into_iter().map(|(subject, (before, after))| {
            let texts =
                subject.starts_with('/').then(|| text(context, before.as_ref()).zip(text(context, after.as_ref())));
            let diff = texts.flatten().filter(|(a, b)| a != b).map(|(a, b)| {
                let mut diff = unified(&subject, &a, &b)
                    .replacen("--- accepted", &format!("--- version {from}: "), 1)
                    .replacen("+++ present", &format!("+++ version {to}: "), 1);
                context.redactor.line(&mut diff);
                diff
            });
            VersionChange { before: before.as_ref().map(line), after: after.as_ref().map(line), diff, subject }
        });
        Ok(VersionsDiffDocument { from, to, changes: changes.collect() })
    })
    .await
}
