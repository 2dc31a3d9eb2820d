//! `plugin new`: a folder that builds and passes its own tests, and the SDK where the folder finds it.
//!
//! The SDK is taken from a checkout when there is one. Otherwise a copy lies in the binary and is laid beside the plugin, the
//! very version that this agent was made with: a newcomer needs this command and the Rust toolchain.

use std::fs;
use std::path::{Path, PathBuf};

use super::{TestError, wrong};

/// Where the copy of the SDK lies in a new folder.
const VENDORED: &str = "vendor/holdfast-plugin-sdk";

macro_rules! embedded {
    ($base:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../../plugin-sdk/", $base, $file)))),+]
    };
}

/// The folder in Rust; `@NAME@` and `@SDK@` are replaced.
const RUST: &[(&str, &str)] = embedded!("templates/rust/":
    "Cargo.toml.in", "plugin.toml.in", "src/lib.rs.in", "cases/too-large.toml.in", "cases/too-large.expected.json.in",
    "cases/small-enough.toml.in", "cases/small-enough.expected.json.in", "grant.example.toml.in", "README.md.in", "gitignore.in",
);

/// The SDK's sources.
const SDK: &[(&str, &str)] = embedded!("":
    "README.md", "src/bindings.rs", "src/export.rs", "src/facts.rs", "src/glob.rs", "src/host/changes.rs", "src/host/clock.rs",
    "src/host/files.rs", "src/host/log.rs", "src/host/metrics.rs", "src/host/mod.rs", "src/host/processes.rs", "src/host/state.rs",
    "src/host/units.rs", "src/lib.rs", "src/measure.rs", "src/path.rs", "src/plan.rs", "src/report.rs", "src/roles.rs", "src/step.rs",
    "src/text.rs",
);

/// The SDK's manifest outside of its workspace.
const SDK_MANIFEST: &str = include_str!("../../../../plugin-sdk/templates/sdk.Cargo.toml.in");

/// What to make.
#[derive(Debug, Clone)]
pub struct NewOptions {
    /// Its id, and the folder's name.
    pub name: String,
    /// The folder that it is made in.
    pub within: PathBuf,
    /// The SDK's folder; `None`: looked for, and otherwise a copy is laid.
    pub sdk: Option<PathBuf>,
}

/// What was made.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NewReport {
    /// The plugin's id.
    pub plugin: String,
    /// Its folder.
    pub dir: PathBuf,
    /// The SDK that it is built against.
    pub sdk: PathBuf,
    /// What was written, from the folder on.
    pub files: Vec<String>,
}

/// Makes the folder of a new plugin; it must not be there yet.
pub fn new(options: &NewOptions) -> Result<NewReport, TestError> {
    let name = &options.name;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=64).contains(&name.len())
        || !name.bytes().all(plain)
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
    {
        let why = "a plugin's name is 1 to 64 of a-z 0-9 and -, and begins with a letter, for example `log-size`";
        return Err(wrong(Path::new(name), why));
    }
    let within = std::path::absolute(&options.within).map_err(|error| wrong(&options.within, error))?;
    let dir = within.join(name);
    let sdk = match &options.sdk {
        Some(sdk) if sdk.join("src/export.rs").is_file() => {
            Some(std::path::absolute(sdk).map_err(|error| wrong(sdk, error))?)
        }
        Some(sdk) => return Err(wrong(sdk, "that is no folder of holdfast-plugin-sdk")),
        None => checkout(&within),
    };
    let shown = sdk.as_ref().map_or_else(|| VENDORED.to_owned(), |sdk| sdk.display().to_string());
    let mut files: Vec<(String, String)> = Vec::new();
    for (file, text) in RUST {
        let file = if *file == "gitignore.in" { ".gitignore" } else { file.trim_end_matches(".in") };
        files.push((file.to_owned(), text.replace("@NAME@", name).replace("@SDK@", &shown)));
    }
    if sdk.is_none() {
        files.push((format!("{VENDORED}/Cargo.toml"), SDK_MANIFEST.to_owned()));
        files.extend(SDK.iter().map(|(file, text)| (format!("{VENDORED}/{file}"), (*text).to_owned())));
        files.extend(
            holdfast_plugin_build::WIT.iter().map(|(file, text)| (format!("vendor/wit/{file}"), (*text).to_owned())),
        );
    }
    fs::create_dir_all(&within).map_err(|error| wrong(&within, error))?;
    // Whatever is there already is somebody's work.
    fs::create_dir(&dir).map_err(|error| wrong(&dir, format!("{error}; choose another name or folder")))?;
    for (file, text) in &files {
        let path = dir.join(file);
        let parent = path.parent().unwrap_or(&dir);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(|error| wrong(&path, error))?;
    }
    let sdk = sdk.unwrap_or_else(|| dir.join(VENDORED));
    Ok(NewReport { plugin: name.clone(), dir, sdk, files: files.into_iter().map(|(file, _)| file).collect() })
}

/// The SDK of the checkout that the new folder or this binary lies in.
fn checkout(within: &Path) -> Option<PathBuf> {
    let exe = std::env::current_exe().ok();
    let above = within.ancestors().chain(exe.as_deref().into_iter().flat_map(Path::ancestors));
    above
        .map(|dir| dir.join("plugin-sdk"))
        .find(|sdk| sdk.join("src/export.rs").is_file() && sdk.join("../wit").is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_sdk_is_whole() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
        let mut there = Vec::new();
        let mut waiting = vec![root.join("src")];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    there.push(path.strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
        there.push("README.md".to_owned());
        there.sort();
        let mut embedded: Vec<&str> = SDK.iter().map(|(file, _)| *file).collect();
        embedded.sort_unstable();
        assert_eq!(there, embedded);
    }

    #[test]
    fn nothing_that_is_there_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let options = NewOptions { name: "a-check".into(), within: dir.path().into(), sdk: None };
        new(&options).unwrap();
        assert!(new(&options).unwrap_err().to_string().contains("another name"));
        for name in ["", "../x", "A", "-x", "a b"] {
            assert!(new(&NewOptions { name: name.into(), ..options.clone() }).is_err(), "{name}");
        }
    }
}
