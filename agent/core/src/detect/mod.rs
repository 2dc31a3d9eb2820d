//! (history, new samples) -> what seems wrong: one method a file.
//!
//! A method says [`Detection`](crate::model::Detection)s: present, cleared, or inconclusive. Only [`lifecycle`] makes findings of them, and only
//! [`confidence`] turns scores into confidence. Everything here is a function of its arguments and of state that can be
//! saved, so the same samples give the same detections, on this host or in a replay. Each method carries a version that is
//! raised whenever its answers may change. Missing data is never zero: a gap restarts what was being counted.
//! Nothing here may act, wait or read.

mod activity;
mod anomaly;
mod baseline;
pub mod confidence;
mod config;
mod daily;
mod detectors;
mod disk;
pub mod drift;
mod exhaust;
mod follows;
mod groups;
mod known;
pub mod labels;
mod late;
pub mod lifecycle;
mod odd;
mod recent;
pub mod replay;
mod restarts;
mod said;
mod series;
mod shape;
mod silence;
mod slo;
mod telemetry;
mod threshold;
mod together;
pub mod tuning;
mod unit;

#[cfg(test)]
mod tests;

pub use config::{
    DetectConfig, DiskConfig, ExhaustionConfig, Objective, Part, Sensitivity, SeriesSettings, TelemetryConfig,
    Threshold, Watch,
};
pub use detectors::Detectors;
pub use follows::Follows;
pub use odd::{ALARM_AT, Host, HostOddness, HostPart, Odd, Oddness};
pub use restarts::Restarts;
pub(crate) use said::number;
pub use unit::unit_failure;
