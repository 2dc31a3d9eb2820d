//! What the agent says about itself: logs, counters and traces of its own work.
//!
//! Messages are constant sentences, facts are fields. Nothing here may slow the agent down: exporting happens elsewhere,
//! from bounded queues that count what they lose.

mod chain;

pub use chain::Chain;
