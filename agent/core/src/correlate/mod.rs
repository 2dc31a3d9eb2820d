//! Findings and changes -> incidents with ranked suspects.
//!
//! One incident per episode, and per trouble that comes and goes. A suspect is a change close enough before the first symptom; it is ranked with the parts of its
//! score as evidence and never asserted to be the cause. What the agent itself changed (`cause`) is never a suspect.
//! Pure: time and ids are arguments.

mod contrast;
mod incident;
mod rank;

#[cfg(test)]
mod tests;

pub use incident::{COMES_BACK_WITHIN, close, correlate, note, reconsider};
pub use rank::rank;
