//! `plugin`.

use std::path::{Path, PathBuf};

use holdfast_core::model::Presence;
use holdfast_core::model::plan::hex;
use holdfast_plugin_build::{BuildError, Built, Language, Options, Surface};
use holdfast_plugin_host::{COMPONENT_BYTES_MAX, Manifest, manifest_of};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::super::args_plugin::{Plugin, PluginTest};
use super::super::exit::{DONE, Failure, NO, Outcome, USAGE};
use super::super::view;
use super::Session;
use crate::answers::PluginAnswer;
use crate::api::wire::PluginsDocument;
use crate::authoring::{self, NewOptions, TestOptions};
use crate::plugins::Standing;
use crate::request::Request;
use crate::telemetry::Chain;

/// What a component is, read without running it.
#[derive(Debug, Serialize)]
pub(in super::super) struct Inspection {
    pub(in super::super) file: String,
    pub(in super::super) bytes: u64,
    /// SHA-256 of the component: what a grant is bound to.
    pub(in super::super) digest: String,
    /// What it was built from; only just after building.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) language: Option<String>,
    /// The same bytes lay there already; only just after building.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) unchanged: Option<bool>,
    /// The lowest agent that runs it.
    pub(in super::super) agent_min: String,
    /// Who vouches for it, by this host's configuration; not just after building.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) signature: Option<String>,
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
            let document = inspect(it, &file)?;
            it.out.document(&document, |_| view::plugins::inspection(&document))?;
            Ok(DONE)
        }
        Plugin::Run { id: None, dir, watch, offline } => super::plugin_watch::run(it, &dir, watch, offline),
        Plugin::Run { id: Some(id), .. } => {
            let answer: PluginAnswer = it.client()?.ask(&Request::RunPlugin { plugin: id })?;
            it.out.document(&answer, |look| view::plugins::run(&answer, look))?;
            let found = answer.detections.iter().any(|d| d.presence == Presence::Present);
            Ok(if found { NO } else { DONE })
        }
        Plugin::Test(args) => test(it, args),
        Plugin::Install(args) => super::plugin_install::install(it, args),
        Plugin::Push { file, reference, registry } => super::plugin_push::push(it, &file, &reference, &registry),
        Plugin::Enable { id, wait } => super::plugin_place::switch(it, &id, true, wait),
        Plugin::Disable { id, wait } => super::plugin_place::switch(it, &id, false, wait),
        Plugin::Remove { id, purge, yes, wait } => super::plugin_place::remove(it, &id, (purge, yes), wait),
        Plugin::LiftQuarantine { id, reason } => super::plugin_place::lift(it, id, reason),
        Plugin::New { name, within, language, sdk } => {
            let known = Language::ALL.into_iter().find(|it| it.as_str() == language);
            let language = known.ok_or_else(|| Failure::usage(format!("`{language}` is no language of plugins")))?;
            let report = authoring::new(&NewOptions { name, within, language, sdk })
                .map_err(|error| Failure::usage(Chain(&error)))?;
            it.out.document(&report, |_| view::plugins::made(&report))?;
            Ok(DONE)
        }
        Plugin::Build { dir, out, offline } => build(it, &dir, out, offline),
        Plugin::Keygen { file, password } => super::plugin_keys::keygen(it, &file, &password),
        Plugin::Sign { file, key, password } => super::plugin_keys::sign(it, &file, &key, &password),
        Plugin::Verify { file, keys } => super::plugin_keys::verify(it, &file, &keys),
    }
}

fn test(it: &Session, args: PluginTest) -> Outcome {
    let PluginTest { dir, component, filter, bless, offline } = args;
    let component = if component.is_some() {
        component
    } else {
        it.out.progress("building the component");
        Some(compile(&dir, None, offline)?.file)
    };
    // With an interpreter in it this takes ten seconds, in silence otherwise.
    it.out.progress("compiling it as a host does, and playing its cases");
    let options = TestOptions { dir, component, filter, bless };
    let report = authoring::test(&options, |case| {
        it.out.progress(&format!("{} {}", if case.problems.is_empty() { "ok" } else { "FAILED" }, case.name));
    })
    .map_err(|error| Failure::usage(Chain(&error)))?;
    it.out.document(&report, |_| view::plugins::tested(&report))?;
    Ok(if report.failed() == 0 { DONE } else { NO })
}

