//! `clock`: the wall clock and a monotonic one that starts with the call.

use super::Room;
use crate::bindings::{clock, types};

impl clock::Host for Room {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.count()?;
        Ok(u64::try_from(self.world.now().ns()).unwrap_or(0))
    }

    fn monotonic(&mut self) -> wasmtime::Result<u64> {
        self.count()?;
        let since = self.world.monotonic().saturating_sub(self.started);
        Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl types::Host for Room {}
