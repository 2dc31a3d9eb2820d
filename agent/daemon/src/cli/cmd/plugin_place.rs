//! `plugin enable`, `disable`, `remove` and `lift-quarantine`.

use std::path::{Path, PathBuf};

use holdfast_core::model::Interval;
use serde::Serialize;

use super::super::exit::{DENIED, DONE, Failure, INCONCLUSIVE, NO, Outcome, USAGE};
use super::super::view::plugin_install as view;
use super::Session;
use super::plugin_agent::{self, Taken};
use super::plugin_install::configured;
use crate::answers::{PluginForgotten, QuarantineLifted};
use crate::config::PluginsConfig;
use crate::install::{self, InstallError, Write, grant_file, grant_text};
use crate::plugins::{Installed, installed, signature_file};
use crate::request::Request;

/// What was switched.
#[derive(Debug, Serialize)]
pub(in super::super) struct SwitchReport {
    pub(in super::super) plugin: String,
    pub(in super::super) enabled: bool,
    /// False: it was so already.
    pub(in super::super) changed: bool,
    /// Where the switch stands; `None`: it has no grant, so it is never called anyway.
    pub(in super::super) grant: Option<PathBuf>,
    pub(in super::super) agent: Taken,
}

/// What was removed.
#[derive(Debug, Serialize)]
pub(in super::super) struct RemoveReport {
    pub(in super::super) plugin: String,
    /// Files that are gone.
    pub(in super::super) removed: Vec<PathBuf>,
    /// What stays.
    pub(in super::super) kept: Vec<PathBuf>,
    /// Keys of its own state that were forgotten; `None`: without --purge nothing is.
    pub(in super::super) forgotten: Option<u64>,
    /// Why nothing was forgotten although that was asked for: a component of this id was put there meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) note: Option<String>,
    pub(in super::super) agent: Taken,
}

/// A name that becomes a file's name.
fn named(id: &str) -> Result<(), Failure> {
    let good = !id.is_empty() && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good { Ok(()) } else { Err(unknown(id)) }
}

fn unknown(id: &str) -> Failure {
    Failure::new(USAGE, format!("no plugin `{id}` is installed")).hint("`holdfast plugin list` shows those that are")
}

fn ended(taken: &Taken, wait: Interval) -> u8 {
    match taken.state.as_str() {
        "refused" => NO,
        "pending" if wait.0 > std::time::Duration::ZERO => INCONCLUSIVE,
        _ => DONE,
    }
}

pub(super) fn switch(it: &Session, id: &str, enabled: bool, wait: Interval) -> Outcome {
    named(id)?;
    let config = configured(it)?;
    let file = grant_file(&config, id);
    let Some(text) = grant_text(&file)? else {
        if !installed(&config.dirs).iter().any(|it| it.id == id) {
            return Err(unknown(id));
        }
        if enabled {
            return Err(Failure::usage(format!(
                "plugin {id} was never granted anything here, so there is nothing to switch on"
            ))
            .hint(format!("write {}, or install it again with `holdfast plugin install`", file.display())));
        }
        let agent = plugin_agent::wait(it, id, Interval::secs(0), |status, _| {
            status.map(|status| Taken { state: status.state.clone(), reason: status.reason.clone() })
        });
        let report = SwitchReport { plugin: id.to_owned(), enabled: false, changed: false, grant: None, agent };
        it.out.document(&report, |_| view::switched(&report))?;
        return Ok(DONE);
    };
    let wrong = |why| InstallError::Grant { file: file.clone(), why };
    let mut changed = false;
    if install::switched(&text, enabled).map_err(wrong)?.is_some() {
        let _lock = install::lock(&config)?;
        // As it reads now: somebody else may just have had it.
        let text = grant_text(&file)?.ok_or(InstallError::Meanwhile)?;
        if let Some(text) = install::switched(&text, enabled).map_err(wrong)? {
            install::place(&[Write { path: file.clone(), content: Some(text.into_bytes()) }])?;
            changed = true;
        }
    }
    let agent = plugin_agent::switched(it, id, enabled, wait);
    let report = SwitchReport { plugin: id.to_owned(), enabled, changed, grant: Some(file), agent };
    it.out.document(&report, |_| view::switched(&report))?;
    Ok(ended(&report.agent, wait))
}