/// From source to component, with the author's own compiler.
pub(super) fn compile(dir: &Path, out: Option<PathBuf>, offline: bool) -> Result<Built, Failure> {
    // A wrong manifest is shown before anything is compiled.
    let file = dir.join("plugin.toml");
    if let Ok(text) = std::fs::read_to_string(&file) {
        Manifest::parse(&text).map_err(|error| Failure::usage(format!("{}: {}", file.display(), Chain(&error))))?;
    }
    holdfast_plugin_build::build(&Options { dir: dir.to_owned(), out, offline }).map_err(|error| {
        let code = if matches!(error, BuildError::Tool { .. }) { NO } else { USAGE };
        Failure { hint: error.hint(), ..Failure::new(code, Chain(&error)) }
    })
}

fn build(it: &Session, dir: &Path, out: Option<PathBuf>, offline: bool) -> Outcome {
    it.out.progress("building the component");
    let built = compile(dir, out, offline)?;
    let file = built.file.display().to_string();
    let manifest =
        manifest_of(&built.component).map_err(|error| Failure::usage(format!("{file}: {}", Chain(&error))))?;
    roles_agree(&manifest, &built.surface).map_err(|why| Failure::usage(format!("{file}: {why}")))?;
    let mut document = described(file, &built.component, manifest, built.surface);
    (document.language, document.unchanged) = (Some(built.language.to_string()), Some(built.unchanged));
    it.out.document(&document, |_| view::plugins::inspection(&document))?;
    Ok(DONE)
}

/// What a host would refuse at load is refused where its author sees it.
fn roles_agree(manifest: &Manifest, surface: &Surface) -> Result<(), String> {
    let set = |roles: &[String]| roles.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    if set(&manifest.roles) == set(&surface.roles) {
        return Ok(());
    }
    let (claimed, exported) = (manifest.roles.join(", "), surface.roles.join(", "));
    Err(format!(
        "the manifest names the roles [{claimed}], the component exports [{exported}]; correct `roles` in plugin.toml"
    ))
}

fn described(file: String, component: &[u8], manifest: Manifest, surface: Surface) -> Inspection {
    Inspection {
        file,
        bytes: component.len() as u64,
        digest: hex(&Sha256::digest(component)),
        language: None,
        unchanged: None,
        agent_min: surface.agent_min,
        signature: None,
        manifest,
        imports: surface.imports,
        exports: surface.exports,
    }
}

fn inspect(it: &Session, file: &Path) -> Result<Inspection, Failure> {
    let name = file.display().to_string();
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{name}: {why}"))
            .hint("a plugin is a WebAssembly component with its manifest inside, as `holdfast plugin build` makes it")
    };
    let bytes = std::fs::metadata(file).map_err(|e| wrong(&e))?.len();
    if bytes > COMPONENT_BYTES_MAX as u64 {
        return Err(wrong(&format!("it has {bytes} bytes, a component has at most {COMPONENT_BYTES_MAX}")));
    }
    let component = std::fs::read(file).map_err(|e| wrong(&e))?;
    let manifest = manifest_of(&component).map_err(|e| wrong(&Chain(&e)))?;
    let surface = holdfast_plugin_build::surface(&component).map_err(|e| wrong(&e))?;
    let mut document = described(name.clone(), &component, manifest, surface);
    document.signature = Some(signature(it, file, &component));
    Ok(document)
}

/// Whether the configuration's keys vouch for it, in a sentence.
fn signature(it: &Session, file: &Path, component: &[u8]) -> String {
    // Without a configuration nobody is trusted, and the signature is still named.
    let trust = super::plugin_keys::trust(it, &[]).unwrap_or_default();
    match trust.admit(file, component) {
        Ok(Standing::Signed { key, comment }) => format!("signed by the trusted key {key}: {comment}"),
        Ok(Standing::Shipped | Standing::Unsigned) => "nobody vouches for it".to_owned(),
        Err(error) => error.to_string(),
    }
}
