//! What a look at the plugin directories has altered, for the log and for the audit chain.

use super::{Entries, Entry};
use crate::status::PluginChange;

fn change(entry: &Entry, what: &'static str, from: Option<&Entry>) -> PluginChange {
    PluginChange {
        plugin: entry.id.clone(),
        what,
        version: entry.version.clone(),
        digest: entry.digest.clone(),
        from: from.map(|from| from.version.clone()),
    }
}

/// What differs, by id; it is logged here.
pub(super) fn between(before: &Entries, now: &Entries) -> Vec<PluginChange> {
    let altered = now.values().filter_map(|entry| {
        let Some(old) = before.get(&entry.id) else { return Some(change(entry, "added", None)) };
        let what = match (old.disabled, entry.disabled) {
            (false, true) => "disabled",
            (true, false) => "enabled",
            _ if old.digest != entry.digest => return Some(change(entry, "replaced", Some(old))),
            _ if old.ready().is_some() && entry.plugin.is_err() => "stopped",
            _ if old.grant != entry.grant => "regranted",
            _ => return None,
        };
        Some(change(entry, what, None))
    });
    let gone = before.values().filter(|entry| !now.contains_key(&entry.id));
    let found: Vec<_> = altered.chain(gone.map(|entry| change(entry, "removed", None))).collect();
    if !before.is_empty() {
        for PluginChange { plugin, what, version, digest, from } in &found {
            let from = from.as_deref().unwrap_or_default();
            tracing::info!(plugin, change = what, version, from, digest, "Plugin changed.");
        }
    }
    found
}
