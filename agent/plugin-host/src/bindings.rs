//! The generated WIT bindings: the only file where the wire types are made. They never leave this crate.
//!
//! One world with every import and the exports of the roles that this agent runs; which of them a component really has is looked up
//! interface by interface, so a component with one role binds as well as one with two.

#![allow(clippy::pedantic, clippy::disallowed_methods, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "healer-plugin",
    imports: { default: trappable },
    with: { "holdfast:plugin/files.walker": crate::services::walk::Walker },
});

pub(crate) use exports::holdfast::plugin::{check, lifecycle, remediator};
pub(crate) use holdfast::plugin::{changes, clock, files, log, metrics, processes, state, types, units};
