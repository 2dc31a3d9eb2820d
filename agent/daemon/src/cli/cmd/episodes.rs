//! `findings episodes`: the samples that are kept of labelled findings.

use std::io::Write as _;
use std::path::Path;

use holdfast_core::detect::replay::Episode;
use holdfast_core::model::FindingId;

use super::super::exit::{DONE, Failure, NO, Outcome, USAGE};
use super::super::view;
use super::Session;
use crate::api::wire::EpisodesDocument;

/// What is kept, those of `ids` only where there are any.
pub(super) fn heads(it: &Session, ids: &[FindingId]) -> Result<EpisodesDocument, Failure> {
    let mut document: EpisodesDocument = it.client()?.get("/episodes", &[])?;
    if let Some(missing) = ids.iter().find(|id| document.episodes.iter().all(|one| one.finding != **id)) {
        return Err(Failure::new(USAGE, format!("no episode of {missing} is kept"))
            .hint("a label keeps one, of a finding that rests on samples"));
    }
    document.episodes.retain(|one| ids.is_empty() || ids.contains(&one.finding));
    Ok(document)
}

/// One with its samples.
pub(super) fn one(it: &Session, id: &FindingId) -> Result<Episode, Failure> {
    Ok(it.client()?.get(&format!("/episodes/{id}"), &[])?)
}

pub(super) fn run(it: &Session, ids: &[FindingId], export: Option<&Path>) -> Outcome {
    let document = heads(it, ids)?;
    let Some(path) = export else {
        it.out.document(&document, |look| view::labels::episodes(&document, look))?;
        return Ok(DONE);
    };
    let failed = |error: std::io::Error| Failure::new(NO, format!("cannot write {}: {error}", path.display()));
    let mut file = std::fs::File::create(path).map_err(failed)?;
    for head in &document.episodes {
        it.out.progress(&format!("{} of {}", head.finding, head.kind));
        let line = serde_json::to_string(&one(it, &head.finding)?).map_err(std::io::Error::other)?;
        writeln!(file, "{line}").map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    it.out.document(&document, |_| format!("{} episodes written to {}.\n", document.episodes.len(), path.display()))?;
    Ok(DONE)
}
