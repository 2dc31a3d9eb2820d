//! Builds the guests: each crate in `plugins/` and `tests/guests/` becomes one component with its manifest inside.
//!
//! cargo makes a core module for `wasm32-unknown-unknown`; everything after that happens here, in-process: no tool beside the
//! Rust toolchain is needed. What would be refused at load (an import beyond `holdfast:plugin`, a manifest that names another
//! plugin) is refused here, where its author sees it. Paths of the machine are kept out, so one source gives one digest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use crate::process;

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "guest";
/// Where the plugin host looks for the manifest.
const MANIFEST_SECTION: &str = "holdfast-manifest";
const PLUGIN_PREFIX: &str = "holdfast-plugin-";
const PACKAGE: &str = "holdfast:plugin/";

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
        let (component, exports) = component(&root.join("wit"), &core, guest.manifest.as_deref())
            .with_context(|| format!("cannot make a component of `{}`", guest.package))?;
        let state = if write_if_changed(&guest.out, &component)? { "" } else { ", unchanged" };
        let (shown, kib) = (guest.out.strip_prefix(root).unwrap_or(&guest.out), component.len() as f64 / 1024.0);
        let (name, roles, shown) = (&guest.name, exports.join(", "), shown.display());
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
    bail!(
        "the Rust target {TARGET} is missing and could not be installed; run `rustup target add {TARGET}` with a network, \
         or install your distribution's package of it (Debian: libstd-rust-dev-wasm32)"
    )
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
    // The digest of a plugin may be pinned by an operator: where it was built must not show in it.
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let mut flags = vec![format!("--remap-path-prefix={}=.", root.display())];
    flags.extend(home.ok().map(|home| format!("--remap-path-prefix={home}=cargo")));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "building the guests for {TARGET} failed; the compiler's words are above");
    Ok(())
}

/// The component with the manifest inside, validated, and what it exports.
fn component(wit: &Path, core: &[u8], manifest: Option<&str>) -> Result<(Vec<u8>, Vec<String>)> {
    let mut core = core.to_vec();
    if let Some(world) = world(&core)? {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit)?;
        let world = resolve.select_world(&[package], Some(world))?;
        wit_component::embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false)?;
    }
    let mut component = ComponentEncoder::default().validate(true).module(&core)?.encode()?;
    if let Some(text) = manifest {
        append_custom_section(&mut component, MANIFEST_SECTION, text.as_bytes());
    }
    Validator::new_with_features(WasmFeatures::all()).validate_all(&component)?;
    let (imports, exports) = outside(&component)?;
    if let Some(foreign) = imports.iter().find(|name| !name.starts_with(PACKAGE)) {
        bail!(
            "it imports `{foreign}`, and a plugin may import nothing but {PACKAGE}*; \
             look for a dependency that reads the clock, the environment, random numbers or files itself"
        );
    }
    Ok((component, exports.iter().filter_map(|name| role(name)).collect()))
}

/// The world that a module made with the SDK is of, by what it exports; `None`: it says so itself.
///
/// The SDK's bindings are generated once, with every role, and a plugin exports the functions of its own roles.
fn world(core: &[u8]) -> Result<Option<&'static str>> {
    let (mut check, mut remediator) = (false, false);
    for payload in Parser::new(0).parse_all(core) {
        match payload? {
            Payload::CustomSection(section)
                if section.name().starts_with("component-type") && section.name().ends_with("imports and exports") =>
            {
                return Ok(None);
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let name = export?.name;
                    check |= name == "holdfast:plugin/check@0.1.0#run";
                    remediator |= name == "holdfast:plugin/remediator@0.1.0#propose";
                }
            }
            _ => {}
        }
    }
    Ok(match (check, remediator) {
        (true, true) => Some("healer-plugin"),
        (true, false) => Some("check-plugin"),
        (false, true) => Some("remediator-plugin"),
        (false, false) => None,
    })
}

/// `check` of `holdfast:plugin/check@0.1.0`.
fn role(export: &str) -> Option<String> {
    export.strip_prefix(PACKAGE)?.split('@').next().filter(|name| *name != "lifecycle").map(str::to_owned)
}

/// Names that the outermost component imports and exports.
fn outside(component: &[u8]) -> Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports, mut depth) = (vec![], vec![], 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// A custom section is id 0, its size, its name and its content; sizes are LEB128.
fn append_custom_section(wasm: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut section = Vec::with_capacity(content.len() + name.len() + 5);
    leb128(&mut section, name.len());
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(content);
    wasm.push(0);
    leb128(wasm, section.len());
    wasm.extend_from_slice(&section);
}

fn leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An unchanged file keeps its time, so nothing is compiled again for it.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let partial = path.with_extension("wasm.partial");
        fs::write(&partial, bytes)?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_manifest_gets_a_size_of_several_bytes_and_is_read_back_whole() {
        for len in [0, 1, 127, 128, 300, 20_000] {
            let (mut wasm, text) = (b"\0asm\x0d\0\x01\0".to_vec(), vec![b'x'; len]);
            append_custom_section(&mut wasm, MANIFEST_SECTION, &text);
            let found = Parser::new(0).parse_all(&wasm).find_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) => Some((section.name().to_owned(), section.data().to_vec())),
                _ => None,
            });
            assert_eq!(found, Some((MANIFEST_SECTION.to_owned(), text)), "{len}");
        }
    }

    #[test]
    fn the_lifecycle_is_no_role() {
        assert_eq!(role("holdfast:plugin/check@0.1.0").as_deref(), Some("check"));
        assert_eq!(role("holdfast:plugin/lifecycle@0.1.0"), None);
        assert_eq!(role("wasi:cli/run@0.2.0"), None);
    }

    #[test]
    fn a_component_of_the_same_content_is_left_alone() {
        let path = std::env::temp_dir().join(format!("holdfast-guests-{}/x.wasm", std::process::id()));
        assert!(write_if_changed(&path, b"a").unwrap());
        assert!(!write_if_changed(&path, b"a").unwrap());
        assert!(write_if_changed(&path, b"b").unwrap());
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
