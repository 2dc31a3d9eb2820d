//! One transaction's worth of state: documents as JSON, with the columns that are searched.

use std::path::Path;

use holdfast_core::detect::replay::Episode;
use holdfast_core::model::audit::Draft;
use holdfast_core::model::{
    Decision, Deployment, DeploymentState, FileState, Finding, FindingId, Incident, IncidentState, ItemKind, Label,
    Remediation, Timestamp,
};
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::super::error::{Context, StoreError};
use super::{episodes, versions};
use crate::request::StepMeasurement;

/// The accepted state of one watched file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineFile {
    /// What was accepted; absence of the file is a state too.
    pub state: FileState,
    /// SHA-256 under which [`super::Blobs`] keeps the content; `None` when it is not kept (absent, too large).
    pub blob: Option<String>,
    /// When.
    pub accepted_at: Timestamp,
    /// By whom.
    pub accepted_by: String,
    /// Why.
    pub reason: String,
}

/// Under which setting the accepted items of a kind lie.
pub fn items_setting(kind: ItemKind) -> String {
    format!("inventory.{kind}")
}

/// Under which setting the tunings of the detectors lie.
pub const TUNING_SETTING: &str = "tuning";

/// One key of a plugin's own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginStateWrite {
    /// The plugin's id.
    pub plugin: String,
    /// The key.
    pub key: String,
    /// The value; `None` removes the key.
    pub value: Option<Vec<u8>>,
}

/// Everything that one commit writes. Documents replace those with the same id.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Findings.
    pub findings: Vec<Finding>,
    /// Incidents.
    pub incidents: Vec<Incident>,
    /// Remediations.
    pub remediations: Vec<Remediation>,
    /// Decisions.
    pub decisions: Vec<Decision>,
    /// Deployments.
    pub deployments: Vec<Deployment>,
    /// Labels of findings; `None` takes one away.
    pub labels: Vec<(FindingId, Option<Label>)>,
    /// Samples of labelled findings; `None` lets them go.
    pub episodes: Vec<(FindingId, Option<Box<Episode>>)>,
    /// Accepted files.
    pub baselines: Vec<BaselineFile>,
    /// Paths that are not watched any more.
    pub baselines_removed: Vec<String>,
    /// Settings; JSON null removes one.
    pub settings: Vec<(String, serde_json::Value)>,
    /// Plugins' own state; the caller holds them to their quota.
    pub plugin_state: Vec<PluginStateWrite>,
    /// Measured runs of build steps.
    pub step_runs: Vec<StepMeasurement>,
    /// What the audit chain gains, in order.
    pub audit: Vec<Draft>,
}

/// A unit variant's word in JSON.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn json<T: Serialize>(what: &'static str, id: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Document { what, id: id.to_owned(), source })
}

impl Writes {
    /// Writes everything but the audit drafts, which it hands back.
    pub(super) fn apply(self, db: &Transaction<'_>, path: &Path) -> Result<Vec<Draft>, StoreError> {
        versions::record(&self, db, path)?;
        let mut revision: i64 = db
            .query_row("SELECT value FROM counter WHERE name = 'revision'", [], |row| row.get(0))
            .during("read the revision", path)?;
        let mut next = || {
            revision += 1;
            revision
        };
        let put = |sql: &'static str, values: &[&dyn rusqlite::ToSql]| {
            db.execute(sql, values).during("write a document", path).map(drop)
        };
        for it in &self.findings {
            let body = json("finding", it.id.as_str(), it)?;
            put(
                "INSERT OR REPLACE INTO finding (id, revision, kind, open, at, body) VALUES (?,?,?,?,?,?)",
                params![it.id.as_str(), next(), it.kind, it.is_open(), it.detected_at.ns(), body],
            )?;
        }
        for it in &self.incidents {
            let body = json("incident", it.id.as_str(), it)?;
            put(
                "INSERT OR REPLACE INTO incident (id, revision, open, at, body) VALUES (?,?,?,?,?)",
                params![it.id.as_str(), next(), it.state == IncidentState::Open, it.opened_at().ns(), body],
            )?;
        }
        for it in &self.remediations {
            let (id, finding, state) = (it.id.as_str(), it.finding.as_str(), it.state.as_str());
            let body = json("remediation", id, it)?;
            put(
                "INSERT OR REPLACE INTO remediation (id, revision, finding, rule, state, open, at, body)
                 VALUES (?,?,?,?,?,?,?,?)",
                params![id, next(), finding, it.rule, state, !it.state.is_final(), it.created_at.ns(), body],
            )?;
        }
        for it in &self.decisions {
            let body = json("decision", it.id.as_str(), it)?;
            put(
                "INSERT OR REPLACE INTO decision (id, revision, finding, at, body) VALUES (?,?,?,?,?)",
                params![it.id.as_str(), next(), it.finding.as_str(), it.at.ns(), body],
            )?;
        }
        for it in &self.deployments {
            let body = json("deployment", it.id.as_str(), it)?;
            let running = it.state == DeploymentState::Running;
            put(
                "INSERT OR REPLACE INTO deployment (id, revision, service, open, at, body) VALUES (?,?,?,?,?,?)",
                params![it.id.as_str(), next(), it.service, running, it.started_at.ns(), body],
            )?;
        }
        for (finding, label) in &self.labels {
            if let Some(it) = label {
                let body = json("label", finding.as_str(), it)?;
                put(
                    "INSERT OR REPLACE INTO label (finding, at, body) VALUES (?,?,?)",
                    params![finding.as_str(), it.at.ns(), body],
                )?;
            } else {
                put("DELETE FROM label WHERE finding = ?", params![finding.as_str()])?;
            }
        }
        for (finding, episode) in &self.episodes {
            episodes::put(db, path, finding, episode.as_deref(), episodes::EPISODES_BYTES_MAX)?;
        }
        for it in &self.baselines {
            let body = json("baseline", &it.state.path, it)?;
            put(
                "INSERT OR REPLACE INTO baseline (path, revision, body) VALUES (?,?,?)",
                params![it.state.path, next(), body],
            )?;
        }
        for path in &self.baselines_removed {
            put("DELETE FROM baseline WHERE path = ?", params![path])?;
        }
        for (key, value) in &self.settings {
            if value.is_null() {
                put("DELETE FROM setting WHERE key = ?", params![key])?;
            } else {
                put("INSERT OR REPLACE INTO setting (key, body) VALUES (?,?)", params![key, value.to_string()])?;
            }
        }
        for PluginStateWrite { plugin, key, value } in &self.plugin_state {
            match value {
                Some(value) => put(
                    "INSERT OR REPLACE INTO plugin_state (plugin, key, value) VALUES (?,?,?)",
                    params![plugin, key, value],
                )?,
                None => put("DELETE FROM plugin_state WHERE plugin = ? AND key = ?", params![plugin, key])?,
            }
        }
        for it in &self.step_runs {
            let body = json("step run", &it.step, it)?;
            put("INSERT INTO step_run (step, at, body) VALUES (?,?,?)", params![it.step, it.started_at.ns(), body])?;
        }
        put("UPDATE counter SET value = ? WHERE name = 'revision'", params![revision])?;
        Ok(self.audit)
    }
}
