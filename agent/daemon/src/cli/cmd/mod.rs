//! One function for each command. Each ends with an exit code or with a [`Failure`].

mod agent;
mod approve;
mod audit;
mod baseline;
mod config;
mod data;
mod deploy;
mod docs;
mod episodes;
mod inner;
mod lists;
mod metrics;
mod pipeline;
pub(super) mod plugin;
pub(super) mod plugin_agent;
pub(super) mod plugin_install;
mod plugin_keys;
pub(super) mod plugin_place;
pub(super) mod plugin_push;
pub(super) mod plugin_report;
mod plugin_watch;
pub(super) mod policy;
pub(super) mod tune;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use holdfast_core::model::ItemName;

use super::args::{Cli, Command, Global, RemediationsCommand};
use super::exit::{Failure, Outcome};
use super::out::Out;
use crate::api::Client;

/// What every command has at hand.
pub(super) struct Session {
    pub(super) global: Global,
    pub(super) out: Out,
    client: OnceCell<Client>,
}

impl Session {
    /// The socket of the agent: as given, as the given configuration says, the system's, the user's own.
    pub(super) fn socket(&self) -> Result<PathBuf, Failure> {
        if let Some(socket) = &self.global.socket {
            return Ok(socket.clone());
        }
        config::socket(self.global.config.as_deref())
    }

    /// To the agent; nothing is opened before the first question.
    pub(super) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client =
            Client::new(self.socket()?).map_err(|e| Failure::new(super::exit::NO, format!("cannot start: {e}")))?;
        Ok(self.client.get_or_init(|| client))
    }
}

pub(super) fn run(cli: Cli, out: Out) -> Outcome {
    let session = Session { global: cli.global, out, client: OnceCell::new() };
    let it = &session;
    match cli.command {
        Command::Run(args) => agent::run(it, args),
        Command::Status => agent::status(it),
        Command::Pause(reason) => agent::pause(it, reason.reason),
        Command::Resume(reason) => agent::resume(it, reason.reason),
        Command::Metrics(command) => metrics::run(it, command),
        Command::Changes(args) => lists::changes(it, args),
        Command::Findings(args) => lists::findings(it, args),
        Command::Incidents(args) => lists::incidents(it, args),
        Command::Remediations(args) => match args.command {
            None => lists::remediations(it, args.list),
            Some(RemediationsCommand::List(list)) => lists::remediations(it, list),
            Some(RemediationsCommand::Show(one)) => lists::remediation(it, &one.id),
            Some(RemediationsCommand::Simulate(one)) => approve::simulate(it, one.id),
            Some(RemediationsCommand::Approve(args)) => approve::approve(it, args),
            Some(RemediationsCommand::Reject(args)) => approve::reject(it, args),
            Some(RemediationsCommand::Undo(args)) => approve::undo(it, args),
        },
        Command::Tune(command) => tune::run(it, command),
        Command::Simulate(one) => approve::simulate(it, one.id),
        Command::Approve(args) => approve::approve(it, args),
        Command::Reject(args) => approve::reject(it, args),
        Command::Undo(args) => approve::undo(it, args),
        Command::Policy(command) => policy::run(it, command),
        Command::Baseline(command) => baseline::run(it, command),
        Command::Deploy(command) => deploy::run(it, command),
        Command::Gate(args) => pipeline::gate(it, args),
        Command::Exec(args) => Ok(pipeline::exec(it, args)),
        Command::Plugin(command) => plugin::run(it, command),
        Command::CompilePlugin(args) => inner::compile_plugin(&args),
        Command::RecordEnd => inner::record_end(it),
        Command::Data(command) => data::run(it, command),
        Command::Audit(command) => audit::run(it, command),
        Command::Config(command) => config::run(it, command),
        Command::Completions { shell } => docs::completions(it, shell),
        Command::Man { dir } => docs::man(it, &dir),
    }
}

/// A path as the agent knows it: absolute, from where the command was started.
fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).map_err(|e| Failure::usage(format!("`{}`: {e}", path.display())))?;
    path.into_os_string().into_string().map_err(|p| Failure::usage(format!("`{}` is not valid text", p.display())))
}

/// Paths made absolute; `user:alice` and its like name items and stay.
fn subjects(all: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let one = |it: &PathBuf| match it.to_str().filter(|text| text.parse::<ItemName>().is_ok()) {
        Some(item) => Ok(item.to_owned()),
        None => absolute(it),
    };
    all.iter().map(one).collect()
}

fn paths(all: &[PathBuf]) -> Result<Vec<String>, Failure> {
    all.iter().map(|p| absolute(p)).collect()
}

/// Parameters of a request, those that are there.
fn given(pairs: Vec<(&'static str, Option<String>)>) -> Vec<(&'static str, String)> {
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
