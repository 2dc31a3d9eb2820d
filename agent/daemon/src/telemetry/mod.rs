//! What the agent says about itself: logs, counters and traces of its own work.
//!
//! Messages are constant sentences, facts are fields. Nothing here may slow the agent down: exporting happens on threads
//! of its own, from bounded queues. This room imports no other.

mod chain;
pub mod events;
pub(crate) mod http;
mod init;

pub use chain::Chain;
pub use events::{Counter, Event};
pub use init::{Format, Guard, InitError, init};

#[cfg(test)]
mod tests;
