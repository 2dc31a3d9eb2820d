//! What one call carries: whose it is, what it may, what it has used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;

use crate::bindings::types::Error;
use crate::call::{CallCost, CallError, LogLine};
use crate::capability::{Ask, permit};
use crate::grant::Effective;
use crate::limits::{INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use crate::limits::{Limits, TABLE_ELEMENTS_MAX, TICK, WALKERS_MAX};
use crate::services::beneath::Roots;
use crate::ticker::Ticks;
use crate::world::{World, WorldError, WorldErrorKind};

/// The answer of a host function: the outer error ends the call.
pub(crate) type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// The host ends a call; what it says becomes the call's error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("ended by the host: {0}")]
pub(crate) struct Ended(pub(crate) CallError);

/// The state of one call, and the data of its store.
pub(crate) struct Room {
    pub(crate) effective: Arc<Effective>,
    pub(crate) limits: Limits,
    pub(crate) world: Arc<dyn World>,
    pub(crate) handles: ResourceTable,
    pub(crate) walkers: usize,
    pub(crate) roots: Roots,
    pub(crate) cost: CallCost,
    pub(crate) log: Vec<LogLine>,
    pub(crate) started: Duration,
    ticks: Arc<Ticks>,
    /// The tick at which the call ends.
    end: u64,
    /// The plugin's stored state, read at first use.
    pub(crate) kept: Option<BTreeMap<String, Vec<u8>>>,
    pub(crate) writes: BTreeMap<String, Option<Vec<u8>>>,
    /// The first growth that was refused: an allocation failure follows as a trap.
    pub(crate) memory_refused: Option<usize>,
}

/// How long the host call that is under way may still take.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    ticks: Arc<Ticks>,
    end: u64,
    span: Duration,
    /// The call ends before the host call would have to.
    with_the_call: bool,
}

impl Deadline {
    /// Time left; `None` when there is none.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.end.saturating_sub(self.ticks.passed());
        (left > 0).then(|| TICK * u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// One that has so many ticks left, for ever.
    #[cfg(test)]
    pub(crate) fn of(ticks: u64) -> Self {
        Self { ticks: Arc::default(), end: ticks, span: TICK, with_the_call: false }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.left() {
            Some(_) => Ok(()),
            None if self.with_the_call => Err(Error::Timeout(format!(
                "the plugin's own {} ms were over during the host call",
                self.span.as_millis()
            ))),
            None => Err(Error::Timeout(format!("the host call took longer than {} ms", self.span.as_millis()))),
        }
    }
}

impl Room {
    pub(crate) fn new(effective: Arc<Effective>, limits: Limits, world: Arc<dyn World>, ticks: Arc<Ticks>) -> Self {
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(WALKERS_MAX);
        let started = world.monotonic();
        let roots = Roots::new(world.root());
        let end = ticks.passed().saturating_add(Limits::ticks(limits.deadline)).saturating_add(1);
        Self {
            effective,
            limits,
            world,
            handles,
            walkers: 0,
            roots,
            cost: CallCost::default(),
            log: Vec::new(),
            started,
            ticks,
            end,
            kept: None,
            writes: BTreeMap::new(),
            memory_refused: None,
        }
    }

    /// Counts a host call; too many end the call.
    pub(crate) fn count(&mut self) -> wasmtime::Result<()> {
        self.cost.host_calls += 1;
        if self.cost.host_calls > self.limits.host_calls_max {
            let what = format!("{} host calls in one call", self.limits.host_calls_max);
            return Err(wasmtime::Error::new(Ended(CallError::Limit { what })));
        }
        Ok(())
    }

    /// The one door of every host call that reads the host: counted, asked for, and with a deadline of its own.
    pub(crate) fn enter(&mut self, ask: Ask<'_>) -> wasmtime::Result<Result<Deadline, Error>> {
        self.count()?;
        Ok(self.permit(ask).map(|()| self.deadline()))
    }

    /// Asks for one thing more within a host call that was entered.
    pub(crate) fn permit(&mut self, ask: Ask<'_>) -> Result<(), Error> {
        permit(&self.effective, ask).map_err(|missing| {
            self.cost.host_calls_denied += 1;
            Error::Denied(missing)
        })
    }

    /// Its own span, or what is left of the call where that is less: a host call that goes on when its call has ended serves nobody.
    fn deadline(&self) -> Deadline {
        let span = self.limits.host_call_deadline;
        let end = self.ticks.passed().saturating_add(Limits::ticks(span)).saturating_add(1);
        let with_the_call = self.end < end;
        let span = if with_the_call { self.limits.deadline } else { span };
        Deadline { ticks: Arc::clone(&self.ticks), end: end.min(self.end), span, with_the_call }
    }

    /// Bytes that the guest may still be handed in this call.
    pub(crate) fn may_hand_over(&self) -> usize {
        let left = self.limits.returned_bytes_max.saturating_sub(self.cost.returned_bytes);
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Books bytes that are about to be handed to the guest.
    pub(crate) fn hand_over(&mut self, bytes: usize) -> Result<(), Error> {
        let total = self.cost.returned_bytes.saturating_add(bytes as u64);
        if total > self.limits.returned_bytes_max {
            return Err(Error::Limit(format!("{} bytes read in one call", self.limits.returned_bytes_max)));
        }
        self.cost.returned_bytes = total;
        Ok(())
    }
}

impl From<WorldError> for Error {
    fn from(error: WorldError) -> Self {
        match error.kind {
            WorldErrorKind::Unsupported => Self::Unsupported(error.text),
            WorldErrorKind::Timeout => Self::Timeout(error.text),
            WorldErrorKind::Io => Self::Io(error.text),
            WorldErrorKind::Limit => Self::Limit(error.text),
        }
    }
}

impl ResourceLimiter for Room {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.limits.memory_bytes_max {
            self.memory_refused.get_or_insert(desired);
            return Ok(false);
        }
        self.cost.memory_peak_bytes = self.cost.memory_peak_bytes.max(desired as u64);
        Ok(maximum.is_none_or(|most| desired <= most))
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }
    fn tables(&self) -> usize {
        TABLES_MAX
    }
    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
