//! What is kept and on record about plugins: what they want kept, what became of them, and what a person decides about them.

use holdfast_core::model::audit::AuditKind;

use super::{AGENT, Engine, Moment};
use crate::answers;
use crate::request::{Answer, Caller, Refusal, RefusalKind};
use crate::store::Writes;

impl Engine {
    /// What plugins keep, and what was added, replaced, switched or removed.
    pub(super) fn record_plugins(&mut self, now: Moment) {
        let plugin_state = self.plugins.take_state();
        if !plugin_state.is_empty() {
            self.ledger.soon(Writes { plugin_state, ..Writes::default() }, now);
        }
        for it in self.plugins.take_changes() {
            let body =
                serde_json::json!({ "plugin": it.what, "version": it.version, "digest": it.digest, "from": it.from });
            let draft = Self::draft(now, AuditKind::Plugin, AGENT, &it.plugin, body);
            self.ledger.soon(Writes { audit: vec![draft], ..Writes::default() }, now);
        }
    }

    /// A person says that a benched plugin may be called again.
    pub(super) fn lift_quarantine(&mut self, caller: &Caller, plugin: String, reason: &str, now: Moment) -> Answer {
        if !self.plugins.statuses().iter().any(|it| it.id == plugin) {
            return Err(Refusal::new(RefusalKind::NotFound, format!("no plugin `{plugin}` is installed"))
                .hint("`holdfast plugin list` shows those that are"));
        }
        // Who let it run again is on record before it may.
        let body = serde_json::json!({ "quarantine": "lifted", "reason": reason });
        let draft = Self::draft(now, AuditKind::Plugin, &caller.name, &plugin, body);
        self.record(Writes { audit: vec![draft], ..Writes::default() })?;
        let was_quarantined = self.plugins.lift(&plugin).unwrap_or(false);
        Ok(serde_json::json!(answers::QuarantineLifted { plugin, was_quarantined }))
    }

    /// A person says that nothing is to be kept of a plugin that has gone.
    pub(super) fn forget_plugin(&mut self, caller: &Caller, plugin: String, reason: &str, now: Moment) -> Answer {
        if self.plugins.statuses().iter().any(|it| it.id == plugin) {
            let text = format!("plugin `{plugin}` is still here, so what is kept of it stays");
            return Err(Refusal::new(RefusalKind::Conflict, text).hint(format!("`holdfast plugin remove {plugin}`")));
        }
        // What begins with a dot is the agent's own.
        if plugin.starts_with('.') {
            return Err(Refusal::new(RefusalKind::Usage, format!("`{plugin}` is no plugin's name")));
        }
        // That it was removed is on record before that it was forgotten.
        self.record_plugins(now);
        let plugin_state = self.plugins.forget(&plugin);
        let keys = plugin_state.iter().filter(|write| write.plugin == plugin).count() as u64;
        let body = serde_json::json!({ "state": "forgotten", "keys": keys, "reason": reason });
        let draft = Self::draft(now, AuditKind::Plugin, &caller.name, &plugin, body);
        self.record(Writes { audit: vec![draft], plugin_state, ..Writes::default() })?;
        Ok(serde_json::json!(answers::PluginForgotten { plugin, keys }))
    }
}
