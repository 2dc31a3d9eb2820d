//! How each plugin stands: for people as a status, for the engine as detections about it.

use std::time::Duration;

use holdfast_core::model::{
    Class, Confidence, Detection, Evidence, Method, Mode, Presence, Severity, Target, Timestamp,
};
use holdfast_plugin_host::Plugin;

use super::health::{Health, Now};
use super::{Entry, Plugins, held};
use crate::status::PluginStatus;

impl Entry {
    pub(super) fn status(&self, now: Now) -> PluginStatus {
        let health = held(&self.book);
        let (state, reason) = match &self.plugin {
            _ if self.disabled => {
                ("disabled", Some(format!("`holdfast plugin enable {}` puts it to use again", self.id)))
            }
            Err(why) => ("refused", Some(why.clone())),
            Ok(plugin) if plugin.grant().is_none() => {
                ("not_granted", Some(format!("write plugins.d/{}.toml to say what it may read and propose", self.id)))
            }
            Ok(_) => match health.rests(now.mono) {
                Some(why) => ("quarantined", Some(why)),
                None if health.hangs(now.mono).is_some() => ("stuck", health.hangs(now.mono)),
                None if health.is_on_trial(now.mono) => ("on_trial", Some("its next call decides".to_owned())),
                None => ("ready", None),
            },
        };
        let plugin = self.plugin.as_ref().ok();
        let last = health.last.as_ref();
        let us = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        PluginStatus {
            id: self.id.clone(),
            version: self.version.clone(),
            digest: self.digest.clone(),
            roles: plugin.map(|p| p.roles().iter().map(|role| role.as_str().to_owned()).collect()).unwrap_or_default(),
            state: state.to_owned(),
            reason,
            mode: plugin.map_or(Mode::Observe, Plugin::mode),
            calls: health.calls,
            failures: health.failures,
            last_error: health.last_error.clone(),
            last_cost_us: last.map(|cost| us(cost.elapsed)),
            memory_peak_bytes: (health.total.memory_peak_bytes > 0).then_some(health.total.memory_peak_bytes),
            last_memory_bytes: last.map(|cost| cost.memory_peak_bytes),
            last_returned_bytes: last.map(|cost| cost.returned_bytes),
            last_host_calls: last.map(|cost| cost.host_calls),
            cost_us: us(health.total.elapsed),
            returned_bytes: health.total.returned_bytes,
            host_calls: health.total.host_calls,
            host_calls_denied: health.total.host_calls_denied,
            quarantines: health.circuit.rests,
            quarantined_until: health.until(now),
            update_refused: self.refused.clone(),
        }
    }

    /// What is wrong with it, or not, as the engine's lifecycle of findings takes it.
    fn detections(&self, now: Now, at: Timestamp) -> [Detection; 2] {
        let health = held(&self.book);
        let (id, off) = (&self.id, self.disabled);
        let of = |(kind, method): (&str, &str), wrong: Option<String>, well: &str, evidence: Vec<Evidence>| Detection {
            kind: kind.to_owned(),
            class: Class::Reliability,
            target: Target::new("plugin", id),
            discriminator: String::new(),
            presence: if wrong.is_some() && !off { Presence::Present } else { Presence::Cleared },
            title: match wrong {
                _ if off => format!("Plugin {id} is switched off"),
                Some(wrong) => wrong,
                None => format!("Plugin {id} {well}"),
            },
            severity: Severity::Medium,
            confidence: Confidence::CERTAIN,
            method: Method { name: method.to_owned(), version: 1 },
            evidence,
            began_at: at,
            cause: None,
        };
        [
            of(
                ("plugin.quarantined", "plugin_quarantine"),
                health.rests(now.mono).map(|why| format!("Plugin {id} is quarantined: {why}")),
                "is in use",
                quarantine(&health),
            ),
            of(
                ("plugin.stuck", "plugin_stuck"),
                health
                    .hangs(now.mono)
                    .map(|_| format!("A call of plugin {id} hangs: something that it reads does not answer")),
                "answers",
                vec![Evidence::new("plugin.last_error", health.last_error.clone().unwrap_or_default())],
            ),
        ]
    }
}

fn quarantine(health: &Health) -> Vec<Evidence> {
    vec![
        Evidence::new("plugin.failures_in_a_row", u64::from(health.circuit.in_a_row)),
        Evidence::new("plugin.quarantines", u64::from(health.circuit.rests)),
        Evidence::new("plugin.last_error", health.last_error.clone().unwrap_or_default()),
    ]
}

impl Plugins {
    /// How each one is doing, by id.
    pub fn list(&self) -> Vec<PluginStatus> {
        let now = self.now();
        self.entries().values().map(|entry| entry.status(now)).collect()
    }

    /// Of each loaded plugin, and of each that is switched off: whether it is benched, and whether a call of it hangs. For the engine's
    /// lifecycle of findings.
    pub fn detections(&self, at: Timestamp) -> Vec<Detection> {
        let now = self.now();
        let entries = self.entries();
        let says = entries.values().filter(|entry| entry.ready().is_some() || entry.disabled);
        says.flat_map(|entry| entry.detections(now, at)).collect()
    }

    /// Why nobody says any more what this plugin has found, and that it is benched; `None`: it may still say so. One that is refused
    /// for now keeps what it found: it is there, and somebody is to repair it.
    pub fn silent(&self, id: &str) -> Option<String> {
        let entries = self.entries();
        let Some(entry) = entries.get(id) else {
            return Some(format!("plugin {id} has been removed from this host, so nobody looks any more"));
        };
        match &entry.plugin {
            _ if entry.disabled => Some(format!("plugin {id} is switched off, so nobody looks any more")),
            Ok(plugin) if plugin.grant().is_none() => {
                Some(format!("plugin {id} has no grant any more, so nobody looks any more"))
            }
            _ => None,
        }
    }
}
