#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

// The generated bindings and the macros name this crate from the author's crate and from here alike.
extern crate self as holdfast_plugin_sdk;

pub mod anomaly;
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod export;
pub mod facts;
pub mod glob;
pub mod host;
pub mod measure;
pub mod path;
pub mod plan;
pub mod report;
pub mod roles;
pub mod sample;
pub mod step;
pub mod text;

pub use anomaly::Anomaly;
pub use bindings::host::types::{Error, Evidence, Finding, Severity, Subject, Value};
pub use facts::{evidence, subject};
pub use path::{HostPath, Sha256};
pub use plan::Plan;
pub use report::{Problem, Report};
pub use roles::{
    Check, Collector, Context, Detector, Outcome, OutcomeState, Plugin, ProposedPlan, ProposedStep, Remediator, Verdict,
};
pub use sample::{Sample, Samples};
pub use step::Step;

#[doc(hidden)]
pub use wit_bindgen;
