//! The thread that keeps deadlines: it moves the engine's epoch on, one for every 10 ms that have really passed.
//!
//! A thread that the system lets wait catches up, so a busy machine makes no deadline longer. This is the crate's only clock;
//! what a plugin sees as time comes from its world.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use wasmtime::Engine;

use crate::limits::TICK;

/// Ticks for as long as somebody else holds the engine and the count; holds neither itself.
#[expect(clippy::disallowed_methods, reason = "a deadline that a plugin must meet is counted in real time")]
pub(crate) fn start(engine: &Engine, ticks: &Arc<AtomicU64>) -> io::Result<()> {
    let (engine, ticks) = (engine.weak(), Arc::downgrade(ticks));
    let begun = Instant::now();
    let tick = move || {
        while let (Some(engine), Some(ticks)) = (engine.upgrade(), Weak::upgrade(&ticks)) {
            let due = u64::try_from(begun.elapsed().as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
            while ticks.load(Ordering::Relaxed) < due {
                ticks.fetch_add(1, Ordering::Relaxed);
                engine.increment_epoch();
            }
            drop((engine, ticks));
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("plugin-ticker".to_owned()).spawn(tick).map(drop)
}
