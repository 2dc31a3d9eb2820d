//! `config`, and what the command itself takes from the configuration.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::args::Config as Command;
use super::super::exit::{DONE, Failure, Outcome};
use super::super::ink::dim;
use super::Session;
use crate::api::wire::TuningDocument;
use crate::config::{self, Loaded, Overrides};
use crate::telemetry::Chain;

/// Where a host's own agent listens.
const SYSTEM_SOCKET: &str = "/run/holdfast/holdfast.sock";

/// Reads the configuration; a mistake in it is a mistake of usage, with its position.
pub(super) fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Failure> {
    config::load(path, overrides).map_err(|error| Failure::usage(Chain(&error)))
}

/// The socket that commands ask when none is named.
pub(super) fn socket(path: Option<&Path>) -> Result<PathBuf, Failure> {
    if path.is_some() {
        return Ok(load(path, &Overrides::default())?.config.agent.socket);
    }
    let system = PathBuf::from(SYSTEM_SOCKET);
    // A configuration that this user may not read says nothing about where the user's own agent listens.
    let configured = config::load(None, &Overrides::default()).ok().map(|l| l.config.agent.socket);
    let own = config::user_default().agent.socket;
    let candidates = [Some(system.clone()), configured, Some(own)];
    Ok(candidates.into_iter().flatten().find(|p| p.exists()).unwrap_or(system))
}

#[derive(Serialize)]
struct Checked {
    valid: bool,
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Shown {
    files: Vec<PathBuf>,
    values: Vec<ShownValue>,
}

#[derive(Serialize)]
struct ShownValue {
    key: String,
    /// As TOML writes it.
    value: String,
    /// `FILE:LINE`, a flag, or `default`.
    origin: String,
}

pub(super) fn run(it: &Session, command: Command) -> Outcome {
    let overrides = Overrides { data_dir: None, socket: it.global.socket.clone() };
    let loaded = load(it.global.config.as_deref(), &overrides)?;
    match command {
        Command::Check => {
            let checked = Checked { valid: true, files: loaded.files };
            it.out.document(&checked, |_| checked_text(&checked))?;
        }
        Command::Show => {
            let values = loaded.effective().into_iter().map(|(key, value, origin)| ShownValue { key, value, origin });
            let mut values: Vec<ShownValue> = values.collect();
            tuned(it, &mut values);
            let shown = Shown { values, files: loaded.files };
            it.out.document(&shown, |_| shown_text(&shown))?;
        }
    }
    Ok(DONE)
}

/// What the agent that answers has over the configuration; without one, the files are all there is to say.
fn tuned(it: &Session, values: &mut Vec<ShownValue>) {
    let Ok(client) = it.client() else { return };
    let Ok(document) = client.get::<TuningDocument>("/tuning", &[]) else { return };
    let Some(version) = document.versions.first() else { return };
    for (key, value) in document.tuning.entries() {
        let plain = value.chars().all(|c| c.is_ascii_alphanumeric());
        let value = if plain { format!("\"{value}\"") } else { value };
        let origin = format!("tuning {} by {}: {}", version.number, version.by, version.reason);
        match values.iter_mut().find(|it| it.key == key) {
            Some(known) => (known.value, known.origin) = (value, origin),
            None => values.push(ShownValue { key, value, origin }),
        }
    }
}

fn checked_text(it: &Checked) -> String {
    if it.files.is_empty() {
        return "There is no configuration file: everything is as by default.\n".to_owned();
    }
    let files: Vec<String> = it.files.iter().map(|f| f.display().to_string()).collect();
    format!("The configuration is good: {}.\n", files.join(", "))
}

/// Lines that can be pasted into a file, with the origins as comments.
fn shown_text(it: &Shown) -> String {
    let mut out = String::new();
    let widest =
        it.values.iter().map(|v| v.key.chars().count() + v.value.chars().count() + 3).max().unwrap_or(0).min(64);
    for one in &it.values {
        let line = format!("{} = {}", one.key, one.value);
        let _ = writeln!(out, "{line:<widest$}  {}", dim(&format!("# {}", one.origin)));
    }
    out
}
