//! The manifest inside a component: one custom section, readable without running anything.

use wasmparser::{Parser, Payload};

use crate::error::{BuildError, component};

/// Where the plugin host looks for the manifest.
pub const MANIFEST_SECTION: &str = "holdfast-manifest";

/// A component with `plugin.toml` as its custom section. It must not have one yet.
pub fn with_manifest(mut wasm: Vec<u8>, manifest: &str) -> Result<Vec<u8>, BuildError> {
    if !manifests(&wasm)?.is_empty() {
        return Err(BuildError::Component("it carries a manifest already".to_owned()));
    }
    append(&mut wasm, MANIFEST_SECTION, manifest.as_bytes());
    Ok(wasm)
}

/// Every manifest of the outermost component, as bytes.
pub fn manifests(wasm: &[u8]) -> Result<Vec<Vec<u8>>, BuildError> {
    let (mut found, mut depth) = (Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|error| component("the component cannot be read", &error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 0 && section.name() == MANIFEST_SECTION => {
                found.push(section.data().to_vec());
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A custom section is id 0, its size, its name and its content; sizes are LEB128.
fn append(wasm: &mut Vec<u8>, name: &str, content: &[u8]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_long_manifest_gets_a_size_of_several_bytes_and_is_read_back_whole() {
        for len in [0, 1, 127, 128, 300, 20_000] {
            let text = "x".repeat(len);
            let wasm = with_manifest(EMPTY.to_vec(), &text).unwrap();
            assert_eq!(manifests(&wasm).unwrap(), [text.into_bytes()], "{len}");
        }
    }

    #[test]
    fn there_is_never_a_second_manifest() {
        let wasm = with_manifest(EMPTY.to_vec(), "a").unwrap();
        assert!(with_manifest(wasm, "b").unwrap_err().to_string().contains("already"));
    }
}
