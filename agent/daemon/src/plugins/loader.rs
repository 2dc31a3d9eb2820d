//! One component from its file to a plugin that can be called: read once, admitted, granted, mapped from the cache or compiled.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use holdfast_core::model::plan::hex;
use holdfast_plugin_host::{
    Artifact, COMPONENT_BYTES_MAX, CacheKey, ComponentDigest, Grant, GrantError, HostError, HostOptions, LoadError,
    Manifest, Plugin, PluginHost, SEAL_BYTES, Sealed, manifest_of,
};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::accepted::{Accepted, AcceptedAll, consent};
use super::cache::{Cache, Rejected};
use super::compile::Compiler;
use super::options::PluginsOptions;
use super::{Entries, Entry};
use crate::host::read_trusted;
use crate::telemetry::events::{PluginCacheRejected, PluginCompiled};
use crate::telemetry::{Chain, Event};

/// A larger component, one that brings an interpreter, is compiled while no other such one is: its child takes some 370 MiB, and the
/// agent's unit has one GiB for all of them.
const COMPILED_BESIDE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A grant is a page.
const GRANT_BYTES_MAX: u64 = 64 * 1024;

/// What turns files into plugins.
pub(super) struct Loader {
    host: PluginHost,
    pub(super) options: PluginsOptions,
    cache: Option<Arc<Cache>>,
    key: CacheKey,
    /// Held while a large component is compiled.
    large: Arc<Mutex<()>>,
}

/// What became of one file.
pub(super) struct Loaded {
    pub(super) entry: Arc<Entry>,
    /// What an operator should know.
    pub(super) problem: Option<String>,
}

/// What is known of a component before it is loaded, as far as it could be read.
#[derive(Default)]
struct Found {
    id: String,
    version: String,
    digest: String,
    grant: Option<String>,
    consent: Option<String>,
    vouched: bool,
}

/// A plugin under another grant, the digest of its text and of what it says yes to.
type Regranted = (Plugin, Option<String>, Option<String>);

/// What to do with a component that can be used.
enum Verdict {
    /// It is the one that is known.
    Known,
    /// The operator has switched it off. The name of its compiled form, which stays.
    Disabled(String),
    /// It is to be used from now on, and what its compiled form is called.
    Use(Plugin, String),
}

