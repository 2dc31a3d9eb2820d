//! A plugin that makes whatever host calls its settings list, with whatever arguments, and gives back what it was told.
//!
//! It uses the bare imports, so nothing that the SDK would check or set right stands between the arguments and the host.

use holdfast_plugin_sdk::bindings::host::types::{Error, Label};
use holdfast_plugin_sdk::bindings::host::{changes, clock, files, log, metrics, processes, state, units};
use holdfast_plugin_sdk::{Check, Context, Plugin, Problem, Report, evidence, export, subject, text};
use serde::Deserialize;

/// One host call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is named as the host call, its arguments in the same order")]
pub enum Call {
    Stat(String),
    Read(String, u64, u32),
    ReadLink(String),
    Hash(String, bool),
    /// Root, depth, only, except, hashed, one file system, entries of a page, pages.
    Walk(String, u32, Vec<String>, Vec<String>, bool, bool, u32, u8),
    Unit(String),
    Units(String),
    Processes(String),
    Metrics(String, Vec<(String, String)>, u64, u64, u64),
    Changes(Vec<String>, u64, u64, u32),
    StateGet(String),
    StateSet(String, Vec<u8>),
    StateDelete(String),
    StateKeys(String),
    Log(u8, String, Vec<(String, String)>),
    Clock,
}

/// `[settings]` of plugin.toml.
#[derive(Debug, Deserialize)]
pub struct Settings {
    /// JSON.
    pub calls: String,
}

/// The plugin.
pub struct Caller {
    calls: Vec<Call>,
}

impl Plugin for Caller {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        let calls = serde_json::from_str(&settings.calls).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self { calls })
    }
}

impl Check for Caller {
    /// What was told goes into one finding: the harness looks through it for what must never be told.
    fn run(&self, report: &mut Report) -> Result<(), Error> {
        report.evaluated("fuzz.told");
        let mut told = String::new();
        for call in &self.calls {
            told.push_str(&answer(call));
            told.push('\n');
        }
        // As much as one piece of evidence holds, made plain.
        let pieces: Vec<String> = told.as_bytes().chunks(2_000).take(6).map(plain).collect();
        let problem = Problem::new("fuzz.told", "told", subject("host", "told"), "What the host told.");
        report.found(problem.evidence(evidence("told", pieces)).evidence(evidence("calls", self.calls.len() as u64)));
        Ok(())
    }
}

fn plain(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() > 2_400 { text::line(&text) } else { text }
}

fn labels(pairs: &[(String, String)]) -> Vec<Label> {
    pairs.iter().map(|(key, value)| Label { key: key.clone(), value: value.clone() }).collect()
}

fn answer(call: &Call) -> String {
    match call {
        Call::Stat(path) => format!("{:?}", files::stat(path)),
        Call::Read(path, offset, len) => match files::read(path, *offset, *len) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("{error:?}"),
        },
        Call::ReadLink(path) => format!("{:?}", files::read_link(path).map(|it| it.len())),
        Call::Hash(path, blake) => {
            let algorithm = if *blake { files::Algorithm::Blake3 } else { files::Algorithm::Sha256 };
            format!("{:?}", files::hash(path, algorithm))
        }
        Call::Walk(root, depth, only, except, hashed, one, page, pages) => {
            let options = files::WalkOptions {
                max_depth: *depth,
                only: only.clone(),
                except: except.clone(),
                hash: hashed.then_some(files::Algorithm::Sha256),
                one_filesystem: *one,
            };
            match files::walk(root, &options) {
                Ok(walker) => {
                    let mut told = String::new();
                    for _ in 0..*pages {
                        match walker.next(*page) {
                            Ok(entries) => {
                                let seen = |it: &files::Entry| format!("{} {:?}", it.path, it.digest);
                                told.push_str(&entries.iter().map(seen).collect::<Vec<_>>().join(" "));
                            }
                            Err(error) => told = format!("{told} {error:?}"),
                        }
                    }
                    format!("{told} {:?}", walker.errors())
                }
                Err(error) => format!("{error:?}"),
            }
        }
        Call::Unit(name) => format!("{:?}", units::status(name)),
        Call::Units(pattern) => format!("{:?}", units::list(pattern)),
        Call::Processes(pattern) => format!("{:?}", processes::list(pattern)),
        Call::Metrics(name, pairs, start, end, step) => {
            let (name, labels) = (name.clone(), labels(pairs));
            let selector = metrics::Selector { name, labels, start: *start, end: *end, step: *step };
            format!("{:?}", metrics::query(&selector).map(|it| it.len()))
        }
        Call::Changes(kinds, start, end, limit) => {
            format!("{:?}", changes::query(kinds, *start, *end, *limit).map(|it| it.len()))
        }
        Call::StateGet(key) => format!("{:?}", state::get(key)),
        Call::StateSet(key, value) => format!("{:?}", state::set(key, value)),
        Call::StateDelete(key) => format!("{:?}", state::delete(key)),
        Call::StateKeys(prefix) => format!("{:?}", state::keys(prefix)),
        Call::Log(level, message, fields) => {
            let levels = [log::Level::Trace, log::Level::Debug, log::Level::Info, log::Level::Warn, log::Level::Error];
            log::log(levels[usize::from(*level) % levels.len()], message, &labels(fields));
            String::new()
        }
        Call::Clock => format!("{} {}", clock::now(), clock::monotonic()),
    }
}

export!(Caller: Check);
