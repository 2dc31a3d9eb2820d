//! Proposes nothing yet, and says so.

use holdfast_plugin_sdk::{Context, Error, Finding, Plan, Plugin, Remediator, export};

/// The plugin.
pub struct Quiet;

impl Plugin for Quiet {
    type Settings = serde_json::Value;

    fn configure(_: Context, _: serde_json::Value) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Remediator for Quiet {
    fn propose(&self, _: &Finding) -> Result<Option<Plan>, Error> {
        Err(Error::Unsupported("this version has no remedy yet".to_owned()))
    }
}

export!(Quiet: Remediator);
