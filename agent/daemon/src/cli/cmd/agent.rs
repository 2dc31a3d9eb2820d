//! `run`, `status`, `pause`, `resume`.

use super::super::args::Run;
use super::super::exit::{DONE, Failure, Outcome};
use super::super::view;
use super::Session;
use crate::answers::PauseAnswer;
use crate::app;
use crate::config::Overrides;
use crate::request::Request;
use crate::status::StatusDocument;
use crate::telemetry::Chain;

/// Ends when the agent does.
pub(super) fn run(it: &Session, args: Run) -> Outcome {
    let overrides = Overrides { data_dir: args.data_dir, socket: it.global.socket.clone() };
    let path = it.global.config.clone();
    let loaded = super::config::load(path.as_deref(), &overrides)?;
    match app::run(loaded, path, overrides) {
        Ok(()) => Ok(DONE),
        Err(error) => {
            let failure = Failure::new(error.exit_code(), Chain(&error));
            Err(match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure,
            })
        }
    }
}

pub(super) fn status(it: &Session) -> Outcome {
    let status: StatusDocument = it.client()?.get("/status", &[])?;
    it.out.document(&status, |look| view::status::status(&status, look))?;
    Ok(DONE)
}

pub(super) fn pause(it: &Session, reason: String) -> Outcome {
    let answer: PauseAnswer = it.client()?.ask(&Request::Pause { reason })?;
    it.out.document(&answer, |_| match &answer.paused {
        Some(paused) => format!("Paused by {}: no action starts until `holdfast resume`.\n", paused.by),
        None => "Not paused.\n".to_owned(),
    })?;
    Ok(DONE)
}

pub(super) fn resume(it: &Session, reason: String) -> Outcome {
    let answer: PauseAnswer = it.client()?.ask(&Request::Resume { reason })?;
    it.out.document(&answer, |_| match &answer.paused {
        Some(paused) => format!("Still paused by {}.\n", paused.by),
        None if !answer.changed => "It was not paused.\n".to_owned(),
        None => "Resumed: actions may start again, as far as policy lets them.\n".to_owned(),
    })?;
    Ok(DONE)
}
