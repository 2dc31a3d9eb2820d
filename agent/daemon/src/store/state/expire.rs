//! What was closed long ago is deleted, a few rows at a time. The audit chain stays, whatever its age.
//!
//! Never deleted: what is open, what something open refers to, and what a destination has yet to be sent. Of one finding the
//! remediations go first, then the decisions, then itself, so that none refers to what is no longer there.

use std::time::Duration;

use holdfast_core::model::{Interval, Timestamp};
use rusqlite::params;

use super::super::error::{Context, StoreError};
use super::super::telemetry::RecordsPlan;
use super::{StateDb, StateReader};

const WHAT: &str = "delete old records";
/// Rows of each kind that one call deletes: it holds up the event loop.
const BATCH: usize = 200;
/// Measured runs of build steps that are kept, whatever their age.
const STEP_RUNS_MAX: i64 = 200_000;
/// Bytes of versions of what is accepted that are kept, whatever their age.
const VERSIONS_BYTES_MAX: i64 = 64 << 20;

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
    /// Deployments.
    pub deployments: u64,
    /// Versions of what is accepted.
    pub versions: u64,
}

impl Expired {
    /// Rows in all.
    pub fn rows(&self) -> u64 {
        let judged = self.remediations + self.decisions + self.incidents + self.findings;
        self.step_runs + judged + self.deployments + self.versions
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

/// The last that succeeded of each service stays, for the next one is an upgrade; so does the last of each place where files are still
/// expected.
const DEPLOYMENTS: &str = "DELETE FROM deployment WHERE id IN (
  SELECT old.id FROM deployment AS old WHERE old.at < ?1 AND old.open = 0 AND (
    json_extract(old.body, '$.state') <> 'succeeded' OR (
      EXISTS (SELECT 1 FROM deployment AS newer WHERE newer.service = old.service AND newer.at > old.at
        AND json_extract(newer.body, '$.state') = 'succeeded')
      AND (
        EXISTS (SELECT 1 FROM deployment AS newer WHERE newer.service = old.service AND newer.at > old.at
          AND json_extract(newer.body, '$.state') = 'succeeded'
          AND rtrim(json_extract(newer.body, '$.release_dir'), '/') = rtrim(json_extract(old.body, '$.release_dir'), '/'))
        OR NOT EXISTS (SELECT 1 FROM baseline WHERE path > rtrim(json_extract(old.body, '$.release_dir'), '/') || '/'
          AND path < rtrim(json_extract(old.body, '$.release_dir'), '/') || '0'))))
  ORDER BY old.at LIMIT ?2)";

/// The oldest only, for each version is the difference to the one before it, whatever the clock said; the newest stays, for the numbers
/// go on from it.
const VERSIONS: &str = "DELETE FROM baseline_version WHERE number IN (
  SELECT number FROM (
    SELECT number, sum(octet_length(entries)) OVER (ORDER BY number DESC) AS bytes FROM baseline_version)
  WHERE number < (SELECT max(number) FROM baseline_version) AND (number <= ?2 OR bytes > ?3
    OR number < coalesce((SELECT min(number) FROM baseline_version WHERE at >= ?1), 9223372036854775807))
  ORDER BY number LIMIT ?4)";

/// Classes of records, their tables, and what of them goes for its age.
const CLASSES: [(&str, &str, &str); 7] = [
    ("findings", "finding", "open = 0"),
    ("incidents", "incident", "open = 0"),
    ("remediations", "remediation", "open = 0"),
    ("decisions", "decision", "true"),
    ("deployments", "deployment", "open = 0"),
    ("build steps", "step_run", "true"),
    ("baseline versions", "baseline_version", "number < (SELECT max(number) FROM baseline_version)"),
];

impl StateReader {
    /// What is kept as records, and when the oldest of each class goes at the earliest.
    pub fn retention(&self, kept: Duration) -> Result<Vec<RecordsPlan>, StoreError> {
        let path = self.pool.path();
        self.pool.read(WHAT, |db| {
            let plan = |(class, table, goes): (&str, &str, &str)| {
                let sql = format!("SELECT count(*), min(at), min(at) FILTER (WHERE {goes}) FROM {table}");
                let (count, from, next): (i64, Option<i64>, Option<i64>) =
                    db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).during(WHAT, path)?;
                Ok(RecordsPlan {
                    class: class.to_owned(),
                    kept_for: Interval(kept),
                    count: count.unsigned_abs(),
                    from: from.map(Timestamp::from_ns),
                    due: next.map(|at| Timestamp::from_ns(at).plus(kept)),
                })
            };
            CLASSES.into_iter().map(plan).collect()
        })
    }
}

impl StateDb {
    /// Deletes some of what was closed before a moment, and of the versions of what is accepted those up to a number. Nothing more is
    /// due when nothing was deleted.
    pub fn expire(&mut self, before: Timestamp, versions: u64, sent: &Sent) -> Result<Expired, StoreError> {
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
            deployments: delete(DEPLOYMENTS, params![at, limit])?,
            versions: delete(VERSIONS, params![at, upto(Some(versions)), VERSIONS_BYTES_MAX, limit])?,
        };
        transaction.commit().during(WHAT, path)?;
        Ok(expired)
    }
}
