//! What a plugin may ask its host. Every call can be denied: the manifest asks, the operator grants.
//!
//! In a native build there is no host: these calls panic. Keep decisions in functions over plain data, and call these at the edge.

pub mod changes;
pub mod clock;
pub mod files;
pub mod log;
pub mod metrics;
pub mod processes;
pub mod state;
pub mod units;
