//! Rust: cargo makes a core module for `wasm32-unknown-unknown`; no tool beside the Rust toolchain is needed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::component::from_core;
use crate::error::BuildError;
use crate::folder::Folder;
use crate::{Output, tools};

/// The target of all plugins in Rust.
pub const TARGET: &str = "wasm32-unknown-unknown";
/// What to do when the toolchain lacks it.
pub const TARGET_MISSING: &str =
    "`rustup target add wasm32-unknown-unknown`, or your distribution's package of it (Debian: libstd-rust-dev-wasm32)";
/// What to do without cargo.
const INSTALL: &str =
    "install the Rust toolchain from https://rustup.rs, then `rustup target add wasm32-unknown-unknown`";
/// The cargo profile of plugins: small, and compiled once by the host.
pub const PROFILE: &str = "guest";
/// That profile, for a folder whose own manifest does not have it.
pub const PROFILE_SETTINGS: [&str; 7] = [
    "profile.guest.inherits=\"release\"",
    "profile.guest.opt-level=\"s\"",
    "profile.guest.lto=true",
    "profile.guest.codegen-units=1",
    "profile.guest.debug=false",
    "profile.guest.strip=true",
    "profile.guest.panic=\"abort\"",
];

/// Where it was built must not show in a component: its digest may be pinned by an operator. For `CARGO_ENCODED_RUSTFLAGS`.
pub fn rustflags(root: &Path) -> String {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=.", root.display())];
    flags.extend(home.ok().map(|home| format!("--remap-path-prefix={home}=cargo")));
    flags.join("\u{1f}")
}

/// What cargo says about the folder.
struct Place {
    package: String,
    root: PathBuf,
    target_dir: PathBuf,
}

pub(crate) fn build(folder: &Folder, offline: bool) -> Result<Output, BuildError> {
    let place = place(folder, offline)?;
    ensure_target(folder)?;
    let mut args: Vec<OsString> =
        ["build", "--lib", "--message-format=json-render-diagnostics"].map(OsString::from).to_vec();
    args.extend(["--target", TARGET, "--profile", PROFILE, "--package", &place.package].map(OsString::from));
    for setting in PROFILE_SETTINGS {
        args.extend(["--config", setting].map(OsString::from));
    }
    if offline {
        args.push("--offline".into());
    }
    let mut cargo = tools::program(cargo(), &folder.dir);
    cargo.args(args).env("CARGO_ENCODED_RUSTFLAGS", rustflags(&place.root));
    let said = tools::output(&mut cargo, INSTALL)?;
    let core = module(&said).ok_or_else(|| BuildError::Folder {
        path: folder.dir.join("Cargo.toml"),
        why: "the crate makes no module; write `crate-type = [\"cdylib\", \"rlib\"]` below [lib]".to_owned(),
    })?;
    let core = std::fs::read(&core).map_err(|source| BuildError::Read { path: core, source })?;
    let made = from_core(&core, Some(&folder.manifest))?;
    // Where cargo was told to build somewhere else, tests would look in vain.
    let beside = place.target_dir.parent().is_some_and(|parent| folder.dir.starts_with(parent));
    let target = if beside { place.target_dir } else { folder.dir.join("target") };
    Ok(Output { made, dir: target.join("plugins") })
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn place(folder: &Folder, offline: bool) -> Result<Place, BuildError> {
    let mut cargo = tools::program(cargo(), &folder.dir);
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    if offline {
        cargo.arg("--offline");
    }
    let said = tools::output(&mut cargo, INSTALL)?;
    let unclear = |what: &str| BuildError::Folder { path: folder.dir.clone(), why: format!("cargo names no {what}") };
    let known: Value = serde_json::from_slice(&said).map_err(|_| unclear("metadata"))?;
    let path = |key: &str| known[key].as_str().map(PathBuf::from).ok_or_else(|| unclear(key));
    let manifest = folder.dir.join("Cargo.toml");
    let here = |package: &&Value| package["manifest_path"].as_str().map(Path::new) == Some(&manifest);
    let package = known["packages"].as_array().and_then(|all| all.iter().find(here)).and_then(|it| it["name"].as_str());
    Ok(Place {
        package: package.ok_or_else(|| unclear("package of this folder"))?.to_owned(),
        root: path("workspace_root")?,
        target_dir: path("target_directory")?,
    })
}

/// Whether the toolchain can build for the target; the error has the command.
fn ensure_target(folder: &Folder) -> Result<(), BuildError> {
    let mut rustc = tools::program(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()), &folder.dir);
    let said = tools::output(rustc.args(["--print", "target-libdir", "--target", TARGET]), INSTALL)?;
    let dir = PathBuf::from(String::from_utf8_lossy(&said).trim());
    if dir.is_dir() { Ok(()) } else { Err(BuildError::Target(TARGET)) }
}

/// The module among cargo's messages: the last artifact that is one.
fn module(messages: &[u8]) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(messages);
    let artifacts = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let files = artifacts
        .filter(|it| it["reason"] == "compiler-artifact")
        .flat_map(|it| it["filenames"].as_array().cloned().unwrap_or_default());
    let mut modules = files
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .filter(|it| it.extension().is_some_and(|ext| ext == "wasm"));
    modules.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_found_among_the_messages_of_cargo() {
        let said = br#"{"reason":"compiler-artifact","filenames":["/t/libx.rlib","/t/x.wasm"]}
not json
{"reason":"build-finished","success":true}"#;
        assert_eq!(module(said), Some("/t/x.wasm".into()));
        assert_eq!(module(b"{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/libx.rlib\"]}"), None);
    }
}
