//! A loaded plugin: what it is, and its calls, each in a fresh instance.

use std::fmt;
use std::sync::Arc;

use holdfast_core::model::{Finding, Mode, PlanBody, RunId, StepRecord, Timestamp};
use wasmtime::Store;
use wasmtime::component::Instance;

use crate::bindings::lifecycle;
use crate::bindings::types::Error;
use crate::call::{Call, CallError, PluginVerdict};
use crate::code::{Again, Code, Exports, Linked};
use crate::engine::{Artifact, LoadError};
use crate::grant::{Effective, Grant, GrantError};
use crate::limits::{HANDED_OVER_BYTES_MAX, Limits};
use crate::manifest::Manifest;
use crate::plan::Proposal;
use crate::report::CheckReport;
use crate::sample::CollectedSample;
use crate::services::Room;
use crate::ticker::Ticks;
use crate::wishes::{Proposes, Wants};
use crate::world::World;

/// What a plugin can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Measures something.
    Collector,
    /// Looks for problems.
    Check,
    /// Judges series.
    Detector,
    /// Proposes plans and judges them.
    Remediator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Collector, Self::Check, Self::Detector, Self::Remediator];

    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Check => "check",
            Self::Detector => "detector",
            Self::Remediator => "remediator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whose call it is and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The run.
    pub id: RunId,
    /// The host.
    pub host_id: String,
    /// When.
    pub at: Timestamp,
}

/// What does not depend on the grant.
pub(crate) struct Compiled {
    pub(crate) digest: String,
    pub(crate) code: Code,
    pub(crate) limits: Limits,
    pub(crate) ticks: Arc<Ticks>,
}

struct Inner {
    effective: Arc<Effective>,
    granted: bool,
    compiled: Arc<Compiled>,
}

/// From the outside in: it broke off; it has no such role; it said that it cannot.
type Asked<T> = wasmtime::Result<Result<Result<T, Error>, Role>>;

/// A loaded plugin; cheap to clone. Calls block their thread for as long as they last, at most a deadline and a tick.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("id", &self.id()).field("digest", &self.digest()).finish_non_exhaustive()
    }
}

