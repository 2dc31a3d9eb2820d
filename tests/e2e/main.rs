//! The main job on a real host, end to end: `cargo xtask e2e [FILTER]`.
//!
//! One scenario a file; each has a machine of its own. Levels are awaited, never edges; every wait has a deadline.

mod boots;
mod harness;
