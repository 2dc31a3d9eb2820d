//! `baseline`.

use std::path::PathBuf;

use super::super::args::Baseline;
use super::super::exit::{DONE, Failure, INCONCLUSIVE, NO, Outcome};
use super::super::view;
use super::{Session, given, paths, subjects};
use crate::answers::{BaselineAnswer, RestoredBaseline};
use crate::api::wire::{ComparisonDocument, VersionsDiffDocument, VersionsDocument};
use crate::request::Request;

pub(super) fn run(it: &Session, command: Baseline) -> Outcome {
    match command {
        Baseline::Capture { paths: some } => accepted(it, &Request::BaselineCapture { paths: paths(&some)? }),
        Baseline::Accept { paths: some, reason } => {
            if reason.trim().is_empty() {
                return Err(Failure::usage("--reason says why the files are accepted as they are; it is empty"));
            }
            accepted(it, &Request::BaselineAccept { paths: subjects(&some)?, reason })
        }
        Baseline::List { limit } => {
            let parameters = given(vec![("limit", limit.map(|n| n.to_string()))]);
            let document: VersionsDocument = it.client()?.get("/baseline/versions", &parameters)?;
            it.out.document(&document, |look| view::versions::list(&document, look))?;
            Ok(DONE)
        }
        Baseline::Restore { version, reason } => {
            let restored: RestoredBaseline = it.client()?.ask(&Request::BaselineRestore { version, reason })?;
            it.out.document(&restored, |_| view::versions::restored(&restored))?;
            Ok(DONE)
        }
        Baseline::Diff { from, to, .. } if from.is_some() || to.is_some() => {
            let number = |n: u64| n.to_string();
            let parameters = given(vec![("from", from.map(number)), ("to", to.map(number))]);
            let document: VersionsDiffDocument = it.client()?.get("/baseline/versions/diff", &parameters)?;
            it.out.document(&document, |look| view::versions::diff(&document, look))?;
            Ok(if document.changes.is_empty() { DONE } else { NO })
        }
        Baseline::Diff { paths, .. } => {
            let document = compare(it, &paths, true)?;
            it.out.document(&document, |look| view::baseline::diff(&document, look))?;
            Ok(code(&document))
        }
        Baseline::Verify { paths } => {
            let document = compare(it, &paths, false)?;
            it.out.document(&document, |look| view::baseline::verify(&document, look))?;
            Ok(if document.files.is_empty() && document.unchanged + document.changed == 0 {
                INCONCLUSIVE
            } else {
                code(&document)
            })
        }
    }
}

/// A difference is a no; without one, a file that cannot be read leaves the question open.
fn code(document: &ComparisonDocument) -> u8 {
    match (document.changed, document.unknown) {
        (0, 0) => DONE,
        (0, _) => INCONCLUSIVE,
        _ => NO,
    }
}

fn accepted(it: &Session, request: &Request) -> Outcome {
    let answer: BaselineAnswer = it.client()?.ask(request)?;
    it.out.document(&answer, |look| view::baseline::accepted(&answer, look))?;
    Ok(if answer.skipped.is_empty() { DONE } else { NO })
}

fn compare(it: &Session, some: &[PathBuf], diff: bool) -> Result<ComparisonDocument, Failure> {
    let mut parameters: Vec<_> = subjects(some)?.into_iter().map(|p| ("path", p)).collect();
    parameters.push(("diff", diff.to_string()));
    Ok(it.client()?.get("/baseline/compare", &parameters)?)
}
