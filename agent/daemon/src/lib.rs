//! Holdfast: everything that touches the world, and the wiring.
//!
//! `app` is the only file that knows every room. Data goes one way:
//! collect and ingest, store, detect, correlate, plan, decide, act, verify, audit, export and api.

pub mod act;
pub mod answers;
pub mod api;
pub mod app;
pub mod authoring;
pub mod cli;
pub mod collect;
pub mod config;
pub mod data;
pub mod engine;
pub mod event_loop;
pub mod export;
pub mod host;
pub mod ingest;
pub mod install;
pub mod pipeline;
pub mod plugins;
pub mod registry;
pub mod request;
pub mod service;
pub mod status;
pub mod store;
pub mod telemetry;
