//! Two clocks: the wall's, and one that only goes forward.

use crate::bindings::host::clock as wire;

/// Now, in nanoseconds since the Unix epoch.
pub fn now_ns() -> u64 {
    wire::now()
}

/// Nanoseconds since some moment of this call; for elapsed time.
pub fn monotonic_ns() -> u64 {
    wire::monotonic()
}
