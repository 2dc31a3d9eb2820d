//! `/etc/holdfast/holdfast.toml` and `holdfast.d/*.toml`: what the operator wants, checked before anything starts.
//!
//! Files are read in the order of their names; a later one overrides earlier ones key by key, lists as a whole. Unknown keys
//! are errors, as are bare numbers where a unit is needed. Every error names file, line and column and says what to write
//! instead. The loaded configuration knows where each value came from. This room reads files once and watches none.

mod check;
mod error;
mod export;
mod ingest;
mod load;
mod types;
mod user;

pub use error::{ConfigError, Fault};
pub use export::{ExportSection, OtlpDestination, OtlpTls};
pub use load::{DEFAULT_PATH, Loaded, Overrides, load, parse};
pub use types::{
    AccessConfig, ActuatorConfig, AgentConfig, Config, LogConfig, OwnTelemetry, PluginsConfig, PolicyConfig, Secret,
    StoreConfig, UnitsConfig, WatchConfig,
};
pub use user::user_default;

#[cfg(test)]
mod tests;
