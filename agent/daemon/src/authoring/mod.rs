//! For the authors of plugins: cases that play a plugin in the real host, in a world that a file describes.
//!
//! A case lies in the plugin's `cases/`: a story, a world (files, units, processes, metrics, changes, a clock that stands
//! still) and what is asked for, with the kind of answer that a careful operator would want. The whole answer is kept beside
//! it as a golden file, so that a review shows what a change of the plugin would do to a host. The plugin runs as on a
//! host: its component, the same limits, grants and checks; a plan must pass the agent's own check of plans as well.

mod case;
mod golden;
mod lay;
mod new;
mod play;
mod template;
mod world;

use std::path::{Path, PathBuf};

use holdfast_core::model::Mode;
use holdfast_plugin_host::{Grant, HostOptions, Manifest, Plugin, PluginHost};
use serde::Serialize;

use crate::telemetry::Chain;
use case::Case;
pub use new::{NewOptions, NewReport, new};

/// Cases of one plugin that are looked at.
const CASES_MAX: usize = 1_000;

/// What to test.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// The plugin's folder, with `plugin.toml` and `cases/`.
    pub dir: PathBuf,
    /// Its component; `None`: looked for where it is usually built.
    pub component: Option<PathBuf>,
    /// Only cases whose name holds this.
    pub filter: Option<String>,
    /// Write the golden files as the answers are now.
    pub bless: bool,
}

/// What came of one question of a case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AskReport {
    /// `check`, `propose` or `verify`.
    pub ask: &'static str,
    /// The kind of the answer: `clean`, `found`, `plan`, `nothing`, `healed`, `not-healed`, `unsure`, `unable`, `refused`.
    pub answer: &'static str,
    /// Wall time of the call.
    pub elapsed_us: u64,
    /// The most memory that its instance had.
    pub memory_peak_bytes: u64,
    /// Host calls.
    pub host_calls: u64,
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// Its file or folder, without the extension.
    pub name: String,
    /// Its story.
    pub story: String,
    /// Its questions in order.
    pub asks: Vec<AskReport>,
    /// What is not as it should be, with what to do; empty: it passed.
    pub problems: Vec<String>,
    /// Its golden file was written.
    pub blessed: bool,
    /// The whole answers, one a question.
    #[serde(skip)]
    pub answers: Vec<serde_json::Value>,
}

/// What came of all cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestReport {
    /// The plugin's id.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The component that was run.
    pub component: PathBuf,
    /// SHA-256 of it.
    pub digest: String,
    /// In the order of their names.
    pub cases: Vec<CaseReport>,
}

impl TestReport {
    /// Cases that did not pass.
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.problems.is_empty()).count()
    }
}

/// Why nothing could be tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// A file or folder that is needed.
    #[error("{}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The WebAssembly engine does not start.
    #[error(transparent)]
    Host(#[from] holdfast_plugin_host::HostError),
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> TestError {
    TestError::File { path: path.to_owned(), why: why.to_string() }
}

/// Plays the cases of a plugin; `each` sees every case as soon as it is through.
///
/// An error is something that keeps all cases from being played; what is wrong with one case is a problem in its report.
pub fn test(options: &TestOptions, mut each: impl FnMut(&CaseReport)) -> Result<TestReport, TestError> {
    let manifest_file = options.dir.join("plugin.toml");
    let text = std::fs::read_to_string(&manifest_file).map_err(|error| {
        wrong(&manifest_file, format!("{error}; name the folder of a plugin, with its plugin.toml"))
    })?;
    let manifest = Manifest::parse(&text).map_err(|error| wrong(&manifest_file, Chain(&error)))?;
    let component = match &options.component {
        Some(file) => file.clone(),
        None => find_component(&options.dir, &manifest.id)?,
    };
    let bytes = std::fs::read(&component).map_err(|error| wrong(&component, error))?;
    let host = PluginHost::new(HostOptions::default())?;
    let plugin = host
        .load(&bytes, Some(Grant::everything(&manifest, Mode::Auto)))
        .map_err(|error| wrong(&component, Chain(&error)))?;
    if *plugin.manifest() != manifest {
        let why = "it was built with another plugin.toml than the one that lies in the folder; build it again";
        return Err(wrong(&component, why));
    }
    let files = case_files(&options.dir.join("cases"), options.filter.as_deref())?;
    let mut report = TestReport {
        plugin: plugin.id().to_owned(),
        version: plugin.version().to_owned(),
        component,
        digest: plugin.digest().to_owned(),
        cases: Vec::with_capacity(files.len()),
    };
    for (name, file) in files {
        let case = one(&plugin, &options.dir, name, &file, options.bless);
        each(&case);
        report.cases.push(case);
    }
    Ok(report)
}

fn one(plugin: &Plugin, dir: &Path, name: String, file: &Path, bless: bool) -> CaseReport {
    let mut report =
        CaseReport { name, story: String::new(), asks: vec![], problems: vec![], blessed: false, answers: vec![] };
    let case = match Case::read(file) {
        Ok(case) => case,
        Err(why) => {
            report.problems.push(why);
            return report;
        }
    };
    report.story.clone_from(&case.story);
    match play::play(plugin, dir, file, &case) {
        Err(why) => report.problems.push(why),
        Ok(played) => {
            report.asks = played.asks;
            report.problems = played.problems;
            // What is wrong by the case's own word is never made right by a golden file.
            if report.problems.is_empty() {
                match golden::compare(file, &played.answers, bless) {
                    Ok(written) => report.blessed = written,
                    Err(why) => report.problems.push(why),
                }
            }
            report.answers = played.answers;
        }
    }
    report
}

/// `ID.wasm` in the folder, or in `target/plugins` of it or of a folder above it.
fn find_component(dir: &Path, id: &str) -> Result<PathBuf, TestError> {
    let name = format!("{id}.wasm");
    let here = std::path::absolute(dir).map_err(|error| wrong(dir, error))?;
    let places =
        std::iter::once(here.join(&name)).chain(here.ancestors().map(|d| d.join("target/plugins").join(&name)));
    places.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        let why = format!(
            "the component {name} is neither here nor in target/plugins of a folder above; build it (`cargo xtask guests` in \
             Holdfast's own tree), or name it with --component"
        );
        wrong(dir, why)
    })
}

/// `NAME.toml`, and `NAME/case.toml` for cases with files of their own; by name.
fn case_files(cases: &Path, filter: Option<&str>) -> Result<Vec<(String, PathBuf)>, TestError> {
    let entries = std::fs::read_dir(cases)
        .map_err(|error| wrong(cases, format!("{error}; the cases of a plugin lie there, one NAME.toml each")))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| wrong(cases, error))?.path();
        let file = if path.is_dir() { path.join("case.toml") } else { path.clone() };
        let is_case = file.extension().is_some_and(|ext| ext == "toml") && file.is_file();
        if let (true, Some(stem)) = (is_case, path.file_stem()) {
            found.push((stem.to_string_lossy().into_owned(), file));
        }
    }
    found.retain(|(name, _)| filter.is_none_or(|part| name.contains(part)));
    found.sort();
    if found.is_empty() {
        let what = filter.map_or_else(|| "no case".to_owned(), |part| format!("no case with `{part}` in its name"));
        return Err(wrong(cases, format!("{what}; a case is a file NAME.toml, or a folder NAME with a case.toml")));
    }
    if found.len() > CASES_MAX {
        return Err(wrong(cases, format!("{} cases; {CASES_MAX} are played at most", found.len())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
