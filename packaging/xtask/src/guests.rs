//! Builds the guests: each crate in `plugins/` and `tests/guests/` becomes one component with its manifest inside.
//!
//! cargo makes core modules for `wasm32-unknown-unknown`, all in one go; what follows is `holdfast-plugin-build`'s, as for every
//! author: the interface, the manifest, and the refusal of what would be refused at load.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use holdfast_plugin_build::{PROFILE, TARGET, TARGET_MISSING, from_core, rustflags, write_if_changed};

use crate::process;

const PLUGIN_PREFIX: &str = "holdfast-plugin-";

/// One crate that becomes one component.
struct Guest {
    /// Its name for cargo.
    package: String,
    /// The plugin's id, or the test guest's folder.
    name: String,
    /// `plugin.toml`'s text; only a test guest may lack it.
    manifest: Option<String>,
    /// Where the component goes.
    out: PathBuf,
}

/// Builds all guests and answers where the components lie.
pub(crate) fn build(root: &Path) -> Result<Vec<PathBuf>> {
    let mut guests = guests_in(root, "plugins", "target/plugins")?;
    guests.extend(guests_in(root, "tests/guests", "target/guests")?);
    ensure_target(root)?;
    compile(root, &guests)?;
    for guest in &guests {
        let file = guest.package.replace('-', "_");
        let core = root.join(format!("target/{TARGET}/{PROFILE}/{file}.wasm"));
        let core = fs::read(&core).with_context(|| {
            format!("cannot read {}; has `{}` crate-type = [\"cdylib\"]?", core.display(), guest.package)
        })?;
        let made = from_core(&core, guest.manifest.as_deref())
            .with_context(|| format!("cannot make a component of `{}`", guest.package))?;
        let state = if write_if_changed(&guest.out, &made.component)? { "" } else { ", unchanged" };
        let (shown, kib) = (guest.out.strip_prefix(root).unwrap_or(&guest.out), made.component.len() as f64 / 1024.0);
        let (name, roles, shown) = (&guest.name, made.surface.roles.join(", "), shown.display());
        process::say(&format!("{name:<16} {kib:>7.1} KiB  [{roles}]  {shown}{state}"));
    }
    Ok(guests.into_iter().map(|g| g.out).collect())
}

/// The crates one level below a directory; none when it doesn't exist.
fn guests_in(root: &Path, dir: &str, out: &str) -> Result<Vec<Guest>> {
    let mut folders = match fs::read_dir(root.join(dir)) {
        Ok(entries) => entries.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
        Err(error) => return Err(error).with_context(|| format!("cannot list {dir}")),
    };
    folders.retain(|f| f.join("Cargo.toml").is_file());
    folders.sort();
    folders.iter().map(|folder| guest(root, folder, dir == "plugins", out)).collect()
}

fn guest(root: &Path, folder: &Path, is_plugin: bool, out: &str) -> Result<Guest> {
    let read = |file: PathBuf| fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()));
    let table = |text: &str, file: &str| {
        text.parse::<toml::Table>().with_context(|| format!("{}/{file} is not TOML", folder.display()))
    };
    let cargo = table(&read(folder.join("Cargo.toml"))?, "Cargo.toml")?;
    let package = cargo.get("package").and_then(|p| p.get("name")).and_then(toml::Value::as_str);
    let package = package.with_context(|| format!("{}/Cargo.toml names no package", folder.display()))?.to_owned();
    let folder_name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    let name = if is_plugin { package.strip_prefix(PLUGIN_PREFIX).unwrap_or(&package).to_owned() } else { folder_name };
    let manifest = match fs::read_to_string(folder.join("plugin.toml")) {
        Ok(text) => Some(text),
        Err(_) if !is_plugin => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}/plugin.toml", folder.display())),
    };
    if let Some(text) = manifest.as_deref().filter(|_| is_plugin) {
        let manifest = table(text, "plugin.toml")?;
        let id = manifest.get("id").and_then(toml::Value::as_str).unwrap_or_default();
        ensure!(id == name, "{}/plugin.toml says id = \"{id}\", the crate says \"{name}\"", folder.display());
    }
    Ok(Guest { out: root.join(out).join(format!("{name}.wasm")), package, name, manifest })
}

/// Makes sure that the toolchain can build for the guests' target.
fn ensure_target(root: &Path) -> Result<()> {
    if target_libdir(root).is_some_and(|dir| dir.is_dir()) {
        return Ok(());
    }
    let added = process::program(root, "rustup").args(["target", "add", TARGET]).status();
    if added.is_ok_and(|status| status.success()) && target_libdir(root).is_some_and(|dir| dir.is_dir()) {
        return Ok(());
    }
    bail!("the Rust target {TARGET} is missing and could not be installed\nhint: {TARGET_MISSING}")
}

fn target_libdir(root: &Path) -> Option<PathBuf> {
    let out = process::program(root, "rustc").args(["--print", "target-libdir", "--target", TARGET]).output().ok()?;
    let text = String::from_utf8(out.stdout).ok().filter(|_| out.status.success())?;
    Some(PathBuf::from(text.trim()))
}

fn compile(root: &Path, guests: &[Guest]) -> Result<()> {
    let mut command = process::cargo(root);
    command.args(["build", "--quiet", "--lib", "--target", TARGET, "--profile", PROFILE]);
    command.args(["--target-dir".as_ref(), root.join("target").as_os_str()]);
    for guest in guests {
        command.args(["--package", &guest.package]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags(root));
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "building the guests for {TARGET} failed; the compiler's words are above");
    Ok(())
}
