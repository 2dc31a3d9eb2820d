//! The generated WIT bindings: the only file where the wire types are made. They never leave this crate.
//!
//! One world with every import and the exports of every role; which of them a component really has is looked up interface by interface,
//! so a component with one role binds as well as one with two.

#![allow(clippy::pedantic, clippy::disallowed_methods, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    inline: "
        package holdfast:host;
        world every-role {
            include holdfast:plugin/host-imports@0.1.0;
            export holdfast:plugin/lifecycle@0.1.0;
            export holdfast:plugin/collector@0.1.0;
            export holdfast:plugin/check@0.1.0;
            export holdfast:plugin/detector@0.1.0;
            export holdfast:plugin/remediator@0.1.0;
        }
    ",
    path: "../../wit",
    world: "holdfast:host/every-role",
    imports: { default: trappable },
    with: { "holdfast:plugin/files.walker": crate::services::walk::Walker },
});

pub(crate) use exports::holdfast::plugin::{check, collector, detector, lifecycle, remediator};
pub(crate) use holdfast::plugin::{changes, clock, files, log, metrics, processes, state, types, units};