impl Loader {
    pub(super) fn new(options: PluginsOptions) -> Result<Self, HostError> {
        let host = PluginHost::new(HostOptions { limits: options.limits.clone() })?;
        let cache = options.cache.as_ref().and_then(|(dir, _)| match Cache::open(dir) {
            Ok(cache) => Some(Arc::new(cache)),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "Compiled plugins are not kept.");
                None
            }
        });
        // Without a cache what a child compiles still comes back sealed, with a key that nobody else has.
        let key = options.cache.as_ref().map_or_else(|| CacheKey::new(random()), |(_, key)| key.clone());
        Ok(Self { host, options, cache, key, large: Arc::default() })
    }

    /// Loads what lies in this file. What runs already and is unchanged stays as it is; when something newer in the same file is refused,
    /// what came from it goes on, under its grant as it is then. What is refused elsewhere keeps nothing running: that ends with its own
    /// file.
    pub(super) fn load(&self, file: &Path, running: &Entries, accepted: &AcceptedAll) -> Loaded {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut found = Found { id: stem, ..Found::default() };
        let verdict = self.judge(file, running, accepted, &mut found);
        let from_here = running.values().find(|entry| entry.file == file);
        match (verdict, from_here) {
            (Ok(Verdict::Known), Some(old)) if old.vouched == found.vouched || old.disabled => {
                Loaded { entry: Arc::clone(old), problem: None }
            }
            // Signed since the last look, or not any more.
            (Ok(Verdict::Known), Some(old)) => {
                Loaded { entry: Arc::new(Entry { vouched: found.vouched, ..Entry::clone(old) }), problem: None }
            }
            (Err(why), Some(old)) if old.ready().is_some() && !self.is_disabled(&old.id) => {
                let (entry, goes_on) = self.under_its_grant_now(old, why);
                let why = entry.refused.as_ref().or(entry.plugin.as_ref().err()).cloned().unwrap_or_default();
                let problem = if goes_on { format!("{why}; {} {} goes on", old.id, old.version) } else { why };
                Loaded { entry: Arc::new(entry), problem: Some(problem) }
            }
            (verdict, _) => {
                let (plugin, artifact, disabled) = match verdict {
                    Ok(Verdict::Use(plugin, name)) => (Ok(plugin), Some(name), false),
                    Ok(Verdict::Disabled(name)) => (Err("it is switched off".to_owned()), Some(name), true),
                    Ok(Verdict::Known) => (Err("it has gone meanwhile".to_owned()), None, false),
                    Err(why) => (Err(why), None, self.is_disabled(&found.id)),
                };
                let problem = plugin.as_ref().err().filter(|_| !disabled).cloned();
                let Found { id, version, digest, grant, consent, vouched } = found;
                let (book, turn) = running.get(&id).map_or_else(
                    || (Arc::default(), Arc::new(Semaphore::new(1))),
                    |old| (Arc::clone(&old.book), Arc::clone(&old.turn)),
                );
                let file = file.to_owned();
                let refused = None;
                let entry = Entry {
                    id,
                    version,
                    digest,
                    file,
                    vouched,
                    grant,
                    consent,
                    disabled,
                    plugin,
                    refused,
                    artifact,
                    book,
                    turn,
                };
                Loaded { entry: Arc::new(entry), problem }
            }
        }
    }

    /// What runs, when something newer in its file is refused for this reason: it goes on with the rights that the operator gives it
    /// now, and ends when these cannot be told or are another component's. Gives whether it goes on.
    fn under_its_grant_now(&self, old: &Entry, why: String) -> (Entry, bool) {
        let mut entry = Entry::clone(old);
        match self.granted_now(old) {
            Ok(None) => entry.refused = Some(why),
            Ok(Some((plugin, grant, consent))) => {
                (entry.plugin, entry.grant, entry.consent) = (Ok(plugin), grant, consent);
                entry.refused = Some(why);
            }
            Err(grant) => {
                let also = if why == grant { String::new() } else { format!("{why}; and ") };
                (entry.grant, entry.consent, entry.refused) = (None, None, None);
                entry.plugin = Err(format!("{also}it is not called until its grant is corrected: {grant}"));
                return (entry, false);
            }
        }
        (entry, true)
    }

    /// What runs, under its grant as it is now, and that grant's digests; `None`: the grant is the same. Errors: the grant cannot be
    /// read, is for another component or does not fit this one.
    fn granted_now(&self, old: &Entry) -> Result<Option<Regranted>, String> {
        let text = grant_text(&self.options.grants, &old.id)?;
        let digest = text.as_ref().map(|text| hex(&Sha256::digest(text.as_bytes())));
        if digest == old.grant {
            return Ok(None);
        }
        let consent = text.as_deref().map(consent);
        let grant = text.map(|text| self.parsed(&old.id, &text)).transpose()?;
        let plugin = old.plugin.as_ref().map_err(Clone::clone)?.granted(grant);
        Ok(Some((plugin.map_err(|error| self.unfit(&old.id, &error))?, digest, consent)))
    }

    fn grant_file(&self, id: &str) -> PathBuf {
        self.options.grants.join(format!("{id}.toml"))
    }

    fn parsed(&self, id: &str, text: &str) -> Result<Grant, String> {
        Grant::parse(text).map_err(|error| self.unfit(id, &error))
    }

    fn unfit(&self, id: &str, error: &GrantError) -> String {
        format!("{}: {error}", self.grant_file(id).display())
    }

    fn is_disabled(&self, id: &str) -> bool {
        grant_text(&self.options.grants, id).is_ok_and(|text| text.as_deref().is_some_and(switched_off))
    }

    fn judge(
        &self,
        file: &Path,
        running: &Entries,
        accepted: &AcceptedAll,
        found: &mut Found,
    ) -> Result<Verdict, String> {
        let bytes = read(file, COMPONENT_BYTES_MAX as u64)?;
        let digest = ComponentDigest::of(&bytes);
        found.digest = digest.to_string();
        let manifest = manifest_of(&bytes).map_err(|error| Chain(&error).to_string())?;
        (found.id, found.version) = (manifest.id.clone(), manifest.version.clone());
        let text = grant_text(&self.options.grants, &manifest.id)?;
        found.grant = text.as_ref().map(|text| hex(&Sha256::digest(text.as_bytes())));
        found.consent = text.as_deref().map(consent);
        let off = text.as_deref().is_some_and(switched_off);
        if !off {
            found.vouched = self.options.admission.admit(file, &bytes)?;
        }
        let old = running.get(&manifest.id).filter(|old| old.digest == found.digest && old.file == file);
        let settled = |old: &Arc<Entry>| (old.plugin.is_ok() || old.disabled) && old.refused.is_none();
        if old.is_some_and(|old| old.grant == found.grant && settled(old)) {
            return Ok(Verdict::Known);
        }
        if off {
            return Ok(Verdict::Disabled(self.host.artifact(digest, &self.key).name));
        }
        let grant = text.map(|text| self.grant(&manifest, &text, found.vouched, accepted)).transpose()?;
        let artifact = self.host.artifact(digest, &self.key);
        let plugin = match old.and_then(|old| old.plugin.as_ref().ok()) {
            Some(same) => same.granted(grant).map_err(|error| self.unfit(&manifest.id, &error))?,
            None => self.mapped(file, &bytes, &artifact, grant)?,
        };
        Ok(Verdict::Use(plugin, artifact.name))
    }

    fn grant(&self, manifest: &Manifest, text: &str, vouched: bool, accepted: &AcceptedAll) -> Result<Grant, String> {
        let file = self.grant_file(&manifest.id);
        let before = accepted.get(&manifest.id);
        let grant = || self.parsed(&manifest.id, text);
        // A grant that names one component is for that one, whoever vouches for it.
        if !vouched && before.is_some_and(|before| before.is_for_vouched(text)) && grant()?.digest.is_none() {
            return Err(format!(
                "nobody vouches for it, and what its grant was given to was signed or came with the agent; review it, and write its \
                 `digest` into {} to say yes",
                file.display()
            ));
        }
        let wider = before.map_or_else(Vec::new, |before| before.widened_by(manifest, text));
        if !wider.is_empty() {
            return Err(format!(
                "version {} asks for more than was granted before ({}); review it, and alter {} to say yes: a changed `digest` or a \
                 comment is enough",
                manifest.version,
                wider.join(", "),
                file.display()
            ));
        }
        grant()
    }

    /// From the cache, or compiled now and put there. What is in the cache may be let go from memory while nobody calls it.
    fn mapped(&self, file: &Path, bytes: &[u8], artifact: &Artifact, grant: Option<Grant>) -> Result<Plugin, String> {
        let load = |sealed: &[u8]| self.host.load_sealed(bytes, sealed, artifact, grant.clone());
        let kept = match self.cache.as_ref().map(|cache| cache.read(&artifact.name)) {
            Some(Ok(kept)) => kept,
            Some(Err(Rejected(why))) => {
                PluginCacheRejected { file, error: &why }.emit();
                None
            }
            None => None,
        };
        if let Some(sealed) = kept {
            match load(&sealed) {
                Err(LoadError::Sealed(error)) => PluginCacheRejected { file, error: &error.to_string() }.emit(),
                Ok(plugin) => {
                    self.may_rest(&plugin, file, artifact);
                    return Ok(plugin);
                }
                Err(error) => return Err(Chain(&error).to_string()),
            }
        }
        let sealed = compile(&self.options.compiler, &self.large, (file, bytes), artifact)?;
        let plugin = load(&sealed).map_err(|error| Chain(&error).to_string())?;
        // Only now: what is refused for its roles or imports is used by nobody.
        if let Some(cache) = &self.cache
            && keep(cache, file, artifact, &sealed)
        {
            self.may_rest(&plugin, file, artifact);
        }
        Ok(plugin)
    }

    fn may_rest(&self, plugin: &Plugin, file: &Path, artifact: &Artifact) {
        let Some(cache) = self.cache.clone() else { return };
        let (compiler, large) = (self.options.compiler.clone(), Arc::clone(&self.large));
        let (file, of) = (file.to_owned(), artifact.clone());
        let again = move |rejected: Option<&str>| {
            let Some(why) = rejected else {
                let kept = cache.read(&of.name).map_err(|Rejected(why)| why)?;
                return kept.map(|bytes| Sealed { bytes, kept: true }).ok_or_else(|| "it is gone".to_owned());
            };
            PluginCacheRejected { file: &file, error: why }.emit();
            let bytes = read(&file, COMPONENT_BYTES_MAX as u64)?;
            if ComponentDigest::of(&bytes) != of.digest {
                return Err(format!("{} is another one by now", file.display()));
            }
            let bytes = compile(&compiler, &large, (&file, &bytes), &of)?;
            let kept = keep(&cache, &file, &of, &bytes);
            Ok(Sealed { bytes, kept })
        };
        plugin.may_rest(artifact, Box::new(again));
    }

    /// Removes compiled forms other than these.
    pub(super) fn tidy(&self, used: &BTreeSet<String>) {
        let Some(cache) = &self.cache else { return };
        match cache.keep_only(used) {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "Compiled plugins that nobody uses were removed."),
            Err(error) => tracing::warn!(%error, "Compiled plugins that nobody uses are left."),
        }
    }
}

