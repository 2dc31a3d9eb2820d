//! Reading, overriding key by key, and remembering where each value came from.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::check;
use super::error::{ConfigError, Fault, Place};
use super::types::Config;
use super::user::Places;

/// Where the configuration of a host lies.
pub const DEFAULT_PATH: &str = "/etc/holdfast/holdfast.toml";
/// A longer file is a mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// More files in `holdfast.d` are a mistake.
const FILES_MAX: usize = 256;

/// What flags say; stronger than every file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data-dir`; compiled plugins lie below it too, unless a file names another place.
    pub data_dir: Option<PathBuf>,
    /// `--socket`
    pub socket: Option<PathBuf>,
}

/// A configuration that passed every check.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// For each key in force (`watch.sweep`, `export.otlp[0].endpoint`): `FILE:LINE`, a flag's name, or `default`.
    pub origins: BTreeMap<String, String>,
    /// The files that were read, in the order of their force.
    pub files: Vec<PathBuf>,
}

impl Loaded {
    /// Every key in force with its value as TOML and its origin, sorted by key. Secrets are hidden.
    pub fn effective(&self) -> Vec<(String, String, String)> {
        leaves(&self.config)
            .into_iter()
            .map(|(key, value)| {
                let origin = self.origins.get(&key).cloned().unwrap_or_else(|| "default".to_owned());
                (key, value.to_string(), origin)
            })
            .collect()
    }
}

/// Reads the configuration: `path` (which must exist) or the default one (which need not), then the `*.toml` of the directory
/// beside it (`holdfast.d` for `holdfast.toml`) by name, then the flags.
///
/// What no file says is as on a fresh host; for an ordinary user with no file in `/etc`, as [`super::user_default`] says.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let default = Path::new(DEFAULT_PATH);
    // The unit of the agent runs as an ordinary user too; systemd tells it by naming its state directory.
    let of_host = rustix::process::geteuid().is_root() || std::env::var_os("STATE_DIRECTORY").is_some();
    let places = Places::of_process();
    let (main, must_exist, base) = match path {
        Some(path) if of_host || path == default => (path.to_path_buf(), true, Config::default()),
        Some(path) => (path.to_path_buf(), true, places.config()),
        None if of_host || default.exists() => (default.to_path_buf(), false, Config::default()),
        None => (places.config_dir().join("holdfast.toml"), false, places.config()),
    };
    let mut sources = Vec::new();
    match read(&main) {
        Ok(text) => sources.push(Source { name: main.display().to_string(), text }),
        Err(source) if source.kind() == io::ErrorKind::NotFound && !must_exist => {}
        Err(source) => return Err(ConfigError::Read { path: main, source }),
    }
    let mut files: Vec<PathBuf> = sources.iter().map(|_| main.clone()).collect();
    for path in drop_ins(&main.with_extension("d"))? {
        let text = read(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        sources.push(Source { name: path.display().to_string(), text });
        files.push(path);
    }
    let (config, origins) = resolve(&sources, base, overrides)?;
    Ok(Loaded { config, origins, files })
}

/// One text over the defaults of a host; `name` is what errors call it.
pub fn parse(text: &str, name: &str) -> Result<Config, ConfigError> {
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    Ok(resolve(&[source], Config::default(), &Overrides::default())?.0)
}

fn read(path: &Path) -> io::Result<String> {
    crate::host::read_trusted_text(path, FILE_BYTES_MAX)
}

/// The `*.toml` of a directory by name; hidden files are an editor's. A missing directory has none.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read { path: dir.to_path_buf(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|e| e == "toml") && !hidden {
            if paths.len() == FILES_MAX {
                return Err(failed(io::Error::other(format!("more than {FILES_MAX} files"))));
            }
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// Where a value was written: number of the source, span of the value.
type Spots = BTreeMap<String, (usize, Range<usize>)>;

