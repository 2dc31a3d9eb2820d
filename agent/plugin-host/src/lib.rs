//! The plugin host: runs WebAssembly components that look and propose, and never act.
//!
//! A plugin reaches exactly what the WIT package `holdfast:plugin` offers: no WASI is linked, and a component that imports anything
//! else is refused at load. What it may read is granted twice, by its manifest and by the operator, and `capability` is the one place
//! that says yes. Each call gets a fresh instance with limits on memory, time, host calls and everything that is handed over.
//! Whatever a plugin returns is checked before it becomes a word of the core: nothing is clamped, what is wrong is refused by name.
//!
//! This crate starts no process, opens no socket, writes nothing, and reads files only below granted roots.

mod action;
mod anomaly;
mod bindings;
mod call;
mod capability;
mod code;
mod engine;
mod grant;
mod guest;
mod instance;
mod limits;
mod manifest;
mod plan;
mod plugin;
mod pool;
mod report;
mod sample;
mod services;
mod ticker;
mod widening;
mod wishes;
mod world;

pub use call::{Call, CallCost, CallError, LogLevel, LogLine, PluginVerdict, StateWrite};
pub use code::{Again, Sealed};
pub use engine::{Artifact, HostError, HostOptions, LoadError, PluginHost, compile};
pub use grant::{Effective, Grant, GrantError, ProposeGrant, ReadGrant};
pub use holdfast_plugin_artifact::{CacheKey, ComponentDigest, OpenError, SEAL_BYTES, SealKey};
pub use limits::{CALLS_MAX, COMPONENT_BYTES_MAX, Limits};
pub use manifest::{Detects, Manifest, ManifestError, PluginLimits, SECTION, Settings, manifest_of};
pub use plan::Proposal;
pub use plugin::{Plugin, Role, Run};
pub use report::CheckReport;
pub use sample::{CollectedSample, Collects};
pub use wishes::{Proposes, Wants};
pub use world::{MetricQuery, ProcessFacts, ProcessQuery, SeriesFacts, World, WorldError, WorldErrorKind};
