//! `holdfast deploy`.

use std::fmt::Write as _;

use holdfast_core::model::Deployment;

use super::super::ink::{bold, dim};
use super::super::out::Look;
use super::super::table::Table;
use super::super::when::{dated, relative, span};
use super::words::{deployment_state, fact, incident_state, section, severity};
use crate::api::wire::{ChangesDocument, DeploymentDocument, DeploymentsDocument};

pub(in super::super) fn list(it: &DeploymentsDocument, look: Look) -> String {
    if it.deployments.is_empty() {
        return "No deployments.\n".to_owned();
    }
    let mut table = Table::new(&["ID", "STATE", "SERVICE", "VERSION", "ENVIRONMENT", "STARTED", "TOOK", "BY"]);
    for one in &it.deployments {
        table.row(vec![
            one.id.to_string(),
            deployment_state(one.state),
            one.service.clone(),
            one.version.clone(),
            one.environment.clone(),
            relative(one.started_at, look.now),
            one.finished_at.map_or_else(|| "-".to_owned(), |end| span(end.since(one.started_at))),
            one.actor.clone(),
        ]);
    }
    table.render(look.columns)
}

pub(in super::super) fn one(it: &Deployment, look: Look) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} {} to {}  {}",
        bold(&it.service),
        bold(&it.version),
        it.environment,
        deployment_state(it.state)
    );
    fact(&mut out, "deployment", it.id.as_str());
    fact(&mut out, "started", &format!("{} by {}", dated(it.started_at, look.now), it.actor));
    if let Some(end) = it.finished_at {
        fact(&mut out, "finished", &format!("{}, after {}", dated(end, look.now), span(end.since(it.started_at))));
    }
    for (name, value) in [("artifact", &it.artifact), ("revision", &it.revision), ("release", &it.release_dir)] {
        if let Some(value) = value {
            fact(&mut out, name, value);
        }
    }
    if !it.units.is_empty() {
        fact(&mut out, "units", &it.units.join(", "));
    }
    if !it.paths.is_empty() {
        fact(&mut out, "paths", &it.paths.join(", "));
    }
    out
}

pub(in super::super) fn show(it: &DeploymentDocument, look: Look) -> String {
    let mut out = one(&it.deployment, look);
    section(&mut out, "Incidents that suspect it");
    for one in &it.incidents {
        let _ = writeln!(out, "{}  {}  {}  {}", one.id, incident_state(one.state), severity(one.severity), one.title);
    }
    if it.incidents.is_empty() {
        let _ = writeln!(out, "{}", dim("none"));
    }
    section(&mut out, "Changes");
    out.push_str(&super::changes::list(&ChangesDocument { changes: it.changes.clone() }, look));
    out
}
