//! The end of a call: why it broke, in words that name the cause, and what it leaves.

use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::bindings::types;
use crate::call::{Call, CallError, LogLevel};
use crate::limits::{CALLS_MAX, HANDED_OVER_BYTES_MAX, LINE_BYTES_MAX};
use crate::services::{Ended, Room};

/// Takes the cost, the log and, when all went well, the state out of the store, and drops the instance.
pub(crate) fn close<T>(store: Store<Room>, result: Result<T, CallError>) -> Call<T> {
    let mut room = store.into_data();
    room.cost.elapsed = room.world.monotonic().saturating_sub(room.started);
    let state = if result.is_ok() { room.writes.into_iter().collect() } else { Vec::new() };
    Call { result, cost: room.cost, state, log: room.log }
}

/// The guest ended well and said that it could not.
pub(crate) fn answered(error: &types::Error) -> CallError {
    let (kind, text) = crate::guest::error(error);
    CallError::Answered { kind, text }
}

/// Why a call broke off. WebAssembly's own words mislead (an exhausted shadow stack reads as an access out of bounds, an
/// allocation that was refused as `unreachable`), so what the host itself saw comes first.
pub(crate) fn broken(store: &Store<Room>, error: &wasmtime::Error) -> CallError {
    let room = store.data();
    if let Some(Ended(why)) = error.downcast_ref::<Ended>() {
        return why.clone();
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Host { what: format!("there is room for {CALLS_MAX} calls at once, and all is taken") };
    }
    let trap = error.downcast_ref::<Trap>().copied();
    match trap {
        Some(Trap::Interrupt) => return CallError::Deadline { after: room.limits.deadline },
        Some(Trap::StackOverflow) => return CallError::Stack,
        _ => {}
    }
    if let Some(wanted) = room.memory_refused {
        let bytes_max = room.limits.memory_bytes_max as u64;
        return CallError::Memory { wanted_bytes: wanted as u64, bytes_max };
    }
    let words = format!("{error:#}");
    if trap.is_none() && words.contains("fuel allocated for hostcalls") {
        let what = format!("{HANDED_OVER_BYTES_MAX} bytes handed to the host at once");
        return CallError::Limit { what };
    }
    let said = room.log.iter().rev().find(|line| line.level == LogLevel::Error).map(|line| line.message.clone());
    match trap {
        Some(trap) => CallError::Trapped { said, trap: trap.to_string() },
        None => CallError::Refused { what: crate::guest::one_line(&words, LINE_BYTES_MAX) },
    }
}
