//! From a reference to a component: the manifest, what it names, and that each of them is what was named.

use hyper::{Method, StatusCode};

use super::error::RegistryError;
use super::reference::{Reference, is_digest};
use super::talk::{Ask, Reply, Talk};
use super::wire::{self, Config, Descriptor, Manifest};

/// A plugin as a registry gave it. Nobody vouches for it yet but its digest.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The component.
    pub component: Vec<u8>,
    /// Its signature, as minisign writes it.
    pub signature: Option<String>,
    /// Digest of the manifest: what the tag stood for at this moment.
    pub manifest: String,
    /// What an operator should know of how it went: redirects, a tag that moved.
    pub notes: Vec<String>,
}

pub(super) async fn pull(talk: &mut Talk, reference: &Reference) -> Result<Pulled, RegistryError> {
    let named = reference.digest().or(reference.tag()).unwrap_or_default();
    let reply = manifest(talk, named).await?;
    let found = wire::digest(&reply.body);
    is_as_named(talk, "the manifest", reference.digest().unwrap_or(&found), &found)?;
    // A registry that contradicts itself is broken, or somebody between it and here is at work.
    if let Some(claimed) = reply.header("docker-content-digest").filter(|claimed| is_digest(claimed)) {
        is_as_named(talk, "the manifest", claimed, &found)?;
    }
    let shape = |why: String| RegistryError::Shape { reference: reference.to_string(), why };
    let kind = reply.header("content-type").unwrap_or_default();
    if kind.starts_with(wire::INDEX) {
        return Err(shape("it is an index of several; name the digest of one of them".to_owned()));
    }
    let manifest: Manifest =
        serde_json::from_slice(&reply.body).map_err(|error| shape(format!("its manifest cannot be read: {error}")))?;
    let (layer, signature) = manifest.plugin().map_err(shape)?;
    let config = blob(talk, "the config", &manifest.config).await?;
    let config: Config =
        serde_json::from_slice(&config).map_err(|error| shape(format!("its config cannot be read: {error}")))?;
    if config.layer_digests != [layer.digest.as_str()] {
        return Err(shape("its config names other layers than its manifest".to_owned()));
    }
    let component = blob(talk, "the component", layer).await?;
    moved(talk, reference).await?;
    Ok(Pulled {
        component,
        signature: signature.map(str::to_owned),
        manifest: found,
        notes: std::mem::take(&mut talk.notes),
    })
}

async fn manifest(talk: &mut Talk, named: &str) -> Result<Reply, RegistryError> {
    let ask = Ask { accept: Some(wire::MANIFEST), ..Ask::get("the manifest", wire::MANIFEST_BYTES_MAX) };
    let address = talk.address(&format!("manifests/{named}"));
    talk.must(&ask, address).await
}

/// One blob, whole, of the size and digest that its descriptor says.
async fn blob(talk: &mut Talk, what: &'static str, wanted: &Descriptor) -> Result<Vec<u8>, RegistryError> {
    let address = talk.address(&format!("blobs/{}", wanted.digest));
    let reply = talk.must(&Ask::get(what, wanted.size), address).await?;
    is_as_named(talk, what, &wanted.digest, &wire::digest(&reply.body))?;
    Ok(reply.body.to_vec())
}

fn is_as_named(talk: &Talk, what: &'static str, wanted: &str, found: &str) -> Result<(), RegistryError> {
    if wanted == found {
        return Ok(());
    }
    let host = talk.host().to_owned();
    Err(RegistryError::Digest { host, what, wanted: wanted.to_owned(), found: found.to_owned() })
}

/// Where a tag was named beside a digest, the digest is what was taken; a tag that stands for something else by now is told.
async fn moved(talk: &mut Talk, reference: &Reference) -> Result<(), RegistryError> {
    let (Some(tag), Some(pinned)) = (reference.tag(), reference.digest()) else { return Ok(()) };
    let ask = Ask { accept: Some(wire::MANIFEST), ..Ask::to(Method::HEAD, "the tag") };
    let address = talk.address(&format!("manifests/{tag}"));
    let reply = talk.ask(&ask, address).await?;
    let note = match (reply.status, reply.header("docker-content-digest")) {
        (status, Some(now)) if status.is_success() && now == pinned => return Ok(()),
        (status, Some(now)) if status.is_success() && is_digest(now) => {
            format!("the tag {tag} has moved: it is {now} now; what you named was taken")
        }
        (StatusCode::NOT_FOUND, _) => format!("there is no tag {tag} any more; the digest that you named was taken"),
        _ => return Ok(()),
    };
    talk.notes.push(note);
    Ok(())
}
