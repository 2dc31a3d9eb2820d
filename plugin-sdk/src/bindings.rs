//! The generated WIT bindings: the only file with `unsafe` in it, and none of it written by hand.
//!
//! The imports are generated once, so that all roles share their types; each world adds its exports and the macro that makes them.
//! Authors never need this module: the crate's root names what is theirs.

#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::disallowed_methods,
    reason = "generated code; the WIT package documents each item, docs/adr/0004 says why it is here"
)]

/// What a plugin may call.
pub mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        world: "host-imports",
        generate_unused_types: true,
        additional_derives: [PartialEq, Clone, serde::Serialize, serde::Deserialize],
        runtime_path: "::holdfast_plugin_sdk::wit_bindgen::rt",
    });
}

pub use imports::holdfast::plugin as host;

/// What a plugin may be asked: the world with every role. A plugin exports the interfaces of its own roles only, each with the macro
/// that is generated for the interface; the builder reads from the exports which world the component is of.
pub mod exports {
    wit_bindgen::generate!({
        inline: "
            package holdfast:author;
            world every-role {
                include holdfast:plugin/host-imports@0.1.0;
                export holdfast:plugin/lifecycle@0.1.0;
                export holdfast:plugin/collector@0.1.0;
                export holdfast:plugin/check@0.1.0;
                export holdfast:plugin/detector@0.1.0;
                export holdfast:plugin/remediator@0.1.0;
            }
        ",
        path: "../wit",
        world: "holdfast:author/every-role",
        with: {
            "holdfast:plugin/types@0.1.0": crate::bindings::host::types,
            "holdfast:plugin/log@0.1.0": crate::bindings::host::log,
            "holdfast:plugin/clock@0.1.0": crate::bindings::host::clock,
            "holdfast:plugin/files@0.1.0": crate::bindings::host::files,
            "holdfast:plugin/units@0.1.0": crate::bindings::host::units,
            "holdfast:plugin/processes@0.1.0": crate::bindings::host::processes,
            "holdfast:plugin/metrics@0.1.0": crate::bindings::host::metrics,
            "holdfast:plugin/changes@0.1.0": crate::bindings::host::changes,
            "holdfast:plugin/state@0.1.0": crate::bindings::host::state,
        },
        additional_derives: [PartialEq, Clone],
        pub_export_macro: true,
        export_macro_name: "export_whole_world",
        default_bindings_module: "holdfast_plugin_sdk::bindings::exports",
        runtime_path: "::holdfast_plugin_sdk::wit_bindgen::rt",
    });
}

pub use exports::exports::holdfast::plugin::{check, collector, detector, lifecycle, remediator};
