//! The thread that keeps deadlines: while a plugin is called it moves the engine's epoch on, one for every 10 ms that have
//! really passed; else it sleeps, for a hundred wakings a second are what an idle agent would cost most by.
//!
//! A thread that the system lets wait catches up, so a busy machine makes no deadline longer. This is the crate's only clock;
//! what a plugin sees as time comes from its world.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use wasmtime::{Engine, EngineWeak};

use crate::limits::TICK;

/// How often a sleeping ticker looks whether anybody may still call.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The ticks that have passed while plugins were called, and the calls under way.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    passed: AtomicU64,
    calls: Mutex<usize>,
    begun: Condvar,
}

/// A call under way; it ends with this value.
pub(crate) struct UnderWay<'t>(&'t Ticks);

impl Ticks {
    /// Ticks that have passed.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// A call begins: from now on ticks pass.
    pub(crate) fn begin(&self) -> UnderWay<'_> {
        *self.calls() += 1;
        self.begun.notify_one();
        UnderWay(self)
    }

    fn calls(&self) -> MutexGuard<'_, usize> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a call for a while; whether there is one.
    fn wait(&self) -> bool {
        let idle = |calls: &mut usize| *calls == 0;
        let waited = self.begun.wait_timeout_while(self.calls(), LOOK_EVERY, idle);
        let (calls, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *calls > 0
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        *calls = calls.saturating_sub(1);
    }
}

/// Ticks for as long as somebody else holds the engine and the count.
pub(crate) fn start(engine: &Engine, ticks: &Arc<Ticks>) -> io::Result<()> {
    let (engine, ticks) = (engine.weak(), Arc::downgrade(ticks));
    let tick = move || {
        while let Some(held) = Weak::upgrade(&ticks) {
            let called = held.wait();
            // Nobody else holds it: nobody can call any more.
            if Arc::strong_count(&held) == 1 {
                return;
            }
            if called && !keep(&engine, &held) {
                return;
            }
        }
    };
    std::thread::Builder::new().name("plugin-ticker".to_owned()).spawn(tick).map(drop)
}

/// Keeps time until no call is under way; whether the engine is still there.
#[expect(clippy::disallowed_methods, reason = "a deadline that a plugin must meet is counted in real time")]
fn keep(engine: &EngineWeak, ticks: &Ticks) -> bool {
    // What passed while nobody was called does not count: a call would begin at its end.
    let (begun, before) = (Instant::now(), ticks.passed());
    while *ticks.calls() > 0 {
        std::thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return false };
        let due = before + u64::try_from(begun.elapsed().as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
        while ticks.passed() < due {
            ticks.passed.fetch_add(1, Ordering::Relaxed);
            engine.increment_epoch();
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_pass_while_a_call_is_under_way_and_only_then() {
        let engine = Engine::default();
        let ticks = Arc::new(Ticks::default());
        start(&engine, &ticks).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(ticks.passed(), 0, "nobody is called");
        for round in 1..=3 {
            let before = ticks.passed();
            let call = ticks.begin();
            while ticks.passed() < before + 3 {
                std::thread::sleep(Duration::from_millis(5));
            }
            drop(call);
            // What was begun is ended.
            std::thread::sleep(TICK * 5);
            let after = ticks.passed();
            std::thread::sleep(TICK * 10);
            assert_eq!(ticks.passed(), after, "round {round}");
        }
    }
}
