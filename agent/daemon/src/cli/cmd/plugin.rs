//! `plugin`.

use std::path::Path;

use holdfast_core::model::Presence;
use holdfast_core::model::plan::hex;
use holdfast_plugin_host::{COMPONENT_BYTES_MAX, Manifest, manifest_of};
use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};

use super::super::args::{Plugin, PluginTest};
use super::super::exit::{DONE, Failure, NO, Outcome};
use super::super::view;
use super::Session;
use crate::answers::PluginAnswer;
use crate::api::wire::PluginsDocument;
use crate::authoring::{self, TestOptions};
use crate::request::Request;
use crate::telemetry::Chain;

/// What a component is, read without running it.
#[derive(Debug, Serialize)]
pub(in super::super) struct Inspection {
    pub(in super::super) file: String,
    pub(in super::super) bytes: u64,
    /// SHA-256 of the component: what a grant is bound to.
    pub(in super::super) digest: String,
    pub(in super::super) manifest: Manifest,
    /// Interfaces that it needs.
    pub(in super::super) imports: Vec<String>,
    /// Interfaces that it offers.
    pub(in super::super) exports: Vec<String>,
}

pub(super) fn run(it: &Session, command: Plugin) -> Outcome {
    match command {
        Plugin::List => {
            let document: PluginsDocument = it.client()?.get("/plugins", &[])?;
            it.out.document(&document, |look| view::plugins::list(&document, look))?;
            Ok(DONE)
        }
        Plugin::Inspect { file } => {
            let document = inspect(&file)?;
            it.out.document(&document, |_| view::plugins::inspection(&document))?;
            Ok(DONE)
        }
        Plugin::Run { id } => {
            let answer: PluginAnswer = it.client()?.ask(&Request::RunPlugin { plugin: id })?;
            it.out.document(&answer, |look| view::plugins::run(&answer, look))?;
            let found = answer.detections.iter().any(|d| d.presence == Presence::Present);
            Ok(if found { NO } else { DONE })
        }
        Plugin::Test(args) => test(it, args),
    }
}

fn test(it: &Session, args: PluginTest) -> Outcome {
    let PluginTest { dir, component, filter, bless } = args;
    let options = TestOptions { dir, component, filter, bless };
    let report = authoring::test(&options, |case| {
        it.out.progress(&format!("{} {}", if case.problems.is_empty() { "ok" } else { "FAILED" }, case.name));
    })
    .map_err(|error| Failure::usage(Chain(&error)))?;
    it.out.document(&report, |_| view::plugins::tested(&report))?;
    Ok(if report.failed() == 0 { DONE } else { NO })
}

fn inspect(file: &Path) -> Result<Inspection, Failure> {
    let name = file.display().to_string();
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{name}: {why}"))
            .hint("a plugin is a WebAssembly component with its manifest inside, as `cargo xtask guests` builds it")
    };
    let bytes = std::fs::metadata(file).map_err(|e| wrong(&e))?.len();
    if bytes > COMPONENT_BYTES_MAX as u64 {
        return Err(wrong(&format!("it has {bytes} bytes, a component has at most {COMPONENT_BYTES_MAX}")));
    }
    let component = std::fs::read(file).map_err(|e| wrong(&e))?;
    let manifest = manifest_of(&component).map_err(|e| wrong(&Chain(&e)))?;
    let (imports, exports) = surface(&component).map_err(|e| wrong(&e))?;
    Ok(Inspection { file: name, bytes, digest: hex(&Sha256::digest(&component)), manifest, imports, exports })
}

/// What the outermost component imports and exports.
fn surface(component: &[u8]) -> Result<(Vec<String>, Vec<String>), wasmparser::BinaryReaderError> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}
