//! `plugin new`: a folder that builds and passes its own tests, and the SDK where the folder finds it.
//!
//! For Rust the SDK is taken from a checkout when there is one. Otherwise a copy lies in the binary and is laid beside the plugin, the
//! very version that this agent was made with: a newcomer needs this command and the Rust toolchain. Other languages have no SDK: their
//! tools make the bindings from the contract, which is laid beside the plugin for people to read.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_plugin_build::{Language, WIT};

use super::template::{self, COMMON, SDK, SDK_MANIFEST};
use super::{TestError, wrong};

/// Where the copy of the SDK lies in a new folder.
const VENDORED: &str = "vendor/holdfast-plugin-sdk";

/// What to make.
#[derive(Debug, Clone)]
pub struct NewOptions {
    /// Its id, and the folder's name.
    pub name: String,
    /// The folder that it is made in.
    pub within: PathBuf,
    /// What it is written in.
    pub language: Language,
    /// The SDK's folder, for Rust; `None`: looked for, and otherwise a copy is laid.
    pub sdk: Option<PathBuf>,
}

/// What was made.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NewReport {
    /// The plugin's id.
    pub plugin: String,
    /// Its folder.
    pub dir: PathBuf,
    /// What it is written in.
    pub language: &'static str,
    /// The SDK that it is built against; `None`: the language has none.
    pub sdk: Option<PathBuf>,
    /// What to type next, in order.
    pub next: Vec<String>,
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
    let sdk = sdk(options, &within)?;
    let shown = match &sdk {
        Sdk::There(sdk) => sdk.display().to_string(),
        Sdk::Copied | Sdk::None => VENDORED.to_owned(),
    };
    let templates = COMMON.iter().chain(template::of(options.language));
    let mut files: Vec<(String, String)> = templates.map(|it| template::filled(*it, name, &shown)).collect();
    if matches!(sdk, Sdk::Copied) {
        files.push((format!("{VENDORED}/Cargo.toml"), SDK_MANIFEST.to_owned()));
        files.extend(SDK.iter().map(|(file, text)| (format!("{VENDORED}/{file}"), (*text).to_owned())));
    }
    let wit = match sdk {
        Sdk::There(_) => None,
        Sdk::Copied => Some("vendor/wit"),
        Sdk::None => Some("wit"),
    };
    files.extend(
        wit.into_iter()
            .flat_map(|dir| WIT.iter().map(move |(file, text)| (format!("{dir}/{file}"), (*text).to_owned()))),
    );
    fs::create_dir_all(&within).map_err(|error| wrong(&within, error))?;
    // Whatever is there already is somebody's work.
    fs::create_dir(&dir).map_err(|error| wrong(&dir, format!("{error}; choose another name or folder")))?;
    for (file, text) in &files {
        let path = dir.join(file);
        let parent = path.parent().unwrap_or(&dir);
        fs::create_dir_all(parent).and_then(|()| fs::write(&path, text)).map_err(|error| wrong(&path, error))?;
    }
    let next = std::iter::once(format!("cd {}", options.within.join(name).strip_prefix(".").unwrap_or(&dir).display()))
        .chain(template::preparation(options.language).iter().map(|it| (*it).to_owned()))
        .chain(["holdfast plugin test".to_owned()]);
    let sdk = match sdk {
        Sdk::There(sdk) => Some(sdk),
        Sdk::Copied => Some(dir.join(VENDORED)),
        Sdk::None => None,
    };
    let (language, files) = (options.language.as_str(), files.into_iter().map(|(file, _)| file).collect());
    Ok(NewReport { plugin: name.clone(), dir, language, sdk, next: next.collect(), files })
}

/// What a new folder is built against.
enum Sdk {
    /// A folder that is there already.
    There(PathBuf),
    /// A copy beside it.
    Copied,
    /// The contract itself.
    None,
}

fn sdk(options: &NewOptions, within: &Path) -> Result<Sdk, TestError> {
    match &options.sdk {
        Some(sdk) if options.language != Language::Rust => {
            Err(wrong(sdk, format!("that is for plugins in Rust; one in {} needs none", options.language)))
        }
        None if options.language != Language::Rust => Ok(Sdk::None),
        Some(sdk) if sdk.join("src/export.rs").is_file() => {
            std::path::absolute(sdk).map(Sdk::There).map_err(|error| wrong(sdk, error))
        }
        Some(sdk) => Err(wrong(sdk, "that is no folder of holdfast-plugin-sdk")),
        None => Ok(checkout(within).map_or(Sdk::Copied, Sdk::There)),
    }
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
        let options =
            NewOptions { name: "a-check".into(), within: dir.path().into(), language: Language::Rust, sdk: None };
        new(&options).unwrap();
        assert!(new(&options).unwrap_err().to_string().contains("another name"));
        for name in ["", "../x", "A", "-x", "a b"] {
            assert!(new(&NewOptions { name: name.into(), ..options.clone() }).is_err(), "{name}");
        }
    }

    #[test]
    fn every_template_is_embedded_and_filled_to_the_last_field() {
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/templates");
        for language in Language::ALL {
            let dir = tempfile::tempdir().unwrap();
            let made = new(&NewOptions { name: "x".into(), within: dir.path().into(), language, sdk: None }).unwrap();
            for file in &made.files {
                let text = fs::read_to_string(made.dir.join(file)).unwrap();
                let left = ["@NAME@", "@SDK@", "@COMPONENTIZE"].iter().find(|field| text.contains(**field));
                assert_eq!(left, None, "{language}: {file}");
            }
            let lies =
                |dir: &Path| fs::read_dir(dir).unwrap().filter(|it| it.as_ref().unwrap().path().is_file()).count();
            let own = template::of(language).iter().filter(|(file, _)| !file.contains('/')).count();
            assert_eq!(own, lies(&templates.join(language.as_str())), "{language}");
            assert_eq!(holdfast_plugin_build::Folder::open(&made.dir).unwrap().language, language);
        }
    }
}
