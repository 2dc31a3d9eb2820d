//! `plugin`.

use holdfast_core::model::Presence;

use super::super::args::Plugin;
use super::super::exit::{DONE, NO, Outcome};
use super::super::view;
use super::Session;
use crate::answers::PluginAnswer;
use crate::api::wire::PluginsDocument;
use crate::request::Request;

pub(super) fn run(it: &Session, command: Plugin) -> Outcome {
    match command {
        Plugin::List => {
            let document: PluginsDocument = it.client()?.get("/plugins", &[])?;
            it.out.document(&document, |look| view::plugins::list(&document, look))?;
            Ok(DONE)
        }
        Plugin::Run { id } => {
            let answer: PluginAnswer = it.client()?.ask(&Request::RunPlugin { plugin: id })?;
            it.out.document(&answer, |look| view::plugins::run(&answer, look))?;
            let found = answer.detections.iter().any(|d| d.presence == Presence::Present);
            Ok(if found { NO } else { DONE })
        }
    }
}
