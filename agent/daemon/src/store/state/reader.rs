//! Read-only views of `state.db`, for the API, the exporters and the event loop itself.

use std::collections::BTreeMap;
use std::path::Path;

use holdfast_core::model::audit::{AuditKind, Head};
use holdfast_core::model::{
    AcceptedItems, AuditEntry, Decision, DecisionId, Deployment, DeploymentId, Finding, FindingId, Incident,
    IncidentId, ItemKind, Label, Remediation, RemediationId, RemediationState, Timestamp,
};
use rusqlite::{Connection, Row, ToSql, params};
use serde::de::DeserializeOwned;

use super::super::error::{Context, StoreError};
use super::super::sqlite::Pool;
use super::writes::{BaselineFile, TUNING_SETTING, items_setting};
use crate::answers::TuningVersion;
use crate::request::StepMeasurement;

/// Rows that a filter without a limit gives.
const LIMIT_DEFAULT: usize = 1_000;

/// Which findings. Newest first.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// Only those that still count.
    pub open_only: bool,
    /// Only those that a label suppresses at the moment.
    pub suppressed_only: bool,
    /// Only those detected at or after this moment.
    pub since: Option<Timestamp>,
    /// Only this kind.
    pub kind: Option<String>,
    /// At most so many; 0 stands for 1000.
    pub limit: usize,
}

/// Which incidents. Newest first.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    /// Only open ones.
    pub open_only: bool,
    /// Only those detected, or opened again, at or after this moment.
    pub since: Option<Timestamp>,
    /// At most so many; 0 stands for 1000.
    pub limit: usize,
}

/// Which remediations. Newest first.
#[derive(Debug, Clone, Default)]
pub struct RemediationFilter {
    /// Only those that are not at their end.
    pub open_only: bool,
    /// Only those in this state.
    pub state: Option<RemediationState>,
    /// Only those that are to cure this finding.
    pub finding: Option<FindingId>,
    /// Only those proposed at or after this moment.
    pub since: Option<Timestamp>,
    /// At most so many; 0 stands for 1000.
    pub limit: usize,
}

/// Which decisions. Newest first.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Only those about this finding.
    pub finding: Option<FindingId>,
    /// Only those taken at or after this moment.
    pub since: Option<Timestamp>,
    /// At most so many; 0 stands for 1000.
    pub limit: usize,
}

/// Which deployments. Newest first.
#[derive(Debug, Clone, Default)]
pub struct DeploymentFilter {
    /// Only running ones.
    pub open_only: bool,
    /// Only of this service.
    pub service: Option<String>,
    /// Only those started at or after this moment.
    pub since: Option<Timestamp>,
    /// At most so many; 0 stands for 1000.
    pub limit: usize,
}

/// A document with the number of the write that brought it: a position to continue from.
#[derive(Debug, Clone, PartialEq)]
pub struct Revised<T> {
    /// Grows with every write of the database.
    pub revision: u64,
    /// The document.
    pub document: T,
}

/// One row of the chain as it lies in the database: an entry, or a row that is none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditRow {
    /// It reads as an entry; whether it is genuine is for the verifier to say.
    Entry(AuditEntry),
    /// Its kind or its body is not what the agent writes.
    Garbled {
        /// Which.
        seq: u64,
    },
}

/// Reads `state.db` beside its writer; cheap to clone. Each call sees one moment.
#[derive(Debug, Clone)]
pub struct StateReader {
    pub(super) pool: Pool,
}

/// `WHERE` clauses and their values.
#[derive(Default)]
struct Clauses {
    texts: Vec<&'static str>,
    values: Vec<Box<dyn ToSql>>,
}

impl Clauses {
    fn add(&mut self, text: &'static str, value: impl ToSql + 'static) {
        self.texts.push(text);
        self.values.push(Box::new(value));
    }
    fn also(&mut self, condition: bool, text: &'static str) {
        if condition {
            self.texts.push(text);
        }
    }
    fn since(&mut self, since: Option<Timestamp>) {
        if let Some(since) = since {
            self.add("at >= ?", since.ns());
        }
    }
    fn newest(self, what: &'static str, limit: usize) -> (String, Vec<Box<dyn ToSql>>) {
        let limit = if limit == 0 { LIMIT_DEFAULT } else { limit };
        let filter = if self.texts.is_empty() { String::new() } else { format!("WHERE {}", self.texts.join(" AND ")) };
        (format!("SELECT id, body FROM {what} {filter} ORDER BY at DESC, id DESC LIMIT {limit}"), self.values)
    }
}

fn parse<T: DeserializeOwned>(what: &'static str, id: String, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|source| StoreError::Document { what, id, source })
}

