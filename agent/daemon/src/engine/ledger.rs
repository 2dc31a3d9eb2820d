//! The engine's pen: everything durable goes through here, in one order.
//!
//! What only records (findings, changes of state) is kept and tried again when the disk refuses; what permits an act is
//! written now or not at all. Nothing is acted on while something waits to be written.

use std::time::Duration;

use holdfast_core::model::audit::Head;
use holdfast_core::model::{AuditEntry, Incident, IncidentId, Timestamp};

use super::Moment;
use crate::store::{Expired, Sent, StateDb, StateReader, StoreError, Writes};
use crate::telemetry::Chain;

/// Audit entries that may wait for the disk; more are lost, and counted.
const BACKLOG_MAX: usize = 20_000;
/// Pause between two tries to write what waits.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// The only writer of `state.db`.
#[derive(Debug)]
pub(super) struct Ledger {
    db: StateDb,
    backlog: Writes,
    failing: Option<String>,
    retry_at: Duration,
    lost: u64,
}

impl Ledger {
    pub(super) fn new(db: StateDb) -> Self {
        Self { db, backlog: Writes::default(), failing: None, retry_at: Duration::ZERO, lost: 0 }
    }

    pub(super) fn reader(&self) -> StateReader {
        self.db.reader()
    }

    pub(super) fn head(&self) -> Head {
        self.db.audit_head().clone()
    }

    /// Why nothing durable can be written at the moment.
    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Entries that found no place while the disk refused.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// An incident that waits for the disk.
    pub(super) fn waiting_incident(&self, id: &IncidentId) -> Option<&Incident> {
        self.backlog.incidents.iter().find(|it| it.id == *id)
    }

    /// Everything that waits and this, durably once it returns. On an error `writes` are forgotten: the caller changes nothing.
    pub(super) fn now(&mut self, writes: Writes) -> Result<(), StoreError> {
        let mut all = self.backlog.clone();
        merge(&mut all, writes);
        self.commit(all)?;
        self.backlog = Writes::default();
        Ok(())
    }

    /// Now if possible; otherwise kept, in order, until the disk takes it.
    pub(super) fn soon(&mut self, writes: Writes, now: Moment) {
        merge(&mut self.backlog, writes);
        let excess = self.backlog.audit.len().saturating_sub(BACKLOG_MAX);
        if excess > 0 {
            self.lost += excess as u64;
            self.backlog.audit.drain(..excess);
        }
        if self.failing.is_none() || now.mono >= self.retry_at {
            self.retry(now);
        }
    }

    /// Tries again to write what waits.
    pub(super) fn retry(&mut self, now: Moment) {
        if is_empty(&self.backlog) {
            return;
        }
        self.retry_at = now.mono + RETRY_EVERY;
        if self.commit(self.backlog.clone()).is_ok() {
            self.backlog = Writes::default();
        }
    }

    /// When [`Ledger::retry`] is due.
    pub(super) fn retry_at(&self) -> Option<Duration> {
        (!is_empty(&self.backlog)).then_some(self.retry_at)
    }

    /// Deletes some of what was closed before a moment.
    pub(super) fn expire(&mut self, before: Timestamp, versions: u64, sent: &Sent) -> Result<Expired, StoreError> {
        self.db.expire(before, versions, sent)
    }

    /// At a clean stop: the head goes to the file of anchors.
    pub(super) fn anchor(&mut self) {
        if let Err(error) = self.db.anchor() {
            tracing::warn!(error = %Chain(&error), "Audit anchor not written.");
        }
    }

    fn commit(&mut self, writes: Writes) -> Result<(), StoreError> {
        match self.db.commit(writes) {
            Ok(entries) => {
                if self.failing.take().is_some() {
                    tracing::info!("State is written again.");
                }
                announce(&entries);
                Ok(())
            }
            Err(error) => {
                let hint = error.hint().map(|h| format!("; {h}")).unwrap_or_default();
                let text = format!("{}{hint}", Chain(&error));
                if self.failing.is_none() {
                    tracing::error!(error = %text, "State cannot be written; nothing is acted on meanwhile.");
                }
                self.failing = Some(text);
                Err(error)
            }
        }
    }
}

/// The journal is an anchor outside of the data directory: a chain cut off at its end no longer fits it.
fn announce(entries: &[AuditEntry]) {
    if let Some(last) = entries.last() {
        tracing::info!(audit_seq = last.seq, audit_hash = last.hash, "Audit chain extended.");
    }
}

fn is_empty(writes: &Writes) -> bool {
    writes.audit.is_empty()
        && writes.findings.is_empty()
        && writes.incidents.is_empty()
        && writes.remediations.is_empty()
        && writes.decisions.is_empty()
        && writes.deployments.is_empty()
        && writes.labels.is_empty()
        && writes.episodes.is_empty()
        && writes.baselines.is_empty()
        && writes.baselines_removed.is_empty()
        && writes.settings.is_empty()
        && writes.plugin_state.is_empty()
        && writes.step_runs.is_empty()
}

/// Later documents replace earlier ones with the same id.
fn merge(into: &mut Writes, from: Writes) {
    fn documents<T, K: PartialEq>(into: &mut Vec<T>, from: Vec<T>, key: impl Fn(&T) -> K) {
        for document in from {
            into.retain(|known| key(known) != key(&document));
            into.push(document);
        }
    }
    documents(&mut into.findings, from.findings, |it| it.id.clone());
    documents(&mut into.incidents, from.incidents, |it| it.id.clone());
    documents(&mut into.remediations, from.remediations, |it| it.id.clone());
    documents(&mut into.decisions, from.decisions, |it| it.id.clone());
    documents(&mut into.deployments, from.deployments, |it| it.id.clone());
    documents(&mut into.episodes, from.episodes, |it| it.0.clone());
    documents(&mut into.labels, from.labels, |it| it.0.clone());
    documents(&mut into.baselines, from.baselines, |it| it.state.path.clone());
    into.baselines_removed.extend(from.baselines_removed);
    documents(&mut into.settings, from.settings, |it| it.0.clone());
    into.plugin_state.extend(from.plugin_state);
    into.step_runs.extend(from.step_runs);
    into.audit.extend(from.audit);
}
