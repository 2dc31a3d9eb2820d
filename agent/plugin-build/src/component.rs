//! From a core module to a component, and what a component shows to the outside.

use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{Resolve, WorldId, WorldItem};

use crate::error::{BuildError, component};
use crate::section::with_manifest;
use crate::wit::{self, PACKAGE};

/// Roles that the contract names and no agent runs yet: docs/adr/0015.
const RESERVED: [&str; 2] = ["collector", "detector"];

/// What a component imports and exports, read without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surface {
    /// Interfaces that it needs: `holdfast:plugin/files@0.1.0`.
    pub imports: Vec<String>,
    /// Interfaces that it offers.
    pub exports: Vec<String>,
    /// `check`, `remediator`: its exports without the lifecycle.
    pub roles: Vec<String>,
    /// Host functions that it may call: `files.stat`.
    pub functions: Vec<String>,
    /// The lowest agent that has all of this: `0.1.0`.
    pub agent_min: String,
}

/// A component that a host would load, and what it shows.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its bytes, manifest included.
    pub component: Vec<u8>,
    /// What it imports and exports.
    pub surface: Surface,
}

/// A component from a core module of the SDK. Without a manifest only for test guests.
pub fn from_core(core: &[u8], manifest: Option<&str>) -> Result<Made, BuildError> {
    let mut core = core.to_vec();
    if let Some(world) = world(&core)? {
        let (resolve, package) = wit::resolve()?;
        let world = resolve
            .select_world(&[package], Some(world))
            .map_err(|error| component("the WIT has no such world", &error))?;
        wit_component::embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false)
            .map_err(|error| component("the interface cannot be embedded", &error))?;
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(ComponentEncoder::encode)
        .map_err(|error| component("the module does not fit the interface of plugins", &format!("{error:#}")))?;
    from_component(encoded, manifest)
}

/// A component that a language's own tool has made.
pub fn from_component(mut wasm: Vec<u8>, manifest: Option<&str>) -> Result<Made, BuildError> {
    if let Some(text) = manifest {
        wasm = with_manifest(wasm, text)?;
    }
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&wasm)
        .map_err(|error| component("the component is not valid", &error))?;
    let surface = surface(&wasm)?;
    if let Some(foreign) = surface.imports.iter().find(|name| !name.starts_with(PACKAGE)) {
        return Err(BuildError::Component(format!(
            "it imports `{foreign}`, and a plugin may import nothing but {PACKAGE}*; look for a dependency that reads the \
             clock, the environment, random numbers or files itself"
        )));
    }
    if let Some(reserved) = surface.roles.iter().find(|role| RESERVED.contains(&role.as_str())) {
        return Err(BuildError::Component(format!(
            "it exports `{reserved}`, a role that holdfast:plugin 0.1 reserves and no agent runs yet; export check, remediator or both alone"
        )));
    }
    Ok(Made { component: wasm, surface })
}

/// The world that a module made with the SDK is of, by what it exports; `None`: it says so itself.
///
/// The SDK's bindings are generated once, with every role, and a plugin exports the functions of its own roles.
fn world(core: &[u8]) -> Result<Option<&'static str>, BuildError> {
    let (mut check, mut remediator) = (false, false);
    let damaged = |error| component("the module cannot be read", &error);
    for payload in Parser::new(0).parse_all(core) {
        match payload.map_err(damaged)? {
            Payload::CustomSection(section)
                if section.name().starts_with("component-type") && section.name().ends_with("imports and exports") =>
            {
                return Ok(None);
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let name = export.map_err(damaged)?.name;
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

/// What a component shows; an error where it is none.
pub fn surface(wasm: &[u8]) -> Result<Surface, BuildError> {
    let (imports, exports) = outside(wasm)?;
    let functions = functions(wasm).unwrap_or_default();
    let used = functions.iter().map(|(interface, function)| (interface.as_str(), function.as_str()));
    let (major, minor, patch) = wit::agent_min(used);
    Ok(Surface {
        roles: exports.iter().filter_map(|name| role(name)).collect(),
        functions: functions.iter().map(|(interface, function)| format!("{interface}.{function}")).collect(),
        agent_min: format!("{major}.{minor}.{patch}"),
        imports,
        exports,
    })
}

/// `check` of `holdfast:plugin/check@0.1.0`.
fn role(export: &str) -> Option<String> {
    export.strip_prefix(PACKAGE)?.split('@').next().filter(|name| *name != "lifecycle").map(str::to_owned)
}

/// Functions of the package that a component imports, as interface and name. `None`: its interface cannot be read.
fn functions(wasm: &[u8]) -> Option<Vec<(String, String)>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(wasm).ok()? else { return None };
    Some(imported(&resolve, world))
}

fn imported(resolve: &Resolve, world: WorldId) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        let interface = &resolve.interfaces[*id];
        let Some(name) = &interface.name else { continue };
        found.extend(interface.functions.keys().map(|function| (name.clone(), function.clone())));
    }
    found
}

/// Names that the outermost component imports and exports.
fn outside(wasm: &[u8]) -> Result<(Vec<String>, Vec<String>), BuildError> {
    let (mut imports, mut exports, mut depth) = (vec![], vec![], 0_u32);
    let damaged = |error| component("the component cannot be read", &error);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(damaged)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(damaged)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(damaged)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifecycle_is_no_role() {
        assert_eq!(role("holdfast:plugin/check@0.1.0").as_deref(), Some("check"));
        assert_eq!(role("holdfast:plugin/lifecycle@0.1.0"), None);
        assert_eq!(role("wasi:cli/run@0.2.0"), None);
    }

    #[test]
    fn what_is_no_component_is_refused_with_a_sentence() {
        for bytes in [&b"#!/bin/sh\n"[..], b"", b"\0asm"] {
            let error = from_component(bytes.to_vec(), None).unwrap_err().to_string();
            assert!(error.contains("cannot be read") || error.contains("not valid"), "{error}");
        }
    }

    #[test]
    fn a_role_that_no_agent_runs_yet_is_refused_before_it_is_handed_over() {
        for role in ["collector", "detector"] {
            // An empty instance, exported under the role's name.
            let name = format!("holdfast:plugin/{role}@0.1.0");
            let export = [&[1, 0, name.len() as u8], name.as_bytes(), &[5, 0, 0]].concat();
            let sections: [&[u8]; 5] = [b"\0asm\x0d\0\x01\0", &[5, 3, 1, 1, 0], &[11], &[export.len() as u8], &export];
            let error = from_component(sections.concat(), None).unwrap_err().to_string();
            assert!(error.contains(&format!("exports `{role}`")) && error.contains("no agent runs yet"), "{error}");
        }
    }
}
