//! Plugins in OCI registries: pulled for `plugin install`, pushed by `plugin push`.
//!
//! The layout is CNCF's for WebAssembly: a config of its own media type and exactly one layer, the component; the minisign signature
//! is an annotation of the manifest, so that other tools that know the layout go on reading it. Whoever holds the registry is not
//! believed: every digest on the way is computed here, every size has a bound, every answer a deadline, and whether the component may
//! be used at all is decided by its signature afterwards. Only a registry on this host is spoken to without TLS.

mod access;
mod address;
mod auth;
mod docker;
mod error;
mod pull;
mod push;
mod reference;
mod talk;
mod wire;

use std::path::Path;

pub use access::{Access, Authorities, Credentials, Login};
pub use docker::{folder as docker_folder, stored as docker_login};
pub use error::RegistryError;
pub use pull::Pulled;
pub use push::{Artifact, Pushed};
pub use reference::{Reference, ReferenceError};

use talk::Talk;

/// Fetches a plugin's component and its signature. Blocks; not for use inside an async runtime.
///
/// Errors: the registry cannot be reached, says no, or what it gives is not what was named or no plugin.
pub fn pull(reference: &Reference, access: &Access) -> Result<Pulled, RegistryError> {
    run(reference, async { pull::pull(&mut Talk::new(reference, access)?, reference).await })
}

/// Puts a plugin there, under the reference's tag. The same artifact always has the same digest. Blocks as [`pull()`] does.
pub fn push(reference: &Reference, artifact: &Artifact, access: &Access) -> Result<Pushed, RegistryError> {
    run(reference, async { push::push(&mut Talk::new(reference, access)?, reference, artifact).await })
}

/// Whether a source names a registry.
pub fn is_reference(source: &Path) -> bool {
    source.to_str().is_some_and(|text| text.starts_with(reference::SCHEME))
}

fn run<T>(reference: &Reference, work: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
    let unreachable = |why: String| RegistryError::Unreachable { host: reference.host().to_owned(), why };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unreachable(error.to_string()))?;
    runtime.block_on(async {
        match tokio::time::timeout(talk::WHOLE_DEADLINE, work).await {
            Ok(result) => result,
            Err(_) => Err(unreachable(format!("it took longer than {} s", talk::WHOLE_DEADLINE.as_secs()))),
        }
    })
}

#[cfg(test)]
mod tests;
