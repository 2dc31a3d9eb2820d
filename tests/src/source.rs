//! The repository's own text, for the tests that keep its rules: files, code without comments, code without tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::root;

/// One text file.
#[derive(Debug)]
pub struct Source {
    /// Path relative to the repository's root.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Reads a file of the repository.
    pub fn read(path: &str) -> Result<Self> {
        let text = fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// Whether the whole file is a test: `tests.rs`, or below a folder of tests, fixtures or the engine's simulation.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || ["/tests/", "/fixtures", "/simulation/"].iter().any(|part| self.path.contains(part))
            || self.path.starts_with("tests/")
    }

    /// The lines that run in production: up to the first `#[cfg(test)]` that opens a module, comments blanked.
    pub fn code(&self) -> String {
        let mut out = String::new();
        let mut lines = self.text.lines().peekable();
        while let Some(line) = lines.next() {
            if line == "#[cfg(test)]" {
                match lines.peek() {
                    // The tests stand in a file of their own, or at the end of this one.
                    Some(next) if next.trim_start().starts_with("mod ") && next.ends_with(';') => {
                        lines.next();
                        continue;
                    }
                    Some(next) if next.trim_start().starts_with("mod ") => break,
                    _ => {}
                }
            }
            if !line.trim_start().starts_with("//") {
                out.push_str(line);
            }
            out.push('\n');
        }
        out
    }
}

/// Every file below `dir` with one of the extensions, in order; build results are left out.
pub fn sources(dir: &str, extensions: &[&str]) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    walk(&root().join(dir), &mut paths)?;
    paths.retain(|p| p.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e)));
    paths.sort();
    let root = root();
    paths
        .iter()
        .map(|path| {
            let shown = path.strip_prefix(&root).unwrap_or(path).to_string_lossy();
            Source::read(&shown)
        })
        .collect()
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with(".git") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}
