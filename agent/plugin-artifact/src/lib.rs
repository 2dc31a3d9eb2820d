//! Compiled plugins with a seal: native code is mapped only when this host's own compiler made it for this very component.
//!
//! wasmtime trusts what it deserialises: a flipped byte loads and runs without complaint. So [`compile`] is the only way to a sealed
//! artifact, and [`open`] maps the same bytes that it has just checked, never a file that could change in between. The key of a seal
//! is derived for one [`Identity`]: whoever compiles one component holds nothing that would seal another.
//!
//! This crate reads no file and starts no process. It is the one place of the agent with `unsafe` written by hand, one line of it.

use std::fmt;
use std::hash::{Hash, Hasher};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of a key and of a seal.
pub const SEAL_BYTES: usize = 32;

/// What an artifact is of: one component, one version of wasmtime, one set of its settings, one set of CPU features.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity([u8; 32]);

/// SHA-256 of a component: computed once for each that is read, because a large one takes a while.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ComponentDigest([u8; 32]);

impl ComponentDigest {
    /// Of these bytes.
    pub fn of(component: &[u8]) -> Self {
        Self(Sha256::digest(component).into())
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentDigest({self})")
    }
}

/// `std`'s hashing, with SHA-256 underneath.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

impl Identity {
    /// The identity that a component has under this engine.
    pub fn of(engine: &Engine, component: &ComponentDigest) -> Self {
        let mut sha = Sha(Sha256::new_with_prefix(b"holdfast-plugin-identity-1\0"));
        sha.0.update(component.0);
        engine.precompile_compatibility_hash().hash(&mut sha);
        Self(sha.0.finalize().into())
    }
}

/// 64 hexadecimal digits: good as a file's name.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// The host's secret for all seals.
#[derive(Clone)]
pub struct CacheKey([u8; SEAL_BYTES]);

impl CacheKey {
    /// A secret that nobody but the agent's user knows.
    pub fn new(secret: [u8; SEAL_BYTES]) -> Self {
        Self(secret)
    }

    /// The key of one seal.
    pub fn seal_key(&self, identity: &Identity) -> SealKey {
        SealKey(mac(&self.0, b"holdfast-plugin-seal-1\0", &identity.0).map_or([0; SEAL_BYTES], finished))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheKey(..)")
    }
}

/// The key of one component's seal. It crosses a pipe to the process that compiles.
#[derive(Clone)]
pub struct SealKey([u8; SEAL_BYTES]);

impl SealKey {
    /// As it arrived.
    pub fn from_bytes(bytes: [u8; SEAL_BYTES]) -> Self {
        Self(bytes)
    }
    /// As it is sent.
    pub fn as_bytes(&self) -> &[u8; SEAL_BYTES] {
        &self.0
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// An artifact that is not mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than a seal.
    #[error("the compiled plugin is truncated")]
    Truncated,
    /// Other bytes, or another key, than when it was sealed.
    #[error("the seal of the compiled plugin is broken")]
    Seal,
    /// wasmtime does not take it.
    #[error("the compiled plugin does not fit this engine: {0}")]
    Engine(String),
}

fn mac(key: &[u8; SEAL_BYTES], purpose: &[u8], content: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(purpose);
    mac.update(content);
    Some(mac)
}

fn finished(mac: Hmac<Sha256>) -> [u8; SEAL_BYTES] {
    mac.finalize().into_bytes().into()
}

const ARTIFACT: &[u8] = b"holdfast-plugin-artifact-1\0";

/// Compiles a component and seals what came out. Dear, and the compiler sees whatever the component holds: not for the daemon itself.
///
/// Errors: the compiler's own words.
pub fn compile(engine: &Engine, component: &[u8], key: &SealKey) -> Result<Vec<u8>, String> {
    let artifact = engine.precompile_component(component).map_err(|error| format!("{error:#}"))?;
    let seal = mac(&key.0, ARTIFACT, &artifact).map(finished).ok_or("no seal can be made")?;
    Ok([seal.as_slice(), &artifact].concat())
}

/// Maps an artifact whose seal is whole.
pub fn open(engine: &Engine, sealed: &[u8], key: &SealKey) -> Result<Component, OpenError> {
    let (seal, artifact) = sealed.split_first_chunk::<SEAL_BYTES>().ok_or(OpenError::Truncated)?;
    mac(&key.0, ARTIFACT, artifact).and_then(|mac| mac.verify_slice(seal).ok()).ok_or(OpenError::Seal)?;
    map(engine, artifact)
}

#[expect(unsafe_code, reason = "wasmtime cannot check native code; the seal does: docs/adr/0012")]
fn map(engine: &Engine, artifact: &[u8]) -> Result<Component, OpenError> {
    // SAFETY: `deserialize` wants bytes that `Engine::precompile_component` made. The caller has just checked, over these very bytes
    // in memory, a MAC whose key only `compile` above uses, right after that function, and only this user's processes know. They are
    // borrowed, so nobody changes them before they are copied into the mapping. wasmtime itself compares version and settings.
    unsafe { Component::deserialize(engine, artifact) }.map_err(|error| OpenError::Engine(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
    use super::*;

    /// A component that holds one core module with one function: enough for a text section.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x01\x1b\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x0a\x06\x01\x04\0\x41\x2a\x0b";

    fn key(of: u8, engine: &Engine) -> SealKey {
        CacheKey::new([of; 32]).seal_key(&Identity::of(engine, &ComponentDigest::of(COMPONENT)))
    }

    #[test]
    fn what_was_sealed_here_is_mapped() {
        let engine = Engine::default();
        let sealed = compile(&engine, COMPONENT, &key(1, &engine)).unwrap();
        assert!(open(&engine, &sealed, &key(1, &engine)).is_ok());
    }

    #[test]
    fn a_byte_more_less_or_other_is_never_mapped() {
        let engine = Engine::default();
        let sealed = compile(&engine, COMPONENT, &key(1, &engine)).unwrap();
        let refused = |bytes: &[u8]| open(&engine, bytes, &key(1, &engine)).err();
        for at in (0..sealed.len()).step_by(sealed.len() / 100) {
            let mut bytes = sealed.clone();
            bytes[at] ^= 1;
            assert_eq!(refused(&bytes), Some(OpenError::Seal), "byte {at}");
        }
        assert_eq!(refused(&sealed[..sealed.len() - 1]), Some(OpenError::Seal));
        assert_eq!(refused(&[sealed.as_slice(), &[0]].concat()), Some(OpenError::Seal));
        assert_eq!(refused(&sealed[..31]), Some(OpenError::Truncated));
        assert_eq!(refused(&[]), Some(OpenError::Truncated));
    }

    #[test]
    fn another_hosts_key_and_another_components_key_open_nothing() {
        let engine = Engine::default();
        let sealed = compile(&engine, COMPONENT, &key(1, &engine)).unwrap();
        assert_eq!(open(&engine, &sealed, &key(2, &engine)).err(), Some(OpenError::Seal));
        let other = CacheKey::new([1; 32]).seal_key(&Identity::of(&engine, &ComponentDigest::of(b"another component")));
        assert_eq!(open(&engine, &sealed, &other).err(), Some(OpenError::Seal));
    }

    #[test]
    fn another_setting_of_the_engine_is_another_identity() {
        let engine = Engine::default();
        let other = Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        let digest = ComponentDigest::of(COMPONENT);
        assert_ne!(Identity::of(&engine, &digest), Identity::of(&other, &digest));
        assert_eq!(Identity::of(&engine, &digest), Identity::of(&Engine::default(), &digest));
    }
}