fn documents<T: DeserializeOwned>(
    db: &Connection,
    path: &Path,
    what: &'static str,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<T>, StoreError> {
    let mut statement = db.prepare(sql).during("read documents", path)?;
    let mut rows = statement.query(values).during("read documents", path)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().during("read documents", path)? {
        let (id, body): (String, String) = pair(row).during("read documents", path)?;
        found.push(parse(what, id, &body)?);
    }
    Ok(found)
}

fn pair(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let seq = row.get::<_, i64>(0)? as u64;
    let kind = serde_json::from_value::<AuditKind>(serde_json::Value::String(row.get(2)?));
    let body = serde_json::from_str(&row.get::<_, String>(5)?);
    let (Ok(kind), Ok(body)) = (kind, body) else { return Ok(AuditRow::Garbled { seq }) };
    Ok(AuditRow::Entry(AuditEntry {
        seq,
        at: Timestamp::from_ns(row.get(1)?),
        kind,
        actor: row.get(3)?,
        subject: row.get(4)?,
        body,
        prev: row.get(6)?,
        hash: row.get(7)?,
        mac: row.get(8)?,
    }))
}

/// Documents that are numbered in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// By revision.
    Findings,
    /// By revision.
    Decisions,
    /// By revision.
    Remediations,
    /// By the number of the run.
    Steps,
    /// By the number of the entry.
    Audit,
}

