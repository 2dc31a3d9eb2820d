//! How often changes of each kind were suspected most of an incident on this host.
//!
//! Shown beside a suspect as what was so far, in words; no score goes by it. What the agent did itself counts for nothing.

use std::collections::BTreeMap;

use holdfast_core::model::{Change, Evidence, Incident};
use serde::{Deserialize, Serialize};

use super::Engine;

/// Kinds that are counted; kinds are named by whoever tells of changes.
const KINDS_MAX: usize = 128;
/// Under this name it lies among the settings.
pub(super) const SETTING: &str = "change_history";
/// The evidence of a suspect.
const EVIDENCE: &str = "suspect.kind_history";

/// By kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History(BTreeMap<String, Counted>);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    /// Changes of this kind.
    told: u64,
    /// Incidents whose first suspect was one when they were opened.
    suspected: u64,
}

impl History {
    pub(super) fn load(saved: Option<serde_json::Value>) -> Self {
        let read: Option<Self> = saved.and_then(|it| serde_json::from_value(it).ok());
        read.filter(|it| it.0.len() <= KINDS_MAX).unwrap_or_default()
    }

    fn of(&mut self, kind: &str) -> Option<&mut Counted> {
        if !self.0.contains_key(kind) && self.0.len() >= KINDS_MAX {
            return None;
        }
        Some(self.0.entry(kind.to_owned()).or_default())
    }

    pub(super) fn told(&mut self, change: &Change) {
        if let Some(it) = self.of(&change.kind).filter(|_| change.cause.is_none()) {
            it.told = it.told.saturating_add(1);
        }
    }

    /// An incident was opened, not again.
    pub(super) fn opened(&mut self, incident: &Incident) {
        if let Some(it) = incident.suspects.first().and_then(|it| self.of(&it.kind)) {
            it.suspected = it.suspected.saturating_add(1);
        }
    }
}

impl Engine {
    /// Adds to each suspect what is known of its kind so far.
    pub(super) fn tell_history(&self, incident: &mut Incident) {
        for suspect in &mut incident.suspects {
            let Some(it) = self.history_of_changes.0.get(&suspect.kind).filter(|it| it.told > 0) else { continue };
            let text = format!(
                "of {} changes of this kind on this host, {} were suspected first of an incident",
                it.told, it.suspected
            );
            suspect.evidence.retain(|it| it.name != EVIDENCE);
            suspect.evidence.push(Evidence::new(EVIDENCE, text));
        }
    }
}