pub(super) fn resolve(
    sources: &[Source],
    base: Config,
    overrides: &Overrides,
) -> Result<(Config, BTreeMap<String, String>), ConfigError> {
    let mut faults = Vec::new();
    let mut merged = as_table(&base);
    let mut spots = Spots::new();
    for (number, source) in sources.iter().enumerate() {
        // Alone first: the error then points into this file.
        if let Err(error) = toml::from_str::<Config>(&source.text) {
            let place = error.span().map(|span| Place::of(&source.text, &span));
            let message = error.message().trim_end().to_owned();
            let hint = check::hint_for(&message);
            faults.push(Fault { file: source.name.clone(), place, message, hint });
            continue;
        }
        // Neither fails: the text was parsed just now.
        if let Ok(tree) = DeTable::parse(&source.text) {
            spot_table(tree.get_ref(), "", number, &mut spots);
        }
        if let Ok(table) = source.text.parse::<Table>() {
            merge(&mut merged, table);
        }
    }
    if !faults.is_empty() {
        return Err(ConfigError::Invalid(faults));
    }
    let mut config: Config = merged.try_into().map_err(|error: toml::de::Error| {
        let message = error.message().to_owned();
        ConfigError::Invalid(vec![Fault { file: "configuration".to_owned(), place: None, message, hint: None }])
    })?;
    let mut flags = BTreeMap::new();
    if let Some(dir) = &overrides.data_dir {
        config.agent.data_dir = check::absolute(dir);
        flags.insert("agent.data-dir", "--data-dir");
        if !spots.contains_key("agent.cache-dir") {
            config.agent.cache_dir = config.agent.data_dir.join("cache");
            flags.insert("agent.cache-dir", "--data-dir");
        }
    }
    if let Some(socket) = &overrides.socket {
        config.agent.socket = check::absolute(socket);
        flags.insert("agent.socket", "--socket");
    }
    let faults: Vec<Fault> = check::check(&config).into_iter().map(|p| place(p, sources, &spots, &flags)).collect();
    if !faults.is_empty() {
        return Err(ConfigError::Invalid(faults));
    }
    let mut origins = BTreeMap::new();
    for key in leaves(&config).into_keys() {
        let origin = match (flags.get(key.as_str()), spots.get(&key)) {
            (Some(flag), _) => (*flag).to_owned(),
            (None, Some((number, span))) => {
                let source = &sources[*number];
                format!("{}:{}", source.name, Place::of(&source.text, span).line)
            }
            (None, None) => "default".to_owned(),
        };
        origins.insert(key, origin);
    }
    Ok((config, origins))
}

/// Points at the value, or at the nearest table around it that was written; else at the flag.
fn place(problem: check::Problem, sources: &[Source], spots: &Spots, flags: &BTreeMap<&str, &str>) -> Fault {
    let check::Problem { key, message, hint } = problem;
    if let Some(flag) = flags.get(key.as_str()) {
        return Fault { file: (*flag).to_owned(), place: None, message, hint };
    }
    let mut at = key.as_str();
    loop {
        if let Some((number, span)) = spots.get(at) {
            let source = &sources[*number];
            return Fault {
                file: source.name.clone(),
                place: Some(Place::of(&source.text, span)),
                message: format!("{key}: {message}"),
                hint,
            };
        }
        match at.rfind(['.', '[']) {
            Some(end) => at = &at[..end],
            None => return Fault { file: key, place: None, message, hint },
        }
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn key_path(prefix: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if prefix.is_empty() { key } else { format!("{prefix}.{key}") }
}

fn spot_table(table: &DeTable<'_>, prefix: &str, number: usize, spots: &mut Spots) {
    for (key, value) in table {
        spot_value(value, key_path(prefix, key.get_ref()), number, spots);
    }
}

fn spot_value(value: &Spanned<DeValue<'_>>, key: String, number: usize, spots: &mut Spots) {
    match value.get_ref() {
        DeValue::Table(table) => spot_table(table, &key, number, spots),
        DeValue::Array(array) => {
            // A list replaces the earlier one as a whole.
            let element = format!("{key}[");
            spots.retain(|other, _| !other.starts_with(&element));
            for (index, value) in array.iter().enumerate() {
                spot_value(value, format!("{key}[{index}]"), number, spots);
            }
        }
        _ => {}
    }
    spots.insert(key, (number, value.span()));
}

fn as_table(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

/// Every value in force by its key; an empty list or table is a value of its own.
fn leaves(config: &Config) -> BTreeMap<String, Value> {
    fn walk(key: String, value: Value, into: &mut BTreeMap<String, Value>) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    walk(key_path(&key, &name), value, into);
                }
            }
            Value::Array(array) if array.iter().any(Value::is_table) => {
                for (index, value) in array.into_iter().enumerate() {
                    walk(format!("{key}[{index}]"), value, into);
                }
            }
            value => {
                into.insert(key, value);
            }
        }
    }
    let mut into = BTreeMap::new();
    for (name, value) in as_table(config) {
        walk(name, value, &mut into);
    }
    into
}
