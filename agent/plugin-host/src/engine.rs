//! Loading plugins: what may be compiled at all, what it may import, which roles it has.
//!
//! Compiling is the dear part and happens once for each load. A component is looked through before the compiler sees it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use holdfast_plugin_artifact::{CacheKey, ComponentDigest, Identity, OpenError, SealKey};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::bindings::EveryRole;
use crate::code::{Code, Linked};
use crate::grant::{Effective, Grant, GrantError};
use crate::guest::one_line;
use crate::limits::{COMPONENT_BYTES_MAX, Limits};
use crate::manifest::{ManifestError, manifest_of, unreadable};
use crate::plugin::{Compiled, Plugin, Role};
use crate::pool;
use crate::services::Room;
use crate::ticker::Ticks;

/// The WIT package and the interfaces of it that a plugin may import.
const PACKAGE: &str = "holdfast:plugin/";
const VERSION: &str = "@0.1.0";
const IMPORTS: [&str; 9] = ["types", "log", "clock", "files", "units", "processes", "metrics", "changes", "state"];

/// How the host is made.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// Bounds of every call.
    pub limits: Limits,
}

/// The host cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The WebAssembly engine refuses.
    #[error("the WebAssembly engine cannot be started: {0}")]
    Engine(String),
    /// No thread for the deadlines.
    #[error("the thread that keeps deadlines cannot be started")]
    Ticker(#[source] std::io::Error),
}

/// A component that is not loaded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// Larger than any plugin has reason to be.
    #[error("the component has {bytes} bytes; {COMPONENT_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No component: truncated, damaged, or something else.
    #[error("{0}")]
    NotAComponent(String),
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its grant.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// It wants more than the package offers.
    #[error("{0}")]
    Import(String),
    /// It has no role, or not those that its manifest names.
    #[error("{0}")]
    Roles(String),
    /// The compiler or the linker refuses.
    #[error("the component cannot be compiled or linked: {0}")]
    Compile(String),
    /// What was compiled before is not this host's own work, or was altered since.
    #[error(transparent)]
    Sealed(OpenError),
}

/// The name and the key of one component's compiled form.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Of the component.
    pub digest: ComponentDigest,
    /// 64 hexadecimal digits; another component, wasmtime, setting or CPU has another.
    pub name: String,
    /// What it is sealed with.
    pub key: SealKey,
}

/// The engine, its linker and its ticker. Cheap to share behind an `Arc`; one for each process is enough.
pub struct PluginHost {
    engine: Engine,
    linker: Arc<Linker<Room>>,
    limits: Limits,
    ticks: Arc<Ticks>,
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl PluginHost {
    /// Starts the engine and the thread that keeps deadlines; the thread ends with the host and its last plugin.
    pub fn new(options: HostOptions) -> Result<Self, HostError> {
        let engine = pool::engine()?;
        let mut linker = Linker::new(&engine);
        EveryRole::add_to_linker::<_, HasSelf<Room>>(&mut linker, |room| room)
            .map_err(|error| HostError::Engine(error.to_string()))?;
        let ticks = Arc::new(Ticks::default());
        crate::ticker::start(&engine, &ticks).map_err(HostError::Ticker)?;
        Ok(Self { engine, linker: Arc::new(linker), limits: options.limits, ticks })
    }

    /// Checks, compiles and links a component in this process: for an author's own plugin, and for tests. The daemon has a child
    /// compile and takes [`PluginHost::load_sealed`]. Without a grant a plugin is known, and every call is refused.
    pub fn load(&self, component: &[u8], grant: Option<Grant>) -> Result<Plugin, LoadError> {
        look_through(component)?;
        self.link(component, &ComponentDigest::of(component), grant, || {
            Component::from_binary(&self.engine, component)
                .map_err(|error| LoadError::Compile(one_line(&format!("{error:#}"), 1024)))
        })
    }

    /// What a component's compiled form is called and sealed with on this host.
    pub fn artifact(&self, component: ComponentDigest, key: &CacheKey) -> Artifact {
        let identity = Identity::of(&self.engine, &component);
        Artifact { digest: component, name: identity.to_string(), key: key.seal_key(&identity) }
    }

    /// The same as [`PluginHost::load`] with what [`crate::compile`] made of this component before: nothing is compiled.
    pub fn load_sealed(
        &self,
        component: &[u8],
        sealed: &[u8],
        artifact: &Artifact,
        grant: Option<Grant>,
    ) -> Result<Plugin, LoadError> {
        if component.len() > COMPONENT_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: component.len() });
        }
        self.link(component, &artifact.digest, grant, || {
            holdfast_plugin_artifact::open(&self.engine, sealed, &artifact.key).map_err(LoadError::Sealed)
        })
    }

    fn link(
        &self,
        component: &[u8],
        digest: &ComponentDigest,
        grant: Option<Grant>,
        compiled: impl FnOnce() -> Result<Component, LoadError>,
    ) -> Result<Plugin, LoadError> {
        let manifest = manifest_of(component)?;
        let digest = digest.to_string();
        let granted = grant.is_some();
        // Without a grant nothing may be read or proposed: an empty one says just that.
        let effective = Effective::new(manifest, grant.unwrap_or_default(), &digest)?;
        let compiled = compiled()?;
        imports_fit(&self.engine, &compiled)?;
        let roles = roles(&self.engine, &compiled)?;
        let claimed: BTreeSet<&str> = effective.manifest.roles.iter().map(String::as_str).collect();
        let exported: BTreeSet<&str> = roles.iter().map(|role| role.as_str()).collect();
        if claimed != exported {
            let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(LoadError::Roles(format!(
                "the manifest names the roles [{}], the component exports [{}]; correct `roles` in plugin.toml",
                list(&claimed),
                list(&exported)
            )));
        }
        let later = later_import(&self.engine, &compiled);
        // A function that a later agent has is missed when it comes to linking.
        let link = |error: wasmtime::Error| match later {
            Some(version) => {
                LoadError::Import(format!("{}: {}", built_for(&version), one_line(&format!("{error:#}"), 512)))
            }
            None => LoadError::Compile(one_line(&format!("{error:#}"), 1024)),
        };
        let linked = Linked::new(&self.linker, &compiled, &roles).map_err(link)?;
        let code = Code::new(self.engine.clone(), Arc::clone(&self.linker), roles, linked);
        let limits = self.limits.lowered(&effective.manifest.limits);
        let compiled = Arc::new(Compiled { digest, code, limits, ticks: Arc::clone(&self.ticks) });
        Ok(Plugin::new(effective, granted, compiled))
    }
}

