//! `deploy`.

use holdfast_core::model::Deployment;

use super::super::args::{Deploy, DeployStatus};
use super::super::exit::{DONE, Outcome};
use super::super::view;
use super::{Session, absolute, given, lists, paths};
use crate::api::wire::{DeploymentDocument, DeploymentsDocument};
use crate::request::{DeployStart, Request};

pub(super) fn run(it: &Session, command: Deploy) -> Outcome {
    match command {
        Deploy::Start(args) => {
            let start = DeployStart {
                id: args.id,
                service: args.service,
                version: args.version,
                environment: args.environment,
                artifact: args.artifact,
                revision: args.revision,
                release_dir: args.release_dir.as_deref().map(absolute).transpose()?,
                units: args.units,
                paths: paths(&args.paths)?,
            };
            altered(it, &Request::DeployStart(start))
        }
        Deploy::Finish { id, status, failed } => {
            let succeeded = status == DeployStatus::Succeeded && !failed;
            altered(it, &Request::DeployFinish { id, succeeded })
        }
        Deploy::List { listing, service } => {
            let mut parameters = lists::listing(listing);
            parameters.push(("service", service));
            let document: DeploymentsDocument = it.client()?.get("/deployments", &given(parameters))?;
            it.out.document(&document, |look| view::deployments::list(&document, look))?;
            Ok(DONE)
        }
        Deploy::Show { id } => {
            let document: DeploymentDocument = it.client()?.get(&format!("/deployments/{id}"), &[])?;
            it.out.document(&document, |look| view::deployments::show(&document, look))?;
            Ok(DONE)
        }
    }
}

fn altered(it: &Session, request: &Request) -> Outcome {
    let deployment: Deployment = it.client()?.ask(request)?;
    it.out.document(&deployment, |look| view::deployments::one(&deployment, look))?;
    Ok(DONE)
}
