//! The main job on a real host, end to end: `cargo xtask e2e [FILTER]`.
//!
//! One scenario a file; each has a machine of its own. Levels are awaited, never edges; every wait has a deadline. Where a
//! scenario shows that something does *not* happen, it lets the time pass in which it would have.

mod harness;

mod agent_crash;
mod bad_input;
mod bad_release;
mod boots;
mod checks;
mod containers;
mod contrast;
mod cost;
mod crash;
mod drift;
mod full_disk;
mod journal;
mod measured;
mod outage;
mod pipeline;
mod quiet;
mod readme;
mod rpm;
