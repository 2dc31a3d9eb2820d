//! The native code of a plugin: mapped and linked when it is called, let go when nobody has called for a while.
//!
//! A compiled plugin takes most of a MiB, one with an interpreter tens of them, and most are called once in minutes or hours. Letting go
//! costs the next call what a start takes: to read the sealed form, believe it by its seal, and link it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use holdfast_plugin_artifact::SealKey;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::bindings::{check, collector, detector, lifecycle, remediator};
use crate::engine::{Artifact, LoadError};
use crate::plugin::Role;
use crate::services::Room;

/// A component's sealed form, had again.
#[derive(Debug)]
pub struct Sealed {
    /// What was sealed.
    pub bytes: Vec<u8>,
    /// Whether it is kept somewhere; what is not stays in memory from now on.
    pub kept: bool,
}

/// Gives a component's sealed form: as it was kept, or, where the text says why that cannot be used, made anew. It may take as long as a
/// compilation. Errors: a sentence.
pub type Again = Box<dyn Fn(Option<&str>) -> Result<Sealed, String> + Send + Sync>;

/// Where a component's exports lie.
pub(crate) struct Exports {
    pub(crate) lifecycle: lifecycle::GuestIndices,
    pub(crate) collector: Option<collector::GuestIndices>,
    pub(crate) check: Option<check::GuestIndices>,
    pub(crate) detector: Option<detector::GuestIndices>,
    pub(crate) remediator: Option<remediator::GuestIndices>,
}

/// What a call needs.
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<Room>,
    pub(crate) exports: Exports,
}

impl Linked {
    pub(crate) fn new(linker: &Linker<Room>, component: &Component, roles: &[Role]) -> wasmtime::Result<Self> {
        let pre = linker.instantiate_pre(component)?;
        let has = |role| roles.contains(&role);
        let exports = Exports {
            lifecycle: lifecycle::GuestIndices::new(&pre)?,
            collector: has(Role::Collector).then(|| collector::GuestIndices::new(&pre)).transpose()?,
            check: has(Role::Check).then(|| check::GuestIndices::new(&pre)).transpose()?,
            detector: has(Role::Detector).then(|| detector::GuestIndices::new(&pre)).transpose()?,
            remediator: has(Role::Remediator).then(|| remediator::GuestIndices::new(&pre)).transpose()?,
        };
        Ok(Self { pre, exports })
    }
}

/// See the module.
pub(crate) struct Code {
    engine: Engine,
    linker: Arc<Linker<Room>>,
    roles: Vec<Role>,
    linked: Mutex<Option<Arc<Linked>>>,
    called: AtomicBool,
    /// What could be had again lies where it can be had once more.
    kept: AtomicBool,
    again: OnceLock<(SealKey, Again)>,
}

impl Code {
    pub(crate) fn new(engine: Engine, linker: Arc<Linker<Room>>, roles: Vec<Role>, linked: Linked) -> Self {
        let linked = Mutex::new(Some(Arc::new(linked)));
        let (called, kept) = (AtomicBool::new(false), AtomicBool::new(true));
        Self { engine, linker, roles, linked, called, kept, again: OnceLock::new() }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn roles(&self) -> &[Role] {
        &self.roles
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Linked>>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may be let go from now on. The first word counts.
    pub(crate) fn may_rest(&self, artifact: &Artifact, again: Again) {
        let _ = self.again.set((artifact.key.clone(), again));
    }

    /// For a call. Errors: it was let go and cannot be had again.
    pub(crate) fn get(&self) -> Result<Arc<Linked>, LoadError> {
        self.called.store(true, Ordering::Relaxed);
        let mut linked = self.lock();
        if let Some(linked) = &*linked {
            return Ok(Arc::clone(linked));
        }
        let Some((key, again)) = self.again.get() else {
            return Err(LoadError::Compile("its code is gone".to_owned()));
        };
        let open = |sealed: Sealed| {
            self.kept.store(sealed.kept, Ordering::Relaxed);
            let component =
                holdfast_plugin_artifact::open(&self.engine, &sealed.bytes, key).map_err(LoadError::Sealed)?;
            let it = Linked::new(&self.linker, &component, &self.roles);
            it.map_err(|error| LoadError::Compile(format!("{error:#}")))
        };
        let kept = again(None).and_then(|sealed| open(sealed).map_err(|error| error.to_string()));
        let it = match kept {
            Ok(it) => it,
            Err(why) => open(again(Some(&why)).map_err(LoadError::Compile)?)?,
        };
        let it = Arc::new(it);
        *linked = Some(Arc::clone(&it));
        Ok(it)
    }

    /// Whether it was let go. A code that is being had again counts as let go.
    pub(crate) fn rests(&self) -> bool {
        self.linked.try_lock().map_or(true, |linked| linked.is_none())
    }

    /// Lets the code go when it may be and nobody has called since this was asked last; calls under way keep theirs. Gives whether it
    /// did. Never waits: a code that is being had again is in use.
    pub(crate) fn rest(&self) -> bool {
        let called = self.called.swap(false, Ordering::Relaxed);
        if called || self.again.get().is_none() || !self.kept.load(Ordering::Relaxed) {
            return false;
        }
        self.linked.try_lock().is_ok_and(|mut linked| linked.take().is_some())
    }
}
