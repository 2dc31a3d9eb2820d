//! A component that somebody wants to install: where it comes from, and what is known of it before it is placed.

use std::path::{Path, PathBuf};

use holdfast_core::model::plan::hex;
use holdfast_plugin_build::{Surface, surface};
use holdfast_plugin_host::{COMPONENT_BYTES_MAX, Manifest, manifest_of};
use sha2::{Digest, Sha256};

use super::InstallError;
use crate::host::read_trusted;
use crate::plugins::{Standing, Trust, signature_beside, signature_file};
use crate::registry::{self, Access, Reference, ReferenceError};
use crate::telemetry::Chain;

/// Bytes and a signature, from a file or a registry. Nobody vouches for them yet.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where it came from, for people; of a registry with the digest that the tag stood for.
    pub from: String,
    /// The component.
    pub component: Vec<u8>,
    /// Its signature, as minisign writes it.
    pub signature: Option<String>,
    /// What an operator should know of the way here.
    pub notes: Vec<String>,
    /// Where a signature that is missing belongs.
    signed_at: PathBuf,
}

/// A candidate that is a plugin, is the one that was meant, and that this host lets in.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What was looked at.
    pub candidate: Candidate,
    /// SHA-256 of the component, 64 hexadecimal digits.
    pub digest: String,
    /// What it says about itself.
    pub manifest: Manifest,
    /// What it imports and exports.
    pub surface: Surface,
    /// Who vouches for it.
    pub standing: Standing,
}

impl Candidate {
    /// From a component's file, or from `oci://…`. Blocks for as long as a registry takes.
    pub fn fetch(source: &Path, access: impl FnOnce(&Reference) -> Access) -> Result<Self, InstallError> {
        if registry::is_reference(source) {
            return Self::from_registry(&source.to_string_lossy(), access);
        }
        let failed = |error| InstallError::Read { path: source.to_owned(), source: error };
        let component = read_trusted(source, COMPONENT_BYTES_MAX as u64).map_err(failed)?;
        let from = source.display().to_string();
        let signature =
            signature_beside(source).map_err(|source| InstallError::Untrusted { what: from.clone(), source })?;
        Ok(Self { from, component, signature, notes: Vec::new(), signed_at: signature_file(source) })
    }

    fn from_registry(text: &str, access: impl FnOnce(&Reference) -> Access) -> Result<Self, InstallError> {
        let reference: Reference = text.parse().map_err(|error: ReferenceError| InstallError::Unusable {
            what: "SOURCE".to_owned(),
            why: error.to_string(),
            hint: Some(ReferenceError::HINT.to_owned()),
        })?;
        let pulled = registry::pull(&reference, &access(&reference))?;
        let from = reference.at(&pulled.manifest).to_string();
        let mut notes = pulled.notes;
        if let (Some(tag), None) = (reference.tag(), reference.digest()) {
            notes.insert(0, format!("the tag {tag} is {} at this moment", pulled.manifest));
        }
        let signed_at = PathBuf::from(format!("an annotation of {from} (`plugin push` puts it there)"));
        Ok(Self { from, component: pulled.component, signature: pulled.signature, notes, signed_at })
    }

    /// Looks through it. `wanted`: the SHA-256 that it must have.
    ///
    /// Errors: it is no plugin, not the one that was meant, or nobody whom this host trusts has signed it.
    pub fn check(self, trust: &Trust, wanted: Option<&str>) -> Result<Checked, InstallError> {
        let (manifest, surface, digest) = self.read()?;
        if let Some(wanted) = wanted.map(|text| text.strip_prefix("sha256:").unwrap_or(text)).filter(|it| *it != digest)
        {
            return Err(InstallError::OtherDigest { what: self.from, wanted: wanted.to_owned(), found: digest });
        }
        let standing = trust
            .judge(&self.component, self.signature.as_deref(), &self.signed_at)
            .map_err(|source| InstallError::Untrusted { what: self.from.clone(), source })?;
        if numbers(&surface.agent_min) > numbers(env!("CARGO_PKG_VERSION")) {
            let why =
                format!("it needs an agent of version {}, this is {}", surface.agent_min, env!("CARGO_PKG_VERSION"));
            let hint = Some("upgrade the agent first".to_owned());
            return Err(InstallError::Unusable { what: self.from, why, hint });
        }
        Ok(Checked { digest, manifest, surface, standing, candidate: self })
    }

    /// What it says about itself, what it imports and exports, and its SHA-256.
    pub fn read(&self) -> Result<(Manifest, Surface, String), InstallError> {
        let unusable = |why: String| InstallError::Unusable {
            what: self.from.clone(),
            why,
            hint: Some(
                "a plugin is a WebAssembly component with its manifest inside, as `holdfast plugin build` makes it"
                    .to_owned(),
            ),
        };
        let manifest = manifest_of(&self.component).map_err(|error| unusable(Chain(&error).to_string()))?;
        let surface = surface(&self.component).map_err(|error| unusable(error.to_string()))?;
        Ok((manifest, surface, hex(&Sha256::digest(&self.component))))
    }
}

/// Three numbers, to be compared.
pub(super) fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}
