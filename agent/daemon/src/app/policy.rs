//! Policy files from their directory, at the start and at every reload.

use std::path::Path;

use holdfast_core::policy::{Level, Policy, PolicyFile};

use super::AppError;
use crate::host::read_trusted_text;

/// Longer files are a mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Every `*.toml` of the directory that is no test, by name. A missing directory holds no rule.
pub(crate) fn files(dir: &Path) -> std::io::Result<Vec<PolicyFile>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names: Vec<std::path::PathBuf> = entries.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?;
    names.retain(|path| {
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        let is_test = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(".test"));
        path.extension().is_some_and(|it| it == "toml") && !is_test && !name.starts_with('.')
    });
    names.sort();
    let mut found = Vec::new();
    for path in names {
        let text = read_trusted_text(&path, FILE_BYTES_MAX)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        // Bare names: the digest of a policy must not depend on where its directory lies.
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        found.push(PolicyFile { name, text });
    }
    Ok(found)
}

/// The policy, if it has no error.
pub(super) fn load(dir: &Path) -> Result<(Policy, Vec<String>), AppError> {
    let files = files(dir).map_err(|source| AppError::PolicyDir { path: dir.to_owned(), source })?;
    let (policy, diagnostics) = Policy::load(&files);
    let (errors, warnings): (Vec<_>, Vec<_>) = diagnostics.into_iter().partition(|it| it.level == Level::Error);
    for warning in warnings {
        tracing::warn!(file = warning.file, line = warning.line, warning = warning.message, "Policy warning.");
    }
    if errors.is_empty() {
        return Ok((policy, files.into_iter().map(|it| it.name).collect()));
    }
    Err(AppError::Policy(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}
