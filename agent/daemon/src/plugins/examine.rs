//! What this host's loader says of a component, before it lies where the loader looks.

use holdfast_plugin_host::{CacheKey, ComponentDigest, Grant, HostOptions, Plugin, PluginHost};

use super::compile::Compiler;
use super::loader::random;
use crate::telemetry::Chain;

/// Compiles a component in a child, links it and brings it together with a grant, as the agent would; nothing is kept or called.
///
/// Errors: the sentence that `plugin list` would show.
pub fn examine(component: &[u8], grant: Option<Grant>, compiler: &Compiler) -> Result<Plugin, String> {
    let host = PluginHost::new(HostOptions::default()).map_err(|error| Chain(&error).to_string())?;
    let artifact = host.artifact(ComponentDigest::of(component), &CacheKey::new(random()));
    let sealed = compiler.compile(component, &artifact)?;
    host.load_sealed(component, &sealed, &artifact, grant).map_err(|error| Chain(&error).to_string())
}