/// Components that may be taken away, all of those with this id.
fn own_files(config: &PluginsConfig, id: &str, known: &[Installed]) -> Result<Vec<PathBuf>, Failure> {
    let files: Vec<PathBuf> = known.iter().filter(|it| it.id == id).map(|it| it.file.clone()).collect();
    let packaged = |file: &&PathBuf| config.trusted_dirs.iter().any(|dir| file.parent() == Some(dir));
    match files.iter().find(packaged) {
        Some(file) => {
            let dir = file.parent().unwrap_or(Path::new("/")).display();
            Err(Failure::new(DENIED, format!("{id} came with a package or a build, in {dir}, and goes with it"))
                .hint(format!("`holdfast plugin disable {id}` switches it off, for good")))
        }
        None => Ok(files),
    }
}

pub(super) fn remove(it: &Session, id: &str, (purge, yes): (bool, bool), wait: Interval) -> Outcome {
    named(id)?;
    let config = configured(it)?;
    let grant = grant_file(&config, id);
    let files = own_files(&config, id, &installed(&config.dirs))?;
    // Without a component there may still be something to forget.
    if files.is_empty() && !(purge && grant.exists()) {
        return Err(unknown(id));
    }
    if purge {
        // What is kept lies in the agent's database, and nobody else opens that.
        plugin_agent::must_be_there(it, id)?;
    }
    if !yes {
        let also = if purge { ", with its grant and everything that is kept of it" } else { "" };
        match it.out.ask(&format!("Remove plugin {id}{also}?")) {
            Some(true) => {}
            Some(false) => return Err(Failure::new(NO, "nothing was removed")),
            None => {
                return Err(Failure::usage(format!(
                    "nothing was removed: there is no terminal to ask whether plugin {id} is to go{also}"
                ))
                .hint("the same command with --yes removes it"));
            }
        }
    }
    let gone = {
        let _lock = install::lock(&config)?;
        // As they lie now: somebody else may just have put one there.
        let files = own_files(&config, id, &installed(&config.dirs))?;
        let mut gone: Vec<PathBuf> = files.iter().flat_map(|file| [file.clone(), signature_file(file)]).collect();
        gone.retain(|file| file.exists());
        install::place(&taken_away(&gone))?;
        gone
    };
    let agent = plugin_agent::removed(it, id, wait);
    let mut report =
        RemoveReport { plugin: id.to_owned(), removed: gone, kept: Vec::new(), forgotten: None, note: None, agent };
    if purge && report.agent.state == "removed" {
        let _lock = install::lock(&config)?;
        // The grant may be another by now, of what somebody has installed while the agent let go of this one.
        if let Some(again) = installed(&config.dirs).into_iter().find(|it| it.id == id) {
            report.note = Some(format!(
                "{} was put there meanwhile, so its grant and what is kept of it stay",
                again.file.display()
            ));
        } else {
            let reason = "plugin remove --purge".to_owned();
            let answer: PluginForgotten = it.client()?.ask(&Request::ForgetPlugin { plugin: id.to_owned(), reason })?;
            report.forgotten = Some(answer.keys);
            if grant.exists() {
                install::place(&taken_away(std::slice::from_ref(&grant)))?;
                report.removed.push(grant.clone());
            }
        }
    }
    report.kept.extend(grant.exists().then_some(grant));
    it.out.document(&report, |_| view::removed(&report))?;
    Ok(if report.note.is_some() { NO } else { ended(&report.agent, wait) })
}

fn taken_away(files: &[PathBuf]) -> Vec<Write> {
    files.iter().map(|path| Write { path: path.clone(), content: None }).collect()
}

pub(super) fn lift(it: &Session, id: String, reason: String) -> Outcome {
    let answer: QuarantineLifted = it.client()?.ask(&Request::LiftQuarantine { plugin: id, reason })?;
    it.out.document(&answer, |_| {
        if answer.was_quarantined {
            format!("Plugin {} is no longer quarantined, and what it did is forgotten.\n", answer.plugin)
        } else {
            format!("Plugin {} was not quarantined; failures so far are forgotten.\n", answer.plugin)
        }
    })?;
    Ok(DONE)
}
