//! From a component to a registry: config and component as blobs, then the manifest under its tag.

use std::collections::BTreeMap;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};

use super::error::RegistryError;
use super::reference::Reference;
use super::talk::{Ask, SMALL_BYTES_MAX, Talk};
use super::wire::{self, Config, Descriptor, Interface, Manifest};

/// A plugin that is to be put there.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its id, version and one line about it.
    pub title: (String, String, String),
    /// The component.
    pub component: Vec<u8>,
    /// Its signature, as minisign writes it.
    pub signature: Option<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

/// What lies there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest.
    pub manifest: String,
    /// The component lay there already.
    pub known: bool,
}

impl Artifact {
    fn documents(&self) -> (Vec<u8>, Vec<u8>, Manifest) {
        let layer = Descriptor::of(wire::COMPONENT, &self.component);
        let interface = Interface { exports: self.exports.clone(), imports: self.imports.clone(), target: None };
        let config = Config {
            // A moment would make another artifact of the same component.
            created: "1970-01-01T00:00:00Z".to_owned(),
            author: None,
            architecture: "wasm".to_owned(),
            // The layout has no word for a component without WASI; of its two words this is the one for components.
            os: "wasip2".to_owned(),
            layer_digests: vec![layer.digest.clone()],
            component: Some(interface),
        };
        let config = serde_json::to_vec(&config).unwrap_or_default();
        let (title, version, description) = self.title.clone();
        let mut annotations = BTreeMap::from([
            ("org.opencontainers.image.title".to_owned(), title),
            ("org.opencontainers.image.version".to_owned(), version),
            ("org.opencontainers.image.description".to_owned(), description),
        ]);
        annotations.extend(self.signature.iter().map(|text| (wire::SIGNATURE.to_owned(), text.clone())));
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(wire::MANIFEST.to_owned()),
            config: Descriptor::of(wire::CONFIG, &config),
            layers: vec![layer],
            annotations,
        };
        (config, serde_json::to_vec(&manifest).unwrap_or_default(), manifest)
    }
}

pub(super) async fn push(talk: &mut Talk, reference: &Reference, artifact: &Artifact) -> Result<Pushed, RegistryError> {
    let (config, text, manifest) = artifact.documents();
    manifest.plugin().map_err(|why| RegistryError::Shape { reference: reference.to_string(), why })?;
    blob(talk, "the config", &manifest.config, config.into()).await?;
    let known = !blob(talk, "the component", &manifest.layers[0], artifact.component.clone().into()).await?;
    let digest = wire::digest(&text);
    let named = reference.tag().unwrap_or(&digest);
    let ask = Ask { body: Some((wire::MANIFEST, text.into())), ..Ask::to(Method::PUT, "the manifest") };
    let address = talk.address(&format!("manifests/{named}"));
    let reply = talk.must(&ask, address).await?;
    match reply.header("docker-content-digest") {
        Some(other) if other != digest => Err(RegistryError::Digest {
            host: talk.host().to_owned(),
            what: "the manifest",
            wanted: digest,
            found: other.chars().take(100).collect(),
        }),
        _ => Ok(Pushed { manifest: digest, known }),
    }
}

/// Puts one blob there; false: it was there.
async fn blob(talk: &mut Talk, what: &'static str, it: &Descriptor, bytes: Bytes) -> Result<bool, RegistryError> {
    let there = talk.address(&format!("blobs/{}", it.digest));
    if talk.ask(&Ask::to(Method::HEAD, what), there.clone()).await?.status.is_success() {
        return Ok(false);
    }
    let start = talk.address("blobs/uploads/");
    let begun = talk.must(&Ask::to(Method::POST, what), start).await?;
    let refused = |location: &str, why| RegistryError::Redirect {
        host: talk.host().to_owned(),
        location: location.chars().filter(|c| !c.is_control()).take(300).collect(),
        why,
    };
    let location = begun.header("location").unwrap_or_default();
    let target = there.to(location).map_err(|why| refused(location, why))?.with("digest", &it.digest);
    let ask =
        Ask { body: Some(("application/octet-stream", bytes)), most: SMALL_BYTES_MAX, ..Ask::to(Method::PUT, what) };
    let reply = talk.ask(&ask, target).await?;
    if reply.status == StatusCode::CREATED { Ok(true) } else { Err(talk.refusal(what, &reply)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_component_is_always_the_same_artifact_and_a_plugin() {
        let artifact = Artifact {
            title: ("x".into(), "1.0.0".into(), "does x".into()),
            component: b"component".to_vec(),
            signature: Some("signed".into()),
            imports: vec!["holdfast:plugin/log@0.1.0".into()],
            exports: vec!["holdfast:plugin/check@0.1.0".into()],
        };
        let (config, text, manifest) = artifact.documents();
        assert_eq!((&config, &text), (&artifact.documents().0, &artifact.documents().1));
        assert_eq!(manifest.plugin().unwrap(), (&Descriptor::of(wire::COMPONENT, b"component"), Some("signed")));
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["layerDigests"], serde_json::json!([wire::digest(b"component")]));
        assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
        assert_eq!(config["component"]["exports"], serde_json::json!(["holdfast:plugin/check@0.1.0"]));
    }
}