impl StateReader {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// A reader of the `state.db` in `dir` without its writer: for commands that examine a stopped agent's directory.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let reader = Self::new(Pool::new(dir.join(super::FILE)));
        reader.audit_head()?;
        Ok(reader)
    }

    fn newest<T: DeserializeOwned>(
        &self,
        table: &'static str,
        clauses: Clauses,
        limit: usize,
    ) -> Result<Vec<T>, StoreError> {
        let (sql, values) = clauses.newest(table, limit);
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        self.pool.read("read documents", |db| documents(db, self.pool.path(), table, &sql, &values))
    }

    fn one<T: DeserializeOwned>(&self, what: &'static str, sql: &str, id: &str) -> Result<Option<T>, StoreError> {
        self.pool.read("read a document", |db| Ok(documents(db, self.pool.path(), what, sql, &[&id])?.pop()))
    }

    /// Findings, newest first.
    pub fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, StoreError> {
        let mut clauses = Clauses::default();
        clauses.also(filter.open_only, "open = 1");
        clauses.also(filter.suppressed_only, "json_extract(body, '$.state') = 'suppressed'");
        clauses.since(filter.since);
        if let Some(kind) = &filter.kind {
            clauses.add("kind = ?", kind.clone());
        }
        self.newest("finding", clauses, filter.limit)
    }

    /// One finding.
    pub fn finding(&self, id: &FindingId) -> Result<Option<Finding>, StoreError> {
        self.one("finding", "SELECT id, body FROM finding WHERE id = ?", id.as_str())
    }

    /// Every label, the newest first.
    pub fn labels(&self) -> Result<Vec<Label>, StoreError> {
        let sql = "SELECT finding, body FROM label ORDER BY at DESC, finding";
        self.pool.read("read labels", |db| documents(db, self.pool.path(), "label", sql, &[]))
    }

    /// The label of one finding.
    pub fn label(&self, finding: &FindingId) -> Result<Option<Label>, StoreError> {
        self.one("label", "SELECT finding, body FROM label WHERE finding = ?", finding.as_str())
    }

    /// Incidents, newest first.
    pub fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<Incident>, StoreError> {
        let mut clauses = Clauses::default();
        clauses.also(filter.open_only, "open = 1");
        clauses.since(filter.since);
        self.newest("incident", clauses, filter.limit)
    }

    /// One incident.
    pub fn incident(&self, id: &IncidentId) -> Result<Option<Incident>, StoreError> {
        self.one("incident", "SELECT id, body FROM incident WHERE id = ?", id.as_str())
    }

    /// Remediations, newest first.
    pub fn remediations(&self, filter: &RemediationFilter) -> Result<Vec<Remediation>, StoreError> {
        let mut clauses = Clauses::default();
        clauses.also(filter.open_only, "open = 1");
        clauses.since(filter.since);
        if let Some(state) = filter.state {
            clauses.add("state = ?", state.as_str());
        }
        if let Some(finding) = &filter.finding {
            clauses.add("finding = ?", finding.to_string());
        }
        self.newest("remediation", clauses, filter.limit)
    }

    /// One remediation.
    pub fn remediation(&self, id: &RemediationId) -> Result<Option<Remediation>, StoreError> {
        self.one("remediation", "SELECT id, body FROM remediation WHERE id = ?", id.as_str())
    }

    /// Decisions, newest first.
    pub fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<Decision>, StoreError> {
        let mut clauses = Clauses::default();
        clauses.since(filter.since);
        if let Some(finding) = &filter.finding {
            clauses.add("finding = ?", finding.to_string());
        }
        self.newest("decision", clauses, filter.limit)
    }

    /// One decision.
    pub fn decision(&self, id: &DecisionId) -> Result<Option<Decision>, StoreError> {
        self.one("decision", "SELECT id, body FROM decision WHERE id = ?", id.as_str())
    }

    /// Deployments, newest first.
    pub fn deployments(&self, filter: &DeploymentFilter) -> Result<Vec<Deployment>, StoreError> {
        let mut clauses = Clauses::default();
        clauses.also(filter.open_only, "open = 1");
        clauses.since(filter.since);
        if let Some(service) = &filter.service {
            clauses.add("service = ?", service.clone());
        }
        self.newest("deployment", clauses, filter.limit)
    }

    /// One deployment.
    pub fn deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.one("deployment", "SELECT id, body FROM deployment WHERE id = ?", id.as_str())
    }

    /// Every accepted file, by path.
    pub fn baselines(&self) -> Result<Vec<BaselineFile>, StoreError> {
        let sql = "SELECT path, body FROM baseline ORDER BY path";
        self.pool.read("read baselines", |db| documents(db, self.pool.path(), "baseline", sql, &[]))
    }

    /// One accepted file.
    pub fn baseline(&self, path: &str) -> Result<Option<BaselineFile>, StoreError> {
        self.one("baseline", "SELECT path, body FROM baseline WHERE path = ?", path)
    }

    /// One setting.
    pub fn setting(&self, key: &str) -> Result<Option<serde_json::Value>, StoreError> {
        self.one("setting", "SELECT key, body FROM setting WHERE key = ?", key)
    }

    /// Every remembered tuning of the detectors, the oldest first; the last one is in force.
    pub fn tunings(&self) -> Result<Vec<TuningVersion>, StoreError> {
        let read = |value| {
            serde_json::from_value(value).map_err(|source| StoreError::Document {
                what: "setting",
                id: TUNING_SETTING.to_owned(),
                source,
            })
        };
        Ok(self.setting(TUNING_SETTING)?.map(read).transpose()?.unwrap_or_default())
    }

    /// What was accepted of a kind of items, by name; `None`: nothing yet.
    pub fn accepted_items(&self, kind: ItemKind) -> Result<Option<AcceptedItems>, StoreError> {
        let key = items_setting(kind);
        // One that cannot be read is no first look, at which everything would be accepted.
        let read = |value| {
            serde_json::from_value(value).map_err(|source| StoreError::Document {
                what: "setting",
                id: key.clone(),
                source,
            })
        };
        Ok(self.setting(&key)?.map(read).transpose()?.flatten())
    }

    /// The latest measured runs of a build step, newest first.
    pub fn step_history(&self, step: &str, limit: usize) -> Result<Vec<StepMeasurement>, StoreError> {
        let sql = "SELECT step, body FROM step_run WHERE step = ?1 ORDER BY at DESC, number DESC LIMIT ?2";
        self.pool
            .read("read step runs", |db| documents(db, self.pool.path(), "step run", sql, &[&step, &(limit as i64)]))
    }

    /// Everything that a plugin keeps.
    pub fn plugin_state(&self, plugin: &str) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let path = self.pool.path();
        self.pool.read("read a plugin's state", |db| {
            let mut statement = db
                .prepare("SELECT key, value FROM plugin_state WHERE plugin = ?")
                .during("read a plugin's state", path)?;
            let rows = statement
                .query_map([plugin], |row| Ok((row.get(0)?, row.get(1)?)))
                .during("read a plugin's state", path)?;
            rows.collect::<rusqlite::Result<_>>().during("read a plugin's state", path)
        })
    }

    /// Rows of the chain after `after_seq`, oldest first, garbled ones included.
    pub fn audit_rows(&self, after_seq: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, kind, actor, subject, body, prev, hash, mac FROM audit
                   WHERE seq > ? ORDER BY seq LIMIT ?";
        let path = self.pool.path();
        self.pool.read("read the audit chain", |db| {
            let mut statement = db.prepare(sql).during("read the audit chain", path)?;
            let rows = statement
                .query_map(params![after_seq as i64, limit as i64], entry)
                .during("read the audit chain", path)?;
            rows.collect::<rusqlite::Result<_>>().during("read the audit chain", path)
        })
    }

    /// Entries of the chain after `after_seq`, oldest first. Garbled rows are left out: [`super::verify_chain`] names them.
    pub fn audit(&self, after_seq: u64, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = self.audit_rows(after_seq, limit)?;
        Ok(rows.into_iter().filter_map(|r| if let AuditRow::Entry(e) = r { Some(e) } else { None }).collect())
    }

    /// Entries about one subject, oldest first.
    pub fn audit_about(&self, subject: &str, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "SELECT seq, at, kind, actor, subject, body, prev, hash, mac FROM audit
                   WHERE subject = ? ORDER BY seq LIMIT ?";
        let path = self.pool.path();
        let rows = self.pool.read("read the audit chain", |db| {
            let mut statement = db.prepare(sql).during("read the audit chain", path)?;
            let rows =
                statement.query_map(params![subject, limit as i64], entry).during("read the audit chain", path)?;
            rows.collect::<rusqlite::Result<Vec<_>>>().during("read the audit chain", path)
        })?;
        Ok(rows.into_iter().filter_map(|r| if let AuditRow::Entry(e) = r { Some(e) } else { None }).collect())
    }

    /// The end of the chain.
    pub fn audit_head(&self) -> Result<Head, StoreError> {
        let path = self.pool.path();
        self.pool.read("read the audit head", |db| super::stored_head(db, path))
    }

    fn revised<T: DeserializeOwned>(
        &self,
        what: &'static str,
        sql: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Revised<T>>, StoreError> {
        let path = self.pool.path();
        self.pool.read("read documents", |db| {
            let mut statement = db.prepare(sql).during("read documents", path)?;
            let mut rows = statement.query(params![after as i64, limit as i64]).during("read documents", path)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().during("read documents", path)? {
                let (id, body) = pair(row).during("read documents", path)?;
                let revision = row.get::<_, i64>(2).during("read documents", path)? as u64;
                found.push(Revised { revision, document: parse(what, id, &body)? });
            }
            Ok(found)
        })
    }

    /// Findings written after revision `after`, in the order of writing.
    pub fn findings_after(&self, after: u64, limit: usize) -> Result<Vec<Revised<Finding>>, StoreError> {
        let sql = "SELECT id, body, revision FROM finding WHERE revision > ? ORDER BY revision LIMIT ?";
        self.revised("finding", sql, after, limit)
    }

    /// Findings whose documents hold at least one word of each list, the newest first.
    pub fn findings_naming(&self, words: &[Vec<String>], limit: usize) -> Result<Vec<FindingId>, StoreError> {
        let what = "look for findings";
        let path = self.pool.path();
        let one = |list: &Vec<String>| format!("({})", vec!["instr(body, ?) > 0"; list.len().max(1)].join(" OR "));
        let all: Vec<String> = words.iter().filter(|list| !list.is_empty()).map(one).collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT id FROM finding WHERE {} ORDER BY at DESC LIMIT {limit}", all.join(" AND "));
        self.pool.read(what, |db| {
            let mut statement = db.prepare(&sql).during(what, path)?;
            let values = rusqlite::params_from_iter(words.iter().flatten());
            let rows = statement.query_map(values, |row| row.get::<_, String>(0)).during(what, path)?;
            let ids = rows.collect::<rusqlite::Result<Vec<String>>>().during(what, path)?;
            Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
        })
    }

    /// Numbers of the last finding, decision, remediation or step run that was written: of one of these streams' documents.
    pub fn end_of(&self, documents: Documents) -> Result<u64, StoreError> {
        let sql = match documents {
            Documents::Findings => "SELECT max(revision) FROM finding",
            Documents::Decisions => "SELECT max(revision) FROM decision",
            Documents::Remediations => "SELECT max(revision) FROM remediation",
            Documents::Steps => "SELECT max(number) FROM step_run",
            Documents::Audit => "SELECT max(seq) FROM audit",
        };
        let path = self.pool.path();
        self.pool.read("read the newest document", |db| {
            let last: Option<i64> = db.query_row(sql, [], |row| row.get(0)).during("read the newest document", path)?;
            Ok(last.unwrap_or(0).unsigned_abs())
        })
    }

    /// Decisions written after revision `after`, in the order of writing.
    pub fn decisions_after(&self, after: u64, limit: usize) -> Result<Vec<Revised<Decision>>, StoreError> {
        let sql = "SELECT id, body, revision FROM decision WHERE revision > ? ORDER BY revision LIMIT ?";
        self.revised("decision", sql, after, limit)
    }

    /// Measured runs of build steps after number `after`, in the order of recording; the revision is a run's number.
    pub fn steps_after(&self, after: u64, limit: usize) -> Result<Vec<Revised<StepMeasurement>>, StoreError> {
        let sql = "SELECT step, body, number FROM step_run WHERE number > ? ORDER BY number LIMIT ?";
        self.revised("step run", sql, after, limit)
    }

    /// Remediations that reached their end after revision `after`, in the order of writing.
    pub fn finished_after(&self, after: u64, limit: usize) -> Result<Vec<Revised<Remediation>>, StoreError> {
        let sql =
            "SELECT id, body, revision FROM remediation WHERE revision > ? AND open = 0 ORDER BY revision LIMIT ?";
        self.revised("remediation", sql, after, limit)
    }
}
