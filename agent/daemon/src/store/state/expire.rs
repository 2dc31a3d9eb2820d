//! What was closed long ago is deleted, a few rows at a time. The audit chain stays, whatever its age.
//!
//! Never deleted: what is open, what something open refers to, and what a destination has yet to be sent. Of one finding the
//! remediations go first, then the decisions, then itself, so that none refers to what is no longer there.

use holdfast_core::model::Timestamp;
use rusqlite::params;

use super::super::error::{Context, StoreError};
use super::StateDb;

const WHAT: &str = "delete old records";
/// Rows of each kind that one call deletes: it holds up the event loop.
const BATCH: usize = 200;
/// Measured runs of build steps that are kept, whatever their age.
const STEP_RUNS_MAX: i64 = 200_000;

/// Up to which numbers everything was sent to every destination; `None`: nobody is sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Revision.
    pub findings: Option<u64>,
    /// Revision.
    pub decisions: Option<u64>,
    /// Revision.
    pub remediations: Option<u64>,
    /// Number of the run.
    pub steps: Option<u64>,
}

/// How many rows were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Measured runs of build steps.
    pub step_runs: u64,
    /// Remediations.
    pub remediations: u64,
    /// Decisions.
    pub decisions: u64,
    /// Incidents.
    pub incidents: u64,
    /// Findings.
    pub findings: u64,
}

impl Expired {
    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.step_runs + self.remediations + self.decisions + self.incidents + self.findings
    }
}

const STEP_RUNS: &str = "DELETE FROM step_run WHERE number IN (
  SELECT number FROM (SELECT number, at FROM step_run WHERE number <= ?2 ORDER BY number LIMIT ?3)
  WHERE at < ?1 OR number <= (SELECT max(number) FROM step_run) - ?4)";

const REMEDIATIONS: &str = "DELETE FROM remediation WHERE id IN (
  SELECT id FROM remediation WHERE at < ?1 AND open = 0 AND revision <= ?2
    AND NOT EXISTS (SELECT 1 FROM finding WHERE finding.id = remediation.finding AND finding.open = 1)
  ORDER BY at LIMIT ?3)";

const DECISIONS: &str = "DELETE FROM decision WHERE id IN (
  SELECT id FROM decision WHERE at < ?1 AND revision <= ?2
    AND NOT EXISTS (SELECT 1 FROM finding WHERE finding.id = decision.finding AND finding.open = 1)
    AND NOT EXISTS (SELECT 1 FROM remediation WHERE remediation.finding = decision.finding)
  ORDER BY at LIMIT ?3)";

const INCIDENTS: &str = "DELETE FROM incident WHERE id IN (
  SELECT id FROM incident WHERE at < ?1 AND open = 0 AND json_extract(body, '$.resolved_at') < ?2
    AND NOT EXISTS (SELECT 1 FROM finding WHERE finding.open = 1 AND json_extract(finding.body, '$.incident') = incident.id)
  ORDER BY at LIMIT ?3)";

/// Suppressed ones are closed and still have an effect.
const FINDINGS: &str = "DELETE FROM finding WHERE id IN (
  SELECT id FROM finding WHERE at < ?1 AND open = 0 AND revision <= ?2
    AND json_extract(body, '$.state') = 'resolved' AND json_extract(body, '$.resolved_at') < ?4
    AND NOT EXISTS (SELECT 1 FROM remediation WHERE remediation.finding = finding.id)
    AND NOT EXISTS (SELECT 1 FROM decision WHERE decision.finding = finding.id)
    AND NOT EXISTS (SELECT 1 FROM incident WHERE incident.id = json_extract(finding.body, '$.incident') AND incident.open = 1)
  ORDER BY at LIMIT ?3)";

impl StateDb {
    /// Deletes some of what was closed before a moment. Nothing more is due when nothing was deleted.
    pub fn expire(&mut self, before: Timestamp, sent: &Sent) -> Result<Expired, StoreError> {
        let path = &self.path;
        let upto = |number: Option<u64>| number.and_then(|it| i64::try_from(it).ok()).unwrap_or(i64::MAX);
        let (at, limit, text) = (before.ns(), BATCH as i64, before.to_string());
        let transaction = self.db.transaction().during(WHAT, path)?;
        let delete = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            transaction.execute(sql, values).map(|rows| rows as u64).during(WHAT, path)
        };
        let expired = Expired {
            step_runs: delete(STEP_RUNS, params![at, upto(sent.steps), limit, STEP_RUNS_MAX])?,
            remediations: delete(REMEDIATIONS, params![at, upto(sent.remediations), limit])?,
            decisions: delete(DECISIONS, params![at, upto(sent.decisions), limit])?,
            incidents: delete(INCIDENTS, params![at, text, limit])?,
            findings: delete(FINDINGS, params![at, upto(sent.findings), limit, text])?,
        };
        transaction.commit().during(WHAT, path)?;
        Ok(expired)
    }
}
