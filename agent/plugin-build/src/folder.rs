//! A plugin's folder: which plugin it is of, and in which language.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::BuildError;

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A crate: `Cargo.toml`.
    Rust,
    /// A package: `package.json`.
    JavaScript,
    /// Modules: `plugin.py`.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// As it is written in commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "javascript",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A folder that can be built.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Absolute, without links.
    pub dir: PathBuf,
    /// `id` of its manifest.
    pub id: String,
    /// Its manifest's text.
    pub manifest: String,
    /// What its source is.
    pub language: Language,
}

impl Folder {
    /// Reads what a folder says about itself.
    pub fn open(dir: &Path) -> Result<Self, BuildError> {
        let wrong = |path: &Path, why: String| BuildError::Folder { path: path.to_owned(), why };
        let dir = dir.canonicalize().map_err(|source| BuildError::Read { path: dir.to_owned(), source })?;
        let file = dir.join("plugin.toml");
        let manifest = fs::read_to_string(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                wrong(&dir, "there is no plugin.toml, so this is no plugin's folder".to_owned())
            }
            _ => BuildError::Read { path: file.clone(), source: error },
        })?;
        let table: toml::Table = manifest.parse().map_err(|error: toml::de::Error| wrong(&file, error.to_string()))?;
        let id = table.get("id").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        // It becomes a file's name.
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(wrong(
                &file,
                format!("`id` is `{id}`; write 1 to 64 of a-z 0-9 and -, for example `unit-medic`"),
            ));
        }
        let language =
            [("Cargo.toml", Language::Rust), ("package.json", Language::JavaScript), ("plugin.py", Language::Python)]
                .into_iter()
                .find(|(name, _)| dir.join(name).is_file())
                .map(|(_, language)| language)
                .ok_or_else(|| {
                    wrong(
                        &dir,
                        "there is neither Cargo.toml (Rust), package.json (JavaScript) nor plugin.py (Python)"
                            .to_owned(),
                    )
                })?;
        Ok(Self { dir, id, manifest, language })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], wanted: Result<Language, &str>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        match (Folder::open(dir.path()), wanted) {
            (Ok(folder), Ok(language)) => assert_eq!(folder.language, language),
            (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            (other, _) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_language_is_told_by_the_files() {
        let manifest = ("plugin.toml", "id = \"x\"\n");
        check(&[manifest, ("Cargo.toml", "")], Ok(Language::Rust));
        check(&[manifest, ("package.json", "{}")], Ok(Language::JavaScript));
        check(&[manifest, ("plugin.py", "")], Ok(Language::Python));
        check(&[manifest], Err("neither Cargo.toml"));
        check(&[], Err("no plugin.toml"));
    }

    #[test]
    fn an_id_that_is_no_file_name_is_refused() {
        for id in ["", "../x", "A", "a b"] {
            check(&[("plugin.toml", &format!("id = \"{id}\"\n")), ("Cargo.toml", "")], Err("`id` is"));
        }
        check(&[("plugin.toml", "id = \n")], Err("TOML parse error at line 1"));
    }
}
