//! The pure rooms of Holdfast: every public function here is a function of its arguments.
//!
//! No I/O, no clock, no async and no randomness of its own: time and random bytes are arguments.
//! That is what lets every decision be replayed byte for byte, and why **the decider cannot act**.

pub mod correlate;
pub mod detect;
pub mod effects;
pub mod gate;
pub mod model;
pub mod plan_check;
pub mod policy;
pub mod quality;
pub mod redact;
pub mod stats;
pub mod verify;
