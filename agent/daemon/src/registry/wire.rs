//! The documents of a registry, as OCI's image specification and CNCF's layout for WebAssembly write them. They never leave this room.

use std::collections::BTreeMap;

use holdfast_core::model::plan::hex;
use holdfast_plugin_host::COMPONENT_BYTES_MAX;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::reference::is_digest;
use crate::plugins::SIGNATURE_BYTES_MAX;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(super) const COMPONENT: &str = "application/wasm";
/// The annotation that holds a component's minisign signature.
pub(super) const SIGNATURE: &str = "holdfast.plugin.minisig";

/// A manifest is a page; registries take no more than 4 MiB.
pub(super) const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// A config lists what a component imports and exports.
pub(super) const CONFIG_BYTES_MAX: u64 = 256 << 10;

/// Names one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
}

impl Descriptor {
    pub(super) fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self { media_type: media_type.to_owned(), digest: digest(bytes), size: bytes.len() as u64 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    #[serde(default)]
    pub(super) media_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

/// CNCF's config. Without a moment in it, so that the same component always makes the same artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) created: String,
    #[serde(default)]
    pub(super) author: Option<String>,
    pub(super) architecture: String,
    pub(super) os: String,
    pub(super) layer_digests: Vec<String>,
    #[serde(default)]
    pub(super) component: Option<Interface>,
}

/// What a component imports and exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interface {
    pub(super) exports: Vec<String>,
    pub(super) imports: Vec<String>,
    #[serde(default)]
    pub(super) target: Option<String>,
}

/// `sha256:…` of bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

impl Manifest {
    /// What holds the component of a plugin, if this is one.
    ///
    /// Errors: why it is none.
    pub(super) fn plugin(&self) -> Result<(&Descriptor, Option<&str>), String> {
        if self.schema_version != 2 {
            return Err(format!("its manifest has the schema version {}, not 2", self.schema_version));
        }
        if self.config.media_type != CONFIG {
            return Err(format!("its config is of the type `{}`, not {CONFIG}", short(&self.config.media_type)));
        }
        let [layer] = self.layers.as_slice() else {
            return Err(format!("it has {} layers; a component is exactly one", self.layers.len()));
        };
        if layer.media_type != COMPONENT {
            return Err(format!("its layer is of the type `{}`, not {COMPONENT}", short(&layer.media_type)));
        }
        for (what, descriptor, most) in
            [("config", &self.config, CONFIG_BYTES_MAX), ("component", layer, COMPONENT_BYTES_MAX as u64)]
        {
            if !is_digest(&descriptor.digest) {
                return Err(format!("the digest of its {what} is `{}`, no SHA-256", short(&descriptor.digest)));
            }
            if descriptor.size > most {
                return Err(format!("its {what} has {} bytes; {most} are allowed", descriptor.size));
            }
        }
        let signature = self.annotations.get(SIGNATURE).map(String::as_str);
        if signature.is_some_and(|text| text.len() as u64 > SIGNATURE_BYTES_MAX) {
            return Err(format!("its signature is longer than {SIGNATURE_BYTES_MAX} bytes"));
        }
        Ok((layer, signature))
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Descriptor::of(CONFIG, b"{}"),
            layers: vec![Descriptor::of(COMPONENT, b"x")],
            annotations: BTreeMap::from([(SIGNATURE.to_owned(), "signed".to_owned())]),
        }
    }

    #[track_caller]
    fn check(alter: impl FnOnce(&mut Manifest), wanted: Option<&str>) {
        let mut it = manifest();
        alter(&mut it);
        match (it.plugin(), wanted) {
            (Ok(_), None) => {}
            (Err(why), Some(wanted)) => assert!(why.contains(wanted), "{why}"),
            (other, wanted) => panic!("{other:?}, not {wanted:?}"),
        }
    }

    #[test]
    fn a_plugin_has_cncfs_config_and_one_layer() {
        check(|_| {}, None);
        assert_eq!(manifest().plugin().unwrap().1, Some("signed"));
        check(|it| it.annotations.clear(), None);
        check(|it| it.schema_version = 1, Some("schema version 1"));
        check(|it| it.config.media_type = "application/vnd.oci.image.config.v1+json".into(), Some("its config is of"));
        check(|it| it.layers.clear(), Some("0 layers"));
        check(|it| it.layers.push(it.layers[0].clone()), Some("2 layers"));
        check(|it| it.layers[0].media_type = "application/octet-stream".into(), Some("its layer is of"));
        check(|it| it.layers[0].size = u64::MAX, Some("are allowed"));
        check(|it| it.config.size = CONFIG_BYTES_MAX + 1, Some("are allowed"));
        check(|it| it.layers[0].digest = "sha512:00".into(), Some("no SHA-256"));
        check(|it| it.annotations.insert(SIGNATURE.into(), "x".repeat(5_000)).map_or((), drop), Some("longer than"));
    }

    #[test]
    fn what_other_tools_write_is_read() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"x","config":{{"mediaType":"{CONFIG}","digest":"{0}","size":2}},
            "layers":[{{"mediaType":"{COMPONENT}","digest":"{0}","size":1,"annotations":{{"a":"b"}}}}]}}"#,
            digest(b"x")
        );
        let read: Manifest = serde_json::from_str(&text).unwrap();
        assert_eq!(read.plugin().unwrap(), (&Descriptor::of(COMPONENT, b"x"), None));
    }
}