impl Plugin {
    pub(crate) fn new(effective: Effective, granted: bool, compiled: Arc<Compiled>) -> Self {
        Self(Arc::new(Inner { effective: Arc::new(effective), granted, compiled }))
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.0.effective.manifest.id
    }
    /// Its version.
    pub fn version(&self) -> &str {
        &self.0.effective.manifest.version
    }
    /// SHA-256 of its component, 64 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.0.compiled.digest
    }
    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.0.effective.manifest
    }
    /// The operator's grant; `None`: there is none, and it is never called.
    pub fn grant(&self) -> Option<&Grant> {
        self.0.granted.then_some(&self.0.effective.grant)
    }
    /// What it asks for with the settings that it has here.
    pub fn asked(&self) -> (&Wants, &Proposes) {
        (&self.0.effective.wants, &self.0.effective.proposes)
    }
    /// How far its proposals may go.
    pub fn mode(&self) -> Mode {
        self.grant().map_or(Mode::Observe, |grant| grant.mode)
    }
    /// What it exports.
    pub fn roles(&self) -> &[Role] {
        self.0.compiled.code.roles()
    }
    /// The same component under another grant, without compiling it again; `None` takes the grant away.
    pub fn granted(&self, grant: Option<Grant>) -> Result<Self, GrantError> {
        let granted = grant.is_some();
        let effective = Effective::new(self.manifest().clone(), grant.unwrap_or_default(), self.digest())?;
        Ok(Self::new(effective, granted, Arc::clone(&self.0.compiled)))
    }
    /// Its code may be let go from now on while nobody calls; `again` gives the sealed form back when somebody does.
    pub fn may_rest(&self, artifact: &Artifact, again: Again) {
        self.0.compiled.code.may_rest(artifact, again);
    }
    /// Whether its code was let go, so that [`Plugin::wake`] takes a while.
    pub fn rests(&self) -> bool {
        self.0.compiled.code.rests()
    }
    /// Has its code again, which may take as long as a compilation; a call does so itself. Errors: it cannot be had.
    pub fn wake(&self) -> Result<(), LoadError> {
        self.0.compiled.code.get().map(drop)
    }
    /// Lets its code go when that may be and nobody has called since this was asked last. Gives whether it did.
    pub fn rest(&self) -> bool {
        self.0.compiled.code.rest()
    }
    /// The bounds of its calls.
    pub fn limits(&self) -> &Limits {
        &self.0.compiled.limits
    }

    /// Runs its check.
    pub fn check(&self, run: &Run, world: &Arc<dyn World>) -> Call<CheckReport> {
        let call = self.call(run, world, |store, instance, exports| {
            let Some(indices) = &exports.check else { return Ok(Err(Role::Check)) };
            let guest = indices.load(&mut *store, instance)?;
            guest.call_run(store).map(Ok)
        });
        call.map(|report| {
            crate::report::report(&self.0.effective, run, &report).map_err(|what| CallError::Refused { what })
        })
    }

    /// Asks it for what it measures.
    pub fn collect(&self, run: &Run, world: &Arc<dyn World>) -> Call<Vec<CollectedSample>> {
        let call = self.call(run, world, |store, instance, exports| {
            let Some(indices) = &exports.collector else { return Ok(Err(Role::Collector)) };
            let guest = indices.load(&mut *store, instance)?;
            guest.call_collect(store).map(Ok)
        });
        call.map(|samples| {
            crate::sample::samples(&self.0.effective, run, &samples).map_err(|what| CallError::Refused { what })
        })
    }

    /// Hands it the series that its manifest names, as far as its window goes back, and asks what is unusual about them. The report has
    /// one rule, `anomaly.ID`, that was evaluated.
    pub fn detect(&self, run: &Run, world: &Arc<dyn World>) -> Call<CheckReport> {
        let call = self.call(run, world, |store, instance, exports| {
            let Some(indices) = &exports.detector else { return Ok(Err(Role::Detector)) };
            let window = match store.data_mut().window(run.at)? {
                Ok(window) => window,
                Err(error) => return Ok(Ok(Err(error))),
            };
            let guest = indices.load(&mut *store, instance)?;
            guest.call_detect(store, &window).map(Ok)
        });
        call.map(|anomalies| {
            let answered = world.now();
            crate::anomaly::report(&self.0.effective, (run, answered), &anomalies)
                .map_err(|what| CallError::Refused { what })
        })
    }

    /// Asks it for a plan; `None`: it has nothing to propose.
    pub fn propose(&self, run: &Run, world: &Arc<dyn World>, finding: &Finding) -> Call<Option<Proposal>> {
        let finding = crate::report::to_finding(finding);
        let call = self.call(run, world, |store, instance, exports| {
            let Some(indices) = &exports.remediator else { return Ok(Err(Role::Remediator)) };
            let guest = indices.load(&mut *store, instance)?;
            guest.call_propose(store, &finding).map(Ok)
        });
        call.map(|plan| {
            plan.map(|plan| crate::plan::proposal(&self.0.effective, run, &plan))
                .transpose()
                .map_err(|what| CallError::Refused { what })
        })
    }

    /// Asks it whether its plan helped.
    pub fn verify(
        &self,
        run: &Run,
        world: &Arc<dyn World>,
        finding: &Finding,
        plan: &PlanBody,
        outcomes: &[StepRecord],
    ) -> Call<PluginVerdict> {
        let finding = crate::report::to_finding(finding);
        let (plan, outcomes) = (crate::plan::to_plan(plan), crate::plan::to_outcomes(outcomes));
        let call = self.call(run, world, |store, instance, exports| {
            let Some(indices) = &exports.remediator else { return Ok(Err(Role::Remediator)) };
            let guest = indices.load(&mut *store, instance)?;
            guest.call_verify(store, &finding, &plan, &outcomes).map(Ok)
        });
        call.map(|verdict| Ok(crate::plan::verdict(&verdict)))
    }

    /// One fresh instance: made, configured, asked, dropped.
    fn call<T>(
        &self,
        run: &Run,
        world: &Arc<dyn World>,
        work: impl FnOnce(&mut Store<Room>, &Instance, &Exports) -> Asked<T>,
    ) -> Call<T> {
        let compiled = &*self.0.compiled;
        // Before the deadline begins: to have its code again is no doing of the plugin's.
        let linked = if self.0.granted {
            compiled.code.get().map_err(|error| format!("its code cannot be had again: {error}"))
        } else {
            Err("it has no grant on this host".to_owned())
        };
        let _under_way = compiled.ticks.begin();
        let (effective, ticks) = (Arc::clone(&self.0.effective), Arc::clone(&compiled.ticks));
        let room = Room::new(effective, compiled.limits.clone(), Arc::clone(world), ticks);
        let mut store = Store::new(compiled.code.engine(), room);
        store.limiter(|room| room);
        store.set_epoch_deadline(Limits::ticks(compiled.limits.deadline) + 1);
        store.epoch_deadline_trap();
        store.set_hostcall_fuel(HANDED_OVER_BYTES_MAX);
        let result = match linked {
            Ok(linked) => self.run(&mut store, run, &linked, work),
            Err(what) => Err(CallError::Host { what }),
        };
        crate::instance::close(store, result)
    }

    fn run<T>(
        &self,
        store: &mut Store<Room>,
        run: &Run,
        linked: &Linked,
        work: impl FnOnce(&mut Store<Room>, &Instance, &Exports) -> Asked<T>,
    ) -> Result<T, CallError> {
        let broken = crate::instance::broken;
        let answered = crate::instance::answered;
        let instance = linked.pre.instantiate(&mut *store).map_err(|error| broken(store, &error))?;
        let guest = linked.exports.lifecycle.load(&mut *store, &instance).map_err(|error| broken(store, &error))?;
        let context = lifecycle::Context {
            run_id: run.id.to_string(),
            host_id: run.host_id.clone(),
            settings: self.0.effective.settings.clone(),
        };
        guest
            .call_configure(&mut *store, &context)
            .map_err(|error| broken(store, &error))?
            .map_err(|error| answered(&error))?;
        work(store, &instance, &linked.exports)
            .map_err(|error| broken(store, &error))?
            .map_err(|role| CallError::NoRole { role: role.as_str() })?
            .map_err(|error| answered(&error))
    }
}
