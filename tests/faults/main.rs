//! What was acknowledged is there, whatever the process or its disk meets: `cargo xtask faults [FILTER]`.
//!
//! The one who writes is this very program, started again as a child: it says what was acknowledged, and is killed, or finds
//! that calls fail which strace makes fail. Nothing here depends on how fast anything is; every child has an end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "all of this is tests, and their child talks"
)]

mod child;
mod failing_disk;
mod full_disk;
mod kill;
