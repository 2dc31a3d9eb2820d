//! Versions of the tools of other languages that plugins were seen to build with, and which world a manifest's roles make.

use crate::error::BuildError;
use crate::folder::Folder;

/// On npm: `@bytecodealliance/componentize-js`.
pub const COMPONENTIZE_JS: &str = "0.23.0";
/// On PyPI: `componentize-py`.
pub const COMPONENTIZE_PY: &str = "0.25.1";

/// The world of `wit/worlds.wit` that has the manifest's roles.
pub(crate) fn world(folder: &Folder) -> Result<&'static str, BuildError> {
    let table: toml::Table = folder.manifest.parse().unwrap_or_default();
    let mut roles: Vec<&str> = table
        .get("roles")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_str)
        .collect();
    roles.sort_unstable();
    match roles.as_slice() {
        ["collector"] => Ok("collector-plugin"),
        ["check"] => Ok("check-plugin"),
        ["detector"] => Ok("detector-plugin"),
        ["remediator"] => Ok("remediator-plugin"),
        ["check", "remediator"] => Ok("healer-plugin"),
        other => Err(BuildError::Folder {
            path: folder.dir.join("plugin.toml"),
            why: format!(
                "`roles` is {other:?}; write [\"check\"], [\"remediator\"], both of them, [\"collector\"] or [\"detector\"]"
            ),
        }),
    }
}
