//! What is only read: changes, findings, incidents, remediations.

use std::collections::HashSet;
use std::thread::sleep;
use std::time::Duration;

use holdfast_core::model::{Change, Finding, RemediationId};

use super::super::args::{
    Changes, Findings, FindingsCommand, FindingsList, Incidents, IncidentsCommand, Label, Listing, RemediationsList,
};
use super::super::exit::{DONE, Outcome};
use super::super::view;
use super::{Session, given};
use crate::api::wire::{
    ChangesDocument, FindingDocument, FindingsDocument, IncidentDocument, IncidentsDocument, LabelsDocument,
    RemediationDocument, RemediationsDocument,
};
use crate::request::Request;

/// Between two looks for new changes.
const POLL: Duration = Duration::from_secs(1);
/// A change may be noticed this long after it happened, and still be printed while following.
const LATE_MAX: Duration = Duration::from_mins(2);

/// The parameters that all lists share.
pub(super) fn listing(it: Listing) -> Vec<(&'static str, Option<String>)> {
    vec![("open", it.open.then(|| "true".to_owned())), ("since", it.since), ("limit", it.limit.map(|l| l.to_string()))]
}

pub(super) fn changes(it: &Session, args: Changes) -> Outcome {
    let parameters = |since: String| {
        given(vec![
            ("since", Some(since)),
            ("kind", args.kind.clone()),
            ("target", args.target.clone()),
            ("limit", args.limit.map(|l| l.to_string())),
        ])
    };
    let first: ChangesDocument = it.client()?.get("/changes", &parameters(args.since.clone()))?;
    if !args.follow {
        it.out.document(&first, |look| view::changes::list(&first, look))?;
        return Ok(DONE);
    }
    let mut seen = HashSet::new();
    let mut page = first.changes;
    loop {
        for change in &page {
            if seen.insert(change.id.clone()) {
                it.out.record(change, |look| view::changes::line(change, look))?;
            }
        }
        sleep(POLL);
        let since = it.out.now().minus(LATE_MAX);
        page = it.client()?.get::<ChangesDocument>("/changes", &parameters(since.to_string()))?.changes;
        // What is older than the page is not asked for again; what is in it must not be forgotten.
        if seen.len() > 10 * page.len() + 10_000 {
            let kept: HashSet<_> = page.iter().map(|c: &Change| c.id.clone()).collect();
            seen.retain(|id| kept.contains(id));
        }
    }
}

pub(super) fn findings(it: &Session, args: Findings) -> Outcome {
    match args.command {
        None => findings_list(it, args.list),
        Some(FindingsCommand::List(list)) => findings_list(it, list),
        Some(FindingsCommand::Show { id }) => {
            let document: FindingDocument = it.client()?.get(&format!("/findings/{id}"), &[])?;
            it.out.document(&document, |look| view::findings::show(&document, look))?;
            Ok(DONE)
        }
        Some(FindingsCommand::Label { id, label, note }) => {
            let label = match label {
                Label::TruePositive => "true-positive",
                Label::FalsePositive => "false-positive",
            };
            let request = Request::Label { finding: id, label: label.to_owned(), note };
            let finding: Finding = it.client()?.ask(&request)?;
            it.out.document(&finding, |_| view::labels::labelled(&finding))?;
            Ok(DONE)
        }
        Some(FindingsCommand::Unlabel { id, note }) => {
            let finding: Finding = it.client()?.ask(&Request::Unlabel { finding: id, note })?;
            it.out.document(&finding, |_| view::labels::labelled(&finding))?;
            Ok(DONE)
        }
        Some(FindingsCommand::Episodes { ids, export }) => super::episodes::run(it, &ids, export.as_deref()),
        Some(FindingsCommand::Labels) => {
            let document: LabelsDocument = it.client()?.get("/labels", &[])?;
            it.out.document(&document, |look| view::labels::list(&document, look))?;
            Ok(DONE)
        }
    }
}

fn findings_list(it: &Session, list: FindingsList) -> Outcome {
    let mut parameters = listing(list.listing);
    parameters.push(("kind", list.kind));
    parameters.push(("suppressed", list.suppressed.then(|| "true".to_owned())));
    let document: FindingsDocument = it.client()?.get("/findings", &given(parameters))?;
    it.out.document(&document, |look| view::findings::list(&document, look))?;
    Ok(DONE)
}

pub(super) fn incidents(it: &Session, args: Incidents) -> Outcome {
    let list = match args.command {
        None => args.list,
        Some(IncidentsCommand::List(list)) => list,
        Some(IncidentsCommand::Show { id }) => {
            let document: IncidentDocument = it.client()?.get(&format!("/incidents/{id}"), &[])?;
            it.out.document(&document, |look| view::incidents::show(&document, look))?;
            return Ok(DONE);
        }
    };
    let document: IncidentsDocument = it.client()?.get("/incidents", &given(listing(list)))?;
    it.out.document(&document, |look| view::incidents::list(&document, look))?;
    Ok(DONE)
}

pub(super) fn remediations(it: &Session, list: RemediationsList) -> Outcome {
    let mut parameters = listing(list.listing);
    parameters.push(("state", list.state));
    parameters.push(("finding", list.finding.map(|f| f.to_string())));
    let document: RemediationsDocument = it.client()?.get("/remediations", &given(parameters))?;
    it.out.document(&document, |look| view::remediations::list(&document, look))?;
    Ok(DONE)
}

pub(super) fn remediation(it: &Session, id: &RemediationId) -> Outcome {
    let document: RemediationDocument = it.client()?.get(&format!("/remediations/{id}"), &[])?;
    it.out.document(&document, |look| view::remediations::show(&document, look))?;
    Ok(DONE)
}
