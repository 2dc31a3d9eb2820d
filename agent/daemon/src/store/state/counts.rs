//! How many there are of what: for exposition, from indices and small tables only.

use super::super::error::{Context, StoreError};
use super::StateReader;

/// Counts of documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// Findings that still count: state, severity, how many.
    pub open_findings: Vec<(String, String, u64)>,
    /// Findings that do not count any more: resolved or suppressed.
    pub closed_findings: u64,
    /// Remediations: state, how many.
    pub remediations: Vec<(String, u64)>,
    /// Recorded runs of build steps.
    pub step_runs: u64,
}

impl StateReader {
    /// Everything that is counted, at one moment.
    pub fn counts(&self) -> Result<StateCounts, StoreError> {
        let path = self.pool.path();
        self.pool.read("count documents", |db| {
            let one = |sql: &str| -> Result<u64, StoreError> {
                db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|n| n as u64).during("count documents", path)
            };
            let mut findings = db
                .prepare(
                    "SELECT json_extract(body, '$.state'), json_extract(body, '$.severity'), count(*)
                     FROM finding WHERE open = 1 GROUP BY 1, 2 ORDER BY 1, 2",
                )
                .during("count findings", path)?;
            let open_findings = findings
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64)))
                .during("count findings", path)?
                .collect::<rusqlite::Result<_>>()
                .during("count findings", path)?;
            let mut remediations = db
                .prepare("SELECT state, count(*) FROM remediation GROUP BY 1 ORDER BY 1")
                .during("count remediations", path)?;
            let remediations = remediations
                .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
                .during("count remediations", path)?
                .collect::<rusqlite::Result<_>>()
                .during("count remediations", path)?;
            Ok(StateCounts {
                open_findings,
                closed_findings: one("SELECT count(*) FROM finding WHERE open = 0")?,
                remediations,
                step_runs: one("SELECT count(*) FROM step_run")?,
            })
        })
    }
}
