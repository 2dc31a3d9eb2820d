//! Ten plugins: the ones of this repository, again and again under other ids, each with its own sample grant.

use std::path::{Path, PathBuf};

use crate::Result;

pub(crate) const PLUGINS: usize = 10;

/// Writes components into `dir/plugins` and grants into `dir/grants`.
pub(crate) fn lay(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (components, grants) = (dir.join("plugins"), dir.join("grants"));
    std::fs::create_dir_all(&components)?;
    std::fs::create_dir_all(&grants)?;
    let mut names: Vec<String> = std::fs::read_dir(root.join("plugins"))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| root.join("target/plugins").join(format!("{name}.wasm")).exists())
        .collect();
    names.sort();
    if names.is_empty() {
        return Err("no plugin is built\nhint: run this as `cargo xtask bench telemetry`, which builds them".into());
    }
    for n in 0..PLUGINS {
        let name = names.get(n % names.len()).ok_or("no plugin")?;
        let id = format!("{}{n}", name.get(..name.len() - 1).ok_or("a plugin's name is a word")?);
        let bytes = std::fs::read(root.join("target/plugins").join(format!("{name}.wasm")))?;
        std::fs::write(components.join(format!("{id}.wasm")), renamed(bytes, name, &id)?)?;
        let grant = std::fs::read(root.join("plugins").join(name).join("grant.example.toml"))?;
        std::fs::write(grants.join(format!("{id}.toml")), grant)?;
    }
    Ok((components, grants))
}

/// The manifest lies in the component as text; an id of the same length leaves every length as it was.
fn renamed(mut bytes: Vec<u8>, name: &str, id: &str) -> Result<Vec<u8>> {
    let (from, to) = (format!("id = \"{name}\""), format!("id = \"{id}\""));
    let at = bytes.windows(from.len()).position(|it| it == from.as_bytes());
    let at = at.ok_or_else(|| format!("the component of {name} does not hold its manifest as it is written"))?;
    bytes.get_mut(at..at + to.len()).ok_or("it ends there")?.copy_from_slice(to.as_bytes());
    Ok(bytes)
}