/// Has a child compile a component.
fn compile(
    compiler: &Compiler,
    large: &Mutex<()>,
    (file, bytes): (&Path, &[u8]),
    artifact: &Artifact,
) -> Result<Vec<u8>, String> {
    PluginCompiled { file }.emit();
    let _alone = (bytes.len() > COMPILED_BESIDE_BYTES_MAX).then(|| super::held(large));
    compiler.compile(bytes, artifact)
}

/// Puts a compiled form into the cache; gives whether it is there.
fn keep(cache: &Cache, file: &Path, artifact: &Artifact, sealed: &[u8]) -> bool {
    let kept = cache.write(&artifact.name, sealed);
    if let Err(error) = &kept {
        tracing::warn!(file = %file.display(), %error, "A compiled plugin is not kept.");
    }
    kept.is_ok()
}

/// What is remembered of what a granted plugin asks for, and who vouched for it: a signature that goes while it runs takes nothing back.
pub(super) fn acceptance(entry: &Entry, before: Option<&Accepted>) -> Option<Accepted> {
    let (wants, proposes) = entry.ready()?.asked();
    let consent = entry.consent.clone()?;
    let vouched = entry.vouched || before.is_some_and(|before| before.vouched && before.grant == consent);
    Some(Accepted { wants: wants.clone(), proposes: proposes.clone(), grant: consent, vouched })
}

pub(super) fn random() -> [u8; SEAL_BYTES] {
    let mut bytes = [0; SEAL_BYTES];
    // Nothing is read from a disk with this key, so one that could be guessed would do no harm.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

fn switched_off(grant: &str) -> bool {
    Grant::parse(grant).is_ok_and(|grant| !grant.enabled)
}

/// Reads at most `max` bytes of a file.
pub(super) fn read(file: &Path, max: u64) -> Result<Vec<u8>, String> {
    read_trusted(file, max).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => format!("it is larger than {max} bytes"),
        _ => format!("it cannot be read: {error}"),
    })
}

fn grant_text(grants: &Path, id: &str) -> Result<Option<String>, String> {
    let file: PathBuf = grants.join(format!("{id}.toml"));
    match read(&file, GRANT_BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| format!("{} is not UTF-8", file.display())),
        Err(_) if !file.exists() => Ok(None),
        Err(why) => Err(format!("{}: {why}", file.display())),
    }
}