/// Looks through a component and compiles it, for [`PluginHost::load_sealed`]. What a component holds decides what this costs, so the
/// agent calls it in a child process that has limits and nothing to lose.
pub fn compile(component: &[u8], key: &SealKey) -> Result<Vec<u8>, LoadError> {
    look_through(component)?;
    let engine = pool::compiler().map_err(|error| LoadError::Compile(error.to_string()))?;
    holdfast_plugin_artifact::compile(&engine, component, key).map_err(|why| LoadError::Compile(one_line(&why, 1024)))
}

/// Size, kind and validity, before anything is compiled.
fn look_through(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge { bytes: bytes.len() });
    }
    if wasmparser::Parser::is_core_wasm(bytes) {
        let text = "the file is a core WebAssembly module, not a component; build it with `holdfast plugin build` or `cargo xtask guests`";
        return Err(LoadError::NotAComponent(text.to_owned()));
    }
    wasmparser::Validator::new()
        .validate_all(bytes)
        .map(drop)
        .map_err(|error| LoadError::NotAComponent(unreadable(bytes, &error)))
}

fn imports_fit(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    for (name, _) in component.component_type().imports(engine) {
        let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'));
        match interface {
            Some((interface, version)) if IMPORTS.contains(&interface) && version.starts_with("0.1.") => {}
            Some((interface, version)) if IMPORTS.contains(&interface) => {
                return Err(LoadError::Import(built_for(version)));
            }
            _ if name.starts_with("wasi:") => {
                return Err(LoadError::Import(format!(
                    "the component imports `{}`; plugins have no WASI: build for wasm32-unknown-unknown and use what the SDK offers instead of std's files, clocks, network and randomness",
                    one_line(name, 128)
                )));
            }
            _ => {
                return Err(LoadError::Import(format!(
                    "the component imports `{}`, which is not among the interfaces of holdfast:plugin ({}); remove the dependency that brings it",
                    one_line(name, 128),
                    IMPORTS.join(", ")
                )));
            }
        }
    }
    Ok(())
}

/// What to do with a component of another version of the contract.
fn built_for(version: &str) -> String {
    let later = if is_later(version) { ", or update this agent to one that offers it" } else { "" };
    let (version, own) = (one_line(version, 32), &VERSION[1..]);
    format!(
        "the component was built for holdfast:plugin {version}, this agent offers {own}; build it with the SDK of this version{later}"
    )
}

/// Whether a version of the contract is later than this agent's.
fn is_later(version: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    numbers(version) > numbers(&VERSION[1..])
}

/// The later version of the contract that a component imports from.
fn later_import(engine: &Engine, component: &Component) -> Option<String> {
    let ty = component.component_type();
    let mut versions =
        ty.imports(engine).filter_map(|(name, _)| Some(name.strip_prefix(PACKAGE)?.split_once('@')?.1.to_owned()));
    versions.find(|version| is_later(version))
}

fn roles(engine: &Engine, component: &Component) -> Result<Vec<Role>, LoadError> {
    let has = |wanted: &str| {
        component.component_type().exports(engine).any(|(name, item)| {
            name == format!("{PACKAGE}{wanted}{VERSION}") && matches!(item.ty, ComponentItem::ComponentInstance(_))
        })
    };
    let other = |interface: &str| {
        let ty = component.component_type();
        let mut names = ty.exports(engine).filter_map(|(name, _)| name.strip_prefix(PACKAGE)?.split_once('@'));
        names.find(|(name, _)| *name == interface).map(|(_, version)| version.to_owned())
    };
    if !has("lifecycle") {
        if let Some(version) = other("lifecycle") {
            return Err(LoadError::Roles(built_for(&version)));
        }
        let text = format!(
            "the component does not export `{PACKAGE}lifecycle{VERSION}`; every plugin does, with the SDK's macro"
        );
        return Err(LoadError::Roles(text));
    }
    let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| has(role.as_str())).collect();
    if roles.is_empty() {
        let known = Role::ALL.map(Role::as_str).join(", ");
        return Err(LoadError::Roles(format!("the component exports no role; this agent knows {known}")));
    }
    Ok(roles)
}
